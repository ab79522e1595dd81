"""Where the native decoder and the plain one of the pages make different things of the same bitstreams."""

from __future__ import annotations

from itertools import zip_longest
from math import prod

import numpy as np

from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors
from protocol.reference.iso.bitstream import decode
from protocol.reference.iso.incremental import State


def exact(arrays):
    return {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


def differences(chain):
    """Name what differs, bitstream by bitstream: levels, values, entry points, or the state behind it."""
    ours, theirs = IncrementalState(), State()
    for i, data in enumerate(chain.bitstreams):
        native = decode_tensors(data, ours, chain.shapes)
        plain = decode(data, theirs, chain.shapes)
        theirs = plain.state
        levels = {name: tensor.levels for name, tensor in native.items() if tensor.levels is not None}
        if exact(levels) != exact(plain.levels):
            yield f"levels of bitstream {i}"
        if exact({name: tensor.values for name, tensor in native.items()}) != exact(plain.values):
            yield f"values of bitstream {i}"
        if not all(as_met(unit, found) for unit, found in zip_longest(plain.units, plain.found)):
            yield f"entry points of bitstream {i}"
        if not same_past(ours, theirs):
            yield f"state behind bitstream {i}"


def as_met(unit, found):
    """Entry points of the header against those met; where a matrix has none, the header may say anything."""
    met = iter(found)
    heights = [unit.shape[0]] if unit.shape else []
    if unit.parameter_types & 1 or any(prod(unit.shape[1:]) <= 1 or height <= 1 for height in heights):
        return all(point in unit.entry_points for point in met)
    return unit.entry_points == list(met) or unit.payload_type == 2


def same_past(ours, theirs):
    return ours.nodes.keys() == theirs.tensors.keys() and all(
        np.array_equal(node.levels, past.levels)
        and np.array_equal(node.history, past.ever_significant)
        and (past.node is None) == (not node.is_named)
        and (past.node is None or (past.node.device, past.node.parameter, past.node.depth) == name_of(node))
        for node, past in ((node, theirs.tensors[name]) for name, node in ours.nodes.items())
    )


def name_of(node):
    return node.device_id, node.parameter_id, node.put_node_depth

"""The codewords of a bitstream of the standard as the kernels see them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from incnnr.coding.nnc import decode_nnc, encode_nnc
from incnnr.nnc.members import layer_of, members_of
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.syntax import Context, DataUnit, EntryPoint, PayloadType


def units_with_layers(data, nodes, shapes=None, *, nncodec_1=False):
    """Yield each unit, and the layers that its codeword decodes to; none where it has no codeword.

    `nodes` is what the bitstreams of a series leave to the ones after them; it is advanced.
    """
    known = {**(shapes or {}), **{name: node.shape for name, node in nodes.items()}}
    for unit, context in parse_with_context(data, Context(tensor_dimensions=known)):
        has_codeword = isinstance(unit, DataUnit) and (
            unit.nnr_compressed_data_unit_payload_type != PayloadType.RAW_FLOAT
        )
        yield unit, _decoded(unit, context, nodes, nncodec_1) if has_codeword else []


def _decoded(unit, context, nodes, nncodec_1):
    members = members_of(unit, context)
    for member in members:
        member.levels = np.empty(prod(member.shape), np.int32)
        member.layer = layer_of(member, context, nodes.get(member.name), nncodec_1=nncodec_1)
    layers = [member.layer for member in members]
    assert decode_nnc([layers], [unit.payload], threads=1) == [len(unit.payload)]
    nodes |= {member.name: member.node(nodes.get(member.name)) for member in members}
    return layers


def entry_points(layers):
    """What a header says of the block rows of each layer, but the first ones."""
    return tuple(
        EntryPoint(value, state, n_bits - before)
        for layer in layers
        for (before, _, _), (n_bits, value, state) in zip(layer.block_rows, layer.block_rows[1:], strict=False)
    )


def reencoded(unit, layers):
    """The unit with the codeword that its layers are encoded to; units without layers stay as they are."""
    if not layers:
        return unit
    [payload] = encode_nnc([layers], threads=1)
    return replace(unit, payload=payload, entry_points=entry_points(layers))

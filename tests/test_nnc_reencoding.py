"""What a stored bitstream of the standard decodes to is encoded to the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from math import prod
from pathlib import Path

import numpy as np
import pytest

from incnnr.coding.nnc import decode_nnc, encode_nnc
from incnnr.nnc.members import layer_of, members_of
from incnnr.nnc.parse import parse_with_context, write
from incnnr.nnc.syntax import Context, DataUnit, EntryPoint, PayloadType

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "iso"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
DECODABLE = [name for name in sorted(EXPECTED) if not EXPECTED[name].get("refused") and name != "beyond/upm_bitmask3"]


def series_of(name):
    return name.split("/")[0] if name.startswith("seq_") else name


SERIES = [list(names) for _, names in groupby(DECODABLE, series_of)]


def bytes_of(name):
    return (FOLDER / f"{name}.nnc").read_bytes()


def shapes_of(name):
    return {key: tuple(shape) for key, shape in EXPECTED[name].get("shapes", {}).items()}


def decoded_layers(name, unit, context, nodes):
    """The layers of a data unit, as the kernels decode them; `nodes` is what later bitstreams of a series build on."""
    members = members_of(unit, context)
    for member in members:
        member.levels = np.empty(prod(member.shape), np.int32)
        member.layer = layer_of(member, context, nodes.get(member.name), nncodec_1=name.startswith("nncodec_1/"))
    layers = [member.layer for member in members]
    assert decode_nnc([layers], [unit.payload], threads=1) == [len(unit.payload)]
    nodes |= {member.name: member.node(context, nodes.get(member.name)) for member in members}
    return layers


def entry_points(layers):
    """Entry points of the block rows after the first of every matrix, from where the encoder was."""
    return tuple(
        EntryPoint(value, state, n_bits - before)
        for layer in layers
        for (before, _, _), (n_bits, value, state) in zip(layer.block_rows, layer.block_rows[1:], strict=False)
    )


def reencoded(name, unit, context, nodes):
    if not isinstance(unit, DataUnit) or unit.nnr_compressed_data_unit_payload_type == PayloadType.RAW_FLOAT:
        return unit
    layers = decoded_layers(name, unit, context, nodes)
    [payload] = encode_nnc([layers], threads=1)
    return replace(unit, payload=payload, entry_points=entry_points(layers))


@pytest.mark.parametrize("names", SERIES, ids=lambda names: series_of(names[0]))
def test_stored_levels_are_encoded_to_the_stored_bytes_with_what_their_bitstream_says(names):
    nodes = {}
    for name in names:
        shapes = shapes_of(name) | {key: node.shape for key, node in nodes.items()}
        context = Context(tensor_dimensions=shapes)
        units = [
            reencoded(name, unit, unit_context, nodes)
            for unit, unit_context in parse_with_context(bytes_of(name), context)
        ]
        assert write(units, context) == bytes_of(name)

"""What a stored bitstream of the standard decodes to is encoded to the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from incnnr.coding.nnc import encode_nnc
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import Context
from tests.nnc_layers import entry_points, units_with_layers

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


def reencoded(unit, layers):
    if not layers:
        return unit
    [payload] = encode_nnc([layers], threads=1)
    return replace(unit, payload=payload, entry_points=entry_points(layers))


@pytest.mark.parametrize("names", SERIES, ids=lambda names: series_of(names[0]))
def test_stored_levels_are_encoded_to_the_stored_bytes_with_what_their_bitstream_says(names):
    nodes = {}
    for name in names:
        shapes = shapes_of(name) | {key: node.shape for key, node in nodes.items()}
        coded = units_with_layers(bytes_of(name), nodes, shapes, nncodec_1=name.startswith("nncodec_1/"))
        units = [reencoded(unit, layers) for unit, layers in coded]
        assert write(units, Context(tensor_dimensions=shapes)) == bytes_of(name)

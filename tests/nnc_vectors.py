"""The stored bitstreams of the standard that can be decoded."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from tests.nnc_layers import units_with_layers

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "iso"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
# More numbers in a performance map than it announces: the plain decoder drops them, the syntax tables do not.
STRICTER = {"beyond/upm_bitmask3"}


def series_of(name):
    """Bitstreams in a folder seq_... are decoded one after the other, all others by themselves."""
    return name.split("/")[0] if name.startswith("seq_") else name


DECODABLE = [name for name in sorted(EXPECTED) if not EXPECTED[name].get("refused") and name not in STRICTER]
SERIES = {name: list(names) for name, names in groupby(DECODABLE, series_of)}


def bytes_of(name):
    return (FOLDER / f"{name}.nnc").read_bytes()


def shapes_of(name, nodes):
    """What a decoder must know beforehand."""
    return {key: tuple(shape) for key, shape in EXPECTED[name].get("shapes", {}).items()} | {
        key: node.shape for key, node in nodes.items()
    }


def decoded(name, nodes):
    """Yield each unit of a stored bitstream with the layers of its codeword; see `units_with_layers`."""
    return units_with_layers(bytes_of(name), nodes, shapes_of(name, nodes), nncodec_1=name.startswith("nncodec_1/"))

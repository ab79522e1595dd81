"""Every stored bitstream of the standard decodes natively to what is stored beside it."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from incnnr.errors import BitstreamError, ReferenceMismatchError
from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "iso"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
# More numbers in a performance map than it announces: the plain decoder drops them, the syntax tables do not.
STRICTER = {"beyond/upm_bitmask3"}


def series_of(name):
    return name.split("/")[0] if name.startswith("seq_") else name


SERIES = [list(names) for _, names in groupby(sorted(EXPECTED), series_of)]


def bytes_of(name):
    return (FOLDER / f"{name}.nnc").read_bytes()


def shapes_of(name):
    return {key: tuple(shape) for key, shape in EXPECTED[name].get("shapes", {}).items()}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def scaled(values):
    """Weights times their local scaling, as the decoder that the vectors are from was told to return them."""
    scalings = [name for name in values if name.endswith("_scaling")]
    for name in scalings:
        weight = values[name.removesuffix("_scaling")]
        weight *= values.pop(name).reshape(-1, *[1] * (weight.ndim - 1))
    return values


@pytest.mark.parametrize("names", SERIES, ids=lambda names: series_of(names[0]))
def test_a_vector_decodes_to_what_is_stored_beside_it(names):
    state = IncrementalState()
    for name in names:
        expected = EXPECTED[name]
        if expected.get("refused") or name in STRICTER:
            with pytest.raises(BitstreamError):
                decode_tensors(bytes_of(name), state)
            continue
        decoded = decode_tensors(bytes_of(name), state, shapes_of(name))
        values = {key: tensor.values for key, tensor in decoded.items()}
        values = scaled(values) if expected.get("scaled") else values
        levels = {key: tensor.levels for key, tensor in decoded.items() if tensor.levels is not None}
        assert {key: [str(a.dtype), list(a.shape), digest(a)] for key, a in values.items()} == expected["values"]
        assert {key: [list(a.shape), digest(a)] for key, a in levels.items()} == expected["levels"]


def test_an_update_that_does_not_follow_is_refused():
    state = IncrementalState()
    names = next(names for names in SERIES if series_of(names[0]) == "seq_tca_nodq")
    for name in names:
        decode_tensors(bytes_of(name), state)
    before = dict(state.nodes)
    with pytest.raises(ReferenceMismatchError):
        decode_tensors(bytes_of(names[-1]), state)
    assert state.nodes == before

"""Every stored bitstream of the standard decodes to what is stored beside it, in the plain decoder of the page."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from protocol.reference.errors import DoesNotFollowError, MalformedError
from protocol.reference.iso.bitstream import decode
from protocol.reference.iso.blocks import scaled
from protocol.reference.iso.engine import Codeword
from protocol.reference.iso.incremental import State
from protocol.reference.iso.units import unit_size

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "iso"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))


def series_of(name):
    """Bitstreams in a folder seq_... are decoded one after the other, all others by themselves."""
    return name.split("/")[0] if name.startswith("seq_") else name


SERIES = [list(names) for _, names in groupby(sorted(EXPECTED), series_of)]


def bytes_of(name):
    return (FOLDER / f"{name}.nnc").read_bytes()


def decode_vector(name, state):
    return decode(bytes_of(name), state, EXPECTED[name].get("shapes"))


def digest(array):
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def assert_as_expected(name, decoded):
    expected = EXPECTED[name]
    values = scaled(decoded) if expected.get("scaled") else decoded.values
    assert {key: [str(a.dtype), list(a.shape), digest(a)] for key, a in values.items()} == expected["values"]
    assert {key: [list(a.shape), digest(a)] for key, a in decoded.levels.items()} == expected["levels"]
    assert {a.dtype for a in decoded.levels.values()} <= {np.dtype(np.int32)}


@pytest.mark.parametrize("names", SERIES, ids=lambda names: series_of(names[0]))
def test_the_reference_makes_of_a_vector_what_is_stored_beside_it(names):
    state = State()
    for name in names:
        if EXPECTED[name].get("refused"):
            with pytest.raises(MalformedError):
                decode_vector(name, state)
            continue
        decoded = decode_vector(name, state)
        assert_as_expected(name, decoded)
        state = decoded.state


def test_every_vector_has_an_expectation_and_the_other_way_round():
    stored = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.nnc")}
    assert stored == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if "scan" in name and not name.startswith("seq_")))
def test_entry_points_are_where_decoding_from_the_front_arrives_at_block_rows(name):
    decoded = decode_vector(name, None)
    assert [unit.entry_points for unit in decoded.units] == decoded.found


def test_an_entry_point_and_the_bits_behind_it_make_the_window(monkeypatch):
    """The header has the upper bits; the seven below them are in the payload, nine bits behind the position."""
    seen = []

    def start_block_row(codeword):
        position = codeword.n_shifted
        ahead = int.from_bytes(codeword.data + bytes(2), "big") >> 8 * len(codeword.data) - position
        seen.append(codeword.window & 127 == ahead & 127)
        codeword.range = 256

    monkeypatch.setattr(Codeword, "start_block_row", start_block_row)
    assert_as_expected("scan1_dq1", decode_vector("scan1_dq1", None))
    assert len(seen) > 10
    assert all(seen)


def test_a_bitstream_that_is_cut_is_refused_unless_the_cut_is_between_units():
    for name in ("hand_mps_full", "block_scan1", "cb1_lap", "hand_rawfloat", "nncodec_1/int"):
        data = bytes_of(name)
        bounds = unit_bounds(data)
        for end in set(range(1, len(data))) - bounds:
            with pytest.raises(MalformedError):
                decode(data[:end])


def unit_bounds(data):
    bounds, at = set(), 0
    while at < len(data):
        at += unit_size(data[at:])
        bounds.add(at)
    return bounds


def test_an_update_is_decoded_only_after_the_one_it_follows():
    start = decode_vector("seq_tca_dq/1_update", None).state
    for _ in range(2):
        assert_as_expected("seq_tca_dq/2_update", decode_vector("seq_tca_dq/2_update", start))
    for state in (None, decode_vector("seq_tca_dq/2_update", start).state):
        with pytest.raises(DoesNotFollowError):
            decode_vector("seq_tca_dq/2_update", state)


def test_a_tensor_whose_shape_nobody_says_is_refused():
    with pytest.raises(DoesNotFollowError):
        decode(bytes_of("hand_no_dims_oob"))


# What no known software writes

STR = bytes.fromhex("00040201")
MPS = bytes.fromhex("0008068100400080")
MPS_WITH_INDICES = bytes.fromhex("0008068180400080")
NAMES = bytes.fromhex("000b0e0600808061007400")
HEADER_OF_T = "d041c1232282a0"


def unit(body):
    return (2 + len(body)).to_bytes(2, "big") + body


def unit_of_t():
    """The data unit of the tensor t in the vector hand_same."""
    return bytes_of("hand_same")[18:]


def test_units_in_an_aggregate_unit_are_decoded_as_if_they_stood_alone():
    """Two units inside, without entry points; a quantised bit depth of 5 bits for each, and the alignment."""
    header = bytes([6 << 2 | 2]) + bytes.fromhex("01000000") + bytes.fromhex("0020")
    inner = bytes.fromhex("00060e000000") + unit_of_t()
    assert_as_expected("hand_same", decode(STR + MPS + unit(header + inner)))


def test_an_index_stands_for_a_name_in_the_reference_list():
    """The first bit of ue(7) says that there is no zero before it; then the index, 1, in seven bits."""
    bits = f"{0x1609:016b}" + "1" + f"{1:07b}" + f"{int(HEADER_OF_T, 16):056b}" + "1"
    bits += "0" * (-len(bits) % 8)
    payload = unit_of_t()[14:]
    data_unit = unit(int(bits, 2).to_bytes(len(bits) // 8, "big") + payload)
    assert_as_expected("hand_same", decode(STR + MPS_WITH_INDICES + NAMES + data_unit))

"""The bit descriptors: what is written is read back, and nothing is read that is not there."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incnnr.errors import CorruptError, TruncatedError, UnsupportedError
from incnnr.nnc.bitio import BitReader, BitWriter

WIDTHS = st.integers(0, 70)
ORDERS = st.integers(0, 15)
NUMBERS = st.integers(0, 1 << 40)
FLOATS = st.floats(width=32, allow_nan=False)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)

u = st.tuples(st.just("u"), WIDTHS).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, (1 << a[1]) - 1)))
i = st.integers(1, 40).flatmap(
    lambda n: st.tuples(st.just(("i", n)), st.integers(-(1 << n - 1), (1 << n - 1) - 1)),
)
ue = st.tuples(st.tuples(st.just("ue"), ORDERS), NUMBERS)
ie = st.tuples(st.tuples(st.just("ie"), ORDERS), st.integers(-(1 << 40), 1 << 40))
flt32 = st.tuples(st.just(("flt32",)), FLOATS)


def reader_of(bits):
    return BitReader(int(bits, 2).to_bytes(len(bits) // 8, "big"))


@given(st.lists(st.one_of(u, i, ue, ie, flt32), max_size=20))
def test_what_is_written_is_read_back(fields):
    writer = BitWriter()
    for (name, *arguments), value in fields:
        assert getattr(writer, name)(*arguments, value) == value
    writer.byte_alignment()
    reader = BitReader(bytes(writer))
    for (name, *arguments), value in fields:
        assert getattr(reader, name)(*arguments, 0) == value
    reader.byte_alignment()
    reader.end()


@given(st.lists(TEXTS, max_size=5), st.binary(max_size=9))
def test_strings_and_the_bytes_behind_them_are_read_back(texts, rest):
    writer = BitWriter()
    for text in texts:
        writer.st(text)
    writer.bs(rest)
    reader = BitReader(bytes(writer))
    assert [reader.st() for _ in texts] == texts
    assert reader.bs() == rest
    reader.end()


@given(st.integers(0, 7), st.integers(0, 40), st.data())
def test_bits_keep_their_order_at_any_place(n_before, n_bits, data):
    value = data.draw(st.integers(0, (1 << n_bits) - 1))
    held = (value << -n_bits % 8).to_bytes((n_bits + 7) // 8, "big")
    writer = BitWriter()
    writer.u(n_before, 0)
    assert writer.bits(n_bits, held) == held
    writer.byte_alignment()
    reader = BitReader(bytes(writer))
    reader.u(n_before)
    assert reader.bits(n_bits, b"") == held


@pytest.mark.parametrize(
    ("order", "value", "bits"),
    [(0, 0, "1"), (0, 1, "010"), (0, 2, "011"), (0, 3, "00100"), (1, 0, "10"), (1, 2, "0100"), (3, 7, "1111")],
)
def test_exp_golomb_codes_are_those_of_the_standard(order, value, bits):
    assert reader_of(bits.ljust(8, "0")).ue(order) == value
    writer = BitWriter()
    writer.ue(order, value)
    writer.u(-len(bits) % 8, 0)
    assert bytes(writer) == int(bits.ljust(8, "0"), 2).to_bytes(1, "big")


def test_signed_exp_golomb_numbers_alternate():
    codes = ["1", "010", "011", "00100", "00101"]
    assert [reader_of(code.ljust(8, "0")).ie(0, 0) for code in codes] == [0, 1, -1, 2, -2]


def test_a_float_is_little_endian_and_keeps_zero_sign_and_quiet_nan():
    assert BitReader(bytes([0, 0, 0x80, 0x3F])).flt32(0.0) == 1.0
    assert math.copysign(1, BitReader(struct.pack("<f", -0.0)).flt32(0.0)) == -1
    assert math.isnan(BitReader(struct.pack("<f", math.nan)).flt32(0.0))


def test_an_alignment_at_a_byte_boundary_takes_a_whole_byte():
    writer = BitWriter()
    writer.byte_alignment()
    assert bytes(writer) == b"\x80"


@given(st.binary(max_size=6), st.integers(1, 80))
def test_nothing_is_read_past_the_end(data, n_bits):
    reader = BitReader(data, byte_offset=100, unit_index=3)
    if n_bits <= 8 * len(data):
        reader.u(n_bits)
        assert reader.n_bits_left == 8 * len(data) - n_bits
    else:
        with pytest.raises(TruncatedError) as caught:
            reader.u(n_bits)
        assert (caught.value.byte_offset, caught.value.unit_index) == (100, 3)


@pytest.mark.parametrize(
    ("data", "read", "error"),
    [
        (b"", lambda c: c.byte_alignment(), TruncatedError),
        (b"\0" * 4, lambda c: c.ue(0), TruncatedError),
        (b"\0" * 4000, lambda c: c.ue(0), CorruptError),
        (b"\x40", lambda c: c.byte_alignment(), CorruptError),
        (b"\xc0", lambda c: c.byte_alignment(), CorruptError),
        (b"name", lambda c: c.st(), TruncatedError),
        (b"\xff\0", lambda c: c.st(), CorruptError),
        (b"\x80a\0", lambda c: (c.u(1), c.st()), CorruptError),
        (b"\x80", lambda c: c.reserved(3), UnsupportedError),
        (b"\x01\x00\x80\x7f", lambda c: c.flt32(0.0), CorruptError),
        (b"\x00\x00", lambda c: c.repeated(17, (), 0, lambda _: c.u(1)), TruncatedError),
        (b"\x00\x00", lambda c: c.repeated(-1, (), 0, lambda _: c.u(1)), CorruptError),
        (b"\x00", lambda c: c.end(), CorruptError),
    ],
)
def test_bad_bits_are_a_typed_error_with_their_place(data, read, error):
    with pytest.raises(error) as caught:
        read(BitReader(data, byte_offset=7, unit_index=1))
    assert caught.value.byte_offset >= 7
    assert caught.value.unit_index == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.u(3, 8),
        lambda c: c.u(3, -1),
        lambda c: c.i(3, 4),
        lambda c: c.i(3, -5),
        lambda c: c.ue(0, -1),
        lambda c: c.ue(0, 1 << 64),
        lambda c: c.flt32(1e39),
        lambda c: c.st("a\0b"),
        lambda c: c.st("\ud800"),
        lambda c: (c.u(1, 1), c.st("a")),
        lambda c: (c.u(1, 1), bytes(c)),
        lambda c: c.repeated(2, (1,), 0, lambda value: c.u(1, value)),
    ],
)
def test_what_does_not_fit_is_not_written(write):
    with pytest.raises(ValueError):
        write(BitWriter())


def test_a_count_beyond_the_bits_left_is_refused_before_any_element_is_read():
    def element(_):
        raise AssertionError

    with pytest.raises(TruncatedError):
        BitReader(bytes(8)).repeated(10**9, (), 0, element)

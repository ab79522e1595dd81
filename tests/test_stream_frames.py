"""One frame, and a file of frames as somebody else might have written it."""

from __future__ import annotations

import io
import struct

import msgpack
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from incnnr._core import xxh64
from incnnr.errors import BitstreamError, CorruptError, TruncatedError, UnsupportedError
from incnnr.stream import layouts
from incnnr.stream.frames import MARK, OPTIONAL, Kind, pack, read_body, unpack_header
from incnnr.stream.scan import Scan
from incnnr.stream.source import FileSource
from incnnr.tensors import Layout

with_marks = st.lists(st.sampled_from([MARK, b"\0", b"abc", MARK[:5]]), max_size=5).map(b"".join) | st.binary(
    max_size=60
)


def source_of(data: bytes) -> FileSource:
    return FileSource(io.BytesIO(data))


@given(kind=st.integers(0, 255), fields=with_marks, body=with_marks)
def test_a_frame_unpacks_to_what_was_packed_wherever_it_stands(kind: int, fields: bytes, body: bytes) -> None:
    data = b"".join(pack(kind, fields, body))
    source = source_of(b"xyz" + data + b"behind")
    frame = unpack_header(source, 3)
    assert (frame.kind, frame.fields, read_body(source, frame.body)) == (kind, fields, body)
    assert frame.end == 3 + len(data)


@given(fields=with_marks, body=with_marks)
def test_the_mark_occurs_in_a_frame_only_at_its_beginning(fields: bytes, body: bytes) -> None:
    assert b"".join(pack(Kind.UPDATE, fields, body)).rfind(MARK) == 0


def test_every_flipped_bit_of_a_frame_is_noticed() -> None:
    data = b"".join(pack(Kind.UPDATE, b"some fields", b"and a body"))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        source = source_of(bytes(damaged))
        with pytest.raises(CorruptError):
            read_body(source, unpack_header(source, 0).body)


def test_a_header_that_is_cut_short_is_called_truncated_at_every_length() -> None:
    header, _, _ = pack(Kind.UPDATE, b"some fields", b"")
    for n_bytes in range(len(header)):
        with pytest.raises(TruncatedError):
            unpack_header(source_of(header[:n_bytes]), 0)


def test_a_frame_of_a_later_version_is_told_from_a_damaged_one() -> None:
    head = struct.pack("<8sBBBIQ", MARK, 2, Kind.UPDATE, 0, 0, 0)
    head += struct.pack("<Q", xxh64(head))[:4]
    with pytest.raises(UnsupportedError, match="version 2"):
        unpack_header(source_of(head + struct.pack("<Q", xxh64(head))), 0)


def test_an_unknown_optional_frame_is_skipped() -> None:
    scan = Scan(source_of(b"".join(pack(OPTIONAL | 77, b"", b"whatever"))))
    scan.finish()
    assert (scan.entries, scan.damage, scan.torn_bytes) == ([], [], 0)


def test_an_unknown_critical_frame_is_refused_with_its_place_in_the_file() -> None:
    data = b"".join((*pack(OPTIONAL | 77, b"", b"whatever"), *pack(77, b"", b"")))
    with pytest.raises(UnsupportedError, match="kind 77") as caught:
        Scan(source_of(data)).finish()
    assert caught.value.byte_offset == data.rfind(MARK)


class CountingSource(FileSource):
    n_read = 0

    def read(self, offset: int, n_bytes: int) -> bytes:
        data = super().read(offset, n_bytes)
        self.n_read += len(data)
        return data


def test_a_file_full_of_headers_that_lie_is_searched_in_linear_time() -> None:
    head = struct.pack("<8sBBBIQ", MARK, 1, Kind.UPDATE, 0, 1 << 20, 5)
    lie = head + struct.pack("<Q", xxh64(head))[:4]
    source = CountingSource(io.BytesIO(b"\0" + lie * 40_000))
    with pytest.raises(CorruptError, match="not an incnnr stream"):
        Scan(source).finish()
    assert source.n_read < 4 * source.size()


def test_a_length_that_lies_allocates_nothing() -> None:
    head = struct.pack("<8sBBBIQ", MARK, 1, Kind.UPDATE, 0, 0, 1 << 62)
    head += struct.pack("<Q", xxh64(head))[:4]
    scan = Scan(source_of(head + struct.pack("<Q", xxh64(head)) + b"body"))
    scan.finish()
    assert (scan.entries, scan.committed_end) == ([], 0)


@pytest.mark.parametrize("fields", [b"", b"\xc1", b"\x93\1\2\3", b"\x81\xa1q\1", b"\x83\xa1q\xff\xa1c\1\xa1d\1"])
def test_a_commit_whose_fields_make_no_sense_is_damage(fields: bytes) -> None:
    scan = Scan(source_of(b"".join(pack(Kind.UPDATE, fields, b"body"))))
    scan.finish()
    assert len(scan.damage) == 1
    assert not any(record.bodies for record in scan.records)


SOUND_FIELDS = {"q": 0, "c": 1, "d": 2, "t": 3.0}


def test_a_commit_needs_no_optional_field() -> None:
    scan = Scan(source_of(b"".join(pack(Kind.UPDATE, msgpack.packb(SOUND_FIELDS), b"body"))))
    scan.finish()
    (entry,) = scan.entries
    assert (scan.damage, entry.n_bytes, entry.is_keyframe) == ([], 4, True)
    assert (entry.n_weights, entry.model_bytes, entry.n_changed) == (None, None, None)
    assert (entry.bits_per_weight, entry.ratio) == (None, None)


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ("qcdwbvap", [-1, 1.5, "7", True, None]),
        ("t", [1, "now", None]),
        ("s", [1 << 63, 1.5, True, None]),
        ("n", [b"raw", 7, None]),
        ("m", [[], {1: "x"}, None]),
        ("l", [False, 1, "npz", ["npz"], ["npz", "text"], ["npz", b"", b""], None]),
    ],
)
def test_a_commit_with_a_field_of_another_kind_is_damage(keys: str, values: list[object]) -> None:
    for key in keys:
        for value in values:
            fields = msgpack.packb({**SOUND_FIELDS, key: value})
            scan = Scan(source_of(b"".join(pack(Kind.UPDATE, fields, b"body"))))
            scan.finish()
            assert len(scan.damage) == 1, (key, value)


@pytest.mark.parametrize("key", SOUND_FIELDS)
def test_a_commit_without_a_field_that_must_be_there_is_damage(key: str) -> None:
    fields = msgpack.packb({other: value for other, value in SOUND_FIELDS.items() if other != key})
    scan = Scan(source_of(b"".join(pack(Kind.UPDATE, fields, b"body"))))
    scan.finish()
    assert len(scan.damage) == 1


def test_an_unchanged_layout_costs_a_byte_and_a_slightly_changed_one_little() -> None:
    names = [f'"layer.{i}.weight":{{"shape":[64,{i}]}}' for i in np.random.default_rng(0).permutation(200)]
    first = Layout("safetensors", ",".join(names).encode())
    second = Layout("safetensors", first.rest.replace(b"layer.7.", b"layer.8."))
    assert layouts.pack(first, first) is True
    packed = layouts.pack(second, first)
    assert isinstance(packed, list)
    assert len(packed[1]) < 60
    assert layouts.unpack(packed, first) == second


@given(rest=st.binary(max_size=300), parent=st.none() | st.binary(max_size=300))
def test_any_layout_comes_back(rest: bytes, parent: bytes | None) -> None:
    layout = Layout("npz", rest)
    before = None if parent is None else Layout("npz", parent)
    assert layouts.unpack(layouts.pack(layout, before), before) == layout


@pytest.mark.parametrize("packed", [True, 7, ["npz"], ["npz", "text"], ["npz", b""], ["npz", b"no zstandard frame"]])
def test_a_malformed_layout_is_corrupt(packed: object) -> None:
    with pytest.raises(CorruptError):
        layouts.unpack(packed, None)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_scan_or_a_typed_error(data: bytes) -> None:
    scan = Scan(source_of(MARK + data))
    try:
        scan.finish()
    except BitstreamError as error:
        assert error.byte_offset is not None


def test_a_frame_is_laid_out_as_the_protocol_says() -> None:
    fields, body = b"\x80", b"the body"
    prefix = bytes.fromhex("89 49 4E 43 4E 4E 52 0A 01 02 00") + struct.pack("<IQ", len(fields), len(body))
    prefix += struct.pack("<I", xxhash.xxh64_intdigest(prefix) % 2**32)
    assert len(prefix) == 27
    expected = prefix + fields + struct.pack("<Q", xxhash.xxh64_intdigest(prefix + fields))
    expected += body + struct.pack("<Q", xxhash.xxh64_intdigest(body))
    assert b"".join(pack(Kind.UPDATE, fields, body)) == expected


def test_a_masked_frame_is_laid_out_as_the_protocol_says() -> None:
    data = b"".join(pack(Kind.PART, b"\x80", MARK))
    assert data[10] == 1
    assert data[27] == 0x81
    assert data[36:44] == bytes(byte ^ 1 for byte in MARK)
    assert data[44:] == struct.pack("<Q", xxhash.xxh64_intdigest(data[36:44]))

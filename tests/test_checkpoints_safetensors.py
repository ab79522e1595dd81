from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from incnnr import checkpoints
from incnnr.errors import CheckpointError

_F32_PAIR = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
}


def _file(path: Path, header: object, data: bytes = b"", *, padding: bytes = b"") -> Path:
    text = (header if isinstance(header, bytes) else json.dumps(header).encode()) + padding
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("memory_map", [True, False])
def test_a_file_comes_back_byte_for_byte(tmp_path: Path, memory_map: bool) -> None:
    header = {
        "b": {"data_offsets": [8, 12], "shape": [1], "dtype": "F32"},
        "__metadata__": {"é": "1"},
        "a": _F32_PAIR["a"],
    }
    source = _file(tmp_path / "in.safetensors", header, bytes(range(12)), padding=b" " * 13)
    checkpoints.write(tmp_path / "out.safetensors", checkpoints.read(source, memory_map=memory_map))
    assert (tmp_path / "out.safetensors").read_bytes() == source.read_bytes()


def test_tensors_stand_in_the_order_of_their_data(tmp_path: Path) -> None:
    header = {"z": _F32_PAIR["b"], "y": _F32_PAIR["a"]}
    assert list(checkpoints.read(_file(tmp_path / "m.safetensors", header, bytes(12)))) == ["y", "z"]


def test_arrays_are_read_only(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_file(tmp_path / "m.safetensors", _F32_PAIR, bytes(12)))
    with pytest.raises(ValueError, match="read-only"):
        checkpoint["a"][0] = 1


def test_an_array_survives_the_replacement_of_its_mapped_file(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.safetensors", _F32_PAIR, np.array([1, 2, 3], "<f4").tobytes())
    checkpoint = checkpoints.read(path)
    checkpoints.write(path, {"a": np.zeros(2, np.float32)})
    assert checkpoint["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        ("BF16", ml_dtypes.bfloat16),
        ("F8_E4M3", ml_dtypes.float8_e4m3fn),
        ("F8_E5M2", ml_dtypes.float8_e5m2),
        ("F8_E8M0", ml_dtypes.float8_e8m0fnu),
        ("F16", np.float16),
        ("F64", np.float64),
        ("C64", np.complex64),
        ("BOOL", np.bool_),
        ("U64", np.uint64),
        ("I16", np.int16),
    ],
)
def test_dtypes_are_read_as_what_they_are_and_written_under_the_same_name(
    tmp_path: Path, code: str, dtype: type
) -> None:
    n_bytes = 6 * np.dtype(dtype).itemsize
    header = {"w": {"dtype": code, "shape": [2, 3], "data_offsets": [0, n_bytes]}}
    checkpoint = checkpoints.read(_file(tmp_path / "m.safetensors", header, random.Random(1).randbytes(n_bytes)))
    assert checkpoint["w"].dtype == dtype
    assert checkpoint["w"].shape == (2, 3)
    checkpoints.write(tmp_path / "plain.safetensors", dict(checkpoint))
    assert checkpoints.read(tmp_path / "plain.safetensors")["w"].tobytes() == checkpoint["w"].tobytes()
    assert f'"dtype":"{code}"'.encode() in (tmp_path / "plain.safetensors").read_bytes()


@pytest.mark.parametrize(("code", "n_bytes"), [("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("OF_2031", 5)])
def test_dtypes_without_whole_bytes_or_unknown_ones_are_carried_as_bytes(
    tmp_path: Path, code: str, n_bytes: int
) -> None:
    header = {"w": {"dtype": code, "shape": [2, 4], "data_offsets": [0, n_bytes]}}
    source = _file(tmp_path / "m.safetensors", header, bytes(range(n_bytes)))
    checkpoint = checkpoints.read(source)
    assert checkpoint["w"].tolist() == list(range(n_bytes))
    checkpoints.write(tmp_path / "out.safetensors", checkpoint)
    assert (tmp_path / "out.safetensors").read_bytes() == source.read_bytes()


def test_empty_and_0_d_tensors_and_empty_files_come_back(tmp_path: Path) -> None:
    header = {
        "e": {"dtype": "F32", "shape": [0, 3], "data_offsets": [0, 0]},
        "s": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]},
    }
    for number, (content, data) in enumerate([(header, b"\7"), ({}, b"")]):
        source = _file(tmp_path / f"{number}.safetensors", content, data)
        checkpoint = checkpoints.read(source)
        checkpoints.write(tmp_path / "out.safetensors", checkpoint)
        assert (tmp_path / "out.safetensors").read_bytes() == source.read_bytes()
        assert [array.shape for array in checkpoint.values()] == ([(0, 3), ()] if content else [])


def _entry(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        (_F32_PAIR, bytes(11), "truncated"),
        (_F32_PAIR, bytes(13), "1 bytes follow"),
        (_entry(data_offsets=[4, 12]), bytes(12), "a hole"),
        (_F32_PAIR | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12), "an overlap"),
        (_entry(data_offsets=[8, 0]), bytes(8), "does not take"),
        (_entry(shape=[3]), bytes(8), "does not take"),
        (_entry(shape=[2**62, 2**62, 2**4]), bytes(8), "does not take"),
        (_entry(shape=[2.0]), bytes(8), "shape of whole numbers"),
        (_entry(shape=[-2]), bytes(8), "shape of whole numbers"),
        (_entry(shape=[1] * 33 + [2]), bytes(8), "34 dimensions"),
        (_entry(data_offsets=[0, True]), bytes(8), "data_offsets of whole numbers"),
        (_entry(data_offsets=[0, 8, 8]), bytes(8), "3 data_offsets"),
        (_entry(dtype=None), bytes(8), "lacks a dtype"),
        (_entry(dtype="F4", shape=[3], data_offsets=[0, 1]), bytes(1), "does not take"),
        ({"a": 1}, b"", "not described by an object"),
        ({"__metadata__": {"a": 1}}, b"", "map of strings"),
        ({"__metadata__": "a"}, b"", "map of strings"),
        ([], b"", "start with"),
        (b' {"a":1}', b"", "start with"),
        (b"{", b"", "header"),
        (b"{}\xff", b"", "header"),
        (b'{"a":' * 100_000, b"", "header"),
        (b'{"__metadata__":{"a":"1","a":"2"}}', b"", "twice"),
        (b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1", "header"),
    ],
)
def test_a_broken_rule_is_one_error_with_path_and_reason(
    tmp_path: Path, header: object, data: bytes, reason: str
) -> None:
    path = _file(tmp_path / "m.safetensors", header, data)
    for memory_map in (True, False):
        with pytest.raises(CheckpointError, match=reason) as caught:
            checkpoints.read(path, memory_map=memory_map)
        assert caught.value.path == path
    assert not checkpoints.is_complete(path)


def test_the_shape_of_an_empty_tensor_cannot_overflow(tmp_path: Path) -> None:
    path = _file(tmp_path / "m.safetensors", _entry(shape=[0, 2**62, 2**62], data_offsets=[0, 0]))
    with pytest.raises(CheckpointError, match="impossible shape"):
        checkpoints.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 7, struct.pack("<Q", 100_000_001) + b"{}", struct.pack("<Q", 3) + b"{}"]
)
def test_a_file_too_short_or_a_header_too_long_is_refused_before_it_is_parsed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    for memory_map in (True, False):
        with pytest.raises(CheckpointError):
            checkpoints.read(path, memory_map=memory_map)
    assert not checkpoints.is_complete(path)


def test_every_prefix_of_a_file_is_incomplete(tmp_path: Path) -> None:
    whole = _file(tmp_path / "whole.safetensors", _F32_PAIR, bytes(12)).read_bytes()
    path = tmp_path / "m.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not checkpoints.is_complete(path)
        with pytest.raises(CheckpointError):
            checkpoints.read(path)


def test_flipped_bits_give_a_checkpoint_or_a_checkpoint_error(tmp_path: Path) -> None:
    whole = _file(tmp_path / "whole.safetensors", _F32_PAIR, bytes(12)).read_bytes()
    path = tmp_path / "m.safetensors"
    outcomes = set()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            outcomes.add(len(checkpoints.read(path)))
        except CheckpointError:
            outcomes.add("refused")
    assert outcomes == {2, "refused"}


def test_files_of_the_reference_library_are_read_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tensors = {
        f"layer.{dtype}": rng.integers(0, 2, (3, 4)).astype(dtype)
        for dtype in ("f2", "f4", "f8", "i1", "u2", "i8", "?")
    }
    safetensors.numpy.save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "np"})
    checkpoint = checkpoints.read(tmp_path / "m.safetensors")
    assert checkpoint.keys() == tensors.keys()
    for name, array in tensors.items():
        assert checkpoint[name].dtype == array.dtype
        assert np.array_equal(checkpoint[name], array)


@pytest.mark.parametrize("seed", range(40))
def test_plain_files_are_valid_for_the_reference_library(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rng = np.random.default_rng(seed)
    weights = {}
    for _ in range(draw.randrange(6)):
        name = "".join(draw.choices('ab."\\é/\n\0\U0001f600', k=draw.randrange(8)))
        shape = [draw.randrange(4) for _ in range(draw.randrange(5))]
        dtype = draw.choice(["f4", ">f4", "f2", "u1", "i8"])
        weights[name] = np.asarray(rng.integers(0, 100, shape)).astype(dtype)
    path = tmp_path / "m.safetensors"
    checkpoints.write(path, weights)
    loaded = safetensors.numpy.load_file(path)
    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(loaded[name], array)


def test_weights_that_no_longer_fit_the_header_make_a_plain_file_with_the_same_metadata(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(
        _file(tmp_path / "m.safetensors", _F32_PAIR | {"__metadata__": {"k": "v"}}, bytes(12))
    )
    changed = checkpoints.Checkpoint(checkpoint.path, {"a": np.zeros((2, 2), np.float32)}, checkpoint.layout)
    checkpoints.write(tmp_path / "out.safetensors", changed)
    with safetensors.safe_open(tmp_path / "out.safetensors", "np") as file:
        assert file.metadata() == {"k": "v"}
        assert file.get_tensor("a").shape == (2, 2)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"w": np.zeros(2, np.complex128)}, "complex128"),
        ({"w": np.array(["a"])}, "no dtype <U1"),
        ({"w": np.zeros(2, ml_dtypes.float8_e4m3)}, "float8_e4m3"),
        ({"__metadata__": np.zeros(2)}, "__metadata__"),
        ({"\ud800": np.zeros(2)}, "Unicode"),
    ],
)
def test_what_the_format_cannot_say_is_an_error_and_writes_nothing(
    tmp_path: Path, weights: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        checkpoints.write(tmp_path / "m.safetensors", weights)
    assert list(tmp_path.iterdir()) == []

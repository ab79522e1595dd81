from __future__ import annotations

import io
import zipfile
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import pytest

from incnnr import checkpoints
from incnnr.checkpoints import Checkpoint
from incnnr.errors import CheckpointError
from incnnr.tensors import Layout


def _rewritten(path: Path) -> Path:
    """Write what was read, with arrays in C order as a decoder hands them out."""
    checkpoint = checkpoints.read(path)
    decoded = {name: array.copy(order="C") for name, array in checkpoint.items()}
    target = path.with_name("out.npz")
    checkpoints.write(target, Checkpoint(path, decoded, checkpoint.layout))
    return target


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_numpy_comes_back_byte_for_byte(tmp_path: Path, save: object) -> None:
    rng = np.random.default_rng(1)
    arrays = {
        "z/last": rng.normal(size=(2, 3)).astype(">f4"),
        "fortran": np.asfortranarray(rng.normal(size=(4, 5))),
        "scalar": np.array(3, np.int8),
        "empty": np.zeros((0, 2), np.bool_),
        "text": np.array(["a", "bc"]),
        "times": np.array(["2020-01-01"], "datetime64[D]"),
    }
    save(tmp_path / "in.npz", **arrays)  # type: ignore[operator]
    checkpoint = checkpoints.read(tmp_path / "in.npz")
    assert list(checkpoint) == list(arrays)
    assert _rewritten(tmp_path / "in.npz").read_bytes() == (tmp_path / "in.npz").read_bytes()
    for name, array in arrays.items():
        assert checkpoint[name].dtype == array.dtype
        assert np.array_equal(checkpoint[name], array)


def test_each_array_keeps_its_own_compression(tmp_path: Path) -> None:
    path = tmp_path / "mixed.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, method in (("a", zipfile.ZIP_STORED), ("b", zipfile.ZIP_DEFLATED)):
            buffer = io.BytesIO()
            np.save(buffer, np.zeros(100))
            archive.writestr(f"{name}.npy", buffer.getvalue(), method)
    with zipfile.ZipFile(_rewritten(path)) as archive:
        assert [info.compress_type for info in archive.infolist()] == [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]


def test_members_that_are_no_arrays_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.zeros(2))
    with zipfile.ZipFile(tmp_path / "m.npz", "a") as archive:
        archive.writestr("notes.txt", "hello")
    checkpoint = checkpoints.read(tmp_path / "m.npz")
    assert list(checkpoint) == ["w"]
    assert checkpoint.ignored == ("notes.txt",)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.array([{}], object))
    with pytest.raises(CheckpointError, match="pickle"):
        checkpoints.read(tmp_path / "m.npz")


def test_records_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.zeros(2, [("a", "f4"), ("b", "i2")]))
    with pytest.raises(CheckpointError, match="cannot be coded"):
        checkpoints.read(tmp_path / "m.npz")


def test_an_array_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(2))
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("w.npy", buffer.getvalue())
        archive.writestr("w.npy", buffer.getvalue())
    with pytest.raises(CheckpointError, match="twice"):
        checkpoints.read(tmp_path / "m.npz")


def test_every_prefix_of_an_archive_is_incomplete_and_unreadable(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.zeros(3))
    assert checkpoints.is_complete(tmp_path / "m.npz")
    whole = (tmp_path / "m.npz").read_bytes()
    path = tmp_path / "part.npz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not checkpoints.is_complete(path)
        with pytest.raises(CheckpointError):
            checkpoints.read(path)


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", w=np.full(100, 7, np.uint8))
    content = bytearray((tmp_path / "m.npz").read_bytes())
    content[content.index(bytes([7] * 100)) + 50] ^= 1
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match="CRC"):
        checkpoints.read(tmp_path / "m.npz")


def test_dtypes_numpy_cannot_save_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="bfloat16"):
        checkpoints.write(tmp_path / "m.npz", {"w": np.zeros(2, ml_dtypes.bfloat16)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\xc1",
        msgpack.packb(5),
        msgpack.packb([5]),
        msgpack.packb([["w", 1, 0]]),
        msgpack.packb([["w", False, False]] * 2),
    ],
)
def test_a_damaged_layout_is_an_error(tmp_path: Path, rest: bytes) -> None:
    weights = Checkpoint(Path("from a stream"), {"w": np.zeros(2)}, Layout("npz", rest))
    with pytest.raises(CheckpointError, match="damaged npz layout"):
        checkpoints.write(tmp_path / "m.npz", weights)
    assert list(tmp_path.iterdir()) == []

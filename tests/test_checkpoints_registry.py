from __future__ import annotations

import resource
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from incnnr import checkpoints
from incnnr.checkpoints import Checkpoint
from incnnr.errors import CheckpointError
from incnnr.tensors import Layout


def test_converting_between_formats_keeps_names_dtypes_and_values(tmp_path: Path) -> None:
    weights = {"a.weight": np.arange(6, dtype="f4").reshape(2, 3), "a.bias": np.array(-0.0), "n": np.array([7], "u2")}
    checkpoints.write(tmp_path / "m.npz", weights)
    checkpoints.write(tmp_path / "m.safetensors", checkpoints.read(tmp_path / "m.npz"))
    checkpoints.write(tmp_path / "back.npz", checkpoints.read(tmp_path / "m.safetensors"))
    back = checkpoints.read(tmp_path / "back.npz")
    assert {name: (array.dtype, array.tolist()) for name, array in back.items()} == {
        name: (array.dtype, array.tolist()) for name, array in weights.items()
    }


def test_an_unknown_extension_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("m.onnx", "m"):
        with pytest.raises(CheckpointError, match=r"\.safetensors, \.npz, \.pt"):
            checkpoints.write(tmp_path / name, {"w": np.zeros(1)})
        with pytest.raises(CheckpointError, match=r"\.safetensors, \.npz, \.pt"):
            checkpoints.read(tmp_path / name)
        assert not checkpoints.is_complete(tmp_path / name)


def test_a_missing_file_is_a_checkpoint_error_with_its_path(tmp_path: Path) -> None:
    for name in ("m.safetensors", "m.npz"):
        with pytest.raises(CheckpointError, match="No such file") as caught:
            checkpoints.read(tmp_path / name)
        assert caught.value.path == tmp_path / name
        assert isinstance(caught.value, OSError)


def test_a_layout_of_another_format_is_left_aside(tmp_path: Path) -> None:
    weights = Checkpoint(Path("stream"), {"w": np.zeros(2)}, Layout("pytorch", b"nonsense"))
    checkpoints.write(tmp_path / "m.npz", weights)
    assert list(checkpoints.read(tmp_path / "m.npz")) == ["w"]


def test_values_that_are_no_tensors_are_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        checkpoints.write(tmp_path / "m.npz", {"w": np.array([{}], object)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    checkpoints.write(tmp_path / name, {"w": np.ones(3)})
    before = (tmp_path / name).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="File too large"):
            checkpoints.write(tmp_path / name, {"w": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_extensions_are_known_in_upper_case_too(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "M.SAFETENSORS", {"w": np.zeros(1, ml_dtypes.bfloat16)})
    assert checkpoints.is_checkpoint(tmp_path / "M.SAFETENSORS")
    assert checkpoints.read(tmp_path / "M.SAFETENSORS")["w"].dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.ckpt", "m.bin"])
def test_pytorch_files_without_pytorch_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(b"PK")
    assert checkpoints.is_checkpoint(tmp_path / name)
    assert not checkpoints.is_complete(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"pip install 'incnnr\[torch\]'"):
        checkpoints.read(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"pip install 'incnnr\[torch\]'"):
        checkpoints.write(tmp_path / name, {"w": np.zeros(1)})
    assert (tmp_path / name).read_bytes() == b"PK"

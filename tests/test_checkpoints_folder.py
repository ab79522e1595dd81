from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgpack
import numpy as np
import pytest
import safetensors.numpy

from incnnr import checkpoints
from incnnr.checkpoints import Checkpoint
from incnnr.errors import CheckpointError
from incnnr.tensors import Layout

_INDEX = "model.safetensors.index.json"
_SHARDS = tuple(f"model-{number}-of-00003.safetensors" for number in ("00001", "00002", "00003"))


def _sharded(folder: Path, seed: int = 1) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    weight_map = {}
    for number, shard in enumerate(_SHARDS):
        tensors = {f"layer.{number}.{name}": rng.normal(size=5).astype("f4") for name in ("weight", "bias")}
        safetensors.numpy.save_file(tensors, folder / shard, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, shard)
    (folder / _INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}, indent=2) + "\n")
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_a_sharded_folder_comes_back_file_by_file(tmp_path: Path) -> None:
    source = _sharded(tmp_path / "checkpoint-500")
    checkpoint = checkpoints.read(source)
    assert len(checkpoint) == 6
    checkpoints.write(tmp_path / "out", checkpoint)
    assert _contents(tmp_path / "out") == _contents(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-500", "out"]


@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors"])
def test_a_folder_with_a_single_file_comes_back_and_lists_the_rest(tmp_path: Path, name: str) -> None:
    source = tmp_path / "checkpoint-500"
    source.mkdir()
    safetensors.numpy.save_file({"w": np.zeros(3)}, source / name)
    (source / "optimizer.pt").touch()
    (source / "global_step500").mkdir()
    checkpoint = checkpoints.read(source)
    assert checkpoint.ignored == ("global_step500", "optimizer.pt")
    assert checkpoints.files_of(source) == [source / name]
    checkpoints.write(tmp_path / "llama-3.1", checkpoint)
    assert _contents(tmp_path / "llama-3.1") == {name: (source / name).read_bytes()}


def test_files_of_a_sharded_folder_are_its_index_and_shards(tmp_path: Path) -> None:
    source = _sharded(tmp_path / "m")
    (source / "config.json").touch()
    assert checkpoints.files_of(source) == sorted(source / name for name in (_INDEX, *_SHARDS))


def test_a_folder_is_complete_once_every_shard_is(tmp_path: Path) -> None:
    source = _sharded(tmp_path / "m")
    assert checkpoints.is_complete(source)
    last = source / _SHARDS[2]
    whole = last.read_bytes()
    last.write_bytes(whole[:-1])
    assert not checkpoints.is_complete(source)
    last.unlink()
    assert checkpoints.is_checkpoint(source)
    assert not checkpoints.is_complete(source)
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoints.read(source)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": "../x.safetensors"}}',
        '{"weight_map": {"a": "/x.safetensors"}}',
        '{"weight_map": {"a": ".safetensors"}}',
        '{"weight_map": {"a": "config.json"}}',
        '{"weight_map": ' + "[" * 100_000,
    ],
)
def test_a_damaged_index_is_an_error_that_names_it(tmp_path: Path, index: str) -> None:
    source = _sharded(tmp_path / "m")
    (source / _INDEX).write_text(index)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.read(source)
    assert caught.value.path == source / _INDEX
    assert not checkpoints.is_complete(source)


def test_shards_of_another_save_do_not_pass_as_one_checkpoint(tmp_path: Path) -> None:
    source = _sharded(tmp_path / "m")
    shutil.copy(source / _SHARDS[0], source / _SHARDS[1])
    with pytest.raises(CheckpointError, match="another shard too"):
        checkpoints.read(source)
    safetensors.numpy.save_file({"other": np.zeros(1)}, source / _SHARDS[1])
    with pytest.raises(CheckpointError, match="is not in it"):
        checkpoints.read(source)


def test_replacing_a_folder_takes_the_old_shards_away_and_leaves_everything_else(tmp_path: Path) -> None:
    target = _sharded(tmp_path / "current")
    (target / "config.json").write_text("{}")
    (target / "runs").mkdir()
    (target / "runs" / "log").write_text("1")
    (target / "link").symlink_to("config.json")
    source = tmp_path / "checkpoint-1"
    source.mkdir()
    safetensors.numpy.save_file({"w": np.zeros(3)}, source / "model.safetensors")
    checkpoints.write(target, checkpoints.read(source))
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "link", "model.safetensors", "runs"]
    assert (target / "runs" / "log").read_text() == "1"
    assert (target / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "current"]


def test_an_empty_folder_is_filled_and_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_sharded(tmp_path / "m"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "latest").symlink_to("empty")
    checkpoints.write(tmp_path / "latest", checkpoint)
    assert (tmp_path / "latest").is_symlink()
    assert _contents(tmp_path / "empty") == _contents(tmp_path / "m")


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_sharded(tmp_path / "m"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("all of it")
    (tmp_path / "file").write_text("also a file")
    for name in ("home", "file"):
        with pytest.raises(CheckpointError, match="not replaced"):
            checkpoints.write(tmp_path / name, checkpoint)
    assert _contents(tmp_path / "home") == {"thesis.tex": b"all of it"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home", "m"]


@pytest.mark.parametrize("failing_call", [1, 2])
def test_a_failed_rename_leaves_the_old_folder_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    target = _sharded(tmp_path / "current", seed=1)
    before = _contents(target)
    checkpoint = checkpoints.read(_sharded(tmp_path / "next", seed=2))
    calls = []
    rename = Path.rename

    def failing_rename(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == failing_call:
            raise OSError(5, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing_rename)
    with pytest.raises(CheckpointError, match="Input/output error"):
        checkpoints.write(target, checkpoint)
    assert _contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "next"]


def test_weights_that_no_longer_fit_make_a_single_file(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_sharded(tmp_path / "m"))
    grown = Checkpoint(checkpoint.path, {**checkpoint, "new": np.zeros(2)}, checkpoint.layout)
    checkpoints.write(tmp_path / "out", grown)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]
    assert checkpoints.read(tmp_path / "out").keys() == grown.keys()


def test_a_sharded_checkpoint_converts_to_one_file(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_sharded(tmp_path / "m"))
    checkpoints.write(tmp_path / "one.safetensors", checkpoint)
    assert checkpoints.read(tmp_path / "one.safetensors").keys() == checkpoint.keys()


@pytest.mark.parametrize(
    "fields",
    [
        5,
        [],
        ["config.json", b"", {}],
        ["model.safetensors", b"index", {"model.safetensors": b"{}"}],
        ["model.safetensors", b"", {"other.safetensors": b"{}"}],
        [_INDEX, b"", {_SHARDS[0]: b"{}"}],
        [_INDEX, b"{}", {"../evil.safetensors": b"{}"}],
        [_INDEX, b"{}", {"a/b.safetensors": b"{}"}],
        [_INDEX, b"{}", {".bashrc": b"{}"}],
        [_INDEX, b"{}", {"x.safetensors": 5}],
        [_INDEX, b"{}", {"x.safetensors": b"{"}],
        [_INDEX, b"{}", [1]],
    ],
)
def test_a_layout_from_a_hostile_stream_writes_nothing(tmp_path: Path, fields: object) -> None:
    layout = Layout("safetensors-folder", msgpack.packb(fields))
    with pytest.raises(CheckpointError):
        checkpoints.write(tmp_path / "inner" / "out", Checkpoint(Path("stream"), {}, layout))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_weights_is_no_checkpoint(tmp_path: Path) -> None:
    assert not checkpoints.is_checkpoint(tmp_path)
    assert not checkpoints.is_complete(tmp_path)
    for ask in (checkpoints.read, checkpoints.files_of):
        with pytest.raises(CheckpointError, match="no checkpoint"):
            ask(tmp_path)

"""Writers that fail, are interrupted, or find another at work: the file stays whole."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from incnnr import coding, files, stream
from incnnr.errors import ClosedError, StateError
from incnnr.stream import sink
from incnnr.stream import writer as writing

HOLD_THE_LOCK = """
import sys, numpy as np
from incnnr import stream
with stream.open(sys.argv[1], sys.argv[2]) as writer:
    writer.append({"w": np.arange(3.0)})
    print("ready", flush=True)
    sys.stdin.read()
"""


def weights(seed: int, n: int = 100) -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(seed).standard_normal(n)}


def contents(path: Path) -> list[list[float]]:
    with stream.open(path) as reader:
        return [model["w"].tolist() for model in reader]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.incnnr"


@contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """Let every write beyond that fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_raises_and_leaves_the_file_as_it_was(path: Path) -> None:
    with stream.open(path, "w") as writer:
        writer.append(weights(0))
        before = path.read_bytes()
        with files_no_larger_than(200_000):
            with pytest.raises(OSError, match="File too large"):
                writer.append(weights(1, n=100_000))
            assert path.read_bytes() == before
            with pytest.raises(ClosedError, match="a write failed"):
                writer.append(weights(2))
    with stream.open(path, "a") as writer:
        writer.append(weights(2))
    assert contents(path) == [weights(0)["w"].tolist(), weights(2)["w"].tolist()]


def test_a_disk_too_full_to_replace_a_stream_leaves_the_old_one(path: Path) -> None:
    with stream.open(path, "w") as writer:
        writer.append(weights(0))
    with stream.open(path, "w") as writer, files_no_larger_than(200_000), pytest.raises(OSError, match="too large"):
        writer.append(weights(1, n=100_000))
    assert contents(path) == [weights(0)["w"].tolist()]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def failing_after(n_bytes: int, error: BaseException) -> Any:
    """Stand in for a write that fails when so many bytes of the update are written."""
    left = n_bytes

    def write_all(file: Any, data: bytes) -> None:
        nonlocal left
        file.write(data[:left])
        if len(data) > left:
            raise error
        left -= len(data)

    return write_all


@pytest.mark.parametrize("n_bytes", [0, 5, 60, 300])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_append_cut_off_anywhere_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch, n_bytes: int, error: BaseException
) -> None:
    with stream.open(path, "a") as writer:
        writer.append(weights(0))
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(sink, "_write_all", failing_after(n_bytes, error))
            with pytest.raises(type(error)):
                writer.append(weights(1))
        assert path.read_bytes() == before
        assert len(writer) == 1
        with pytest.raises(ClosedError):
            writer.append(weights(1))
    with stream.open(path, "a") as writer:
        writer.append(weights(1))
    assert contents(path) == [weights(0)["w"].tolist(), weights(1)["w"].tolist()]


def test_an_append_that_does_not_reach_the_disk_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(_: object) -> None:
        raise OSError(5, "Input/output error")

    with stream.open(path, "a") as writer:
        writer.append(weights(0))
        monkeypatch.setattr(files, "sync", sync)
        with pytest.raises(OSError, match="Input/output error"):
            writer.append(weights(1))
    assert contents(path) == [weights(0)["w"].tolist()]


def test_a_file_that_cannot_even_be_cut_back_is_still_a_valid_stream(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stream.open(path, "a") as writer:
        writer.append(weights(0))
        monkeypatch.setattr(sink, "_write_all", failing_after(100, OSError(5, "Input/output error")))
        monkeypatch.setattr(sink.FileSink, "cut_back", lambda _: None)
        with pytest.raises(OSError, match="Input/output error"):
            writer.append(weights(1))
    monkeypatch.undo()
    with stream.open(path) as reader:
        assert (len(reader), reader.torn_bytes) == (1, 100)
    with stream.open(path, "a") as writer:
        writer.append(weights(1))
    assert len(contents(path)) == 2


def test_a_commit_counts_once_the_old_stream_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync_folder(_: object) -> None:
        raise KeyboardInterrupt

    with stream.open(path, "w") as writer:
        writer.append(weights(0))
    with stream.open(path, "w") as writer:
        monkeypatch.setattr(files, "sync_folder", sync_folder)
        with pytest.raises(KeyboardInterrupt):
            writer.append(weights(1))
    assert contents(path) == [weights(1)["w"].tolist()]


def test_syncing_can_be_left_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    with stream.open(path, "x") as writer:
        monkeypatch.setattr(files, "sync", synced.append)
        writer.append(weights(0), sync=False)
        assert synced == []
        writer.append(weights(1))
        assert len(synced) == 1
    assert len(contents(path)) == 2


@pytest.mark.parametrize("second", ["w", "a"])
@pytest.mark.parametrize("first", ["w", "x", "a"])
@pytest.mark.parametrize("n_appended", [0, 1])
def test_a_second_writer_is_refused_until_the_first_closes(
    path: Path, first: Any, second: Any, n_appended: int
) -> None:
    with stream.open(path, first) as writer:
        for seed in range(n_appended):
            writer.append(weights(seed))
        with pytest.raises(StateError, match=r"run\.incnnr"):
            stream.open(path, second)
        writer.append(weights(7))
    with stream.open(path, second) as writer:
        writer.append(weights(8))
    assert contents(path)[-1] == weights(8)["w"].tolist()


def test_readers_need_no_lock(path: Path) -> None:
    with stream.open(path, "a") as writer:
        for seed in range(3):
            writer.append(weights(seed))
            assert len(contents(path)) == seed + 1


@pytest.mark.parametrize("mode", ["w", "a"])
def test_the_lock_holds_between_processes_and_dies_with_its_owner(path: Path, mode: str) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, os.fspath(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        with pytest.raises(StateError, match=r"run\.incnnr"):
            stream.open(path, "a")
        owner.kill()
    with stream.open(path, "a") as writer:
        writer.append(weights(1, n=3))
    assert contents(path) == [[0.0, 1.0, 2.0], weights(1, n=3)["w"].tolist()]


def test_a_writer_that_never_committed_leaves_no_lock_and_no_litter(path: Path) -> None:
    with stream.open(path, "w"):
        pass
    with stream.open(path, "a") as writer:
        writer.append(weights(0))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_options_that_no_encoder_takes_leave_no_lock(path: Path) -> None:
    for mode in ("w", "a"):
        with pytest.raises(TypeError):
            stream.open(path, mode, no_such_option=1)  # type: ignore[call-overload]
    with stream.open(path, "a") as writer:
        writer.append(weights(0))


def test_a_large_update_waits_beside_the_stream_and_leaves_nothing_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_SPOOL_BYTES", 10)
    with stream.open(path, "a") as writer:
        for i in range(4):
            writer.append(weights(i))
            assert list(path.parent.iterdir()) == [path]
    assert contents(path) == [weights(i)["w"].tolist() for i in range(4)]


def test_an_encoder_that_fails_closes_the_writer_and_reopening_resumes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError

    with stream.open(path, "a") as writer:
        writer.append(weights(0))
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(coding, "encode", out_of_memory)
            with pytest.raises(MemoryError):
                writer.append(weights(1))
        assert path.read_bytes() == before
        with pytest.raises(ClosedError, match="MemoryError"):
            writer.append(weights(1))
    with stream.open(path, "a") as writer:
        assert not writer.append(weights(1)).is_keyframe
    assert contents(path) == [weights(0)["w"].tolist(), weights(1)["w"].tolist()]


def test_weights_that_cannot_be_stored_leave_the_writer_open(path: Path) -> None:
    with stream.open(path, "a") as writer:
        writer.append(weights(0))
        with pytest.raises(TypeError):
            writer.append({"w": np.array([object()])})
        assert not writer.append(weights(1)).is_keyframe
    assert contents(path) == [weights(0)["w"].tolist(), weights(1)["w"].tolist()]

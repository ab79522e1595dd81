"""Stream -> file: the output is always one whole checkpoint, and soon the newest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import incnnr.stream
from incnnr import checkpoints
from incnnr.errors import BitstreamError
from incnnr.incremental import Decoder
from incnnr.watch import Followed, Follower


class Following:
    """A follower in a thread of its own."""

    def __init__(self, stream: Path, output: Path) -> None:
        self.reports: list[Followed] = []
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(Follower(stream, output, poll_seconds=0.01),))
        self._thread.start()

    def _run(self, follower: Follower) -> None:
        try:
            for report in follower.run(self._stop):
                self.reports.append(report)
        except BitstreamError as error:
            self.error = error

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def save(path: Path, value: float) -> checkpoints.Checkpoint:
    checkpoints.write(path, {"w": np.full(100, value, np.float32)})
    return checkpoints.read(path, memory_map=False)


def value_of(path: Path) -> float | None:
    return float(checkpoints.read(path)["w"][0]) if path.exists() else None


def test_the_output_is_the_original_byte_for_byte(tmp_path):
    output = tmp_path / "current.safetensors"
    with (
        incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream,
        Following(tmp_path / "run.incnnr", output) as following,
    ):
        for i in range(4):
            original = tmp_path / f"{i}.safetensors"
            stream.append(save(original, i), step=i)
            wait_until(lambda i=i: len(following.reports) == i + 1)
            assert output.read_bytes() == original.read_bytes()
    assert [report.entry.step for report in following.reports] == [0, 1, 2, 3]
    assert {report.output for report in following.reports} == {output}


def test_of_several_waiting_entries_only_the_newest_is_written(tmp_path):
    with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
        for i in range(5):
            stream.append(save(tmp_path / "a.npz", i))
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        wait_until(lambda: bool(following.reports))
    assert [report.entry.index for report in following.reports] == [4]
    assert value_of(tmp_path / "current.npz") == 4


def test_a_follower_waits_for_a_stream_that_is_not_there_yet(tmp_path):
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
            stream.append(save(tmp_path / "a.npz", 1))
        wait_until(lambda: bool(following.reports))
    assert value_of(tmp_path / "current.npz") == 1


def test_a_restarted_follower_goes_on_with_the_newest_entry(tmp_path):
    for i in range(2):
        with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
            stream.append(save(tmp_path / "a.npz", 2 * i))
            stream.append(save(tmp_path / "a.npz", 2 * i + 1))
        with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
            wait_until(lambda following=following: bool(following.reports))
        assert [report.entry.index for report in following.reports] == [2 * i + 1]
        assert value_of(tmp_path / "current.npz") == 2 * i + 1


def test_a_restarted_follower_decodes_from_the_newest_keyframe_on(tmp_path, monkeypatch):
    decoded = []
    decode = Decoder.decode
    monkeypatch.setattr(Decoder, "decode", lambda self, update: decoded.append(1) or decode(self, update))
    with incnnr.stream.open(tmp_path / "run.incnnr", "w", keyframe_every=10) as stream:
        for i in range(32):
            stream.append(save(tmp_path / "a.npz", i))
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        wait_until(lambda: bool(following.reports))
    assert value_of(tmp_path / "current.npz") == 31
    with incnnr.stream.open(tmp_path / "run.incnnr") as reader:
        last_keyframe = max(entry.index for entry in reader.entries if entry.is_keyframe)
    assert len(decoded) == 32 - last_keyframe < 32


def test_a_stream_that_takes_the_place_of_another_is_followed(tmp_path):
    with incnnr.stream.open(tmp_path / "run.incnnr", "w") as stream:
        for i in range(3):
            stream.append(save(tmp_path / "a.npz", i))
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        wait_until(lambda: bool(following.reports))
        with incnnr.stream.open(tmp_path / "run.incnnr", "w") as stream:
            stream.append(save(tmp_path / "a.npz", 9))
        wait_until(lambda: value_of(tmp_path / "current.npz") == 9)
    assert [report.entry.index for report in following.reports] == [2, 0]


def test_a_damaged_stream_is_an_error_and_leaves_the_output_as_it_was(tmp_path):
    path = tmp_path / "run.incnnr"
    with incnnr.stream.open(path, "w") as stream:
        stream.append(save(tmp_path / "a.npz", 1))
        with Following(path, tmp_path / "current.npz") as following:
            wait_until(lambda: bool(following.reports))
        end = path.stat().st_size
        stream.append({"w": np.random.default_rng(1).standard_normal(100).astype(np.float32)})
    data = bytearray(path.read_bytes())
    data[(end + len(data)) // 2] ^= 1
    path.write_bytes(data)
    with Following(path, tmp_path / "current.npz") as following:
        wait_until(lambda: following.error is not None)
    assert value_of(tmp_path / "current.npz") == 1


def test_an_output_of_another_format_holds_the_same_values(tmp_path):
    with incnnr.stream.open(tmp_path / "run.incnnr", "w") as stream:
        stream.append(save(tmp_path / "a.safetensors", 7))
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        wait_until(lambda: bool(following.reports))
    assert value_of(tmp_path / "current.npz") == 7


@pytest.mark.parametrize("n_entries", [0, 1])
def test_a_stop_ends_a_follower_that_waits(tmp_path, n_entries):
    with incnnr.stream.open(tmp_path / "run.incnnr", "w") as stream:
        for i in range(n_entries):
            stream.append(save(tmp_path / "a.npz", i))
    with Following(tmp_path / "run.incnnr", tmp_path / "current.npz") as following:
        wait_until(lambda: len(following.reports) == n_entries)
    assert following.error is None

"""A slow writer and a watcher, interleaved: same order, byte for byte, nothing missed, nothing twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import incnnr.stream
from incnnr import checkpoints
from incnnr.watch import Encoded, Repeated, Vanished, Waiting, Watcher

Steps = Iterator[None]
"""Yields between two touches of the file system."""

QUIET_SECONDS = 1.0


class Writer:
    """Writes one checkpoint after another, each in another way; `originals` keeps what must come out again."""

    def __init__(self, root: Path, random: random.Random) -> None:
        self.folder = root / "checkpoints"
        self.folder.mkdir()
        self.elsewhere = root / "elsewhere"
        self.originals = root / "originals"
        self.elsewhere.mkdir()
        self.originals.mkdir()
        self.names: list[str] = []
        self.random = random
        self.step = 0

    def weights(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.step)
        return {name: rng.standard_normal(40).astype(np.float32) for name in ("a", "b", "c")}

    def new_file(self, name: str) -> bytes:
        """Make the next checkpoint where nobody watches, expect it as an entry of that name, return its bytes."""
        self.step += 1
        original = self.originals / f"{len(self.names):03}{Path(name).suffix}"
        checkpoints.write(original, self.weights())
        self.names.append(name)
        return original.read_bytes()

    def fill(self, path: Path, data: bytes, mode: str = "wb") -> Steps:
        with path.open(mode, buffering=0) as file:
            yield
            cuts = sorted(self.random.sample(range(1, len(data)), 3))
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                file.write(data[start:end])
                yield

    def in_place(self) -> Steps:
        name = f"step_{self.step + 1}.{self.random.choice(['safetensors', 'npz'])}"
        yield from self.fill(self.folder / name, self.new_file(name))

    def renamed(self) -> Steps:
        name = f"step_{self.step + 1}.safetensors"
        temporary = self.folder / f".{name}.tmp"
        yield from self.fill(temporary, self.new_file(name))
        temporary.rename(self.folder / name)

    def folder_in_place(self) -> Steps:
        yield from self.single_file_folder(self.folder / f"checkpoint-{self.step + 1}")

    def folder_renamed(self) -> Steps:
        name = f"checkpoint-{self.step + 1}"
        yield from self.single_file_folder(self.folder / f"tmp-{name}")
        (self.folder / f"tmp-{name}").rename(self.folder / name)

    def folder_moved_in(self) -> Steps:
        name = f"checkpoint-{self.step + 1}"
        yield from self.single_file_folder(self.elsewhere / name)
        (self.elsewhere / name).rename(self.folder / name)

    def single_file_folder(self, folder: Path) -> Steps:
        folder.mkdir()
        yield
        data = self.new_file(folder.name.removeprefix("tmp-") + ".safetensors")
        self.names[-1] = folder.name.removeprefix("tmp-")
        yield from self.fill(folder / "model.safetensors", data)
        yield from self.fill(folder / "trainer_state.json", json.dumps({"step": self.step}).encode())

    def sharded(self) -> Steps:
        self.step += 1
        folder = self.folder / f"checkpoint-{self.step}"
        original = self.originals / f"{len(self.names):03}"
        original.mkdir()
        shards = {name: f"model-{i:05}-of-00003.safetensors" for i, name in enumerate("abc", start=1)}
        for name, shard in shards.items():
            checkpoints.write(original / shard, {name: self.weights()[name]})
        (original / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
        self.names.append(folder.name)
        folder.mkdir()
        files = sorted(original.iterdir(), reverse=self.random.random() < 0.5)  # the index last, or first
        for file in files:
            yield
            yield from self.fill(folder / file.name, file.read_bytes())

    def linked(self) -> Steps:
        name = f"step_{self.step + 1}.npz"
        yield from self.fill(self.elsewhere / name, self.new_file(name))
        (self.folder / name).symlink_to(self.elsewhere / name)

    def last_overwritten(self) -> Steps:
        yield from self.fill(self.folder / "last.npz", self.new_file("last.npz"))

    def last_linked(self) -> Steps:
        newest = self.folder / "latest"
        name = f"checkpoint-{self.step + 1}"
        yield from self.single_file_folder(self.folder / name)
        newest.unlink(missing_ok=True)
        yield
        newest.symlink_to(name)

    WAYS = (
        in_place,
        renamed,
        folder_in_place,
        folder_renamed,
        folder_moved_in,
        sharded,
        linked,
        last_linked,
        last_overwritten,
    )


def check_stream(path: Path, writer: Writer, rebuilt: Path) -> None:
    """The stream holds the originals, in order, byte for byte."""
    with incnnr.stream.open(path) as reader:
        assert [entry.name for entry in reader.entries] == writer.names
        for entry, original in zip(reader.entries, sorted(writer.originals.iterdir()), strict=True):
            target = rebuilt / original.name
            rebuilt.mkdir(exist_ok=True)
            checkpoints.write(target, reader[entry.index])
            if original.is_dir():
                files = {file.name: file.read_bytes() for file in original.iterdir()}
                assert {file.name: file.read_bytes() for file in target.iterdir()} == files
            elif original.suffix == ".safetensors":
                assert target.read_bytes() == original.read_bytes()
            else:
                assert_equal_weights(checkpoints.read(target), checkpoints.read(original))


def assert_equal_weights(left: checkpoints.Checkpoint, right: checkpoints.Checkpoint) -> None:
    assert list(left) == list(right)
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


def stamp(folder: Path, seconds: float) -> None:
    """Give what was written since the last call the time of our own clock."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime > 1e9:
            os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("seed", range(30))
def test_a_slow_writer_interleaved_with_looks_gives_its_checkpoints_in_order(tmp_path, seed):
    rng = random.Random(seed)
    writer, now = Writer(tmp_path, rng), [1000.0]
    ways = rng.sample(Writer.WAYS, len(Writer.WAYS))
    stream = incnnr.stream.open(tmp_path / "run.incnnr", "a")

    def watcher() -> Watcher:
        return Watcher(writer.folder, stream, quiet_seconds=QUIET_SECONDS, clock=lambda: now[0], sleep=pytest.fail)

    watch, reports = watcher(), []
    for way in [*ways, Writer.last_overwritten]:
        for _ in way(writer):
            for folder in (writer.folder, writer.elsewhere):
                stamp(folder, now[0])
            for _ in range(rng.choice([0, 1, 1, 3])):
                now[0] += rng.uniform(0, 1.5)
                reports += watch.rescan()
        if way is Writer.last_overwritten:  # content overwritten before it was quiet is nobody's to keep
            for _ in range(3):
                now[0] += QUIET_SECONDS
                reports += watch.rescan()
        if rng.random() < 0.3:
            stream.close()
            stream = incnnr.stream.open(tmp_path / "run.incnnr", "a")
            watch = watcher()
    for _ in range(10):
        now[0] += QUIET_SECONDS
        reports += watch.rescan()
    stream.close()
    check_stream(tmp_path / "run.incnnr", writer, tmp_path / "rebuilt")
    assert {type(report) for report in reports} <= {Encoded, Repeated, Waiting, Vanished}
    assert [report.name for report in reports if isinstance(report, Encoded)] == writer.names


def test_with_real_events_and_a_real_clock_a_slow_writer_gives_its_checkpoints_in_order(tmp_path):
    writer = Writer(tmp_path, random.Random(1))
    stop = threading.Event()

    def write() -> None:
        for way in Writer.WAYS:
            for _ in way(writer):
                time.sleep(0.02)
        wait_until(lambda: len(stream.entries) == len(writer.names))
        shutil.rmtree(writer.folder / "checkpoint-3")
        time.sleep(0.5)
        stop.set()

    with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
        thread = threading.Thread(target=write)
        thread.start()
        watch = Watcher(writer.folder, stream, quiet_seconds=0.3)
        reports = list(watch.run(stop))
        thread.join()
    check_stream(tmp_path / "run.incnnr", writer, tmp_path / "rebuilt")
    assert {report.name for report in reports if isinstance(report, Repeated)} == {"latest"}


def wait_until(holds: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)

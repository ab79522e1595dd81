"""A slow writer and a watcher, interleaved: same order, byte for byte, nothing missed, nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import incnnr.stream
from incnnr import checkpoints
from incnnr.watch import Encoded, Repeated, Vanished, Waiting, Watcher
from tests.bench.slow_writer import SlowWriter, differences

QUIET_SECONDS = 1.0
ALL_WAYS = SlowWriter.FILE_WAYS + SlowWriter.FOLDER_WAYS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def stamp(self, *folders: Path) -> None:
        """Give what was written since the last call our time."""
        for path in (path for folder in folders for path in folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime > 1e9:
                os.utime(path, (self.now, self.now))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def sources(folder: Path, extensions: list[str]) -> Iterator[Path]:
    folder.mkdir()
    for seed, extension in enumerate(extensions):
        rng = np.random.default_rng(seed)
        path = folder / f"{seed:03}{extension}"
        checkpoints.write(path, {name: rng.standard_normal(40).astype(np.float32) for name in "abcd"})
        yield path


@pytest.mark.parametrize("seed", range(20))
def test_a_slow_writer_interleaved_with_looks_gives_its_checkpoints_in_order(tmp_path, folder, scratch, seed):
    rng, clock, reports = random.Random(seed), Clock(), []
    stream_path = tmp_path / "run.incnnr"
    ways = [*rng.sample(ALL_WAYS, len(ALL_WAYS)), *SlowWriter.FILE_WAYS]
    extensions = [".safetensors"] * len(ALL_WAYS) + [".npz"] * len(SlowWriter.FILE_WAYS)
    writer = SlowWriter(folder, scratch, rng)

    def look(n_looks: int, seconds: float) -> None:
        for _ in range(n_looks):
            clock.now += seconds
            reports.extend(watcher.rescan())

    def watch() -> Watcher:
        return Watcher(folder, stream, quiet_seconds=QUIET_SECONDS, clock=clock, sleep=pytest.fail)

    stream = incnnr.stream.open(stream_path, "a")
    watcher = watch()
    for way, source in zip(ways, sources(tmp_path / "sources", extensions), strict=True):
        for _ in way(writer, source):
            clock.stamp(folder, scratch)
            look(rng.choice([0, 1, 1, 3]), rng.uniform(0, 1.5))
        if way is SlowWriter.last_overwritten:  # what is overwritten before it was quiet is nobody's to keep
            look(3, QUIET_SECONDS)
        if rng.random() < 0.3:
            stream.close()
            stream = incnnr.stream.open(stream_path, "a")
            watcher = watch()
    look(10, QUIET_SECONDS)
    stream.close()
    assert list(differences(stream_path, writer.written)) == []
    assert {type(report) for report in reports} <= {Encoded, Repeated, Waiting, Vanished}
    assert [report.name for report in reports if isinstance(report, Encoded)] == [one.name for one in writer.written]


def test_with_real_events_and_a_real_clock_a_slow_writer_gives_its_checkpoints_in_order(tmp_path, folder, scratch):
    writer, stop = SlowWriter(folder, scratch, random.Random(1)), threading.Event()
    ways = [*SlowWriter.FOLDER_WAYS, *SlowWriter.FILE_WAYS]

    def write() -> None:
        for way, source in zip(ways, sources(tmp_path / "sources", [".safetensors"] * len(ways)), strict=True):
            for _ in way(writer, source):
                time.sleep(0.02)
        end = time.monotonic() + 15
        while len(stream) < len(ways) and time.monotonic() < end:
            time.sleep(0.02)
        shutil.rmtree(folder / "checkpoint-1")
        time.sleep(0.5)
        stop.set()

    with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
        thread = threading.Thread(target=write)
        thread.start()
        reports = list(Watcher(folder, stream, quiet_seconds=0.3).run(stop))
        thread.join()
    assert list(differences(tmp_path / "run.incnnr", writer.written)) == []
    assert {report.name for report in reports if isinstance(report, Repeated)} == {"latest"}

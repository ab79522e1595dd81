"""Writes checkpoints into a watched folder as slowly and in as many ways as training programs do.

By hand, with a watch running beside it::

    incnnr watch DIR -o run.incnnr &
    python -m tests.bench.slow_writer DIR SERIES... --check run.incnnr

Each SERIES is a checkpoint file or a folder of them. They are written one after another, each in the next of the ways
below. ``--check`` then waits until the stream holds as many entries and compares their order and every byte.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import incnnr.stream
from incnnr import checkpoints

Pauses = Iterator[None]
"""Yields wherever a slow writer may take its time."""


@dataclass(frozen=True)
class Written:
    """What must become one entry: its name, and a checkpoint that is equal to it."""

    name: str
    original: Path


class SlowWriter:
    """Writes into `folder`, one checkpoint after another; `written` says what was, in order."""

    def __init__(self, folder: Path, scratch: Path, rng: random.Random) -> None:
        self.written: list[Written] = []
        self._folder, self._scratch, self._rng = folder, scratch, rng

    @property
    def _step(self) -> int:
        return len(self.written) + 1

    def in_place(self, source: Path) -> Pauses:
        name = f"step_{self._step}{source.suffix}"
        yield from self._copy(source, self._folder / name)
        self.written.append(Written(name, source))

    def renamed(self, source: Path) -> Pauses:
        name = f"step_{self._step}{source.suffix}"
        temporary = self._folder / f".{name}.tmp"
        yield from self._copy(source, temporary)
        temporary.rename(self._folder / name)
        self.written.append(Written(name, source))

    def linked(self, source: Path) -> Pauses:
        name = f"step_{self._step}{source.suffix}"
        yield from self._copy(source, self._scratch / name)
        (self._folder / name).symlink_to(self._scratch / name)
        self.written.append(Written(name, source))

    def last_overwritten(self, source: Path) -> Pauses:
        name = f"last{source.suffix}"
        yield from self._copy(source, self._folder / name)
        self.written.append(Written(name, source))

    def folder_in_place(self, source: Path) -> Pauses:
        name = f"checkpoint-{self._step}"
        yield from self._fill(source, self._folder / name)
        self.written.append(Written(name, source))

    def folder_renamed(self, source: Path) -> Pauses:
        name = f"checkpoint-{self._step}"
        yield from self._fill(source, self._folder / f"tmp-{name}")
        (self._folder / f"tmp-{name}").rename(self._folder / name)
        self.written.append(Written(name, source))

    def folder_moved_in(self, source: Path) -> Pauses:
        name = f"checkpoint-{self._step}"
        yield from self._fill(source, self._scratch / name)
        (self._scratch / name).rename(self._folder / name)
        self.written.append(Written(name, source))

    def latest_linked(self, source: Path) -> Pauses:
        yield from self.folder_in_place(source)
        (self._folder / "latest").unlink(missing_ok=True)
        yield
        (self._folder / "latest").symlink_to(self.written[-1].name)

    def sharded_index_first(self, source: Path) -> Pauses:
        yield from self._sharded(source, lambda name: (not name.endswith(".json"), name))

    def sharded_index_last(self, source: Path) -> Pauses:
        yield from self._sharded(source, lambda name: (name.endswith(".json"), name))

    def _sharded(self, source: Path, order: Callable[[str], tuple[bool, str]]) -> Pauses:
        name = f"checkpoint-{self._step}"
        original = self._scratch / f"original-{name}"
        save_in_shards(original, checkpoints.read(source), n_shards=3)
        (self._folder / name).mkdir()
        for file in sorted((file.name for file in original.iterdir()), key=order):
            yield
            yield from self._copy(original / file, self._folder / name / file)
        self.written.append(Written(name, original))

    def _fill(self, source: Path, folder: Path) -> Pauses:
        folder.mkdir()
        yield
        yield from self._copy(source, folder / "model.safetensors")
        (folder / "trainer_state.json").write_text(json.dumps({"step": self._step}))
        yield

    def _copy(self, source: Path, target: Path) -> Pauses:
        data = memoryview(source.read_bytes())
        cuts = sorted(self._rng.sample(range(1, len(data)), 3))
        with target.open("wb", buffering=0) as file:
            yield
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                file.write(data[start:end])
                yield

    FILE_WAYS = (in_place, renamed, linked, last_overwritten)
    FOLDER_WAYS = (
        folder_in_place,
        folder_renamed,
        folder_moved_in,
        latest_linked,
        sharded_index_first,
        sharded_index_last,
    )


def save_in_shards(folder: Path, weights: checkpoints.Checkpoint, *, n_shards: int) -> None:
    """Write a Hugging Face folder of `n_shards` safetensors files and an index."""
    folder.mkdir()
    weight_map = {}
    for i in range(n_shards):
        shard = f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        names = list(weights)[i::n_shards]
        checkpoints.write(folder / shard, {name: weights[name] for name in names})
        weight_map |= dict.fromkeys(names, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def differences(stream: Path, written: list[Written]) -> Iterator[str]:
    """Say where a stream is not what was written, in order and byte for byte."""
    with incnnr.stream.open(stream) as reader, tempfile.TemporaryDirectory() as rebuilt:
        names = [entry.name for entry in reader.entries]
        if names != [one.name for one in written]:
            yield f"entries {names}, written {[one.name for one in written]}"
            return
        for i, one in enumerate(written):
            path = Path(rebuilt) / f"{i}{one.original.suffix}"
            if (reader[i].layout.format == "safetensors-folder") != one.original.is_dir():
                path = path.with_suffix("")
            checkpoints.write(path, reader[i])
            if not are_equal(path, one.original):
                yield f"entry {i}, {one.name}, is another than {one.original}"


def are_equal(rebuilt: Path, original: Path) -> bool:
    """Whether two checkpoints are: by their bytes for safetensors, by their tensors for archives."""
    if rebuilt.is_dir() and original.is_dir():
        return {file.name: file.read_bytes() for file in rebuilt.iterdir()} == {
            file.name: file.read_bytes() for file in original.iterdir()
        }
    if rebuilt.is_dir():
        return [file.read_bytes() for file in rebuilt.iterdir()] == [original.read_bytes()]
    if original.suffix == ".safetensors":
        return rebuilt.read_bytes() == original.read_bytes()
    left, right = checkpoints.read(rebuilt), checkpoints.read(original)
    return list(left) == list(right) and all(left[name].tobytes() == right[name].tobytes() for name in left)


def main() -> None:
    arguments = _parsed()
    rng = random.Random(arguments.seed)
    sources = [file for series in arguments.series for file in _checkpoints_of(series)]
    with tempfile.TemporaryDirectory() as scratch:
        writer = SlowWriter(arguments.folder, Path(scratch), rng)
        for source, way in zip(sources, _ways_for(sources), strict=True):
            print(f"{way.__name__:<20} {source}", flush=True)
            for _ in way(writer, source):
                time.sleep(rng.uniform(0, 2 * arguments.pause))
            if arguments.mark:
                (arguments.folder / f"{writer.written[-1].name}.done").touch()
            if way is SlowWriter.last_overwritten:
                time.sleep(arguments.settle)
        if arguments.check is not None:
            _wait_for(arguments.check, len(writer.written))
            found = list(differences(arguments.check, writer.written))
            print(*found, sep="\n", end="\n" if found else "")
            print(f"{len(writer.written)} checkpoints, {len(found)} differences")
            sys.exit(bool(found))


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write checkpoints into DIR slowly, in many ways.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("series", metavar="SERIES", type=Path, nargs="+")
    parser.add_argument("--pause", type=float, default=0.1, help="mean seconds between two touches")
    parser.add_argument("--settle", type=float, default=4.0, help="seconds before an overwritten file may be replaced")
    parser.add_argument("--mark", action="store_true", help="write NAME.done last (watch --ready-marker '{name}.done')")
    parser.add_argument("--check", metavar="STREAM", type=Path, help="afterwards compare with this stream")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _checkpoints_of(series: Path) -> list[Path]:
    return [series] if series.is_file() else checkpoints.find(series)


def _ways_for(sources: list[Path]) -> Iterator[Callable[[SlowWriter, Path], Pauses]]:
    """Yield a way for each source in turn; only safetensors files can become folders."""
    for i, source in enumerate(sources):
        ways = SlowWriter.FILE_WAYS + (SlowWriter.FOLDER_WAYS if source.suffix == ".safetensors" else ())
        yield ways[i % len(ways)]


def _wait_for(stream: Path, n_entries: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.5)
        with incnnr.stream.open(stream) as reader:
            if len(reader) >= n_entries:
                break
    time.sleep(3)  # for what comes twice


if __name__ == "__main__":
    main()

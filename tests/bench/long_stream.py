"""Prints the size of a long stream file beside a chain of zstd-19 deltas, after checking that every entry is exact.

By hand (a minute)::

    python -m tests.bench.long_stream SERIES_FOLDER [--checkpoints 200]

The series is walked forth and back until there are enough checkpoints. Our file is counted whole, keyframes, layouts
and frames included; the peer is one zstd-19 keyframe and zstd-19 deltas of XORed byte planes, without any container.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from itertools import pairwise
from pathlib import Path

import incnnr
from tests.bench import series


def write_stream(stream: Path, walk: list[Path]) -> None:
    with incnnr.open(stream, "w") as writer:
        for path in walk:
            writer.append(incnnr.read(path))


def check_stream(stream: Path, walk: list[Path]) -> None:
    originals = {path: series.exact(incnnr.read(path)) for path in set(walk)}
    with incnnr.open(stream) as reader:
        n_wrong = sum(series.exact(model) != originals[path] for model, path in zip(reader, walk, strict=True))
        print(f"{len(reader)} entries decoded, {n_wrong} of them wrong")


def chain_of_deltas(walk: list[Path]) -> int:
    words = functools.cache(lambda path: series.words_of(incnnr.read(path)))
    delta = functools.cache(lambda pair: len(series.xor_zstd(19, *map(words, sorted(pair)))))
    keyframe = len(series.zstd(19, series.planes(words(walk[0]))))
    print(f"peer: keyframe {keyframe} bytes")
    return keyframe + sum(delta(frozenset(pair)) for pair in pairwise(walk))


def main() -> None:
    parser = argparse.ArgumentParser(description="Size of a long stream beside a chain of zstd-19 deltas.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoints", type=int, default=200)
    arguments = parser.parse_args()
    paths = series.paths_of(arguments.folder)
    walk = [paths[i] for i in series.forth_and_back(len(paths), arguments.checkpoints)]
    with tempfile.TemporaryDirectory() as root:
        stream = Path(root) / "run.incnnr"
        write_stream(stream, walk)
        check_stream(stream, walk)
        ours = stream.stat().st_size
        with incnnr.open(stream) as reader:
            keyframes = [entry.n_bytes for entry in reader.entries if entry.is_keyframe]
            updates = sum(entry.n_bytes for entry in reader.entries if not entry.is_keyframe)
    print(f"incnnr: {len(keyframes)} keyframes of {sum(keyframes)} bytes, other updates {updates} bytes")
    raw, theirs = sum(path.stat().st_size for path in walk), chain_of_deltas(walk)
    rows = [("stream file", ours, raw / ours, 1.0), ("zstd-19 chain", theirs, raw / theirs, theirs / ours)]
    title = f"{arguments.folder.name}, {len(walk)} checkpoints, {raw} bytes raw"
    series.print_table(title, ("", "bytes", "raw over it", "ratio"), rows)


if __name__ == "__main__":
    main()

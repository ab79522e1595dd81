"""Prints how fast lossless updates are encoded and decoded, in GB/s of raw weights, beside zstd-3 of XOR byte planes.

By hand (a minute; some 3 GB of memory for 500 MB)::

    python -m tests.bench.lossless_speed SERIES_FOLDER [--megabytes 500] [--threads 1 2] [--repeat 3]

The first checkpoints of the series, tiled to the size, become a base and one update for each repetition; medians over
the updates. Our times include digests and their check. The peer gets its weights as one array of integers and checks
nothing; its decompression has one thread always.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

import zstandard

import incnnr
from tests.bench import series

T = TypeVar("T")


@dataclass
class Times:
    """Seconds of every update, and the bytes of the last."""

    encode: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    size: int = 0


def tiled(path: Path, n_bytes: int) -> series.Weights:
    """Repeat a checkpoint under other names, each copy in memory of its own, until it has the size."""
    weights = series.load(path)
    n_copies = max(1, round(n_bytes / series.n_bytes(weights)))
    return {f"{i}.{name}": array.copy() for i in range(n_copies) for name, array in weights.items()}


def timed(seconds: list[float], call: Callable[..., T], *arguments: object) -> T:
    start = time.perf_counter()
    result = call(*arguments)
    seconds.append(time.perf_counter() - start)
    return result


def time_codec(paths: list[Path], n_bytes: int, threads: int) -> Times:
    times, base = Times(), tiled(paths[0], n_bytes)
    encoder, decoder = incnnr.Encoder(base=base, threads=threads), incnnr.Decoder(base=base, threads=threads)
    for path in paths[1:]:
        weights = tiled(path, n_bytes)
        update = timed(times.encode, encoder.encode, weights)
        model = timed(times.decode, decoder.decode, update)
        times.size = len(bytes(update))
        if any(model[name].tobytes() != array.tobytes() for name, array in weights.items()):
            raise SystemExit("an update does not decode to what was encoded")
    return times


def time_peer(paths: list[Path], n_bytes: int, threads: int) -> Times:
    times, before = Times(), series.words_of(tiled(paths[0], n_bytes))
    for path in paths[1:]:
        after = series.words_of(tiled(path, n_bytes))
        data = timed(times.encode, encoded_by_peer, before, after, threads)
        timed(times.decode, decoded_by_peer, before, data)
        times.size, before = len(data), after
    return times


def encoded_by_peer(before: series.Words, after: series.Words, threads: int) -> bytes:
    return series.zstd(3, series.planes(series.xor(before, after)), 0 if threads == 1 else threads)


def decoded_by_peer(before: series.Words, data: bytes) -> series.Words:
    return series.xor(before, series.words_of_planes(zstandard.ZstdDecompressor().decompress(data), before))


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of lossless updates beside zstd-3 of XOR byte planes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    n_bytes, paths = arguments.megabytes * 1_000_000, series.paths_of(arguments.folder)
    walk = [paths[i] for i in series.forth_and_back(len(paths), arguments.repeat + 1)]
    raw = series.n_bytes(tiled(paths[0], n_bytes))
    rows = []
    for threads in arguments.threads:
        for name, times in (
            ("incnnr", time_codec(walk, n_bytes, threads)),
            ("XOR byte planes + zstd-3", time_peer(walk, n_bytes, threads)),
        ):
            speeds = [raw / median(seconds) / 1e9 for seconds in (times.encode, times.decode)]
            rows.append((name, threads, *speeds, times.size))
    title = f"{arguments.folder.name} tiled to {raw / 1e6:.0f} MB, medians of {arguments.repeat} updates"
    series.print_table(title, ("", "threads", "encode GB/s", "decode GB/s", "bytes of the last update"), rows)


if __name__ == "__main__":
    main()

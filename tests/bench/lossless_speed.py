"""Prints how fast lossless updates are encoded and decoded, in GB/s of raw weights, beside zstd-3 of XOR byte planes.

By hand (minutes; some 7 GB of memory)::

    python -m tests.bench.lossless_speed SERIES_FOLDER [--effort default] [--megabytes 0 500] [--threads 1 2]
        [--repeat 3] [--clock cpu] [--instructions]

Checkpoints of the series, tiled to the size (0: as they are), become a base, two updates that are not counted (in those
the process gets its memory from the system), and one for each repetition; medians over these. "decode" makes new
arrays, "into" patches those there are; these three are of the whole codec, with digests and their check. "kernels" are
the native coders alone, over arrays that are there. The peer gets its weights as one array of integers and checks
nothing; its decompression has one thread always. Then a model of 1 GB of which one copy in ten changes, all tensors of
it. ``--clock cpu`` takes the processor's time instead of the wall's, of all threads together: for one thread on a
machine where others run.
"""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import zstandard

import incnnr
from incnnr.incremental.encoder import Effort
from tests.bench import instructions, lossless_kernels, series

T = TypeVar("T")
N_WARM_UP = 2
SPEEDS = ("encode", "decode", "into", "kernels encode", "kernels decode")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
DECODES_INTO = "into" in inspect.signature(incnnr.Decoder.decode).parameters


@dataclass
class Times:
    """Seconds of every update by what was done, and the bytes of the last."""

    clock: Callable[[], float]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    n_bytes: int = 0

    def timed(self, name: str, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        start = self.clock()
        result = call(*arguments, **named)
        self.seconds.setdefault(name, []).append(self.clock() - start)
        return result

    def speeds(self, raw: int) -> list[float | str]:
        """Return GB/s of `raw` bytes for each of `SPEEDS`, in the middle of what counts."""
        counted = {name: median(seconds[N_WARM_UP:]) for name, seconds in self.seconds.items()}
        return [raw / counted[name] / 1e9 if name in counted else "n/a" for name in SPEEDS]


@dataclass(frozen=True)
class Walk:
    """Checkpoints to go through: each repeated under other names, in memory of its own; one in `every` changes."""

    paths: list[Path]
    n_copies: int
    every: int = 1

    def models(self) -> Iterable[dict[str, Any]]:
        first = series.load(self.paths[0])
        for path in self.paths:
            now = series.load(path)
            copies = (now if i % self.every == 0 else first for i in range(self.n_copies))
            yield {f"{i}.{name}": array.copy() for i, copy in enumerate(copies) for name, array in copy.items()}

    @property
    def raw_bytes(self) -> int:
        return self.n_copies * series.n_bytes(series.load(self.paths[0]))


def time_codec(walk: Walk, effort: Effort, threads: int, times: Times) -> None:
    models = iter(walk.models())
    base = next(models)
    patched = {name: array.copy() for name, array in base.items()}
    encoder = incnnr.Encoder(base=base, effort=effort, threads=threads)
    decoder, patcher = (incnnr.Decoder(base=base, threads=threads) for _ in range(2))
    for weights in models:
        update = times.timed("encode", encoder.encode, weights)
        check(times.timed("decode", decoder.decode, update), weights)
        if DECODES_INTO:
            times.timed("into", patcher.decode, update, into=patched)
            check(patched, weights)
        times.n_bytes = len(bytes(update))


def check(decoded: series.Weights, weights: series.Weights) -> None:
    if any(decoded[name].tobytes() != array.tobytes() for name, array in weights.items()):
        raise SystemExit("an update does not decode to what was encoded")


def time_kernels(walk: Walk, effort: Effort, threads: int, times: Times) -> None:
    models = iter(walk.models())
    weights = next(models)
    ours, theirs = (lossless_kernels.Side(weights, with_history=effort == "small") for _ in range(2))
    before = lossless_kernels.slices_of(weights)
    for weights in models:
        after = lossless_kernels.slices_of(weights)
        coded = times.timed("kernels encode", ours.encode, before, after, threads)
        times.timed("kernels decode", theirs.decode, before, coded, threads)
        if any(result.tobytes() != data.tobytes() for result, data in zip(theirs.results, after, strict=True)):
            raise SystemExit("a codeword does not decode to what was encoded")
        before = after


def time_peer(walk: Walk, threads: int, times: Times) -> None:
    models = iter(walk.models())
    before = series.words_of(next(models))
    for weights in models:
        after = series.words_of(weights)
        data = times.timed("encode", encoded_by_peer, before, after, threads)
        times.timed("decode", decoded_by_peer, before, data)
        times.n_bytes, before = len(data), after


def encoded_by_peer(before: series.Words, after: series.Words, threads: int) -> bytes:
    return series.zstd(3, series.planes(series.xor(before, after)), 0 if threads == 1 else threads)


def decoded_by_peer(before: series.Words, data: bytes) -> series.Words:
    return series.xor(before, series.words_of_planes(zstandard.ZstdDecompressor().decompress(data), before))


def report_speeds(title: str, walk: Walk, arguments: argparse.Namespace, *, with_kernels: bool) -> None:
    rows: list[tuple[object, ...]] = []
    for threads in arguments.threads:
        for effort in arguments.effort:
            times = Times(CLOCKS[arguments.clock])
            time_codec(walk, effort, threads, times)
            if with_kernels:
                time_kernels(walk, effort, threads, times)
            rows.append((f"incnnr, {effort}", threads, *times.speeds(walk.raw_bytes), times.n_bytes))
        times = Times(CLOCKS[arguments.clock])
        time_peer(walk, threads, times)
        rows.append(("XOR byte planes + zstd-3", threads, *times.speeds(walk.raw_bytes), times.n_bytes))
    columns = ("", "threads", *SPEEDS, "bytes of the last")
    series.print_table(f"{title}: GB/s ({arguments.clock}), medians of {arguments.repeat} updates", columns, rows)


def report_instructions(paths: list[Path], efforts: Iterable[Effort]) -> None:
    """Differences between runs that encode once or twice, and decode not at all or once."""
    n = series.n_weights(series.load(paths[0]))
    rows: list[tuple[object, ...]] = []
    for effort in efforts:
        program = ["-m", "tests.bench.lossless_kernels", *paths[:2], effort]
        counts = [instructions.count([*program, *times]) for times in ((1, 0), (2, 0), (1, 1))]
        once, twice, decoded = (count[0] if count else 0 for count in counts)
        if once == 0:
            rows.append((effort, "n/a", "n/a", "n/a"))
        else:
            rows.append((effort, (twice - once) / n, (decoded - once) / n, counts[0][1] if counts[0] else ""))
    series.print_table("kernels: instructions per weight", ("", "encode", "decode", "counted by"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of lossless updates beside zstd-3 of XOR byte planes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--effort", nargs="+", default=series.EXACT_EFFORTS, choices=series.EXACT_EFFORTS)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[0, 500])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--instructions", action="store_true", help="count them, too (minutes without a counter)")
    arguments = parser.parse_args()
    paths = series.paths_of(arguments.folder)
    steps = [paths[i] for i in series.forth_and_back(len(paths), N_WARM_UP + arguments.repeat + 1)]
    one = Walk(steps, 1).raw_bytes
    for megabytes in arguments.megabytes:
        walk = Walk(steps, max(1, round(megabytes * 1e6 / one)))
        title = f"{arguments.folder.name}, {walk.n_copies} x {one / 1e6:.1f} MB"
        report_speeds(title, walk, arguments, with_kernels=True)
    walk = Walk(steps, round(1e9 / one), every=10)
    report_speeds(f"{walk.n_copies} x {one / 1e6:.1f} MB, one in ten changes", walk, arguments, with_kernels=False)
    if arguments.instructions:
        report_instructions(paths, arguments.effort)


if __name__ == "__main__":
    main()

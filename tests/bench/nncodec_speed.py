"""Prints size, error and speed of `incnnr.nnc` beside NNCodec 2.1.3: dictionaries of arrays to bytes and back.

By hand (a few minutes)::

    python -m tests.bench.nncodec_speed CHECKPOINT ... [--updates SERIES ...] [--qp -32 -40 -24] [--lambda-scale 0 1]

A CHECKPOINT is a file, or a folder whose last one is taken; of a SERIES, the differences between the first two, and
between the last two. All float tensors with dimensions are coded as float32, all at one qp, density 2, on both sides.
Runs alternate; times are medians. Each side decodes the other's bitstream, and must find the same weights.

Where NNCodec weighs rate against distortion, ours is taken at a point that it can be compared with: the qp and the
weight of the rate that give the fewest bytes without more error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

import incnnr.nnc
from tests.bench import series
from tests.bench.nncodec_peer import Peer
from tests.bench.series import FloatTensors

_BISECTIONS = 11


@dataclass(frozen=True)
class Case:
    """What both sides code, and how NNCodec does."""

    name: str
    tensors: FloatTensors
    qp: int
    lambda_scale: float


@dataclass(frozen=True)
class Point:
    """What coding comes to, and with which settings."""

    qp: int
    lambda_scale: float
    size: int
    rms: float


@dataclass
class Times:
    """Seconds of every run."""

    encode: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)


def floats_of(path: Path) -> FloatTensors:
    return series.float_tensors(series.paths_of(path)[-1] if path.is_dir() else path)


def updates_of(folder: Path) -> Iterator[tuple[str, FloatTensors]]:
    paths = series.paths_of(folder)
    for first in (0, len(paths) - 2):
        before, after = floats_of(paths[first]), floats_of(paths[first + 1])
        yield f"{folder.name} {first}>{first + 1}", {name: after[name] - before[name] for name in after}


def named_tensors(arguments: argparse.Namespace) -> Iterator[tuple[str, FloatTensors]]:
    for folder in arguments.updates:
        yield from updates_of(folder)
    for path in arguments.checkpoints:
        yield path.name if path.is_dir() else path.parent.name, floats_of(path)


def rms(tensors: FloatTensors, decoded: series.Weights) -> float:
    total = sum(float(np.square(decoded[name].astype(np.float64) - array).sum()) for name, array in tensors.items())
    return float(np.sqrt(total / series.n_weights(tensors)))


def point_of_peer(peer: Peer, case: Case) -> Point:
    coded = peer.encode(case.tensors, qp=case.qp, nonweight_qp=case.qp, lambda_scale=case.lambda_scale).data
    values = peer.decode(coded).values
    require_same("NNCodec", values, incnnr.nnc.decode(coded))
    return Point(case.qp, case.lambda_scale, len(coded), rms(case.tensors, values))


def point_of_ours(tensors: FloatTensors, qp: int, lambda_scale: float) -> Point:
    coded = incnnr.nnc.encode(tensors, qp=qp, lambda_scale=lambda_scale)
    return Point(qp, lambda_scale, len(coded), rms(tensors, incnnr.nnc.decode(coded)))


def comparable(case: Case, theirs: Point) -> Point:
    """Find our settings with the fewest bytes whose error is not larger than theirs."""
    ours = point_of_ours(case.tensors, case.qp, case.lambda_scale)
    if case.lambda_scale == 0 or (ours.rms <= theirs.rms and ours.size <= theirs.size):
        return ours
    points = [point for qp in (case.qp, case.qp + 1, case.qp - 1) for point in bisected(case.tensors, qp, theirs.rms)]
    allowed = [point for point in points if point.rms <= theirs.rms]
    return min(allowed, key=lambda point: point.size, default=ours)


def bisected(tensors: FloatTensors, qp: int, most_rms: float) -> Iterator[Point]:
    """Approach the largest weight of the rate with no more error; more weight means fewer bytes."""
    low, high = 0.0, 4.0
    for _ in range(_BISECTIONS):
        point = point_of_ours(tensors, qp, (low + high) / 2)
        yield point
        low, high = (point.lambda_scale, high) if point.rms <= most_rms else (low, point.lambda_scale)


def require_same(who: str, theirs: series.Weights, ours: series.Weights) -> None:
    if series.exact(theirs) != series.exact(ours):
        raise SystemExit(f"a bitstream of {who} decodes to different weights on the two sides")


def time_peer(peer: Peer, case: Case, times: Times) -> None:
    coded = peer.encode(case.tensors, qp=case.qp, nonweight_qp=case.qp, lambda_scale=case.lambda_scale)
    times.encode.append(coded.seconds)
    times.decode.append(peer.decode(coded.data).seconds)


def time_ours(case: Case, point: Point, threads: int, times: Times) -> None:
    start = time.perf_counter()
    coded = incnnr.nnc.encode(case.tensors, qp=point.qp, lambda_scale=point.lambda_scale, threads=threads)
    middle = time.perf_counter()
    incnnr.nnc.decode(coded, threads=threads)
    times.encode.append(middle - start)
    times.decode.append(time.perf_counter() - middle)


def timed(peer: Peer, case: Case, point: Point, threads: Sequence[int], repeat: int) -> list[Times]:
    """Alternate; NNCodec first, then ours with each number of threads."""
    times = [Times() for _ in range(1 + len(threads))]
    for _ in range(repeat):
        time_peer(peer, case, times[0])
        for n, own in zip(threads, times[1:], strict=True):
            time_ours(case, point, n, own)
    return times


def size_row(case: Case, theirs: Point, ours: Point) -> tuple[object, ...]:
    bytes_ratio, rms_ratio = ours.size / theirs.size, ours.rms / theirs.rms
    settings = (case.name, case.qp, case.lambda_scale, ours.qp, round(ours.lambda_scale, 3))
    is_no_worse = "yes" if max(bytes_ratio, rms_ratio) <= 1 else "no"
    ratios = (f"{bytes_ratio:.5f}", f"{rms_ratio:.5f}")
    return *settings, theirs.size, ours.size, theirs.rms, ours.rms, *ratios, is_no_worse


def time_row(case: Case, times: list[Times]) -> tuple[object, ...]:
    row: list[object] = [case.name, case.qp, case.lambda_scale]
    for seconds in ([own.encode for own in times], [own.decode for own in times]):
        theirs, *ours = (1000 * median(each) for each in seconds)
        row += [theirs, *ours, *(theirs / each for each in ours)]
    return tuple(row)


def print_tables(rows: Sequence[tuple[tuple[object, ...], tuple[object, ...]]], threads: Sequence[int]) -> None:
    settings = ("", "qp", "lambda", "our qp", "our lambda")
    columns = (*settings, "bytes", "ours", "rms", "ours", "bytes ratio", "rms ratio", "no worse")
    series.print_table("size and error, NNCodec and ours", columns, [sizes for sizes, _ in rows])
    ours = [f"ours-{n}" for n in threads]
    faster = [f"x-{n}" for n in threads]
    columns = ("", "qp", "lambda", "encode ms", *ours, *faster, "decode ms", *ours, *faster)
    series.print_table("time, NNCodec and ours with so many threads", columns, [times for _, times in rows])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Size, error and speed beside NNCodec.")
    parser.add_argument("checkpoints", nargs="*", type=Path)
    parser.add_argument("--updates", nargs="*", type=Path, default=[])
    parser.add_argument("--qp", nargs="+", type=int, default=[-32, -40, -24])
    parser.add_argument("--lambda-scale", nargs="+", type=float, default=[0.0, 1.0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    named = list(named_tensors(arguments))
    cases = [Case(*one, qp, weight) for qp in arguments.qp for weight in arguments.lambda_scale for one in named]
    rows = []
    with Peer() as peer:
        for case in cases:
            theirs = point_of_peer(peer, case)
            ours = comparable(case, theirs)
            coded = incnnr.nnc.encode(case.tensors, qp=ours.qp, lambda_scale=ours.lambda_scale)
            require_same("ours", peer.decode(coded).values, incnnr.nnc.decode(coded))
            times = timed(peer, case, ours, arguments.threads, arguments.repeat)
            rows.append((size_row(case, theirs, ours), time_row(case, times)))
            if case.name == named[-1][0]:
                print_tables(rows, arguments.threads)
                rows = []


if __name__ == "__main__":
    main()

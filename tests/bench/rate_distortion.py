"""Prints bytes against error beside NNCodec 2.1.3: the updates of series, uplinks and keyframes, coded in closed loop.

By hand (minutes; NNCodec takes most of them)::

    python -m tests.bench.rate_distortion fedavg=SERIES clients=CLIENTS:GLOBALS net=FILE ... \\
        [--profile iso] [--effort small] [--option KEY=JSON ...] [--ablate KEY=JSON ...] [--qp QP ...] \\
        [--peer-cache FILE] [--json]

NAME=FOLDER is a series whose first checkpoint both sides hold; NAME=CLIENTS:GLOBALS are the models rR_cK that clients
made in round R from the global model ..r(R-1), which both sides hold; NAME=FILE is one keyframe. Float tensors with
dimensions count, as float32. The error is that of all weights of all checkpoints, decoded against original; every byte
of every update counts.

NNCodec codes with dependent quantisation, parent signalling, temporal contexts, history dependent probabilities, row
skipping, all tensors at one qp, and three weights of the rate; the lowest of the three curves counts. Both sides are
measured at eight qp between 0.05 and 2 bits per weight, found in the same run. "BD-rate" is Bjontegaard's difference,
log bytes over log error: see `bjontegaard`. An ablation is ours with an option changed; its figure is what that costs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import bjontegaard, series
from tests.bench.bjontegaard import Curve
from tests.bench.nncodec_peer import Peer
from tests.bench.rate_cases import Case, case_of
from tests.bench.rate_points import PeerPoints, Point, coded_by_us, measured, spread

LAMBDA_SCALES = [0.0, 0.3, 1.0]
N_POINTS = 8

Options = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """Points of one case, and by which share ours takes more than NNCodec, and each ablation more than ours."""

    case: Case
    ours: list[Point]
    peer: dict[float, list[Point]]
    bd_rate: float | None
    ablations: dict[str, float] = field(default_factory=dict)


def our_points(case: Case, options: Options, qps: Sequence[int] | None) -> list[Point]:
    @cache
    def point(qp: int) -> Point:
        return Point(qp, *measured(case, partial(coded_by_us, options={**options, "qp": qp}), None))

    return [point(qp) for qp in qps or spread(case, lambda qp: point(qp).n_bytes, N_POINTS)]


def curve_of(points: Sequence[Point]) -> Curve:
    return bjontegaard.curve((point.rms, point.n_bytes) for point in points)


def compared(case: Case, arguments: argparse.Namespace, peer_points: PeerPoints | None) -> Result:
    options = options_of(arguments)
    ours = our_points(case, options, arguments.qp)
    theirs = peer_points.curves(case, LAMBDA_SCALES, N_POINTS) if peer_points else {}
    bd_rate = bjontegaard.bd_rate([curve_of(ours)], [*map(curve_of, theirs.values())]) if theirs else None
    ablations = {}
    for changed in arguments.ablate:
        without = our_points(case, {**options, **dict([option(changed)])}, [point.qp for point in ours])
        ablations[changed] = bjontegaard.bd_rate([curve_of(without)], [curve_of(ours)])
    return Result(case, ours, theirs, bd_rate, ablations)


def option(text: str) -> tuple[str, Any]:
    """Read KEY=JSON; what is not JSON is text."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def options_of(arguments: argparse.Namespace) -> Options:
    named = {key: getattr(arguments, key) for key in ("profile", "effort") if getattr(arguments, key)}
    return named | dict(map(option, arguments.option))


def print_result(result: Result) -> None:
    n = result.case.n_weights
    curves = [curve_of(points) for points in result.peer.values()]
    rows = []
    for point in result.ours:
        bits = series.bits_per_weight(point.n_bytes, n)
        at_same_error = np.exp(bjontegaard.lowest(curves, np.log([point.rms]))[0]) if curves else np.inf
        theirs = (round(at_same_error), point.n_bytes / at_same_error) if np.isfinite(at_same_error) else ("", "")
        rows.append((point.qp, point.n_bytes, bits, f"{point.rms:.4e}", *theirs))
    columns = ("qp", "bytes", "bits per weight", "rms error", "NNCodec", "ours / it")
    series.print_table(f"{result.case.name}: {n} weights in all", columns, rows)
    if result.bd_rate is not None:
        print(f"BD-rate against NNCodec: {result.bd_rate:+.2%}")
    for changed, cost in result.ablations.items():
        print(f"with {changed}: {cost:+.2%}")


def as_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "n_weights": result.case.n_weights,
        "bd_rate": result.bd_rate,
        "ablations": result.ablations,
        "ours": [asdict(point) for point in result.ours],
        "nncodec": [asdict(point) for points in result.peer.values() for point in points],
    }


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bytes against error, beside NNCodec.")
    parser.add_argument("cases", nargs="+", type=case_of, metavar="NAME=PATH")
    parser.add_argument("--profile", choices=("incnnr", "iso"))
    parser.add_argument("--effort")
    parser.add_argument("--option", nargs="+", default=[], metavar="KEY=JSON", help="more options of Encoder")
    parser.add_argument("--ablate", nargs="+", default=[], metavar="KEY=JSON", help="options to compare with")
    parser.add_argument("--qp", nargs="+", type=int, help="ours; default eight between 0.05 and 2 bits per weight")
    parser.add_argument("--peer-cache", type=Path, help="file of NNCodec's points; default: measure them")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    with Peer() as peer:
        peer_points = None if arguments.no_peer else PeerPoints(peer, arguments.peer_cache)
        results = []
        for case in arguments.cases:
            results.append(compared(case, arguments, peer_points))
            if not arguments.json:
                print_result(results[-1])
    if arguments.json:
        print(json.dumps([as_json(result) for result in results], indent=1))


if __name__ == "__main__":
    main()

"""Prints bytes against error beside NNCodec 2.1.3: the updates of series, uplinks and keyframes, coded in closed loop.

By hand (minutes; NNCodec takes most of them)::

    python -m tests.bench.rate_distortion fedavg=SERIES clients=CLIENTS:GLOBALS net=FILE ... \\
        [--profile iso] [--effort small] [--option KEY=JSON ...] [--ablate KEY=JSON ...] [--qp QP ...] \\
        [--peer-cache FILE | --no-peer] [--accuracy [FOLDER]] [--picture FILE.svg] [--json]

NAME=FOLDER is a series whose first checkpoint both sides hold; NAME=CLIENTS:GLOBALS are the models rR_cK that clients
made in round R from the global model ..r(R-1), which both sides hold; NAME=FILE is one keyframe. Float tensors with
dimensions count, as float32. The error is that of all weights of all checkpoints, decoded against original; every byte
of every update counts.

NNCodec codes with dependent quantisation, parent signalling, temporal contexts, history dependent probabilities, row
skipping, all tensors at one qp, and three weights of the rate; the lowest of the three curves counts. Both sides are
measured at eight qp between 0.05 and 2 bits per weight, found in the same run. "BD-rate" is Bjontegaard's difference,
log bytes over log error: see `bjontegaard`. An ablation is ours with an option changed; its figure is what that costs.

Accuracy is told of every decoded checkpoint of a series whose network `fashion_mnist` knows, on its 10,000 test images
(Debian's package dataset-fashion-mnist, or a folder with its files), beside that of the original; there incnnr is also
measured with the same `target_bytes` for every update. A picture needs matplotlib (`pip install --group bench`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import bjontegaard, fashion_mnist, rate_picture, series
from tests.bench.bjontegaard import Curve
from tests.bench.fashion_mnist import Judge
from tests.bench.nncodec_peer import Peer
from tests.bench.rate_cases import Case, case_of
from tests.bench.rate_points import PeerPoints, Point, coded_by_us, measured, spread

LAMBDA_SCALES = [0.0, 0.3, 1.0]
N_POINTS = 8
RATIONS = [0.2, 0.4, 0.6, 1.0, 1.5, 2.0]  # bits per weight of every update, where accuracy is told

Options = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """Points of one case; by which share ours takes more than NNCodec, and each ablation more than ours.

    `accuracies` are those of the originals, `rationed` points of ours where every update has the same bytes.
    """

    case: Case
    ours: list[Point]
    peer: dict[float, list[Point]]
    bd_rate: float | None
    ablations: dict[str, float | None] = field(default_factory=dict)
    accuracies: tuple[float, ...] = ()
    rationed: list[Point] = field(default_factory=list)


def our_point(case: Case, options: Options, qp: int, judge: Judge | None = None) -> Point:
    n_bytes, rms, accuracies = measured(case, partial(coded_by_us, options={**options, "qp": qp}), judge)
    return Point(qp, n_bytes, rms, accuracies=accuracies)


def rationed_points(case: Case, options: Options, judge: Judge | None) -> list[Point]:
    if judge is None or options.get("profile") == "iso":
        return []
    n = series.n_weights(case.chains[0].checkpoints[0])
    given = [{**options, "target_bytes": int(bits * n / 8)} for bits in RATIONS]
    results = [measured(case, partial(coded_by_us, options=each), judge) for each in given]
    return [Point(None, n_bytes, rms, accuracies=accuracies) for n_bytes, rms, accuracies in results]


def our_qps(case: Case, options: Options) -> list[int]:
    return spread(case, cache(lambda qp: our_point(case, options, qp).n_bytes), N_POINTS)


def curve_of(points: Sequence[Point]) -> Curve:
    return bjontegaard.curve((point.rms, point.n_bytes) for point in points)


def difference(points: Sequence[Point], others: Sequence[Sequence[Point]]) -> float | None:
    """Return by which share a curve takes more than the lowest of others; None if they have no error in common."""
    try:
        return bjontegaard.bd_rate([curve_of(points)], [curve_of(each) for each in others])
    except ValueError:
        return None


def compared(case: Case, arguments: argparse.Namespace, peer_points: PeerPoints | None, judge: Judge | None) -> Result:
    options = options_of(arguments)
    qps = arguments.qp or our_qps(case, options)
    ours = [our_point(case, options, qp, judge) for qp in qps]
    theirs = peer_points.curves(case, LAMBDA_SCALES, N_POINTS) if peer_points else {}
    bd_rate = difference(ours, list(theirs.values()))
    ablations: dict[str, float | None] = {}
    for changed in arguments.ablate:
        without = [our_point(case, options | dict([option(changed)]), qp) for qp in qps]
        ablations[changed] = difference(without, [ours])
    rationed = rationed_points(case, options, judge)
    return Result(case, ours, theirs, bd_rate, ablations, accuracies_of(case, judge), rationed)


def accuracies_of(case: Case, judge: Judge | None) -> tuple[float, ...]:
    judged = [judge(weights) for chain in case.chains for weights in chain.checkpoints] if judge else []
    return tuple(accuracy.result() for accuracy in judged)


def can_be_judged(case: Case) -> bool:
    """Whether it is a series of a network whose accuracy can be told."""
    return len(case.chains) == 1 and fashion_mnist.is_known(case.chains[0].checkpoints[0])


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
    against = {"BD-rate against NNCodec": result.bd_rate} if result.peer else {}
    for what, share in (against | {f"with {changed}": cost for changed, cost in result.ablations.items()}).items():
        print(f"{what}: {'no error in common' if share is None else f'{share:+.2%}'}")
    if result.accuracies:
        print_accuracies(result)


def print_accuracies(result: Result) -> None:
    rows = []
    for point in [*result.ours, *result.rationed]:
        differences = 100 * (np.array(point.accuracies) - result.accuracies)
        figures = (differences.mean(), abs(differences).mean(), differences.min())
        bits = series.bits_per_weight(point.n_bytes, result.case.n_weights)
        rows.append(("target" if point.qp is None else point.qp, bits, *(f"{figure:+.3f}" for figure in figures)))
    title = f"{result.case.name}: points of accuracy more than the original, over {len(result.accuracies)} checkpoints"
    series.print_table(title, ("qp", "bits per weight", "mean", "mean magnitude", "worst"), rows)


def as_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "n_weights": result.case.n_weights,
        "bd_rate": result.bd_rate,
        "ablations": result.ablations,
        "accuracies": result.accuracies,
        "ours": [asdict(point) for point in result.ours],
        "rationed": [asdict(point) for point in result.rationed],
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
    parser.add_argument("--accuracy", nargs="?", type=Path, const=fashion_mnist.FOLDER, metavar="FOLDER")
    parser.add_argument("--picture", type=Path, help="draw the curves: .svg or .png")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    results = []
    with ExitStack() as stack:
        judge = stack.enter_context(fashion_mnist.judges(arguments.accuracy)) if arguments.accuracy else None
        peer = None if arguments.no_peer else stack.enter_context(Peer())
        peer_points = PeerPoints(peer, arguments.peer_cache) if peer else None
        for case in arguments.cases:
            result = compared(case, arguments, peer_points, judge if can_be_judged(case) else None)
            results.append(result)
            if not arguments.json:
                print_result(result)
    if arguments.json:
        print(json.dumps([as_json(result) for result in results], indent=1))
    if arguments.picture:
        rate_picture.draw([as_json(result) for result in results], arguments.picture)


if __name__ == "__main__":
    main()

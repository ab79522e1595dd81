"""Prints how many weights lossy updates code in a second of one core, beside NNCodec 2.1.3 at about the same rate.

By hand (minutes; NNCodec takes most of them)::

    python -m tests.bench.lossy_speed SERIES_FOLDER [...] [--bits 1 0.1] [--times 10] [--repeat 3]

Both sides hold the first checkpoint and code the others in closed loop, on one thread. Tensors are repeated to be so
many times as tall, as speed is of interest where there is much to do. Each side has the qp whose rate on the series as
it is comes nearest to that asked for. NNCodec weighs the rate by lambda 1, with dependent quantisation and row
skipping: updates by themselves, which is its fastest way, and with parent signalling, temporal contexts and history
dependent probabilities. Times are those of the processor: of each update the median over the runs, and the sum of
these, as updates at one qp have different rates. The ratio is that of speeds, ours with default effort over each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import series
from tests.bench.nncodec_peer import Coded as CodedByPeer
from tests.bench.nncodec_peer import Decoded, Peer
from tests.bench.nncodec_speed import Times
from tests.bench.rate_cases import Case, Chain, case_of
from tests.bench.rate_points import Coded, added, coded_by_peer, measured, nearest, sides
from tests.bench.series import FloatTensors

Coder = Callable[[Chain, int], Coded]
LAMBDA_SCALE = 1.0


class TimedPeer(Peer):
    """NNCodec, with what each call took."""

    def __init__(self) -> None:
        super().__init__()
        self.times = Times()

    def encode(self, *arguments: Any, **settings: Any) -> CodedByPeer:
        coded = super().encode(*arguments, **settings)
        self.times.encode.append(coded.cpu_seconds)
        return coded

    def decode(self, data: bytes) -> Decoded:
        return self._noted(super().decode(data))

    def decode_update(self, data: bytes, chain: int) -> Decoded:
        return self._noted(super().decode_update(data, chain))

    def _noted(self, decoded: Decoded) -> Decoded:
        self.times.decode.append(decoded.cpu_seconds)
        return decoded


@dataclass
class Side:
    """One who codes, and how long that takes."""

    name: str
    code: Coder
    times: Times


def ours(name: str, **options: Any) -> Side:
    times = Times()
    return Side(name, lambda chain, qp: coded_by_us(chain, {"qp": qp, "threads": 1, **options}, times), times)


def coded_by_us(chain: Chain, options: dict[str, Any], times: Times) -> Coded:
    encoder, decoder = sides(chain, options)
    for weights in chain.checkpoints:
        start = time.process_time()
        data = bytes(encoder.encode(weights))
        middle = time.process_time()
        model = decoder.decode(data)
        times.decode.append(time.process_time() - middle)
        times.encode.append(middle - start)
        yield len(data), model


def coded_alone(peer: Peer, chain: Chain, qp: int) -> Coded:
    """Code each update by itself with NNCodec."""
    held = chain.base or {}
    for weights in chain.checkpoints:
        difference = {name: array - held[name] for name, array in weights.items()}
        settings = {"qp": qp, "nonweight_qp": qp, "lambda_scale": LAMBDA_SCALE, "use_dq": True}
        data = peer.encode(difference, **settings).data
        held = added(held, peer.decode(data).values)
        yield len(data), held


def sides_with(alone: TimedPeer, best: TimedPeer) -> list[Side]:
    return [
        ours("incnnr"),
        ours('incnnr, effort="fast"', effort="fast"),
        ours('incnnr, profile="iso"', profile="iso"),
        Side("NNCodec", partial(coded_alone, alone), alone.times),
        Side("NNCodec, with history", lambda chain, qp: coded_by_peer(best, chain, qp, LAMBDA_SCALE), best.times),
    ]


def taller(case: Case, times: int) -> Case:
    def tall(weights: FloatTensors) -> FloatTensors:
        return {name: np.concatenate([array] * times) for name, array in weights.items()}

    chains = [Chain(tall(chain.base or {}), [tall(each) for each in chain.checkpoints]) for chain in case.chains]
    return Case(case.name, chains)


def row(side: Side, case: Case, tall: Case, bits: float, repeat: int) -> list[Any]:
    """Return what there is to say of one side: settings, size and error, speeds."""
    qp = nearest(case, cache(lambda qp: measured(case, partial(side.code, qp=qp), None)[0]), bits)
    side.times.encode.clear()
    side.times.decode.clear()
    for _ in range(repeat):
        n_bytes, rms, _ = measured(tall, partial(side.code, qp=qp), None)
    speeds = [speed(tall.n_weights, seconds, repeat) for seconds in (side.times.encode, side.times.decode)]
    return [side.name, qp, series.bits_per_weight(n_bytes, tall.n_weights), rms, *speeds]


def speed(n_weights: int, seconds: list[float], repeat: int) -> float:
    """Return millions of weights a second; seconds are those of all updates of one run after the other."""
    return n_weights / np.median(np.reshape(seconds, (repeat, -1)), axis=0).sum() / 1e6


def report(case: Case, times: int, bits: float, repeat: int) -> None:
    tall = taller(case, times)
    with TimedPeer() as alone, TimedPeer() as best:
        rows = [row(side, case, tall, bits, repeat) for side in sides_with(alone, best)]
    ratios = [[first / each for first, each in zip(rows[0][-2:], own[-2:], strict=True)] for own in rows]
    columns = ("", "qp", "bits per weight", "rms error", "encode", "decode", "encode ratio", "decode ratio")
    title = f"{case.name}, {times} times as tall, about {bits:g} bits per weight: million weights a second of one core"
    series.print_table(title, columns, [(*own, *ratio) for own, ratio in zip(rows, ratios, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of lossy updates beside NNCodec.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--bits", nargs="+", type=float, default=[1.0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        for bits in arguments.bits:
            report(case_of(f"{folder.name}={folder}"), arguments.times, bits, arguments.repeat)


if __name__ == "__main__":
    main()

"""Points of rate-distortion curves: a case coded at one quality by incnnr or by NNCodec, closed loop, and compared."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log2, sqrt
from pathlib import Path
from typing import Any

import numpy as np

import incnnr
from incnnr.files import replacing
from tests.bench import series
from tests.bench.fashion_mnist import Judge
from tests.bench.nncodec_peer import Peer
from tests.bench.rate_cases import Case, Chain
from tests.bench.series import FloatTensors, Weights

LOWEST_BITS, HIGHEST_BITS = 0.05, 2.0  # of a weight
_REACH = 32  # in qp, around where a step is as large as what there is to code

Coded = Iterator[tuple[int, Weights]]
"""Of each checkpoint of a chain, the bytes that it took and what the receiver holds then."""


@dataclass(frozen=True)
class Point:
    """Bytes of a case, the root mean square error over all weights of all checkpoints, and the accuracy of each.

    There is no qp where the bytes of an update were given instead.
    """

    qp: int | None
    n_bytes: int
    rms: float
    lambda_scale: float = 0.0
    accuracies: tuple[float, ...] = ()


_BROADCAST_QP = -64


def sides(chain: Chain, options: dict[str, Any]) -> tuple[incnnr.Encoder, incnnr.Decoder]:
    """Make both sides of a chain; those of an uplink have seen the last broadcast update, if there was one.

    That is coded so finely that its error does not matter, and not counted.
    """
    if chain.before is None or options.get("profile") == "iso":
        return incnnr.Encoder(base=chain.base, **options), incnnr.Decoder(base=chain.base)
    server, client = incnnr.Decoder(base=chain.before), incnnr.Decoder(base=chain.before)
    broadcast = incnnr.Encoder(base=chain.before, qp=_BROADCAST_QP, **_without_knob(options)).encode(chain.base)
    server.decode(broadcast)
    client.decode(broadcast)
    return incnnr.Encoder.resume(client, **options), server


def _without_knob(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "qp"}


def coded_by_us(chain: Chain, options: dict[str, Any]) -> Coded:
    encoder, decoder = sides(chain, options)
    for weights in chain.checkpoints:
        data = bytes(encoder.encode(weights))
        yield len(data), decoder.decode(data)


def coded_by_peer(peer: Peer, chain: Chain, qp: int, lambda_scale: float) -> Coded:
    """Code with NNCodec's best: what it has for updates, unless there is nothing to update."""
    settings: dict[str, Any] = {"qp": qp, "nonweight_qp": qp, "lambda_scale": lambda_scale, "use_dq": True}
    if chain.base is None:
        (weights,) = chain.checkpoints
        data = peer.encode(weights, **settings).data
        yield len(data), peer.decode(data).values
        return
    number, held = peer.new_chain(), chain.base
    for weights in chain.checkpoints:
        difference = {name: array - held[name] for name, array in weights.items()}
        data = peer.encode(difference, number, tca=True, hdsp=True, **settings).data
        held = added(held, peer.decode_update(data, number).values)
        yield len(data), held
    peer.forget(number)


def added(held: FloatTensors, differences: Weights) -> FloatTensors:
    """Return the sums; NNCodec leaves out tensors without a difference."""
    changed = {name: held[name] + array.reshape(held[name].shape) for name, array in differences.items()}
    return held | changed


def measured(case: Case, code: Callable[[Chain], Coded], judge: Judge | None) -> tuple[int, float, tuple[float, ...]]:
    """Return the bytes of a case, its rms error, and the accuracy of each checkpoint if there is a judge."""
    n_bytes, squares, scores = 0, 0.0, []
    for chain in case.chains:
        for original, (size, decoded) in zip(chain.checkpoints, code(chain), strict=True):
            n_bytes += size
            squares += sum(squared_error(decoded[name], array) for name, array in original.items())
            scores += [judge(decoded)] if judge else []
    return n_bytes, sqrt(squares / case.n_weights), tuple(score.result() for score in scores)


def squared_error(decoded: Any, original: Any) -> float:
    error = decoded.reshape(-1).astype(np.float64) - original.reshape(-1)
    return float(np.dot(error, error))


def spread(case: Case, bytes_at: Callable[[int], int], n: int) -> list[int]:
    """Choose `n` qp, evenly, whose rates are those of interest."""
    possible, fewer_bits = _search_of(case, bytes_at)
    finest = bisect_left(possible, -HIGHEST_BITS, key=fewer_bits)
    coarsest = bisect_right(possible, -LOWEST_BITS, key=fewer_bits) - 1
    return sorted({round(qp) for qp in np.linspace(possible[finest], possible[max(coarsest, finest)], n)})


def nearest(case: Case, bytes_at: Callable[[int], int], bits: float) -> int:
    """Choose the qp whose rate is nearest to so many bits per weight."""
    possible, fewer_bits = _search_of(case, bytes_at)
    at = bisect_left(possible, -bits, key=fewer_bits)
    return min(possible[max(at - 1, 0) : at + 1], key=lambda qp: abs(fewer_bits(qp) + bits))


def _search_of(case: Case, bytes_at: Callable[[int], int]) -> tuple[range, Callable[[int], float]]:
    """Return the qp that there are to choose from, and what rises with them."""
    middle = round(4 * log2(case.typical_step))
    return range(middle - _REACH, middle + _REACH), lambda qp: -series.bits_per_weight(bytes_at(qp), case.n_weights)


class PeerPoints:
    """NNCodec's points, from a file where it has them, and added to it where it has not."""

    def __init__(self, peer: Peer, path: Path | None) -> None:
        self._peer = peer
        self._path = path
        self._known: dict[str, tuple[int, float]] = {}
        if path and path.exists():
            self._known = json.loads(path.read_text())

    def curves(self, case: Case, lambda_scales: list[float], n: int) -> dict[float, list[Point]]:
        """Return for each weight of the rate the points at `n` qp, and those that were tried in order to find them."""
        return {lambda_scale: self._curve(case, lambda_scale, n) for lambda_scale in lambda_scales}

    def _curve(self, case: Case, lambda_scale: float, n: int) -> list[Point]:
        points: dict[int, Point] = {}

        def bytes_at(qp: int) -> int:
            points[qp] = self._point(case, qp, lambda_scale)
            return points[qp].n_bytes

        for qp in spread(case, bytes_at, n):
            bytes_at(qp)
        return [points[qp] for qp in sorted(points)]

    def _point(self, case: Case, qp: int, lambda_scale: float) -> Point:
        key = f"{case.digest} qp {qp} lambda {lambda_scale}"
        if key not in self._known:
            n_bytes, rms, _ = measured(case, lambda chain: coded_by_peer(self._peer, chain, qp, lambda_scale), None)
            self._known[key] = (n_bytes, rms)
            if self._path:
                with replacing(self._path) as file:
                    file.write(json.dumps(self._known, indent=1).encode())
        return Point(qp, *self._known[key], lambda_scale)

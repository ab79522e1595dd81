"""Rounds of federated learning with NNCodec 2.1.3, both ways, each sender with a chain of its own."""

from __future__ import annotations

from typing import Any

from tests.bench.federated_schemes import ClosedLoop, Weights
from tests.bench.nncodec_peer import Peer

_FIRST_QP = -36


class Nncodec(ClosedLoop):
    """Its best for updates: dependent quantisation, temporal and history contexts, row skipping.

    The first model is a bitstream of its own, about as precise as ours is.
    """

    def __init__(self, peer: Peer, qp: int, lambda_scale: float) -> None:
        super().__init__()
        self._peer = peer
        self._settings: dict[str, Any] = {"qp": qp, "nonweight_qp": qp, "lambda_scale": lambda_scale, "use_dq": True}
        self._chains: dict[int | None, int] = {}

    def first(self, weights: Weights) -> tuple[Weights, int]:
        data = self._peer.encode(dict(weights), qp=_FIRST_QP, nonweight_qp=_FIRST_QP, use_dq=True).data
        values = self._peer.decode(data).values
        return {name: values[name].reshape(w.shape) for name, w in weights.items()}, len(data)

    def coded(self, difference: Weights, sender: int | None) -> tuple[Weights, int]:
        chain = self._chains.get(sender)
        if chain is None:
            chain = self._chains[sender] = self._peer.new_chain()
        data = self._peer.encode(dict(difference), chain, tca=True, hdsp=True, **self._settings).data
        values = self._peer.decode_update(data, chain).values
        sent = {name: values[name].reshape(d.shape) if name in values else 0 * d for name, d in difference.items()}
        return sent, len(data)


class NncodecWithFeedback(Nncodec):
    """With clients that keep what a reply left out for the next one."""

    feedback = True

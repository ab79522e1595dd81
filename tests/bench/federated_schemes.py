"""Ways to carry a round of federated learning, each with the bytes that it takes: ours and what others do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from incnnr.federated import Collector, Downlink, Receiver, Uplink

Weights = Mapping[str, NDArray[np.float32]]
Train = Callable[[int, Weights], dict[str, NDArray[np.float32]]]


class Scheme(Protocol):
    """Carries weights of the server to a client, and the client's back."""

    down_bytes: int
    up_bytes: int

    def broadcast(self, weights: Weights) -> None: ...

    def download(self, client: int) -> Weights: ...

    def upload(self, client: int, weights: Weights) -> Weights: ...


class Plain:
    """All weights as they are."""

    def __init__(self) -> None:
        self.down_bytes = self.up_bytes = 0
        self._weights: Weights = {}

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights

    def download(self, client: int) -> Weights:  # noqa: ARG002 -- the same for all
        self.down_bytes += sum(w.nbytes for w in self._weights.values())
        return self._weights

    def upload(self, client: int, weights: Weights) -> Weights:  # noqa: ARG002 -- the same for all
        self.up_bytes += sum(w.nbytes for w in weights.values())
        return weights


class Sessions:
    """incnnr."""

    def __init__(self, down: dict[str, Any], up: dict[str, Any]) -> None:
        self.down_bytes = self.up_bytes = 0
        self._downlink, self._up = Downlink(**down), up
        self._collector = Collector(self._downlink)
        self._receivers: dict[int, Receiver] = {}
        self._uplinks: dict[int, Uplink] = {}

    def broadcast(self, weights: Weights) -> None:
        self._downlink.broadcast(weights)

    def download(self, client: int) -> Weights:
        receiver = self._receivers.setdefault(client, Receiver())
        message = self._downlink.message(receiver.position)
        self.down_bytes += len(message)
        return receiver.receive(message)

    def upload(self, client: int, weights: Weights) -> Weights:
        uplink = self._uplinks.setdefault(client, Uplink(**self._up))
        reply = uplink.encode(self._receivers[client], weights)
        self.up_bytes += len(reply)
        return self._collector.collect(client, reply)

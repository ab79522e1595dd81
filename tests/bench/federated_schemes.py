"""Ways to carry a round of federated learning, each with the bytes that it takes: ours and what others do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from incnnr.federated import Collector, Downlink, Memory, Receiver, Uplink

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
_SCALE_BYTES = 4


class Scheme(Protocol):
    """Carries the server's weights to a client, and the client's back."""

    down_bytes: int
    up_bytes: int

    def broadcast(self, weights: Weights) -> None:
        """Make these the server's weights."""

    def download(self, client: int) -> Weights:
        """Return what a client gets of them."""

    def upload(self, client: int, weights: Weights) -> Weights:
        """Return what the server gets of a client's."""


class Plain:
    """All weights as they are."""

    def __init__(self) -> None:
        self.down_bytes = self.up_bytes = 0
        self._weights: Weights = {}

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights

    def download(self, _: int) -> Weights:
        self.down_bytes += sum(w.nbytes for w in self._weights.values())
        return self._weights

    def upload(self, _: int, weights: Weights) -> Weights:
        self.up_bytes += sum(w.nbytes for w in weights.values())
        return weights


class Int8:
    """Weights down, and differences up, in bytes with one scale for each tensor."""

    def __init__(self) -> None:
        self.down_bytes = self.up_bytes = 0
        self._weights: Weights = {}
        self._sent: Weights = {}

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights
        self._sent = {name: _rounded_to_bytes(w) for name, w in weights.items()}

    def download(self, _: int) -> Weights:
        self.down_bytes += sum(w.size + _SCALE_BYTES for w in self._sent.values())
        return self._sent

    def upload(self, _: int, weights: Weights) -> Weights:
        self.up_bytes += sum(w.size + _SCALE_BYTES for w in weights.values())
        return {name: self._weights[name] + _rounded_to_bytes(w - self._sent[name]) for name, w in weights.items()}


class TopK:
    """The hundredth of the differences that is largest, both ways, with error feedback at both ends."""

    def __init__(self, share: float = 0.01) -> None:
        self.down_bytes = self.up_bytes = 0
        self._share = share
        self._weights: Weights = {}
        self._held: dict[str, Array] = {}
        self._update_bytes = 0
        self._left_out: dict[int, Weights] = {}

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights
        if not self._held:
            self._held = {name: w.copy() for name, w in weights.items()}
            self._update_bytes = sum(w.nbytes for w in weights.values())
            return
        self._update_bytes = 0
        for name, w in weights.items():
            sent, n_bytes = _largest(w - self._held[name], self._share)
            self._held[name] = self._held[name] + sent
            self._update_bytes += n_bytes

    def download(self, _: int) -> Weights:
        self.down_bytes += self._update_bytes
        return self._held

    def upload(self, client: int, weights: Weights) -> Weights:
        left_out = self._left_out.get(client, {})
        arrived, kept = {}, {}
        for name, w in weights.items():
            wanted = w - self._held[name] + left_out.get(name, np.float32(0))
            sent, n_bytes = _largest(wanted, self._share)
            arrived[name], kept[name] = self._weights[name] + sent, wanted - sent
            self.up_bytes += n_bytes
        self._left_out[client] = kept
        return arrived


class Sessions:
    """incnnr, with clients that remember nothing of their replies, or what those left out."""

    def __init__(self, down: Mapping[str, Any], up: Mapping[str, Any], memory_age: int | None = None) -> None:
        self.down_bytes = self.up_bytes = 0
        self._downlink, self._uplink = Downlink(**down), Uplink(**up)
        self._collector = Collector(self._downlink)
        self._receivers: dict[int, Receiver] = {}
        self._first_memory = None if memory_age is None else Memory(memory_age)
        self._memories: dict[int, Memory] = {}

    def broadcast(self, weights: Weights) -> None:
        self._downlink.broadcast(weights)

    def download(self, client: int) -> Weights:
        receiver = self._receivers.setdefault(client, Receiver())
        message = self._downlink.message(receiver.position)
        self.down_bytes += len(message)
        return receiver.receive(message)

    def upload(self, client: int, weights: Weights) -> Weights:
        reply = self._reply(client, weights)
        self.up_bytes += len(reply)
        return self._collector.collect(client, reply)

    def _reply(self, client: int, weights: Weights) -> bytes:
        receiver = self._receivers[client]
        if self._first_memory is None:
            return self._uplink.encode(receiver, weights)
        memory = self._memories.get(client, self._first_memory)
        acknowledged = self._collector.acknowledged(client)
        reply, self._memories[client] = self._uplink.encode_with_memory(receiver, weights, memory, acknowledged)
        return reply


def _rounded_to_bytes(array: Array) -> Array:
    unit = np.float32(np.abs(array).max(initial=0) / 127)
    return np.rint(array / unit) * unit if unit else array


def _largest(array: Array, share: float) -> tuple[Array, int]:
    """Return the largest elements, as float16, and the bytes of them and of the gaps between, after zstd-19."""
    flat = array.reshape(-1)
    n_kept = max(1, round(share * flat.size))
    at = np.sort(np.argpartition(np.abs(flat), flat.size - n_kept)[flat.size - n_kept :])
    values = flat[at].astype(np.float16)
    sent = np.zeros_like(flat)
    sent[at] = values
    gaps = np.diff(at, prepend=0).astype(np.uint16 if flat.size < 1 << 16 else np.uint32)
    packed = zstandard.ZstdCompressor(level=19).compress(gaps.tobytes() + values.tobytes())
    return sent.reshape(array.shape), len(packed)

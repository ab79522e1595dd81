"""Ways to carry a round of federated learning, each with the bytes that it takes: ours and what others do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from incnnr.errors import IncnnrError
from incnnr.federated import Collector, Downlink, Memory, Receiver, Reply, Uplink

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
_SCALE_BYTES = 4


@dataclass(frozen=True)
class Message:
    """What goes over the wire, and how many bytes that takes."""

    content: Any
    n_bytes: int


class Scheme(Protocol):
    """Carries the server's weights to a client, and the client's back; any message in between may be lost."""

    def broadcast(self, weights: Weights) -> None:
        """Make these the server's weights."""

    def question(self, client: int) -> Message:
        """Return what the server sends a client."""

    def received(self, client: int, question: Message) -> Weights | None:
        """Return what the client makes of it; None if it cannot follow."""

    def answer(self, client: int, weights: Weights | None) -> Message:
        """Return what the client sends back, which may be that it could not follow."""

    def collected(self, client: int, answer: Message) -> Weights | None:
        """Return what the server makes of it; None if it has to ask again."""

    def restart(self, client: int) -> None:
        """Let a client lose all that it keeps."""


class Plain:
    """All weights as they are."""

    def __init__(self) -> None:
        self._question = Message({}, 0)

    def broadcast(self, weights: Weights) -> None:
        self._question = _whole(weights)

    def question(self, _: int) -> Message:
        return self._question

    def received(self, _: int, question: Message) -> Weights:
        weights: Weights = question.content
        return weights

    def answer(self, _: int, weights: Weights | None) -> Message:
        return _whole(weights or {})

    def collected(self, _: int, answer: Message) -> Weights:
        weights: Weights = answer.content
        return weights

    def restart(self, client: int) -> None:
        pass


class Int8(Plain):
    """Weights down, and differences up, in bytes with one scale for each tensor."""

    def __init__(self) -> None:
        super().__init__()
        self._weights: Weights = {}

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights
        self._question = _in_bytes(weights)

    def answer(self, _: int, weights: Weights | None) -> Message:
        return _in_bytes(_difference(weights or {}, self._question.content))

    def collected(self, _: int, answer: Message) -> Weights:
        return _sum(self._weights, answer.content)


class ClosedLoop:
    """Differences both ways: down to what clients hold, each of whom is sent what it missed; up to what it received.

    How they are coded is for a subclass to say. With `feedback` clients keep what was left out for their next reply.
    """

    feedback = False

    def __init__(self) -> None:
        self._weights: Weights = {}
        self._held: Weights = {}
        self._n_bytes: list[int] = []
        self._n_seen: dict[int, int] = {}
        self._left_out: dict[int, Weights] = {}

    def first(self, weights: Weights) -> tuple[Weights, int]:
        """Code the first model: what arrives, and its bytes."""
        return {name: w.copy() for name, w in weights.items()}, _whole(weights).n_bytes

    def coded(self, difference: Weights, sender: int | None) -> tuple[Weights, int]:
        """Code a difference of a client, or of the server: what arrives, and its bytes."""
        raise NotImplementedError

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights
        if self._held:
            sent, n_bytes = self.coded(_difference(weights, self._held), None)
            self._held = _sum(self._held, sent)
        else:
            self._held, n_bytes = self.first(weights)
        self._n_bytes.append(n_bytes)

    def question(self, client: int) -> Message:
        missed = sum(self._n_bytes[self._n_seen.get(client, 0) :])
        return Message(self._held, min(missed, _whole(self._held).n_bytes))

    def received(self, _: int, question: Message) -> Weights:
        weights: Weights = question.content
        return weights

    def answer(self, client: int, weights: Weights | None) -> Message:
        wanted = _difference(weights or {}, self._held)
        if client in self._left_out:
            wanted = _sum(wanted, self._left_out[client])
        sent, n_bytes = self.coded(wanted, client)
        if self.feedback:
            self._left_out[client] = _difference(wanted, sent)
        return Message(sent, n_bytes)

    def collected(self, client: int, answer: Message) -> Weights:
        self._n_seen[client] = len(self._n_bytes)
        return _sum(self._weights, answer.content)

    def restart(self, client: int) -> None:
        self._n_seen.pop(client, None)
        self._left_out.pop(client, None)


class TopK(ClosedLoop):
    """The hundredth of the differences that is largest, with error feedback at both ends."""

    feedback = True

    def __init__(self, share: float = 0.01) -> None:
        super().__init__()
        self._share = share

    def coded(self, difference: Weights, _: int | None) -> tuple[Weights, int]:
        largest = {name: _largest(d, self._share) for name, d in difference.items()}
        return {name: sent for name, (sent, _) in largest.items()}, sum(n for _, n in largest.values())


class Sessions:
    """incnnr, with clients that remember nothing of their replies, or what those left out.

    Raises
    ------
    AssertionError
        Clients hold something else than the server thinks.
    """

    def __init__(self, down: Mapping[str, Any], up: Mapping[str, Any], memory_age: int | None = None) -> None:
        self._downlink, self._uplink = Downlink(**down), Uplink(**up)
        self._collector = Collector(self._downlink)
        self._receivers: dict[int, Receiver] = {}
        self._known: dict[int, Any] = {}
        self._first_memory = None if memory_age is None else Memory(memory_age)
        self._memories: dict[int, Memory] = {}

    def broadcast(self, weights: Weights) -> None:
        self._downlink.broadcast(weights)

    def question(self, client: int) -> Message:
        return _message(self._downlink.message(self._known.get(client)))

    def received(self, client: int, question: Message) -> Weights | None:
        receiver = self._receivers.setdefault(client, Receiver())
        try:
            model = receiver.receive(question.content)
        except IncnnrError:
            return None
        held = self._downlink.reference(self._downlink.position).model
        if model.position != held.position or any(model[n].tobytes() != held[n].tobytes() for n in held):
            raise AssertionError(f"client {client} holds another model than {held.position}")
        return model

    def answer(self, client: int, weights: Weights | None) -> Message:
        receiver = self._receivers[client]
        if weights is None:
            return _message(receiver.request())
        if self._first_memory is None:
            return _message(self._uplink.encode(receiver, weights))
        memory = self._memories.get(client, self._first_memory)
        acknowledged = self._collector.acknowledged(client)
        reply, self._memories[client] = self._uplink.encode_with_memory(receiver, weights, memory, acknowledged)
        return _message(reply)

    def collected(self, client: int, answer: Message) -> Weights | None:
        reply = Reply.read(answer.content)
        self._known[client] = reply.held
        return None if reply.update is None else self._collector.collect(client, answer.content)

    def restart(self, client: int) -> None:
        self._receivers.pop(client, None)
        self._memories.pop(client, None)


def _message(data: bytes) -> Message:
    return Message(data, len(data))


def _whole(weights: Weights) -> Message:
    return Message(weights, sum(w.nbytes for w in weights.values()))


def _sum(first: Weights, second: Weights) -> Weights:
    return {name: w + second[name] for name, w in first.items()}


def _difference(first: Weights, second: Weights) -> Weights:
    return {name: w - second[name] for name, w in first.items()}


def _in_bytes(weights: Weights) -> Message:
    rounded = {name: _rounded_to_bytes(w) for name, w in weights.items()}
    return Message(rounded, sum(w.size + _SCALE_BYTES for w in weights.values()))


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

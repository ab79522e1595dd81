"""What the server's grid does to messages and replies."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Any

from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid

from incnnr.errors import GapError, IncnnrError
from incnnr.federated.coding import with_default_error
from incnnr.federated.collector import Collector
from incnnr.federated.downlink import Downlink
from incnnr.federated.flower.grid import WrappedGrid
from incnnr.federated.flower.records import (
    KEY,
    array_bytes,
    arrays_of,
    blob_of,
    has_plain_arrays,
    tensors_of,
    with_blob,
    with_tensors,
)
from incnnr.federated.messages import Reply
from incnnr.federated.telemetry import RoundTraffic, rms_difference
from incnnr.position import Position

_MOST_ATTEMPTS = 3
_REJECTED = 0  # Flower's code of errors that it does not know
_log = getLogger("flwr")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that waits for its reply.

    Attributes
    ----------
    question : Message
        As the strategy made it.
    carrier : Message
        As it was first pushed: it has the ID that the strategy knows.
    position : Position or None
        Where the node will stand; None if the arrays were sent as they are.
    attempts : int
        How often it was pushed.
    """

    question: Message
    carrier: Message
    position: Position | None
    attempts: int = 1


class CompressedGrid(WrappedGrid):
    """A grid that sends the arrays of messages as updates, and gives the strategy the arrays of replies back.

    Parameters
    ----------
    grid : Grid
        The grid that Flower gave to the app.
    **options
        As for `Downlink`. Unless they say how precise the global model is: ``relative_error=0.5``.

    Notes
    -----
    A node that does not hold what an update follows says so, and is sent what it misses under the same message ID. One
    that fails on its first update is taken for a node without `ClientMod`, and sent plain arrays. A reply that cannot
    be decoded becomes a reply with an error, which strategies leave out of the round.
    """

    def __init__(self, grid: Grid, **options: Any) -> None:
        super().__init__(grid)
        self._downlink = Downlink(**with_default_error(options))
        self._collector = Collector(self._downlink)
        self._broadcast: dict[str, Any] = {}
        self._asked: set[int] = set()
        self._held: dict[int, Position] = {}
        self._plain: set[int] = set()
        self._waiting: dict[str, _Sent] = {}
        self._answers: dict[str, str] = {}
        self._rounds: dict[Position, RoundTraffic] = {}

    @property
    def rounds(self) -> list[RoundTraffic]:
        """What was sent and received for each model of the server so far, and what it took."""
        return list(self._rounds.values())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages, those that have arrays with a blob instead; return their IDs."""
        message_ids = []
        for question in messages:
            carrier, position = self._coded(question)
            for message_id in self._grid.push_messages([carrier]):
                message_ids.append(message_id)
                if message_id:
                    self._waiting[message_id] = _Sent(question, carrier, position)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull replies to messages, with arrays instead of blobs."""
        wanted = {self._answers.get(message_id, message_id): message_id for message_id in message_ids}
        replies = []
        for reply in self._grid.pull_messages(list(wanted)):
            first_id = wanted.get(reply.metadata.reply_to_message_id)
            sent = self._waiting.get(first_id or "")
            answer = reply if sent is None else self._answered(sent, reply)
            if answer is not None:
                replies.append(answer)
                self._waiting.pop(first_id or "", None)
                self._answers.pop(first_id or "", None)
        return replies

    def give_up(self, message_ids: Iterable[str]) -> None:
        """Expect no more replies to these messages: whatever comes now comes too late for its round."""
        for message_id in message_ids:
            self._waiting.pop(message_id, None)
            self._answers.pop(message_id, None)

    def _coded(self, question: Message) -> tuple[Message, Position | None]:
        """Return what to push for a message of the strategy, and where it leads the node."""
        node_id = question.metadata.dst_node_id
        if node_id in self._plain or not question.has_content() or not has_plain_arrays(question.content):
            return question, None
        expects_arrays = not question.metadata.message_type.startswith("evaluate")
        self._make_current(question.content, node_id, expects_arrays=expects_arrays)
        position = self._downlink.position
        carrier = copy(question)
        carrier.content = self._with_blob(question, self._held.get(node_id))
        if position:
            self._rounds[position].plain_bytes += array_bytes(question.content)
        return carrier, position

    def _with_blob(self, question: Message, held: Position | None) -> RecordDict:
        """Return the content with what leads a node from `held`, and an acknowledgement if it needs one."""
        blob = self._downlink.message(held)
        content = with_blob(question.content, blob)
        acknowledged = self._collector.acknowledged(question.metadata.dst_node_id)
        if acknowledged is not None:
            content[KEY] = ConfigRecord({"acknowledged": Reply(acknowledged).pack()})
        if position := self._downlink.position:
            self._rounds[position].down_bytes += len(blob)
        return content

    def _make_current(self, content: RecordDict, node_id: int, *, expects_arrays: bool) -> None:
        """Broadcast a model that is new, or that this node was already asked to train: replies name their model."""
        broadcast = {name: (array.dtype, array.shape, array.data) for name, array in arrays_of(content).items()}
        if broadcast != self._broadcast or (expects_arrays and node_id in self._asked):
            self._send_down(tensors_of(content))
            self._broadcast, self._asked = broadcast, set()
        if expects_arrays:
            self._asked.add(node_id)

    def _send_down(self, tensors: Mapping[str, Any]) -> None:
        held = self._downlink.reference(self._downlink.position).model if self._downlink.position else {}
        started = time.perf_counter()
        position = self._downlink.broadcast(tensors)
        seconds = time.perf_counter() - started
        reference = self._downlink.reference(position)
        change, lacking = (rms_difference(reference.exact, model) for model in (held, reference.model))
        self._rounds[position] = RoundTraffic(
            position.sequence, encode_seconds=seconds, change=change, distortion=lacking / change if change else 0.0
        )

    def _answered(self, sent: _Sent, reply: Message) -> Message | None:
        """Return a reply as the strategy expects it; None if the node must be sent something else first."""
        node_id = sent.question.metadata.dst_node_id
        if sent.position is None:
            if reply.has_error():
                self._plain.discard(node_id)  # it was not the blob that the app failed on
            return _as_reply_to(sent, reply)
        if reply.has_error():
            is_stranger = node_id not in self._held and sent.attempts == 1
            return self._sent_plain(sent) if is_stranger else _as_reply_to(sent, reply)
        try:
            request = _request_of(reply.content)
            if request is not None:
                return self._sent_again(sent, sent.position, request)
            self._held[node_id] = sent.position
            return _as_reply_to(sent, reply, self._decoded(sent, sent.position, reply.content))
        except IncnnrError as error:
            self._rounds[sent.position].rejected += 1
            return _rejection(sent, error)

    def _decoded(self, sent: _Sent, position: Position, content: RecordDict) -> RecordDict:
        traffic = self._rounds[position]
        traffic.up_bytes += array_bytes(content)
        blob = blob_of(content)
        if blob is None:
            traffic.plain_bytes += array_bytes(content)
            return content
        started = time.perf_counter()
        weights = self._collector.collect(sent.question.metadata.dst_node_id, blob, to=position)
        traffic.decode_seconds += time.perf_counter() - started
        decoded = with_tensors(content, weights)
        traffic.plain_bytes += array_bytes(decoded)
        return decoded

    def _sent_again(self, sent: _Sent, position: Position, request: bytes) -> Message | None:
        """Send a node that could not follow what it misses; all arrays, if the server has gone on meanwhile."""
        if sent.attempts == _MOST_ATTEMPTS:
            raise GapError(f"the node could not follow {sent.attempts} times")
        self._rounds[position].resyncs += 1
        if position != self._downlink.position:
            return self._pushed_again(sent, sent.question.content, None)
        return self._pushed_again(sent, self._with_blob(sent.question, Reply.read(request).held), position)

    def _sent_plain(self, sent: _Sent) -> Message | None:
        """Send a node that may not know of blobs the arrays as they are."""
        self._plain.add(sent.question.metadata.dst_node_id)
        return self._pushed_again(sent, sent.question.content, None)

    def _pushed_again(self, sent: _Sent, content: RecordDict, position: Position | None) -> Message | None:
        first, first_id = sent.question.metadata, sent.carrier.metadata.message_id
        message = Message(content, first.dst_node_id, first.message_type, ttl=first.ttl, group_id=first.group_id)
        for message_id in self._grid.push_messages([message]):
            if message_id:
                self._answers[first_id] = message_id
                self._waiting[first_id] = replace(sent, position=position, attempts=sent.attempts + 1)
                return None
        return _rejection(sent, GapError("what the node misses could not be sent"))


def _as_reply_to(sent: _Sent, reply: Message, content: RecordDict | None = None) -> Message:
    """Return a reply, perhaps with other content, under the ID of the message that the strategy pushed."""
    if reply.metadata.reply_to_message_id != sent.carrier.metadata.message_id:
        return Message(reply.error if reply.has_error() else content or reply.content, reply_to=sent.carrier)
    if content is not None:
        reply.content = content
    return reply


def _rejection(sent: _Sent, error: IncnnrError) -> Message:
    node_id = sent.question.metadata.dst_node_id
    _log.warning("incnnr: the reply of node %d is left out: %s", node_id, error)
    return Message(Error(_REJECTED, f"{type(error).__name__}: {error}"), reply_to=sent.carrier)


def _request_of(content: RecordDict) -> bytes | None:
    """Return what a node says that could not follow; None for any other reply."""
    request = content.config_records.get(KEY, {}).get("request")
    return request if isinstance(request, bytes) else None

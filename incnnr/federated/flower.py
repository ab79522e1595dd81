"""Flower apps with updates on the wire: one line for the clients, one for the server.

::

    app = ClientApp(mods=[ClientMod()])                           # first, so that clipping and noise come before coding
    strategy.start(grid=CompressedGrid(grid), initial_arrays=...)

Works with every strategy, wrapper and main loop of the Message API of Flower 1.26 or newer, since it is the grid that
is wrapped. A message that has arrays gets one blob in their place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.serverapp import Grid

from incnnr.errors import BitstreamError, GapError, IncnnrError, ModelMismatchError, ReferenceMismatchError
from incnnr.federated.downlink import Downlink, Receiver
from incnnr.federated.messages import Reply
from incnnr.federated.uplink import Collector, Uplink
from incnnr.position import Position

KEY = "incnnr"
_PLAIN = "numpy.ndarray"
DEFAULT_OPTIONS: Mapping[str, Any] = {"relative_error": 0.5}
_SECURE_AGGREGATION = "secaggplus_configs"
_MOST_ATTEMPTS = 3
_PULL_SECONDS = 0.1
_REJECTED = 0  # Flower's code of errors that it does not know
_log = getLogger("flwr")

Tensors = Mapping[str, Any]


class ClientMod:
    """What a ClientApp needs: it decodes the global model before the app sees it, and codes what the app returns.

    Parameters
    ----------
    **options
        How precise replies are: as for `Encoder`. Default ``relative_error=0.5``.

    Notes
    -----
    It must be the first of the mods, so that differential privacy is applied before anything is coded. What it keeps is
    in ``context.state``: the global model as last received, and what was learned from coding it.

    Messages of a server without `CompressedGrid` pass as they are, and so do replies with other tensors than those that
    were received. Under secure aggregation replies are masked: nothing can code those, so they pass, with a warning.
    """

    def __init__(self, **options: Any) -> None:
        self._uplink = Uplink(**(options or DEFAULT_OPTIONS))

    def __call__(self, message: Message, context: Context, call_next: Any) -> Message:
        """Handle one message."""
        blob = blob_of(message.content) if message.has_content() else None
        if blob is None:
            return call_next(message, context)
        receiver = _saved_receiver(context)
        try:
            model = receiver.receive(blob)
        except (ReferenceMismatchError, BitstreamError) as error:
            _log.info("incnnr: %s; asking the server for what is missing", error)
            return Message(RecordDict({KEY: ConfigRecord({"request": receiver.request()})}), reply_to=message)
        plain = copy(message)
        plain.content = with_tensors(message.content, model)
        reply = call_next(plain, context)
        if not reply.has_error():
            reply.content = self._coded(message.content, reply.content, receiver)
        context.state[KEY] = ConfigRecord({"receiver": receiver.to_bytes()})
        return reply

    def _coded(self, question: RecordDict, answer: RecordDict, receiver: Receiver) -> RecordDict:
        if _SECURE_AGGREGATION in question.config_records:
            _log.warning("incnnr: masked replies of secure aggregation cannot be coded; only the downlink is")
            return answer
        tensors = tensors_of(answer)
        if not tensors:
            return answer
        try:
            return with_blob(answer, self._uplink.encode(receiver, tensors))
        except ModelMismatchError as error:
            _log.info("incnnr: the reply is sent as it is: %s", error)
            return answer


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


class CompressedGrid(Grid):  # type: ignore[misc]
    """A grid that sends the arrays of messages as updates, and gives the strategy the arrays of replies back.

    Parameters
    ----------
    grid : Grid
        The grid that Flower gave to the app.
    **options
        How precise the global model is: as for `Downlink`. Default ``relative_error=0.5``.

    Notes
    -----
    A node that does not hold what an update follows says so, and is sent what it misses under the same message ID. One
    that fails on its first update is taken for a node without `ClientMod`, and sent plain arrays. A reply that cannot
    be decoded becomes a reply with an error, which strategies leave out of the round.
    """

    def __init__(self, grid: Grid, **options: Any) -> None:
        self._grid = grid
        self._downlink = Downlink(**(options or DEFAULT_OPTIONS))
        self._collector = Collector(self._downlink)
        self._broadcast: dict[str, Any] = {}
        self._asked: set[int] = set()
        self._held: dict[int, Position] = {}
        self._plain: set[int] = set()
        self._waiting: dict[str, _Sent] = {}
        self._answers: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        """Find what else the wrapped grid has."""
        if name == "_grid":
            raise AttributeError(name)
        return getattr(self._grid, name)

    def set_run(self, run: Any) -> None:
        """Set the run of the wrapped grid."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """The run of the wrapped grid."""
        return self._grid.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Create a message with the wrapped grid."""
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        """Nodes of the wrapped grid."""
        node_ids: Iterable[int] = self._grid.get_node_ids()
        return node_ids

    def get_nodes(self) -> Iterable[Any]:
        """Nodes of the wrapped grid, with what is known of them."""
        nodes: Iterable[Any] = self._grid.get_nodes()
        return nodes

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

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Push messages and pull the replies that arrive within `timeout` seconds."""
        waiting = {message_id for message_id in self.push_messages(messages) if message_id}
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and (deadline is None or time.monotonic() < deadline):
            arrived = list(self.pull_messages(waiting))
            replies += arrived
            waiting -= {reply.metadata.reply_to_message_id for reply in arrived}
            if waiting and not arrived:
                time.sleep(getattr(self._grid, "pull_interval", _PULL_SECONDS))
        for message_id in waiting:  # whatever comes now comes too late for this round
            self._waiting.pop(message_id, None)
            self._answers.pop(message_id, None)
        return replies

    def _coded(self, question: Message) -> tuple[Message, Position | None]:
        """Return what to push for a message of the strategy, and where it leads the node."""
        node_id = question.metadata.dst_node_id
        arrays = arrays_of(question.content) if question.has_content() and node_id not in self._plain else {}
        if not arrays or not all(array.stype == _PLAIN for array in arrays.values()):
            return question, None
        expects_arrays = not question.metadata.message_type.startswith("evaluate")
        self._make_current(arrays, node_id, expects_arrays=expects_arrays)
        carrier = copy(question)
        carrier.content = with_blob(question.content, self._downlink.message(self._held.get(node_id)))
        return carrier, self._downlink.position

    def _make_current(self, arrays: Mapping[str, Array], node_id: int, *, expects_arrays: bool) -> None:
        """Broadcast a model that is new, or that this node was already asked to train: replies name their model."""
        broadcast = {name: (array.dtype, array.shape, array.data) for name, array in arrays.items()}
        if broadcast != self._broadcast or (expects_arrays and node_id in self._asked):
            self._downlink.broadcast({name: array.numpy() for name, array in arrays.items()})
            self._broadcast, self._asked = broadcast, set()
        if expects_arrays:
            self._asked.add(node_id)

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
                return self._sent_again(sent, request)
            self._held[node_id] = sent.position
            return _as_reply_to(sent, reply, self._decoded(sent, reply.content))
        except IncnnrError as error:
            return _rejection(sent, error)

    def _decoded(self, sent: _Sent, content: RecordDict) -> RecordDict:
        blob = blob_of(content)
        if blob is None:
            return content
        weights = self._collector.collect(sent.question.metadata.dst_node_id, blob, to=sent.position)
        return with_tensors(content, weights)

    def _sent_again(self, sent: _Sent, request: bytes) -> Message | None:
        """Send a node that could not follow what it misses."""
        if sent.attempts == _MOST_ATTEMPTS:
            return _rejection(sent, GapError(f"the node could not follow {sent.attempts} times"))
        held = Reply.read(request).held
        content = with_blob(sent.question.content, self._downlink.message(held))
        return self._pushed_again(sent, content, self._downlink.position)

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


def _saved_receiver(context: Context) -> Receiver:
    saved = context.state.config_records.get(KEY, {}).get("receiver", b"")
    try:
        return Receiver.from_bytes(saved)
    except (BitstreamError, TypeError):  # kept by another version; the server will send everything
        return Receiver()


def arrays_of(content: RecordDict) -> dict[str, Array]:
    """Return all arrays by name; with the number of their record in front if there are several records."""
    records = sorted(content.array_records.items())
    if len(records) == 1:
        return dict(records[0][1])
    return {f"{i}/{name}": array for i, (_, record) in enumerate(records) for name, array in record.items()}


def tensors_of(content: RecordDict) -> dict[str, Any]:
    """Return all arrays as numpy has them; nothing if one of them is of another serialisation than Flower's."""
    arrays = arrays_of(content)
    if not all(array.stype == _PLAIN for array in arrays.values()):
        return {}
    return {name: array.numpy() for name, array in arrays.items()}


def with_tensors(content: RecordDict, tensors: Tensors) -> RecordDict:
    """Return the content with these arrays in its records, under names as from `arrays_of`."""
    names = sorted(content.array_records)
    records: dict[str, dict[str, Array]] = {name: {} for name in names}
    for name, tensor in tensors.items():
        place, _, own_name = name.partition("/")
        record, key = (names[0], name) if len(names) == 1 else (names[int(place)], own_name)
        records[record][key] = Array(np.asarray(tensor))
    return _with_array_records(content, {name: ArrayRecord(arrays) for name, arrays in records.items()})


def blob_of(content: RecordDict) -> bytes | None:
    """Return the bytes that stand for the arrays of a message; None if it has its arrays, or none."""
    for _, record in sorted(content.array_records.items())[:1]:
        if KEY in record and record[KEY].stype == KEY:
            return bytes(record[KEY].data)
    return None


def with_blob(content: RecordDict, blob: bytes) -> RecordDict:
    """Return the content with a blob in its first array record, and nothing in the others."""
    first, *others = sorted(content.array_records)
    array = Array(dtype="uint8", shape=(len(blob),), stype=KEY, data=blob)
    return _with_array_records(content, {first: ArrayRecord({KEY: array}), **{name: ArrayRecord() for name in others}})


def _with_array_records(content: RecordDict, records: Mapping[str, ArrayRecord]) -> RecordDict:
    """Return a new RecordDict: strategies share theirs between nodes."""
    return RecordDict({name: records.get(name, record) for name, record in content.items()})

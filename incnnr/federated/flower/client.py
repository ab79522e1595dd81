"""What runs on every client, in front of its app."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from logging import getLogger
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict

from incnnr.errors import BitstreamError, ModelMismatchError, ReferenceMismatchError
from incnnr.federated.coding import with_default_error
from incnnr.federated.downlink import Receiver
from incnnr.federated.flower.records import KEY, blob_of, tensors_of, with_blob, with_tensors
from incnnr.federated.memory import Memory
from incnnr.federated.messages import Reply
from incnnr.federated.uplink import Uplink
from incnnr.position import Position

_SECURE_AGGREGATION = "secaggplus_configs"
_log = getLogger("flwr")


class ClientMod:
    """What a ClientApp needs: it decodes the global model before the app sees it, and codes what the app returns.

    Parameters
    ----------
    memory_age : int, optional
        Keep what a reply had to leave out and add it to the next one, if that is to a model at most that many newer.
        It takes a byte for each weight in ``context.state``. Default: nothing is kept, and replies are about right
        on average.
    **options
        As for `Uplink`. Unless they say how precise replies are: ``relative_error=0.5``.

    Notes
    -----
    It must be the first of the mods, so that differential privacy is applied before anything is coded. What it keeps is
    in ``context.state``: the global model as last received, and what was learned from coding it.

    Messages of a server without `CompressedGrid` pass as they are, and so do replies with other tensors than those that
    were received. Under secure aggregation replies are masked: nothing can code those, so they pass, with a warning.
    """

    def __init__(self, *, memory_age: int | None = None, **options: Any) -> None:
        self._memory = None if memory_age is None else Memory(memory_age)
        self._uplink = Uplink(**with_default_error(options))

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
        plain.content.pop(KEY, None)
        reply = call_next(plain, context)
        kept = {"receiver": receiver.to_bytes()}
        if not reply.has_error():
            reply.content, memory = self._coded(message.content, reply.content, receiver, self._saved_memory(context))
            kept |= {} if memory is None else {"memory": memory.to_bytes()}
        context.state[KEY] = ConfigRecord(kept)
        return reply

    def _coded(
        self, question: RecordDict, answer: RecordDict, receiver: Receiver, memory: Memory | None
    ) -> tuple[RecordDict, Memory | None]:
        if _SECURE_AGGREGATION in question.config_records:
            _log.warning("incnnr: masked replies of secure aggregation cannot be coded; only the downlink is")
            return answer, memory
        tensors = tensors_of(answer)
        if not tensors:
            return answer, memory
        try:
            if memory is None:
                return with_blob(answer, self._uplink.encode(receiver, tensors)), None
            acknowledged = _acknowledged_in(question)
            blob, memory = self._uplink.encode_with_memory(receiver, tensors, memory, acknowledged)
            return with_blob(answer, blob), memory
        except ModelMismatchError as error:
            _log.info("incnnr: the reply is sent as it is: %s", error)
            return answer, memory

    def _saved_memory(self, context: Context) -> Memory | None:
        saved = _saved(context, "memory")
        if self._memory is None or not saved:
            return self._memory
        try:
            return replace(Memory.from_bytes(saved), max_age=self._memory.max_age)
        except BitstreamError:
            return self._memory


def _saved_receiver(context: Context) -> Receiver:
    try:
        return Receiver.from_bytes(_saved(context, "receiver"))
    except BitstreamError:  # kept by another version; the server will send everything
        return Receiver()


def _saved(context: Context, what: str) -> bytes:
    saved = context.state.config_records.get(KEY, {}).get(what, b"")
    return saved if isinstance(saved, bytes) else b""


def _acknowledged_in(question: RecordDict) -> Position | None:
    acknowledged = question.config_records.get(KEY, {}).get("acknowledged")
    return Reply.read(acknowledged).held if isinstance(acknowledged, bytes) else None

"""Bytes on the wire: what Flower makes of every message that is pushed or pulled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from incnnr.federated.flower import WrappedGrid


class CountingGrid(WrappedGrid):
    """A grid that counts serialised objects, as nodes pull and push them."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._bytes: Counter[str] = Counter()

    def totals(self) -> dict[str, int]:
        """Return bytes so far, by direction and kind of message."""
        return dict(self._bytes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages, and count them."""
        return super().push_messages([self._counted("down", message) for message in messages])

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull replies, and count them."""
        return [self._counted("up", reply) for reply in super().pull_messages(message_ids)]

    def _counted(self, direction: str, message: Message) -> Message:
        self._bytes[f"{direction}-{message.metadata.message_type}"] += object_bytes(message)
        return message


def object_bytes(thing: Any) -> int:
    """Count the bytes of a message, and of all objects that it refers to."""
    children = thing.children or {}
    return len(thing.deflate()) + sum(object_bytes(child) for child in children.values())

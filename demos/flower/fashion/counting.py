"""Bytes on the wire: what Flower makes of every message that is pushed or pulled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid


class CountingGrid(Grid):
    """A grid that counts serialised objects, as nodes pull and push them."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._bytes: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def totals(self) -> dict[str, int]:
        """Return bytes so far, by direction and kind of message."""
        return dict(self._bytes)

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        pushed = list(messages)
        for message in pushed:
            self._count("down", message)
        return self._grid.push_messages(pushed)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        pulled = list(self._grid.pull_messages(message_ids))
        for message in pulled:
            self._count("up", message)
        return pulled

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        sent = list(messages)
        for message in sent:
            self._count("down", message)
        replies = list(self._grid.send_and_receive(sent, timeout=timeout))
        for message in replies:
            self._count("up", message)
        return replies

    def _count(self, direction: str, message: Message) -> None:
        self._bytes[f"{direction}-{message.metadata.message_type}"] += object_bytes(message)


def object_bytes(thing: Any) -> int:
    """Count the bytes of a message, and of all objects that it refers to."""
    children = thing.children or {}
    return len(thing.deflate()) + sum(object_bytes(child) for child in children.values())

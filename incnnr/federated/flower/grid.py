"""A grid around another: whatever it does not do itself, the other does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

_PULL_SECONDS = 0.1


class WrappedGrid(Grid):  # type: ignore[misc]
    """A grid whose messages all go through `push_messages` and `pull_messages`, for others to derive from.

    Parameters
    ----------
    grid : Grid
        The grid that Flower gave to the app.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

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
        """Push messages; return their IDs, empty for those that could not be sent."""
        message_ids: Iterable[str] = self._grid.push_messages(messages)
        return message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull the replies that have arrived to messages."""
        replies: Iterable[Message] = self._grid.pull_messages(message_ids)
        return replies

    def give_up(self, message_ids: Iterable[str]) -> None:
        """Expect no more replies to these messages."""

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
        self.give_up(waiting)
        return replies

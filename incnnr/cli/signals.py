"""What SIGINT and SIGTERM do: end a command between two updates, or unwind it so that nothing is left behind."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(handler: Handler, *signals: signal.Signals) -> Iterator[None]:
    """Let `handler` take these signals inside the block."""
    previous = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Make SIGTERM leave every ``with`` block on its way out, so that no temporary file stays."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    with handling(unwind, signal.SIGTERM):
        yield


@contextmanager
def stop_requests() -> Iterator[Event]:
    """Yield an event that the first SIGINT or SIGTERM sets: the update in hand is finished, then the command ends.

    A second signal interrupts what is still going on.
    """
    stop = Event()

    def request(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    with handling(request, signal.SIGINT, signal.SIGTERM):
        yield stop

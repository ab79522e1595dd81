"""When to look again: file events where the system sends them, and the clock. Events are hints, a look is the truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

BURST_SECONDS = 0.1
"""Events this close together make one look; also how soon a stop is noticed."""

SAFETY_SECONDS = 5.0
"""How often to look although no event came: queues overflow, and a file behind a symbolic link sends none."""

WITHOUT_EVENTS_SECONDS = 1.0
"""How often to look once events are known to be lost."""

# Reading a file sends events too (opened, closed unread): taken as hints, every look would cause the next one.
_WRITES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


class Stop(Protocol):
    """What tells a loop to end after the work in hand; `threading.Event` is one."""

    def is_set(self) -> bool:
        """Whether to end."""


class Wakeup(Protocol):
    """Decides when to look again, between `__enter__` and `__exit__`."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """Let go of threads and watches."""

    def subscribe(self) -> str | None:
        """Make sure of the events from here on; returns the reason when they have just been lost for good."""

    def wait(self, stop: Stop, due_seconds: float | None) -> None:
        """Return when it is time to look, after `due_seconds` at the latest, or soon after `stop` is set."""


class Polling:
    """Looks every so many seconds and asks nothing of the system: for network mounts, which send no events."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def subscribe(self) -> str | None:
        """There is nothing to subscribe to."""
        return None

    def wait(self, stop: Stop, due_seconds: float | None) -> None:  # noqa: ARG002 -- a poll keeps its own rhythm
        """Return after the interval, or soon after `stop` is set."""
        _sleep_until(stop, self._seconds, lambda: False)


class Events:
    """Looks when the system says something was written, and now and then without being told.

    The observer's thread only sets a flag. It is looked after: it starts anew when the folder comes back as another
    one, and when it dies, or the system has no more watches to give, the clock takes over.

    Parameters
    ----------
    folder : pathlib.Path
        What to observe, with everything below it; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hint = _Hint()
        self._observer: BaseObserver | None = None
        self._observed: tuple[int, int] | None = None
        self._are_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._unsubscribe()

    def subscribe(self) -> str | None:
        """Make sure of the events from here on; returns the reason when they have just been lost for good."""
        identity = _identity(self._folder)
        if self._are_lost or (identity is not None and identity == self._observed and self._is_observing()):
            return None
        died = self._observer is not None and not self._observer.is_alive()
        self._unsubscribe()
        if died:
            return self._lose("the thread that receives file events died")
        if identity is None:
            return None
        try:
            self._observer = _observe(self._folder, self._hint)
        except (OSError, RuntimeError) as error:
            return self._lose(str(error))
        self._observed = identity
        return None

    def wait(self, stop: Stop, due_seconds: float | None) -> None:
        """Return after a burst of events, when due, for safety's sake, or soon after `stop` is set."""
        longest = SAFETY_SECONDS if self._observer is not None else WITHOUT_EVENTS_SECONDS
        _sleep_until(stop, longest if due_seconds is None else min(longest, due_seconds), self._hint.is_set)
        if self._hint.is_set() and not stop.is_set():
            time.sleep(BURST_SECONDS)
        self._hint.clear()

    def _is_observing(self) -> bool:
        """Whether events would arrive; an emitter ends when its folder is deleted, even if another takes its inode."""
        observer = self._observer
        return observer is not None and observer.is_alive() and all(one.is_alive() for one in observer.emitters)

    def _lose(self, reason: str) -> str:
        self._are_lost = True
        return reason

    def _unsubscribe(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            with suppress(RuntimeError):  # it never came to start
                self._observer.join()
        self._observer = self._observed = None


class _Hint(FileSystemEventHandler):
    """One flag. An exception in a handler would end the observer's thread, so nothing else happens here."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self.is_set = self._flag.is_set
        self.clear = self._flag.clear

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 -- which one does not matter
        self._flag.set()


def _observe(folder: Path, hint: _Hint) -> BaseObserver:
    observer: BaseObserver = Observer()
    observer.schedule(hint, str(folder), recursive=True, event_filter=_WRITES)
    observer.start()
    return observer


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _sleep_until(stop: Stop, seconds: float, is_over: Callable[[], bool]) -> None:
    """Sleep in short pieces: a signal handler can set `stop`, but cannot end a wait for something else."""
    end = time.monotonic() + seconds
    while not (stop.is_set() or is_over()) and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, BURST_SECONDS))

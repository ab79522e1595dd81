"""What a watcher and a follower say as they work: plain values, for whoever runs them to print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from incnnr.stream import Entry


@dataclass(frozen=True, slots=True)
class Encoded:
    """A checkpoint became `entry`; `ignored` names the files of its folder that the stream does not carry."""

    name: str
    entry: Entry
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """A checkpoint holds, under another name, exactly what `entry` holds; it was not encoded again."""

    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Failed:
    """A checkpoint cannot be read or encoded; it is tried again when its files or their permissions change."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A checkpoint is not read yet; said once per reason, and not of the quiet time that all must have."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """A checkpoint was deleted or renamed before it was encoded."""

    name: str


@dataclass(frozen=True, slots=True)
class FolderMissing:
    """The watched folder cannot be listed, for now: nothing counts as deleted, the watch goes on when it is back."""

    folder: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FolderReturned:
    """The watched folder is back."""

    folder: Path


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The system sends no file events any more; the folder is polled from now on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Followed:
    """`output` now holds `entry`."""

    entry: Entry
    output: Path


Report = Encoded | Repeated | Failed | Waiting | Vanished | FolderMissing | FolderReturned | EventsLost

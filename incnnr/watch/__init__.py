"""Folder -> stream and stream -> file, kept up to date for as long as they run.

`Watcher` turns the checkpoints that appear in a folder into entries of a stream; `Follower` keeps a checkpoint file at
the newest entry of a stream. Both say what they do by yielding the reports of `incnnr.watch.reports`.
"""

from incnnr.watch.follower import Follower
from incnnr.watch.reports import (
    Encoded,
    EventsLost,
    Failed,
    FolderMissing,
    FolderReturned,
    Followed,
    Repeated,
    Report,
    Vanished,
    Waiting,
)
from incnnr.watch.watcher import Watcher

__all__ = [
    "Encoded",
    "EventsLost",
    "Failed",
    "FolderMissing",
    "FolderReturned",
    "Followed",
    "Follower",
    "Repeated",
    "Report",
    "Vanished",
    "Waiting",
    "Watcher",
]

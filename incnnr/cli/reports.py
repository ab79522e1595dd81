"""A watcher's and a follower's reports as lines, and as records for scripts."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from incnnr.cli.output import decimal, print_json, printable, quantity
from incnnr.stream import Entry
from incnnr.watch import (
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

WORDS = {
    Encoded: ("encoded", "green"),
    Followed: ("followed", "green"),
    Repeated: ("repeated", "cyan"),
    Waiting: ("waiting", "dim"),
    Vanished: ("vanished", "yellow"),
    Failed: ("failed", "bold red"),
    FolderMissing: ("missing", "yellow"),
    FolderReturned: ("returned", "green"),
    EventsLost: ("polling", "yellow"),
}
"""What each report is called, in lines and in JSON, and its colour."""


def print_report(report: Report | Followed, console: Console, *, as_json: bool) -> None:
    """Print one report on one line, at once."""
    if as_json:
        print_json(report_record(report))
        return
    word, style = WORDS[type(report)]
    console.print(Text.assemble((f"{word:<9} ", style), printable(said(report))))
    console.file.flush()


def said(report: Report | Followed) -> str:
    """Say in words what happened to which checkpoint."""
    match report:
        case Encoded(name, entry, ignored):
            note = f"; not carried: {', '.join(ignored)}" if ignored else ""
            words = f"{name}: entry {entry.index}, {cost(entry)}{note}"
        case Followed(entry, output):
            words = f"{output}: entry {entry.index}, {entry.name or 'without a name'}"
        case Repeated(name, entry):
            words = f"{name}: the same as entry {entry.index}, {entry.name}"
        case Waiting(name, reason) | Failed(name, reason):
            words = f"{name}: {reason}"
        case Vanished(name):
            words = f"{name}: gone before it was encoded"
        case FolderMissing(folder, reason):
            words = f"{folder}: {reason}; waiting for it"
        case FolderReturned(folder):
            words = f"{folder}"
        case EventsLost(reason):
            words = f"no more file events: {reason}"
    return words


def cost(entry: Entry) -> str:
    """Say what an entry takes in the stream."""
    parts = [
        quantity(entry.n_bytes, "byte", "bytes"),
        decimal(entry.bits_per_weight, 3, " bits/weight"),
        decimal(entry.ratio, 1, "x"),
    ]
    return ", ".join([*parts, "keyframe"] if entry.is_keyframe else parts)


def report_record(report: Report | Followed) -> dict[str, Any]:
    """Return a report as plain data: its fields, and its kind under ``report``."""
    fields = {name: plain(getattr(report, name)) for name in report.__dataclass_fields__}
    return {"report": WORDS[type(report)][0], **fields}


def plain(value: Any) -> Any:
    """Return a report's field as JSON can hold it."""
    if isinstance(value, Entry):
        return entry_record(value)
    return list(value) if isinstance(value, tuple) else str(value)


def entry_record(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain data; its time is in seconds since the epoch."""
    return {
        "index": entry.index,
        "step": entry.step,
        "name": entry.name,
        "time": entry.time,
        "n_bytes": entry.n_bytes,
        "is_keyframe": entry.is_keyframe,
        "metadata": entry.metadata,
        "position": str(entry.position),
        "n_weights": entry.n_weights,
        "model_bytes": entry.model_bytes,
        "n_changed": entry.n_changed,
        "bits_per_weight": entry.bits_per_weight,
        "ratio": entry.ratio,
    }

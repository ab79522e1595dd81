"""``incnnr inspect``: what a stream holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from incnnr import stream
from incnnr.cli.bitstreams import is_bitstream, seekable
from incnnr.cli.inspect_bitstream import inspect_bitstream
from incnnr.cli.options import json_option, stream_argument
from incnnr.cli.output import (
    Column,
    Table,
    busy,
    count,
    decimal,
    print_json,
    quantity,
    standard_output,
    tell_of_torn_tail,
)
from incnnr.cli.reports import entry_record
from incnnr.stream import Entry


@click.command(short_help="List the entries of a stream, or the units of a .nnc file.")
@stream_argument
@json_option
def inspect(path: Path, *, as_json: bool) -> None:
    """List the entries of STREAM, what they take, and the totals.

    Only headers are read: damage inside an update is found by verify. Of a torn tail stderr tells. With --json: one
    object for each entry, then one with the totals under "total".

    Of a .nnc file, a bitstream of ISO/IEC 15938-17, the units are listed, and the tensors in them.
    """
    console = standard_output()
    with seekable(path) as file:
        if is_bitstream(file):
            inspect_bitstream(file, console, as_json=as_json)
        else:
            inspect_stream(file, console, as_json=as_json)


def inspect_stream(path: Path, console: Console, *, as_json: bool) -> None:
    """List the entries of a stream."""
    with busy(console, f"reading {path}"), stream.open(path) as reader:
        entries, torn_bytes = reader.entries, reader.torn_bytes
    total = totals(entries) | {"torn_bytes": torn_bytes}
    if as_json:
        for entry in entries:
            print_json(entry_record(entry))
        print_json({"total": total})
    else:
        print_table(entries, console)
        print_totals(total, console)
    tell_of_torn_tail(torn_bytes)


def totals(entries: Sequence[Entry]) -> dict[str, Any]:
    """Add up all entries; the ratio is that of those whose model's size is known."""
    measured = [entry for entry in entries if entry.ratio is not None]
    model_bytes = sum(entry.model_bytes or 0 for entry in measured)
    return {
        "n_entries": len(entries),
        "n_keyframes": sum(entry.is_keyframe for entry in entries),
        "update_bytes": sum(entry.n_bytes for entry in entries),
        "model_bytes": model_bytes,
        "ratio": model_bytes / sum(entry.n_bytes for entry in measured) if measured else None,
    }


def print_table(entries: Sequence[Entry], console: Console) -> None:
    """Print one row for each entry."""
    names = [entry.name or "-" for entry in entries]
    table = Table(
        console,
        Column("index", 5),
        Column("step", max((len(count(entry.step)) for entry in entries), default=0)),
        Column("name", max(map(len, names), default=0), "left"),
        Column("time", 19, "left"),
        Column("bytes", max((len(count(entry.n_bytes)) for entry in entries), default=0)),
        Column("changed", 8),
        Column("bits/weight", 11),
        Column("ratio", 8),
        Column("", 8, "left"),
    )
    for entry, name in zip(entries, names, strict=True):
        table.row(
            f"{entry.index}",
            count(entry.step),
            name,
            "-" if entry.is_lost else moment(entry.time),
            count(entry.n_bytes),
            changed(entry),
            decimal(entry.bits_per_weight, 3),
            decimal(entry.ratio, 1, "x"),
            note(entry),
            style=style(entry),
        )


def changed(entry: Entry) -> str:
    """Write which share of the weights changed."""
    if entry.n_changed is None or not entry.n_weights:
        return "-"
    return decimal(100 * entry.n_changed / entry.n_weights, 2, "%")


def moment(seconds: float) -> str:
    """Write a time in seconds since the epoch; a damaged stream may hold one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "-"


def note(entry: Entry) -> str:
    """Say what is special about an entry; one without bytes lost them to damage."""
    if not entry.n_bytes:
        return "damaged"
    return "keyframe" if entry.is_keyframe else ""


def style(entry: Entry) -> str:
    """Return the colour of an entry's row."""
    return {"damaged": "bold red", "keyframe": "cyan"}.get(note(entry), "")


def print_totals(total: dict[str, Any], console: Console) -> None:
    """Print the last line."""
    entries = quantity(total["n_entries"], "entry", "entries")
    keyframes = quantity(total["n_keyframes"], "keyframe", "keyframes")
    console.print(
        f"{entries}, {keyframes}: {count(total['update_bytes'])} bytes for {count(total['model_bytes'])} bytes "
        f"of tensors, {decimal(total['ratio'], 1)} times smaller"
    )

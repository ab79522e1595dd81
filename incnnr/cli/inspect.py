"""``incnnr inspect``: what a stream holds."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from incnnr import stream
from incnnr.cli.measures import Measures, measured
from incnnr.cli.options import json_option, stream_argument
from incnnr.cli.output import Column, Table, busy, count, decimal, print_json, quantity, standard_output
from incnnr.cli.reports import entry_record


@click.command(short_help="List the entries of a stream.")
@stream_argument
@json_option
def inspect(path: Path, *, as_json: bool) -> None:
    """List the entries of STREAM, what they take, and the totals.

    No weights are decoded. With --json: one object for each entry, then one with the totals under "total".
    """
    console = standard_output()
    with busy(console, f"reading {path}"), stream.open(path) as reader:
        rows = list(measured(reader))
        torn_bytes = reader.torn_bytes
    total = totals(rows) | {"torn_bytes": torn_bytes}
    if as_json:
        for row in rows:
            print_json(record(row))
        print_json({"total": total})
        return
    print_table(rows, console)
    print_totals(total, console)


def record(row: Measures) -> dict[str, Any]:
    """Return an entry and its measures as plain data."""
    measures = {name: getattr(row, name) for name in ("n_weights", "tensor_bytes", "bits_per_weight", "ratio")}
    return entry_record(row.entry) | measures


def totals(rows: list[Measures]) -> dict[str, Any]:
    """Add up all entries whose size is known."""
    update_bytes = sum(row.entry.n_bytes for row in rows)
    tensor_bytes = sum(row.tensor_bytes or 0 for row in rows)
    return {
        "n_entries": len(rows),
        "n_keyframes": sum(row.entry.is_keyframe for row in rows),
        "update_bytes": update_bytes,
        "tensor_bytes": tensor_bytes,
        "ratio": tensor_bytes / update_bytes if update_bytes else None,
    }


def print_table(rows: list[Measures], console: Console) -> None:
    """Print one row for each entry."""
    names = [row.entry.name or "-" for row in rows]
    table = Table(
        console,
        Column("index", 5),
        Column("step", max((len(count(row.entry.step)) for row in rows), default=0)),
        Column("name", max(map(len, names), default=0), "left"),
        Column("time", 19, "left"),
        Column("bytes", max((len(count(row.entry.n_bytes)) for row in rows), default=0)),
        Column("bits/weight", 11),
        Column("ratio", 8),
        Column("", 8, "left"),
    )
    for row, name in zip(rows, names, strict=True):
        entry = row.entry
        table.row(
            f"{entry.index}",
            count(entry.step),
            name,
            "-" if entry.is_lost else moment(entry.time),
            count(entry.n_bytes),
            decimal(row.bits_per_weight, 3),
            decimal(row.ratio, 1, "x"),
            note(row),
            style=style(row),
        )


def moment(seconds: float) -> str:
    """Write a time in seconds since the epoch; a damaged stream may hold one that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "-"


def note(row: Measures) -> str:
    """Say what is special about an entry."""
    if row.n_weights is None:
        return "damaged"
    return "keyframe" if row.entry.is_keyframe else ""


def style(row: Measures) -> str:
    """Return the colour of an entry's row."""
    return {"damaged": "bold red", "keyframe": "cyan"}.get(note(row), "")


def print_totals(total: dict[str, Any], console: Console) -> None:
    """Print the last lines."""
    entries = quantity(total["n_entries"], "entry", "entries")
    keyframes = quantity(total["n_keyframes"], "keyframe", "keyframes")
    console.print(
        f"{entries}, {keyframes}: {count(total['update_bytes'])} bytes for {count(total['tensor_bytes'])} bytes "
        f"of tensors, {decimal(total['ratio'], 1)} times smaller"
    )
    if total["torn_bytes"]:
        console.print(
            f"{count(total['torn_bytes'])} bytes at the end belong to a write that never ended", style="yellow"
        )

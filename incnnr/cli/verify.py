"""``incnnr verify``: whether every entry of a stream can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from incnnr import stream
from incnnr.cli.options import json_option, stream_argument, threads_option
from incnnr.cli.output import busy, print_json, quantity, standard_output, tell_of_torn_tail
from incnnr.stream import Fault
from incnnr.stream.verify import faults_of


@click.command(short_help="Check every entry of a stream.")
@stream_argument
@click.option("--quick", is_flag=True, help="Check the checksums of the file only; decode nothing.")
@threads_option
@json_option
def verify(path: Path, *, quick: bool, threads: int | None, as_json: bool) -> None:
    """Decode every entry of STREAM, compare the digest of its weights, and list what is damaged.

    Exit status 1 if anything is. A torn tail, which a crash while writing leaves, is no damage, all that was committed
    is there; stderr tells of it. With --json: one object for each fault, then one with the totals under "total".
    """
    console = standard_output()
    with busy(console, f"verifying {path}"), stream.open(path, threads=threads) as reader:
        n_entries, n_lost, n_faults = len(reader), 0, 0
        for fault in faults_of(reader, quick=quick):
            n_faults += 1
            n_lost += fault.index is not None
            print_fault(fault, console, as_json=as_json)
        tell_of_torn_tail(reader.torn_bytes)
    if as_json:
        print_json({"total": {"n_entries": n_entries, "n_damaged": n_lost, "n_faults": n_faults}})
    elif not n_faults:
        console.print(f"{quantity(n_entries, 'entry', 'entries')}, all sound", style="green")
    if n_faults:
        raise click.ClickException(
            f"{path} is damaged: {n_lost} of {quantity(n_entries, 'entry', 'entries')} cannot be decoded."
        )


def print_fault(fault: Fault, console: Console, *, as_json: bool) -> None:
    """Print one fault on one line, at once."""
    if as_json:
        print_json(record(fault))
        return
    place = "file" if fault.index is None else f"entry {fault.index}"
    console.print(Text.assemble((f"{place}: ", "bold red"), str(fault.error)))


def record(fault: Fault) -> dict[str, Any]:
    """Return a fault as plain data."""
    error = fault.error
    return {
        "index": fault.index,
        "error": type(error).__name__,
        "message": error.message,
        "byte_offset": error.byte_offset,
    }

"""``incnnr inspect`` of a ``.nnc`` file: its units, and the tensors in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from incnnr.cli.output import Column, Table, busy, count, decimal, print_json, quantity
from incnnr.nnc.listing import ListedTensors, ListedUnit, list_units


def inspect_bitstream(path: Path, console: Console, *, as_json: bool) -> None:
    """List the units of a bitstream, then the totals."""
    with busy(console, f"reading {path}"):
        units = list(list_units(path.read_bytes()))
    total = totals(units)
    if as_json:
        for unit in units:
            print_json(asdict(unit))
        print_json({"total": total})
        return
    print_table(units, console)
    tensors, bits = quantity(total["n_tensors"], "tensor", "tensors"), decimal(total["bits_per_weight"], 3)
    console.print(
        f"{quantity(total['n_units'], 'unit', 'units')}, {tensors}: {count(total['n_bytes'])} bytes "
        f"for {count(total['n_weights'])} weights, {bits} bits each"
    )


def totals(units: Sequence[ListedUnit]) -> dict[str, Any]:
    """Add up all units; no number of weights where one of them does not carry its shape."""
    listed = [tensors for unit in units for tensors in unit.tensors]
    counts = [tensors.n_weights for tensors in listed]
    n_weights = None if None in counts else sum(n for n in counts if n)
    n_bytes = sum(unit.n_bytes for unit in units)
    return {
        "n_units": len(units),
        "n_tensors": sum(len(tensors.names) for tensors in listed),
        "n_bytes": n_bytes,
        "n_weights": n_weights,
        "bits_per_weight": 8 * n_bytes / n_weights if n_weights else None,
    }


def print_table(units: Sequence[ListedUnit], console: Console) -> None:
    """Print one row for each unit, and one for each further data unit in it."""
    rows = [(unit, tensors) for unit in units for tensors in unit.tensors or (None,)]
    table = Table(
        console,
        Column("index", 5),
        Column("type", 4, "left"),
        Column("bytes", max((len(count(unit.n_bytes)) for unit in units), default=0)),
        Column("payload", 9, "left"),
        Column("qp", 4),
        Column("shape", max(len(shape(tensors)) for _, tensors in rows), "left"),
        Column("coded with", max(len(tools(tensors)) for _, tensors in rows), "left"),
        Column("tensors", 0, "left"),
    )
    for unit, tensors in rows:
        table.row(
            f"{unit.index}",
            unit.type,
            count(unit.n_bytes),
            tensors.payload if tensors else "",
            "" if tensors is None or tensors.qp is None else f"{tensors.qp}",
            shape(tensors),
            tools(tensors),
            ", ".join(tensors.names) if tensors else "",
            style="" if tensors else "dim",
        )


def shape(tensors: ListedTensors | None) -> str:
    """Write a shape as numpy does."""
    if tensors is None:
        return ""
    return "-" if tensors.shape is None else " x ".join(map(str, tensors.shape)) or "()"


def tools(tensors: ListedTensors | None) -> str:
    """Name what a decoder needs to know."""
    if tensors is None:
        return ""
    words = [
        "dq" if tensors.dq else "",
        f"scan {tensors.scan_order}" if tensors.scan_order else "",
        f"codebook of {tensors.codebook_size}" if tensors.codebook_size is not None else "",
        f"depth {tensors.node[2]}" if tensors.node else "",
        "temporal" if tensors.temporal else "",
    ]
    return ", ".join(word for word in words if word)

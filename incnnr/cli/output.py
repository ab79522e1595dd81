"""What commands show: aligned rows with colour on a terminal, plain ones in a pipe, JSON for scripts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import click
from rich.console import Console
from rich.text import Text

from incnnr.errors import PatternWarning


def standard_output() -> Console:
    """Return a console on stdout whose lines never wrap in a pipe."""
    return Console(soft_wrap=True, highlight=False)


def standard_error() -> Console:
    """Return a console on stderr, where progress belongs: on a terminal shown, in a pipe not."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def tell_of_torn_tail(n_bytes: int) -> None:
    """Say on stderr what a reader passes over: the end of a write that was cut short, or of a transfer."""
    if n_bytes:
        standard_error().print(
            f"{count(n_bytes)} bytes at the end belong to an entry that never arrived whole", style="yellow"
        )


def tell_of_ignored(name: str, ignored: Sequence[str]) -> None:
    """Say on stderr which files that lie beside a checkpoint do not go where it goes."""
    if ignored:
        words = printable(f"{name}: not carried: {', '.join(ignored)}")
        standard_error().print(Text(words, style="yellow"))


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print warnings on stderr as one line each, and those of patterns every time."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        standard_error().print(Text(printable("Warning: " + " ".join(str(message).split())), style="yellow"))

    with warnings.catch_warnings():
        warnings.simplefilter("always", PatternWarning)
        warnings.showwarning = show
        yield


def busy(console: Console, words: str) -> AbstractContextManager[object]:
    """Show on a terminal that something goes on; in a pipe, nothing."""
    return console.status(Text(printable(words))) if console.is_terminal else nullcontext()


def print_json(record: Mapping[str, Any]) -> None:
    """Print one object on one line, at once."""
    click.echo(json.dumps(record, default=str, skipkeys=True))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: what it is called, how many characters its widest cell takes, its side and its colour."""

    title: str
    width: int
    side: Literal["left", "right"] = "right"
    style: str = ""

    def fit(self, cell: str) -> str:
        """Return `cell` at the column's width, or wider where it has more to say."""
        width = max(self.width, len(self.title))
        cell = printable(cell)
        return cell.ljust(width) if self.side == "left" else cell.rjust(width)


class Table:
    """A table that prints its rows as they come, so that one can watch.

    Examples
    --------
    >>> table = Table(standard_output(), Column("name", 6, "left"), Column("bytes", 7))
    >>> table.row("first", "1,234")
    name      bytes
    first     1,234
    >>> table.row("second", "56")
    second       56
    """

    def __init__(self, console: Console, *columns: Column, gap: str = "  ") -> None:
        self._console = console
        self._columns = columns
        self._gap = gap
        self._has_header = False

    def row(self, *cells: str, style: str = "") -> None:
        """Print one row, below the header if it is the first one; a row's colour goes before the columns'."""
        if not self._has_header:
            self._print([column.title for column in self._columns], "bold")
            self._has_header = True
        self._print(cells, style)

    def _print(self, cells: Sequence[str], style: str) -> None:
        line = Text(self._gap).join(
            Text(column.fit(cell), style=style or column.style)
            for column, cell in zip(self._columns, cells, strict=True)
        )
        line.rstrip()
        self._console.print(line)


def printable(words: str) -> str:
    r"""Escape what a terminal would take for a command, and what no encoding has: names come from anywhere.

    Examples
    --------
    >>> print(printable("epoch 1\x1b[2J"))
    epoch 1\x1b[2J
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in words)


def quantity(number: int, noun: str, plural: str) -> str:
    """Write how many there are of something.

    Examples
    --------
    >>> quantity(1, "entry", "entries"), quantity(1000, "entry", "entries")
    ('1 entry', '1,000 entries')
    """
    return f"{count(number)} {noun if number == 1 else plural}"


def count(number: int | None) -> str:
    """Write an integer so that it can be read.

    Examples
    --------
    >>> count(1234567), count(None)
    ('1,234,567', '-')
    """
    return "-" if number is None else f"{number:,}"


def decimal(number: float | None, digits: int = 2, unit: str = "") -> str:
    """Write a fraction, or a dash for one that is not known.

    Examples
    --------
    >>> decimal(12.345, 1, "x"), decimal(None)
    ('12.3x', '-')
    """
    return "-" if number is None else f"{number:,.{digits}f}{unit}"

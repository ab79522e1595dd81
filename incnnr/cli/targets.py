"""Where a stream goes: into a file, or through one to stdout."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import click

from incnnr import stream
from incnnr.stream.frames import MARK

STDOUT = "-"
Mode = Literal["w", "x", "a"]


@dataclass(slots=True)
class Target:
    """An open writer, and how many bytes of its file went to stdout already; None if they are to stay."""

    writer: stream.StreamWriter
    path: Path
    n_sent: int | None = None

    @property
    def is_stdout(self) -> bool:
        """Whether stdout belongs to the stream."""
        return self.n_sent is not None

    def forward(self) -> None:
        """Send what was committed since the last time, if it is for stdout."""
        if self.n_sent is None or not self.path.exists():
            return
        self.n_sent = send(self.path, self.n_sent)


def send(path: Path, n_sent: int = 0) -> int:
    """Copy a file to stdout, all but its first `n_sent` bytes, and return its size."""
    with path.open("rb") as file, click.open_file(STDOUT, "wb") as out:
        file.seek(n_sent)
        shutil.copyfileobj(file, out)
        out.flush()
        return file.tell()


def refuse_json_on_stdout(as_json: bool, output: str) -> None:
    """Say that a stream and lines of JSON cannot share stdout.

    Raises
    ------
    click.UsageError
        They would.
    """
    if as_json and output == STDOUT:
        raise click.UsageError("--json and '-o -' both want stdout.")


def refuse_terminal(output: str) -> None:
    """Keep bytes from being shown as text.

    Raises
    ------
    click.UsageError
        They would go to a terminal.
    """
    if output == STDOUT and sys.stdout.isatty():
        raise click.UsageError("'-o -' writes bytes, which are nothing for a terminal: give it a pipe or a file.")


def refuse_what_is_no_stream(path: Path) -> None:
    """Protect files that are not streams from being written to.

    Raises
    ------
    click.UsageError
        There is such a file at `path`.
    """
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder.")
    if path.exists():
        with path.open("rb") as file:
            head = file.read(len(MARK))
        if not MARK.startswith(head):
            raise click.UsageError(f"{path} is there and is not a stream: it is left as it is.")


@contextmanager
def writing(output: str, mode: Mode, **options: Any) -> Iterator[Target]:
    """Open a stream for writing; on its way to stdout it needs room for itself in the temporary folder.

    Raises
    ------
    click.UsageError
        `output` is a file, and not a stream: nobody wants it to be replaced.
    """
    if output == STDOUT:
        with TemporaryDirectory(prefix="incnnr-") as folder:
            path = Path(folder) / "stream.incnnr"
            with stream.open(path, "x", **options) as writer:
                target = Target(writer, path, n_sent=0)
                yield target
            target.forward()
        return
    path = Path(output)
    refuse_what_is_no_stream(path)
    is_new = not path.exists()
    try:
        with stream.open(path, mode, **options) as writer:
            yield Target(writer, path)
    except BaseException:
        if is_new and path.exists() and path.stat().st_size == 0:
            path.unlink()
        raise

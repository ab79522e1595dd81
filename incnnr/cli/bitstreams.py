"""``.nnc`` files: one bitstream of the standard each, where other files are streams of updates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from incnnr import checkpoints, files
from incnnr.cli.output import decimal, printable, quantity
from incnnr.errors import CheckpointError
from incnnr.incremental import Decoder, Encoder, Update
from incnnr.incremental.update import is_standard
from incnnr.tensors import Model

SUFFIX = ".nnc"
_START_BYTES = 8  # hold a whole start unit


def is_bitstream(path: Path) -> bool:
    """Whether a file is a bitstream, by its name or its first bytes."""
    if path.suffix == SUFFIX:
        return True
    with path.open("rb") as file:
        return is_standard_start(file.read(_START_BYTES))


def is_standard_start(head: bytes) -> bool:
    """Whether bytes are the beginning of a bitstream of the standard."""
    size = int.from_bytes(head[:2], "big")
    return is_standard(head[:size])


@contextmanager
def seekable(path: Path) -> Iterator[Path]:
    """Return the path of a file with the bytes of `path`, which may be a pipe: its first bytes are read twice."""
    if path.is_file() or not path.exists():
        yield path
        return
    with TemporaryDirectory(prefix="incnnr-") as folder:
        copy = Path(folder) / "stdin"
        with path.open("rb") as pipe, copy.open("wb") as file:
            shutil.copyfileobj(pipe, file)
        yield copy


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A bitstream that was made of a checkpoint, and the files of its folder that are not in it."""

    name: str
    update: Update
    ignored: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        stats = self.update.stats
        return {"name": self.name, **(asdict(stats) if stats else {}), "ignored": self.ignored}

    def show(self, console: Console) -> None:
        """Say in a line what it takes."""
        stats = self.update.stats
        if stats:
            cost = f"{quantity(stats.n_bytes, 'byte', 'bytes')}, {decimal(stats.bits_per_weight, 3)} bits/weight"
            console.print(Text(printable(f"{self.name}: {cost}, largest error {stats.largest_error:.3g}")))


def encode_bitstream(path: Path, output: Path, options: dict[str, Any]) -> EncodedFile:
    """Encode one checkpoint as one self-contained bitstream, atomically."""
    checkpoint = checkpoints.read(path)
    try:
        update = Encoder(**options).encode(checkpoint)
    except (TypeError, ValueError) as error:
        raise CheckpointError(path, str(error)) from error
    with files.replacing(output) as file:
        file.write(update.data)
    return EncodedFile(path.name, update, checkpoint.ignored)


def refuse_output(output: Path, *, append: bool, force: bool) -> None:
    """Protect what is there: only a bitstream is replaced, and only if the command line says so.

    Raises
    ------
    click.UsageError
        There is something else, or the command line does not say so.
    """
    if append:
        raise click.UsageError(f"--append continues a stream: {output} is one bitstream.")
    if output.is_dir():
        raise click.UsageError(f"{output} is a folder.")
    if not output.exists():
        return
    if not force:
        raise click.UsageError(f"{output} exists: --force replaces it.")
    with output.open("rb") as file:
        head = file.read(_START_BYTES)
    if head and not is_standard_start(head):
        raise click.UsageError(f"{output} is there and is no bitstream: it is left as it is.")


def decode_bitstream(path: Path, threads: int | None) -> Model:
    """Decode a self-contained bitstream."""
    return Decoder(threads=threads).decode(path.read_bytes())

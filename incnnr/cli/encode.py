"""``incnnr encode``: checkpoints in the order given become the entries of a stream."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from incnnr import checkpoints
from incnnr.cli.bitstreams import SUFFIX, encode_bitstream, refuse_output
from incnnr.cli.options import encoder_options, encoding_options, json_option
from incnnr.cli.output import Column, Table, busy, count, decimal, print_json, standard_error, tell_of_ignored
from incnnr.cli.reports import entry_record
from incnnr.cli.targets import STDOUT, Mode, Target, refuse_json_on_stdout, refuse_terminal, writing
from incnnr.errors import CheckpointError
from incnnr.stream import Entry
from incnnr.watch.identity import append as append_candidate
from incnnr.watch.identity import content_digest
from incnnr.watch.scan import Candidate, signature_of

STDIN = "-"


@click.command(short_help="Encode checkpoints into a stream.")
@click.argument("sources", metavar="CKPT...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="STREAM",
    required=True,
    help="The stream or .nnc file to make; '-' is a stream on stdout.",
)
@click.option("--append", is_flag=True, help="Continue the stream if there is one, whatever it holds already.")
@click.option("--force", is_flag=True, help="Replace the stream if there is one.")
@encoding_options
@json_option
def encode(
    sources: tuple[str, ...],
    output: str,
    *,
    append: bool,
    force: bool,
    keyframe_every: int,
    as_json: bool,
    **knobs: Any,
) -> None:
    """Encode checkpoints, in the order given, as the entries of one stream.

    CKPT is a checkpoint file, a folder that is a checkpoint, or a folder of checkpoints, which are taken by step.
    '-' is one safetensors file from stdin. Names and steps of the entries come from the file names.

    Every checkpoint is on disk in the stream before the next one is read. A file that is not a stream is never
    replaced.

    With -o NAME.nnc one checkpoint becomes one self-contained bitstream of ISO/IEC 15938-17 instead.
    """
    refuse_json_on_stdout(as_json, output)
    refuse_terminal(output)
    if Path(output).suffix == SUFFIX:
        encode_one(sources, Path(output), append=append, force=force, as_json=as_json, knobs=knobs)
        return
    mode = mode_for(output, append=append, force=force)
    options = encoder_options(**knobs)
    with ExitStack() as stack:
        paths = [path for source in sources for path in expanded(source, stack)]
        target = stack.enter_context(writing(output, mode, keyframe_every=keyframe_every, **options))
        progress = Progress(paths)
        for path in paths:
            with progress.at(path):
                encoded = encoded_from(path, target)
            if as_json:
                print_json(record(encoded))
            else:
                progress.show(encoded)


def encode_one(
    sources: tuple[str, ...], output: Path, *, append: bool, force: bool, as_json: bool, knobs: dict[str, Any]
) -> None:
    """Encode the one checkpoint that the sources stand for as a bitstream."""
    refuse_output(output, append=append, force=force)
    options = encoder_options(**{**knobs, "profile": "iso"})
    console = standard_error()
    with ExitStack() as stack:
        paths = [path for source in sources for path in expanded(source, stack)]
        if len(paths) != 1:
            raise click.UsageError(f"{output} takes one checkpoint, and these are {len(paths)}.")
        with busy(console, paths[0].name):
            encoded = encode_bitstream(paths[0], output, options)
    if as_json:
        print_json(encoded.record())
        return
    if console.is_terminal:
        encoded.show(console)
    tell_of_ignored(encoded.name, encoded.ignored)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An entry, and the files that it was made from."""

    entry: Entry
    file_bytes: int
    ignored: tuple[str, ...]


def mode_for(output: str, *, append: bool, force: bool) -> Mode:
    """Return the mode to open the stream in: nothing that exists is touched unless the command line says so."""
    if append and force:
        raise click.UsageError("--append continues a stream and --force replaces it: give one of them.")
    if output == STDOUT and (append or force):
        raise click.UsageError(f"--{'append' if append else 'force'} needs a file: stdout holds nothing yet.")
    if append:
        return "a"
    if force:
        return "w"
    if output != STDOUT and Path(output).exists():
        raise click.UsageError(f"{output} exists: --append continues it, --force replaces it.")
    return "x"


def expanded(source: str, stack: ExitStack) -> list[Path]:
    """Return the checkpoints that an argument stands for; `stack` removes what stdin was kept in."""
    path = stack.enter_context(stdin_as_file()) if source == STDIN else Path(source)
    if not path.is_dir() or checkpoints.is_checkpoint(path):
        return [path]
    found = checkpoints.find(path)
    if not found:
        raise CheckpointError(path, "no checkpoints in this folder")
    return found


@contextmanager
def stdin_as_file() -> Iterator[Path]:
    """Keep what comes from stdin in a file as long as the block runs."""
    with TemporaryDirectory(prefix="incnnr-") as folder:
        path = Path(folder) / "stdin.safetensors"
        with click.open_file(STDIN, "rb") as stdin, path.open("wb") as file:
            shutil.copyfileobj(stdin, file)
        yield path


def encoded_from(path: Path, target: Target) -> Encoded:
    """Encode one checkpoint; it is known to a later `incnnr watch` of its folder."""
    candidate = Candidate(path.name or path.resolve().name, path, signature_of(path))
    checkpoint = checkpoints.read(path)
    try:
        entry = append_candidate(target.writer, checkpoint, candidate, content_digest(path, candidate.signature))
    except (TypeError, ValueError) as error:
        raise CheckpointError(path, str(error)) from error
    target.forward()
    return Encoded(entry, sum(file.size for file in candidate.signature), checkpoint.ignored)


def record(encoded: Encoded) -> dict[str, Any]:
    """Return an entry and what it was made from as plain data."""
    return entry_record(encoded.entry) | {"file_bytes": encoded.file_bytes, "ignored": encoded.ignored}


class Progress:
    """A table on the terminal that grows with every checkpoint; in a pipe, only what is left out."""

    def __init__(self, paths: list[Path]) -> None:
        self._console = standard_error()
        self._table = Table(
            self._console,
            Column("name", max((len(path.name) for path in paths), default=0), "left"),
            Column("step", 8),
            Column("bytes", 15),
            Column("bits/weight", 11),
            Column("ratio", 8),
        )

    def at(self, path: Path) -> AbstractContextManager[object]:
        """Show which checkpoint is in hand."""
        return busy(self._console, path.name)

    def show(self, encoded: Encoded) -> None:
        """Add the row of a checkpoint, and the files of its folder that the stream does not carry."""
        entry = encoded.entry
        if self._console.is_terminal:
            self._table.row(
                entry.name or "",
                count(entry.step),
                count(entry.n_bytes),
                decimal(entry.bits_per_weight, 3),
                decimal(entry.ratio, 2, "x"),
                style="cyan" if entry.is_keyframe else "",
            )
        tell_of_ignored(entry.name or "", encoded.ignored)

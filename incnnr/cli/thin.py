"""``incnnr thin``: a stream with fewer entries, each as it was."""

from __future__ import annotations

from pathlib import Path

import click

from incnnr import stream
from incnnr.cli.options import json_option, keyframe_option, stream_argument, threads_option
from incnnr.cli.output import busy, print_json, quantity, standard_error, tell_of_torn_tail
from incnnr.cli.reports import entry_record
from incnnr.cli.targets import refuse_what_is_no_stream


class Indices(click.ParamType[list[int]]):
    """``0,5,-1``: numbers of entries, negative ones counted from the end."""

    name = "list"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 -- click's signature
        """Return what stands for the value in the help."""
        return "LIST"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Read the numbers."""
        try:
            return [int(number) for number in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of entries such as 0,5,-1.", param, ctx)


@click.command(short_help="Keep some entries of a stream.")
@stream_argument
@click.option(
    "-o", "--output", metavar="STREAM", type=click.Path(path_type=Path), required=True, help="The new stream."
)
@click.option(
    "--every", type=click.IntRange(min=1), metavar="N", help="Keep entries 0, N, 2N and so on, and the newest."
)
@click.option("--keep", type=Indices(), help="Keep these entries, such as 0,5,-1.")
@click.option("--force", is_flag=True, help="Replace the output if it is a stream.")
@keyframe_option
@threads_option
@json_option
def thin(
    path: Path,
    output: Path,
    *,
    every: int | None,
    keep: list[int] | None,
    force: bool,
    keyframe_every: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Write some entries of STREAM to a new stream.

    Each decodes to what it did before, with its step, name, time and metadata. It is coded anew without loss, so that
    a stream with --max-error or --qp may take more bytes for it. STREAM stays as it is.
    """
    if (every is None) == (keep is None):
        raise click.UsageError("--every N and --keep LIST say which entries to keep: give one of them.")
    refuse_output(path, output, force=force)
    console = standard_error()
    with busy(console, "thinning"), stream.open(path, threads=threads) as reader:
        indices = every_nth(len(reader), every) if every else kept(len(reader), keep or [])
        entries = list(stream.thin(reader, output, indices, keyframe_every=keyframe_every, threads=threads))
        before = sum(entry.n_bytes for entry in reader.entries)
        tell_of_torn_tail(reader.torn_bytes)
    if as_json:
        for entry in entries:
            print_json(entry_record(entry))
    elif console.is_terminal:
        words = quantity(len(entries), "entry", "entries")
        after = sum(entry.n_bytes for entry in entries)
        console.print(f"{words} in {quantity(after, 'byte', 'bytes')}, {len(reader)} took {before:,}")


def refuse_output(path: Path, output: Path, *, force: bool) -> None:
    """Protect what is there.

    Raises
    ------
    click.UsageError
        The output exists and nobody said that it may be replaced, or it is the stream itself, or no stream.
    """
    refuse_what_is_no_stream(output)
    if output.exists() and not force:
        raise click.UsageError(f"{output} exists: --force replaces it.")
    if output.exists() and output.samefile(path):
        raise click.UsageError("the stream cannot be thinned in place: name another output.")


def every_nth(n_entries: int, every: int) -> list[int]:
    """Return every so manieth entry from the first on, and the newest.

    Examples
    --------
    >>> every_nth(8, 3), every_nth(7, 3), every_nth(0, 3)
    ([0, 3, 6, 7], [0, 3, 6], [])
    """
    return sorted({*range(0, n_entries, every), *range(n_entries - 1, n_entries)} - {-1})


def kept(n_entries: int, indices: list[int]) -> list[int]:
    """Return the entries that a list names, each once and in order.

    Raises
    ------
    click.UsageError
        One of them is not there.

    Examples
    --------
    >>> kept(8, [-1, 0, 3, 3])
    [0, 3, 7]
    """
    for index in indices:
        if not -n_entries <= index < n_entries:
            raise click.UsageError(f"no entry {index}: the stream holds {n_entries}.")
    return sorted({index % n_entries for index in indices})

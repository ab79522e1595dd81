"""``incnnr decode``: one entry of a stream becomes the checkpoint it was."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from incnnr import checkpoints, stream
from incnnr.checkpoints.registry import FILE_FORMATS
from incnnr.cli.bitstreams import decode_bitstream, is_bitstream, seekable
from incnnr.cli.options import stream_argument, threads_option
from incnnr.cli.output import busy, standard_error, tell_of_torn_tail
from incnnr.cli.targets import STDOUT, refuse_terminal, send
from incnnr.tensors import Model


@click.command(short_help="Rebuild a checkpoint from a stream or .nnc file.")
@stream_argument
@click.option("-o", "--output", metavar="CKPT", required=True, help="The file or folder to write; '-' is stdout.")
@click.option("--step", type=int, help="The newest entry of that training step.")
@click.option("--index", type=int, help="The entry of that index, counted from 0; -1 is the newest.")
@threads_option
def decode(path: Path, output: str, step: int | None, index: int | None, threads: int | None) -> None:
    """Rebuild one checkpoint from STREAM, by default the newest.

    The extension of -o chooses the format. In the format it was made from, a checkpoint is rebuilt with all its
    metadata: a safetensors file encoded without loss byte for byte, a folder shard by shard. What is there already is
    replaced in one step once the new one is complete. A stream that ends in the middle of an entry gives those before
    it, and a word about that on stderr.

    STREAM may also be a .nnc file, a bitstream of ISO/IEC 15938-17, with the weights of one checkpoint.
    """
    if step is not None and index is not None:
        raise click.UsageError("--step and --index both name an entry: give one of them.")
    refuse_terminal(output)
    with busy(standard_error(), "decoding"), seekable(path) as file:
        if not is_bitstream(file):
            model = decoded_entry(file, step, index, threads)
        elif step is None and index is None:
            model = decode_bitstream(file, threads)
        else:
            raise click.UsageError("--step and --index name an entry of a stream, and this is one bitstream.")
    if output == STDOUT:
        write_to_stdout(model)
    else:
        checkpoints.write(output, model)


def decoded_entry(path: Path, step: int | None, index: int | None, threads: int | None) -> Model:
    """Decode the entry of a stream that the options name."""
    with stream.open(path, threads=threads) as reader:
        model = chosen(reader, step, index)
        tell_of_torn_tail(reader.torn_bytes)
    return model


def chosen(reader: stream.StreamReader, step: int | None, index: int | None) -> Model:
    """Return the model that the options name.

    Raises
    ------
    click.ClickException
        There is no such entry.
    """
    n_entries = len(reader)
    if n_entries == 0:
        raise click.ClickException("the stream holds no entries yet.")
    if step is not None:
        if all(entry.step != step for entry in reader.entries):
            raise click.ClickException(f"no entry has step {step}: incnnr inspect lists the steps.")
        return reader.at(step=step)
    index = -1 if index is None else index
    if not -n_entries <= index < n_entries:
        raise click.ClickException(f"no entry {index}: the stream holds {n_entries}, from 0 to {n_entries - 1}.")
    return reader[index]


def write_to_stdout(model: Model) -> None:
    """Write the file that the checkpoint was, or a plain safetensors file.

    Raises
    ------
    click.UsageError
        The checkpoint is a folder.
    """
    extensions = {file_format.name: file_format.extensions[0] for file_format in FILE_FORMATS}
    name = "safetensors" if model.layout is None else model.layout.format
    if name not in extensions:
        raise click.UsageError("this checkpoint is a folder, which a pipe cannot take: name one with -o.")
    with TemporaryDirectory(prefix="incnnr-") as folder:
        path = Path(folder) / f"model{extensions[name]}"
        checkpoints.write(path, model)
        send(path)

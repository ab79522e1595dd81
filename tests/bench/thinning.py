"""Prints what `incnnr thin` to the first and the last entry takes beside a direct update, after checking both exactly.

By hand (seconds)::

    python -m tests.bench.thinning SERIES_FOLDER [...] [--effort default small]

The series becomes a stream with the command line tool, which then thins it. The direct update is that of a fresh
encoder which was given the first checkpoint and the last.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from click.testing import CliRunner

import incnnr
from incnnr.cli import main as command
from incnnr.incremental.encoder import Effort
from tests.bench import series


def run(*arguments: object) -> None:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exit_code:
        raise SystemExit(result.output)


def thinned(paths: list[Path], effort: Effort, folder: Path) -> tuple[int, int, int]:
    """Return the bytes of all updates of the series, and of the one that is left: thinned, and coded directly."""
    run("encode", *paths, "-o", folder / "run.incnnr", "--effort", effort)
    run("thin", folder / "run.incnnr", "--keep", "0,-1", "-o", folder / "thin.incnnr")
    ends = [incnnr.read(paths[0]), incnnr.read(paths[-1])]
    with incnnr.open(folder / "thin.incnnr") as stream:
        if [series.exact(model) for model in stream] != [series.exact(weights) for weights in ends]:
            raise SystemExit("the thinned stream does not hold the first checkpoint and the last")
        update = stream.entries[1].n_bytes
    with incnnr.open(folder / "run.incnnr") as stream:
        before = sum(entry.n_bytes for entry in stream.entries if not entry.is_keyframe)
    return before, update, direct(ends, effort)


def direct(ends: list[series.Weights], effort: Effort) -> int:
    """Return the bytes of the update from one checkpoint to another."""
    encoder, decoder = incnnr.Encoder(effort=effort), incnnr.Decoder()
    for weights in ends:
        update = encoder.encode(weights)
        if series.exact(decoder.decode(update)) != series.exact(weights):
            raise SystemExit("the direct update is not exact")
    return len(bytes(update))


def main() -> None:
    parser = argparse.ArgumentParser(description="Size of a thinned stream's update beside a direct one.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--effort", nargs="+", default=series.EXACT_EFFORTS, choices=series.EXACT_EFFORTS)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        paths, rows = series.paths_of(folder), []
        for effort in arguments.effort:
            with tempfile.TemporaryDirectory() as root:
                before, update, alone = thinned(paths, effort, Path(root))
            rows.append((effort, before, update, alone, update / alone))
        columns = ("effort", "all updates", "thinned to one", "direct update", "thinned / direct")
        series.print_table(f"{folder.name}, {len(paths)} checkpoints; bytes; both exact", columns, rows)


if __name__ == "__main__":
    main()

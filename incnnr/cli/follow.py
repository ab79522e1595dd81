"""``incnnr follow``: a file that always holds the newest entry of a stream."""

from __future__ import annotations

from pathlib import Path

import click

from incnnr.cli.options import json_option, stream_argument, threads_option
from incnnr.cli.output import standard_output
from incnnr.cli.reports import print_report
from incnnr.cli.signals import stop_requests
from incnnr.watch import Follower


@click.command(short_help="Keep a checkpoint file at the newest entry of a stream.")
@stream_argument
@click.option(
    "-o", "--output", metavar="CKPT", required=True, type=click.Path(path_type=Path), help="The file or folder to keep."
)
@threads_option
@json_option
def follow(path: Path, output: Path, threads: int | None, as_json: bool) -> None:
    """Apply the updates of STREAM as they arrive and replace -o by the newest checkpoint, in one step.

    STREAM may still be made by somebody else, or '-' for stdin, which ends it. One line is printed for every checkpoint
    written; where several entries are waiting, only the newest is.
    SIGINT or SIGTERM ends it after the update in hand.
    """
    console = standard_output()
    with stop_requests() as stop:
        for report in Follower(path, output, threads=threads).run(stop):
            print_report(report, console, as_json=as_json)

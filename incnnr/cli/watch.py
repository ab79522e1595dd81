"""``incnnr watch``: a folder of checkpoints becomes a stream, for as long as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from incnnr.cli.options import encoder_options, encoding_options, json_option
from incnnr.cli.output import standard_error, standard_output
from incnnr.cli.reports import print_report
from incnnr.cli.signals import stop_requests
from incnnr.cli.targets import refuse_json_on_stdout, refuse_terminal, writing
from incnnr.watch import Failed, FolderMissing, Watcher

STREAM_HELP = "The stream: created, or continued where it ends; '-' is stdout."


@click.command(short_help="Encode the checkpoints of a folder as they appear.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("-o", "--output", metavar="STREAM", required=True, help=STREAM_HELP)
@click.option("--once", is_flag=True, help="Encode what is there and end, with status 1 if a checkpoint is bad.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Look this often and rely on no file events, which network mounts do not send.",
)
@click.option(
    "--ready-marker", metavar="GLOB", help="Take a checkpoint only once a file of this name says it is complete."
)
@click.option("--match", metavar="GLOB", multiple=True, help="Take only checkpoints of such names; may be repeated.")
@click.option("--ignore", metavar="GLOB", multiple=True, help="Leave checkpoints of such names alone; may be repeated.")
@encoding_options
@json_option
def watch(
    folder: Path,
    *,
    output: str,
    once: bool,
    poll: float | None,
    ready_marker: str | None,
    match: tuple[str, ...],
    ignore: tuple[str, ...],
    keyframe_every: int,
    as_json: bool,
    **knobs: Any,
) -> None:
    """Watch DIR and append every checkpoint that appears in it to a stream, in order and once.

    A watch may be killed at any moment and started again: it continues where the stream ends. One line is printed
    for all that happens. SIGINT or SIGTERM ends it after the update in hand.
    """
    refuse_json_on_stdout(as_json, output)
    refuse_terminal(output)
    with (
        stop_requests() as stop,
        writing(output, "a", keyframe_every=keyframe_every, **encoder_options(**knobs)) as target,
    ):
        console = standard_error() if target.is_stdout else standard_output()
        watcher = Watcher(folder, target.writer, match=match, ignore=ignore, ready_marker=ready_marker)
        is_good = True
        for report in watcher.catch_up(stop) if once else watcher.run(stop, poll):
            target.forward()
            print_report(report, console, as_json=as_json)
            is_good = is_good and not isinstance(report, Failed | FolderMissing)
    if once and not is_good:
        raise click.exceptions.Exit(1)

"""``incnnr replay``: what a decoder makes of a stream behind a channel that loses some of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from incnnr import stream
from incnnr.cli.options import json_option, stream_argument, threads_option
from incnnr.cli.output import Column, Table, busy, count, print_json, standard_output
from incnnr.incremental import Decoder
from incnnr.stream import StreamReader
from incnnr.tensors import Array, bytes_of, type_of
from incnnr.testing import Delivery, LossyChannel
from incnnr.testing import replay as replay_updates

Chance = click.FloatRange(0, 1)


@dataclass(slots=True)
class Summary:
    """What became of the updates of a stream.

    Attributes
    ----------
    n_updates : int
        How many were sent.
    channel : Counter of str
        How many met which fate on the way.
    n_exact, n_wrong : int
        Deliveries that gave the model that was sent, or another one, which must never happen.
    errors : Counter of str
        Deliveries that were refused, by class of error.
    n_resumed : int
        How often a keyframe ended an outage.
    n_missed : int
        Updates that such keyframes passed over.
    """

    n_updates: int
    channel: Counter[str] = field(default_factory=Counter)
    n_exact: int = 0
    n_wrong: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    n_resumed: int = 0
    n_missed: int = 0


@click.command(short_help="Send a stream through a lossy channel and decode what arrives.")
@stream_argument
@click.option("--drop", type=Chance, metavar="P", default=0.0, help="Share of updates that are lost.")
@click.option("--duplicate", type=Chance, metavar="P", default=0.0, help="Share that arrive twice.")
@click.option("--reorder", type=Chance, metavar="P", default=0.0, help="Share that arrive late.")
@click.option("--corrupt", type=Chance, metavar="P", default=0.0, help="Share that arrive damaged.")
@click.option("--seed", type=int, metavar="S", default=0, show_default=True, help="Equal seeds, equal luck.")
@threads_option
@json_option
def replay(path: Path, *, seed: int, threads: int | None, as_json: bool, **chances: float) -> None:
    """Send the updates of STREAM through a channel that loses, repeats, delays and damages some of them.

    Every delivery must give exactly the model that was sent, which is compared, or be refused with a reason. Exit
    status 1 if one did neither. With --json: one object.
    """
    channel = lossy_channel(chances, seed)
    console = standard_output()
    with busy(console, f"replaying {path}"), stream.open(path, threads=threads) as sent:
        summary = Summary(len(sent))
        for delivery in replay_updates(sent.updates(), channel, decoder=Decoder(threads=threads)):
            note(summary, delivery, sent)
    summary.channel.update(event.fate for event in channel.log)
    if as_json:
        print_json(record(summary))
    else:
        print_summary(summary, console)
    if summary.n_wrong:
        raise click.ClickException(f"{path}: {summary.n_wrong} deliveries gave a wrong model.")


def lossy_channel(chances: Mapping[str, float], seed: int) -> LossyChannel:
    """Return the channel that the options describe.

    Raises
    ------
    click.UsageError
        The shares add up to more than everything.
    """
    try:
        return LossyChannel(**chances, seed=seed)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def note(summary: Summary, delivery: Delivery, sent: StreamReader) -> None:
    """Add one delivery to the summary."""
    if delivery.model is None or delivery.index is None:
        summary.errors[type(delivery.error).__name__] += 1
        return
    is_exact = are_equal(delivery.model, sent[delivery.index])
    summary.n_exact += is_exact
    summary.n_wrong += not is_exact
    missed = delivery.model.stats.missed
    summary.n_missed += missed
    summary.n_resumed += missed > 0


def are_equal(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two models are the same, bit for bit, and in the same order."""
    return list(one) == list(other) and all(
        type_of(one[name]) == type_of(other[name]) and bool((bytes_of(one[name]) == bytes_of(other[name])).all())
        for name in one
    )


def record(summary: Summary) -> dict[str, Any]:
    """Return the summary as plain data."""
    return {
        "n_updates": summary.n_updates,
        "channel": {fate: summary.channel[fate] for fate in ("drop", "duplicate", "reorder", "corrupt")},
        "n_exact": summary.n_exact,
        "n_wrong": summary.n_wrong,
        "errors": dict(sorted(summary.errors.items())),
        "n_resumed": summary.n_resumed,
        "n_missed": summary.n_missed,
    }


def print_summary(summary: Summary, console: Console) -> None:
    """Print the summary as a table."""
    table = Table(console, Column("what happened", 28, "left"), Column("times", 9))
    for words, times, style in lines(summary):
        table.row(words, count(times), style=style if times else "dim")


def lines(summary: Summary) -> Iterator[tuple[str, int, str]]:
    """Yield the rows of the table: words, a number, and a colour for one that is not zero."""
    yield "updates sent", summary.n_updates, ""
    for fate, words in (
        ("drop", "dropped"),
        ("duplicate", "duplicated"),
        ("reorder", "reordered"),
        ("corrupt", "corrupted"),
    ):
        yield f"  {words}", summary.channel[fate], "yellow"
    yield "deliveries", summary.n_exact + summary.n_wrong + summary.errors.total(), ""
    yield "  exact models", summary.n_exact, "green"
    yield "  wrong models", summary.n_wrong, "bold red"
    for name, times in sorted(summary.errors.items()):
        yield f"  {name}", times, "yellow"
    yield "resumed at a keyframe", summary.n_resumed, "green"
    yield "  updates passed over", summary.n_missed, "yellow"

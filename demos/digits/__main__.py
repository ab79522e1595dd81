"""A network learns to read digits, and every checkpoint it saves travels as a small update to a file elsewhere.

Three routes run side by side, each with an ``incnnr watch`` and an ``incnnr follow`` of its own: the float32
checkpoints exactly, bfloat16 copies of them exactly, and the float32 ones with a bound on the error.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import ml_dtypes
from network import LAYER_SIZES, Array, Digits, Weights, accuracy, read_digits, train
from rich.console import Console
from routes import Delivery, Route, StoryError, largest_error
from safetensors.numpy import save_file

import incnnr
from incnnr.cli.output import Column, Table, count, decimal, standard_output

MAX_ERROR = 1e-3
PACE_SECONDS = 0.7  # an epoch takes milliseconds; this is slow enough to watch
SEED = 7


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True, help="Checkpoints to save.")
@click.option("--pace", type=click.FloatRange(min=0), default=PACE_SECONDS, show_default=True, metavar="SECONDS")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Leave all files in this folder.")
def demo(epochs: int, pace: float, keep: Path | None) -> None:
    """Train a small network on handwritten digits and rebuild each of its checkpoints from a stream of updates."""
    if keep and keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"{keep} is not empty.")
    console = standard_output()
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="incnnr-demo-")))
        try:
            tell(console, folder, epochs, pace)
        except StoryError as error:
            raise click.ClickException(str(error)) from error
    if keep:
        console.print(f"\nCheckpoints, streams and rebuilt files are in {keep}.")


def tell(console: Console, folder: Path, n_epochs: int, pace: float) -> None:
    """Run the whole story with its files in `folder`."""
    routes = make_routes(folder)
    lesson, test = read_digits(Path(__file__).with_name("digits.npz"))
    introduce(console, lesson)
    with ExitStack() as stack:
        for route in routes:
            stack.enter_context(route.running())
        watch_it_learn(console, routes, lesson, n_epochs, pace)
    console.print()
    print_totals(console, routes, n_epochs)
    console.print()
    print_accuracy(console, routes, test, n_epochs)


def make_routes(folder: Path) -> list[Route]:
    """Lay out the folders of the three routes; two of them watch the same checkpoints."""
    float32, bfloat16 = folder / "float32", folder / "bfloat16"
    for checkpoints in (float32, bfloat16):
        checkpoints.mkdir(parents=True, exist_ok=True)
    return [
        Route("fp32 lossless", float32, folder / "float32.incnnr"),
        Route("bf16 lossless", bfloat16, folder / "bfloat16.incnnr"),
        Route(f"fp32 max error {MAX_ERROR:g}", float32, folder / "max-error.incnnr", max_error=MAX_ERROR),
    ]


def introduce(console: Console, lesson: Digits) -> None:
    n_weights = sum((n_in + 1) * n_out for n_in, n_out in pairwise(LAYER_SIZES))
    console.print(
        f"A network of {count(n_weights)} weights learns to read digits from {count(len(lesson.labels))} images.\n"
        "After each epoch it saves a checkpoint. [bold]incnnr watch[/] appends what changed to a\n"
        "stream; [bold]incnnr follow[/] sees only the stream and keeps a file up to date.\n\n"
        "For each update: bytes (* marks a keyframe, which needs nothing before it),\n"
        "bits for each weight, how many times smaller it is than the checkpoint, and\n"
        "whether the file at the far end was the right one.\n"
    )


def watch_it_learn(console: Console, routes: list[Route], lesson: Digits, n_epochs: int, pace: float) -> None:
    """Train, save, and print what came out at the other end of each route, one row for each epoch."""
    table = table_of(console, routes)
    for step, weights in enumerate(train(lesson, n_epochs=n_epochs, seed=SEED), start=1):
        due = time.monotonic() + pace
        save(weights, step, routes)
        deliveries = [route.delivery(step) for route in routes]
        table.row(f"{step}", *(cell for delivery in deliveries for cell in cells(delivery)))
        time.sleep(max(0, due - time.monotonic()))


def save(weights: Weights, step: int, routes: list[Route]) -> None:
    """Save a checkpoint as any trainer would, in both precisions."""
    name = f"checkpoint-{step:03d}.safetensors"
    halves: dict[str, Array] = {key: array.astype(ml_dtypes.bfloat16) for key, array in weights.items()}
    for folder in {route.checkpoints for route in routes}:
        save_file(halves if folder.name == "bfloat16" else weights, folder / name, metadata={"epoch": str(step)})


def table_of(console: Console, routes: list[Route]) -> Table:
    """Print the routes' titles and return the table to go below them."""
    console.print("    " + "".join(f"{route.title:>25}" for route in routes), style="bold cyan")
    columns = [Column("bytes ", 7), Column("bits", 4), Column("ratio", 5)]
    verdicts = [Column("bound" if route.max_error else "exact", 5, style="green") for route in routes]
    return Table(console, Column("step", 4), *(column for last in verdicts for column in (*columns, last)), gap=" ")


def cells(delivery: Delivery) -> tuple[str, str, str, str]:
    """Say what one update cost, and whether the file it gave is the right one."""
    entry = delivery.entry
    bits, ratio = entry.bits_per_weight or 0, delivery.file_bytes / entry.n_bytes
    return (
        f"{entry.n_bytes}{'*' if entry.is_keyframe else ' '}",
        decimal(bits, 1 if bits >= 10 else 2),
        f"{ratio:.{1 if ratio < 100 else 0}f}x",
        "yes" if delivery.is_right else "NO",
    )


def print_totals(console: Console, routes: list[Route], n_epochs: int) -> None:
    """Rebuild every checkpoint once more from the finished streams, and add up what they cost."""
    table = Table(
        console,
        Column("stream", 20, "left"),
        Column("files", 5),
        Column("bytes saved", 11),
        Column("bytes sent", 10),
        Column("ratio", 6),
        Column("rebuilt from start", 0, "left", style="green"),
    )
    for route in routes:
        total = route.total(n_epochs)
        verdict = "the same" if route.max_error is None else "in bound"
        table.row(
            route.title,
            count(total.n_checkpoints),
            count(total.file_bytes),
            count(total.stream_bytes),
            decimal(total.file_bytes / total.stream_bytes, 1, "x"),
            f"{total.n_right} of {total.n_checkpoints} {verdict}",
        )


def print_accuracy(console: Console, routes: list[Route], test: Digits, n_epochs: int) -> None:
    """Compare the networks at both ends of every route on images that none of them has seen."""
    table = Table(
        console,
        Column(f"tested on {len(test.labels)} images", 20, "left"),
        Column("original", 8),
        Column("rebuilt", 8),
        Column("largest error", 13),
    )
    for route in routes:
        original, rebuilt = route.original(n_epochs), route.rebuilt
        table.row(
            route.title,
            *(f"{accuracy(incnnr.read(path), test):.2%}" for path in (original, rebuilt)),
            f"{largest_error(rebuilt, original):.3g}",
        )


if __name__ == "__main__":
    demo(prog_name="incnnr demo")

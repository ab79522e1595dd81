"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from incnnr.incremental import Encoder

Command = TypeVar("Command", bound=Callable[..., Any])
Value = float | int | None
Knob = Value | dict[str, Value]
KNOBS = ("max_error", "relative_error", "qp", "target_bytes")


class KnobValue(click.ParamType[tuple[str | None, Value]]):
    """``VALUE`` or ``PATTERN=VALUE``, read as (pattern or None, value); ``none`` keeps weights exact."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number
        self.name = "integer" if number is int else "number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 -- click's signature
        """Return what stands for the value in the help."""
        return "[PATTERN=]VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, Value]:
        """Split a pattern off and read the number."""
        pattern, equals, text = value.rpartition("=")
        try:
            number = None if text == "none" else self.number(text)
        except ValueError:
            self.fail(f"{text!r} is neither a valid {self.name} nor 'none'.", param, ctx)
        return pattern if equals else None, number


def knob(values: tuple[tuple[str | None, Value], ...], option: str) -> Knob:
    """Return the one value of an option, or its patterns in the order given.

    Raises
    ------
    click.UsageError
        A value without a pattern that is not the only one.
    """
    if len(values) == 1 and values[0][0] is None:
        return values[0][1]
    if any(pattern is None for pattern, _ in values):
        raise click.UsageError(f"{option} takes one value, or any number of PATTERN=VALUE.")
    return {pattern: value for pattern, value in values if pattern is not None} or None


def encoder_options(**given: Any) -> dict[str, Any]:
    """Return the keyword arguments of an `Encoder`, found good by making one.

    Raises
    ------
    click.UsageError
        The values are impossible, or do not go together.
    """
    options: dict[str, Any] = {
        name: knob(value, f"--{name.replace('_', '-')}") if name in KNOBS else value for name, value in given.items()
    }
    try:
        Encoder(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return options


def stream_path(_ctx: click.Context, _param: click.Parameter, value: str) -> Path:
    """Return the path of a stream to read; the system has one for stdin."""
    return Path("/dev/stdin") if value == "-" else Path(value)


def encoding_options(command: Command) -> Command:
    """Add the options that decide how checkpoints are encoded."""
    for option in reversed(ENCODING_OPTIONS):
        command = option(command)
    return command


stream_argument = click.argument("path", metavar="STREAM", callback=stream_path)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Kernel threads.  [default: the cores there are, at most 4]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
keyframe_option = click.option(
    "--keyframe-every",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Largest number of entries from one keyframe to the next; there is one sooner once the updates since the last "
    "add up to its bytes, so that any entry costs at most about two keyframes to read.",
)

ENCODING_OPTIONS = (
    click.option(
        "--max-error",
        type=KnobValue(float),
        multiple=True,
        help="Allow every weight to be off by this much, and no more. Without a knob all weights are exact. "
        "May be repeated as PATTERN=VALUE, such as '*.bias=none': the first match wins, "
        "and one that matches nothing gets a warning.",
    ),
    click.option(
        "--qp",
        type=KnobValue(int),
        multiple=True,
        help="Quantisation parameter of the standard (smaller is finer), instead of --max-error.",
    ),
    click.option(
        "--relative-error",
        type=KnobValue(float),
        multiple=True,
        help="Lose at most this part of every tensor's difference, in root mean square, instead of --max-error.",
    ),
    click.option(
        "--target-bytes",
        type=KnobValue(int),
        multiple=True,
        help="Make every update as good as fits into so many bytes, instead of --max-error; keyframes are exact.",
    ),
    click.option(
        "--profile",
        type=click.Choice(["incnnr", "iso"]),
        default="incnnr",
        show_default=True,
        help="iso makes every update a bitstream of ISO/IEC 15938-17, which needs --qp or --max-error.",
    ),
    click.option(
        "--effort",
        type=click.Choice(["fast", "default", "small"]),
        default="default",
        show_default=True,
        help="fast does not search for the best of error and bytes. small spends time and memory, four bits for each "
        "weight, on smaller exact updates.",
    ),
    keyframe_option,
    threads_option,
)

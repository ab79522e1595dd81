"""``incnnr demo``: runs the story of ``demos/digits``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import click

import incnnr

PACKAGE = Path(incnnr.__file__).parent
PLACES = (PACKAGE / "demos" / "digits", PACKAGE.parent / "demos" / "digits")
"""Where the story is: in an installed package, and in a clone."""


@click.command(
    short_help="Watch a network in training turn into small updates and back.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Train a small network on handwritten digits and rebuild each of its checkpoints from a stream of updates."""
    story = next((place for place in PLACES if place.is_dir()), None)
    if story is None:
        raise click.ClickException("the demo is not installed here: run it from a clone of the repository.")
    sys.argv = ["incnnr demo", *arguments]
    runpy.run_path(str(story), run_name="__main__")

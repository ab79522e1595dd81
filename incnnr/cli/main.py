"""The ``incnnr`` command: its subcommands, and the one place where an error becomes an exit status."""

from __future__ import annotations

from typing import Any

import click

from incnnr.cli.decode import decode
from incnnr.cli.demo import demo
from incnnr.cli.encode import encode
from incnnr.cli.follow import follow
from incnnr.cli.inspect import inspect
from incnnr.cli.output import printable, warnings_in_one_line
from incnnr.cli.replay import replay
from incnnr.cli.signals import sigterm_unwinds
from incnnr.cli.thin import thin
from incnnr.cli.verify import verify
from incnnr.cli.watch import watch
from incnnr.errors import IncnnrError

INTERRUPTED = 130


class Commands(click.Group):
    """A group that lists its commands as they were added and says in one line what is wrong with the data."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names of the commands in the order of the story they tell."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit status 1 means that the data is at fault, 2 that the command line is."""
        try:
            with sigterm_unwinds(), warnings_in_one_line():
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output has seen enough: click ends without a word
        except (IncnnrError, OSError, MemoryError, RecursionError) as error:
            raise click.ClickException(in_one_line(error)) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def in_one_line(error: Exception) -> str:
    """Say what happened to which file, without Python's words around it."""
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        message = str(error) or type(error).__name__
    return printable(" ".join(message.split()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="incnnr", message="%(prog)s %(version)s")
def main() -> None:
    """Send a neural network once, and from then on only what changed.

    Exit status: 0 done, 1 the data is at fault, 2 the command line is.
    """


for command in (encode, decode, watch, follow, replay, inspect, verify, thin, demo):
    main.add_command(command)

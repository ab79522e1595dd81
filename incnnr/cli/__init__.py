"""The command line: arguments in, tables and progress out."""

from __future__ import annotations

from incnnr.cli.main import main

__all__ = ["main"]

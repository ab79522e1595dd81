"""``python -m incnnr`` is the command line."""

from __future__ import annotations

from incnnr.cli import main

main(prog_name="incnnr")

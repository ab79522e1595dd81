"""What is refused although it may be sound, beside the two refusals of ``protocol.reference.errors``."""

from __future__ import annotations


class UnsupportedError(ValueError):
    """The page leaves this part of the standard out."""

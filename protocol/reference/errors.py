"""The two ways in which an update is refused."""

from __future__ import annotations


class MalformedError(ValueError):
    """The bytes are not what the pages describe."""


class DoesNotFollowError(ValueError):
    """The update is sound as far as it was looked at, but not for this state: "stale", "gap" or "diverged"."""


def require(condition: bool, fault: str) -> None:
    """Refuse bytes that break a rule of the pages."""
    if not condition:
        raise MalformedError(fault)

"""An update that is coded while it is taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

from incnnr.errors import StateError
from incnnr.incremental.encoding import Encoded, Units
from incnnr.incremental.update import UpdateStats
from incnnr.position import Position


class UpdateChunks(Iterator[bytes]):
    """The units of one update, in order; joined they are the update. Each is coded when it is asked for.

    When the last one is handed out, `position`, `parent` and `stats` are there, and not before.
    """

    def __init__(self, units: Units, commit: Callable[[Encoded], None]) -> None:
        self._units = units
        self._commit = commit
        self._encoded: Encoded | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._units)
        except StopIteration as stop:
            if stop.value is None:
                raise
            self._commit(stop.value)
            self._encoded = stop.value
            return self._encoded.end

    @property
    def position(self) -> Position:
        """Where the update leads; StateError before its end."""
        return self._known().position

    @property
    def parent(self) -> Position | None:
        """Where it must be applied, None for a keyframe; StateError before its end."""
        return self._known().parent

    @property
    def is_keyframe(self) -> bool:
        """Whether it restarts everything; StateError before its end."""
        return self.parent is None

    @property
    def stats(self) -> UpdateStats:
        """What the encoder measured; StateError before the end."""
        return self._known().stats

    def _known(self) -> Encoded:
        if self._encoded is None:
            raise StateError("the update is not coded to its end yet")
        return self._encoded

"""Every error this package raises on bad data, bad files or updates out of order.

::

    IncnnrError
      BitstreamError(ValueError)      .byte_offset .unit_index
        TruncatedError                the bytes end too early
        CorruptError                  the bytes contradict themselves or a checksum
        UnsupportedError              valid, but of a version or kind this release does not read
        LimitExceededError            larger than the decoder's Limits allow, or than memory
      StateError(RuntimeError)
        ReferenceMismatchError        .expected .actual .byte_offset
          StaleUpdateError            older or repeated: ignore it
          GapError                    too new: ask for the missing updates or a keyframe
          DivergedError               right number, other past: ask for a keyframe
        ClosedError                   the stream was closed, or closed itself after a failed write
      ModelMismatchError(ValueError)  .name .expected .actual
      CheckpointError(OSError)        .path

``PatternWarning(UserWarning)`` stands beside the tree: nothing failed.

Wrong types of arguments stay ``TypeError`` and impossible values ``ValueError``, as everywhere in Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from incnnr.position import Position


class IncnnrError(Exception):
    """The root of the tree."""


class BitstreamError(IncnnrError, ValueError):
    """Bytes that are not a valid update, state or stream.

    Attributes
    ----------
    byte_offset : int or None
        Where in the bytes passed in (for a stream file: in the file) the fault was noticed.
    unit_index : int or None
        Which unit of the update it was, counted from 0.
    """

    def __init__(self, message: str, *, byte_offset: int | None = None, unit_index: int | None = None) -> None:
        self.message = message
        self.byte_offset = byte_offset
        self.unit_index = unit_index
        super().__init__(message)

    def __str__(self) -> str:
        where = [] if self.unit_index is None else [f"unit {self.unit_index}"]
        where += [] if self.byte_offset is None else [f"byte {self.byte_offset}"]
        return f"{self.message} (at {', '.join(where)})" if where else self.message


class TruncatedError(BitstreamError):
    """The bytes end before the update, frame or state does."""


class CorruptError(BitstreamError):
    """The bytes contradict themselves, or a checksum or digest does not hold."""


class UnsupportedError(BitstreamError):
    """A version, profile or element that this release does not read."""


class LimitExceededError(BitstreamError):
    """More than the decoder's limits allow, or than memory holds."""


class StateError(IncnnrError, RuntimeError):
    """A call that does not fit the state of the codec or the stream."""


class ReferenceMismatchError(StateError):
    """An update that does not follow from what the decoder holds; the state is untouched.

    Attributes
    ----------
    expected : Position or None
        The parent that the update names.
    actual : Position or None
        What the decoder holds; None before its first keyframe.
    byte_offset : int or None
        Where the unit is that does not follow, in a bitstream of the standard: there, each unit names its own parent.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: Position | None = None,
        actual: Position | None = None,
        byte_offset: int | None = None,
    ) -> None:
        self.expected = expected
        self.actual = actual
        self.byte_offset = byte_offset
        super().__init__(message)


class StaleUpdateError(ReferenceMismatchError):
    """Older than the decoder's position, or a repetition: safe to ignore."""


class GapError(ReferenceMismatchError):
    """Newer than what can be decoded: updates are missing in between, or the first keyframe is."""


class DivergedError(ReferenceMismatchError):
    """The next sequence number, but made from another past."""


class ClosedError(StateError):
    """The stream is closed."""


class ModelMismatchError(IncnnrError, ValueError):
    """A tensor that is missing, or whose shape or dtype is not the one needed.

    Attributes
    ----------
    name : str
        The tensor.
    expected, actual : object
        What was needed and what was found; None for "no such tensor".
    """

    def __init__(self, name: str, *, expected: object, actual: object) -> None:
        self.name = name
        self.expected = expected
        self.actual = actual
        super().__init__(f"tensor {name!r}: expected {expected}, got {actual}")


class CheckpointError(IncnnrError, OSError):
    """A checkpoint that cannot be read or written, or is still being written.

    Attributes
    ----------
    path : pathlib.Path
        The file or folder at fault.
    """

    def __init__(self, path: str | Path, message: str) -> None:
        self.path = Path(path)
        super().__init__(f"{path}: {message}")


class PatternWarning(UserWarning):
    """A pattern of ``max_error`` or ``qp`` matches no tensor: it is misspelt, or meant for another model."""


class located:  # noqa: N801 -- a with block reads better so; a generator would take three times as long
    """Let errors that do not know their place name this one; running out of memory here is one of them.

    Examples
    --------
    >>> with located(7, 2):
    ...     raise CorruptError("a level is too large")
    Traceback (most recent call last):
    ...
    incnnr.errors.CorruptError: a level is too large (at unit 2, byte 7)
    """

    __slots__ = ("byte_offset", "unit_index")

    def __init__(self, byte_offset: int | None, unit_index: int | None) -> None:
        self.byte_offset = byte_offset
        self.unit_index = unit_index

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        if isinstance(error, BitstreamError) and error.byte_offset is None:
            error.byte_offset, error.unit_index = self.byte_offset, self.unit_index
        if isinstance(error, MemoryError):
            message = "memory ran out"
            raise LimitExceededError(message, byte_offset=self.byte_offset, unit_index=self.unit_index) from None

"""An update: the bytes that travel, and what can be said of them without decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from incnnr.errors import CorruptError, TruncatedError, UnsupportedError
from incnnr.incremental.state import chain_after
from incnnr.incremental.syntax import START, Begin, End
from incnnr.nnc.units import Unit, UnitType, read_units
from incnnr.position import Position


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What the encoder measured.

    Attributes
    ----------
    n_bytes : int
        Bytes of the update.
    n_weights : int
        Elements of all tensors.
    model_bytes : int
        Bytes of all tensors.
    n_changed : int
        Elements whose decoded value changed; in a keyframe all of them.
    largest_error : float
        Largest |decoded - given| over the finite weights that were quantised; 0 in lossless mode.
    """

    n_bytes: int
    n_weights: int
    model_bytes: int
    n_changed: int
    largest_error: float

    @property
    def bits_per_weight(self) -> float:
        """Bits of the update per element of the model."""
        return 8 * self.n_bytes / max(1, self.n_weights)


@dataclass(frozen=True, slots=True)
class Update:
    """One coded update.

    Attributes
    ----------
    data : bytes
        The bitstream; ``bytes(update)`` gives it too.
    position : Position
        Where it leads.
    parent : Position or None
        Where it must be applied; None for a keyframe, which can be applied anywhere.
    stats : UpdateStats or None
        What the encoder measured; None when the update was read from bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.incremental import Encoder
    >>> update = Encoder().encode({"w": np.zeros(3, np.float32)})
    >>> Update.from_bytes(bytes(update)).position == update.position
    True
    >>> update.is_keyframe, update.stats.n_weights
    (True, 3)
    """

    data: bytes
    position: Position
    parent: Position | None
    stats: UpdateStats | None = None

    @property
    def is_keyframe(self) -> bool:
        """Whether it restarts everything."""
        return self.parent is None

    def __bytes__(self) -> bytes:
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Update:
        """Read the header of an update.

        Its weights are not looked at: only decoding tells whether the update is sound.

        Raises
        ------
        BitstreamError
            `data` is not one whole update of profile ``incnnr``.
        """
        data = bytes(data)
        begin, units = begin_of(data)
        unit = None
        for unit in units:
            if unit.type == UnitType.END:
                break
        digest = end_of(unit, data).digest
        parent = None if begin.parent_chain is None else Position(begin.sequence - 1, begin.parent_chain, None)
        return cls(data, Position(begin.sequence, chain_after(parent, data), digest), parent)


def begin_of(data: bytes) -> tuple[Begin, Iterator[Unit]]:
    """Read the first units of an update; return the rest of them.

    Raises
    ------
    BitstreamError
        `data` is not the beginning of an update of profile ``incnnr``.
    """
    units = read_units(data)
    unit = next(units, None)
    if unit is None:
        raise TruncatedError("the update is empty", byte_offset=0)
    if unit.type != UnitType.STR:
        raise CorruptError("the update does not begin with a start unit", byte_offset=0, unit_index=0)
    if data[: len(START)] != START:
        raise UnsupportedError("another profile than incnnr", byte_offset=0, unit_index=0)
    unit = next(units, None)
    if unit is None:
        raise TruncatedError("the update ends after its start unit", byte_offset=len(START), unit_index=1)
    if unit.type != UnitType.BEGIN:
        raise CorruptError("the start unit is not followed by BEGIN", byte_offset=unit.byte_offset, unit_index=1)
    begin = Begin.read(unit)
    if begin.parent_chain is not None and begin.sequence == 0:
        raise CorruptError("update 0 cannot have a parent", byte_offset=unit.byte_offset, unit_index=1)
    return begin, units


def end_of(unit: Unit | None, data: bytes) -> End:
    """Read the last unit of an update and make sure that it is the last."""
    if unit is None or unit.type != UnitType.END:
        raise TruncatedError("the update has no END", byte_offset=len(data))
    n_behind = len(data) - unit.byte_offset - len(unit.payload)
    if n_behind:
        raise CorruptError(f"{n_behind} bytes behind the end", byte_offset=len(data) - n_behind, unit_index=unit.index)
    return End.read(unit)

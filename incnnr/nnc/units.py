"""Units: the self-delimiting pieces a bitstream is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from incnnr.errors import CorruptError, TruncatedError


class UnitType(IntEnum):
    """``nnr_unit_type``. 7 to 31 are reserved, 32 to 63 free for applications: here profile ``incnnr``."""

    STR = 0
    MPS = 1
    LPS = 2
    TPL = 3
    QNT = 4
    NDU = 5
    AGG = 6
    BEGIN = 32
    TABLE = 33
    DATA = 34
    END = 35


INCNNR_PROFILE = 0xF1  # general_profile_idc of profile ``incnnr``
_SHORT_LIMIT = 1 << 15
_LONG_LIMIT = 1 << 31
_COUNTER_PRESENT = 0b01


@dataclass(frozen=True, slots=True)
class Framing:
    """What the header that all units share says besides type and size.

    Attributes
    ----------
    nnr_unit_size_flag : int
        1 asks for four bytes of size where two would do; 0 takes what is needed.
    independently_decodable_flag : int
        1 for a unit that needs no other data unit.
    partial_data_counter : int or None
        How many units with parts of the same thing follow; None where the header has no such byte.
    """

    nnr_unit_size_flag: int = 0
    independently_decodable_flag: int = 1
    partial_data_counter: int | None = None


PLAIN = Framing()


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as it stands in a bitstream.

    Attributes
    ----------
    type : int
        ``nnr_unit_type``, 0 to 63.
    data : memoryview
        The whole unit.
    payload : memoryview
        Everything after the common part of the unit header.
    byte_offset : int
        Where the payload starts in the bitstream.
    index : int
        Number of the unit in the bitstream, from 0.
    framing : Framing
        The rest of the common part of the unit header.
    """

    type: int
    data: memoryview
    payload: memoryview
    byte_offset: int
    index: int
    framing: Framing = PLAIN


def pack_unit(unit_type: int, payload: bytes, framing: Framing = PLAIN) -> bytes:
    """Put size and header before a payload.

    Raises
    ------
    ValueError
        The unit or its counter is too large for its field.

    Examples
    --------
    >>> pack_unit(UnitType.STR, bytes([INCNNR_PROFILE])).hex()
    '000402f1'
    """
    counter = framing.partial_data_counter
    header = bytes([unit_type << 2 | bool(framing.independently_decodable_flag) << 1 | (counter is not None)])
    header += b"" if counter is None else bytes([counter])
    size = 2 + len(header) + len(payload)
    if size < _SHORT_LIMIT and not framing.nnr_unit_size_flag:
        return size.to_bytes(2, "big") + header + payload
    size += 2
    if size >= _LONG_LIMIT:
        raise ValueError(f"a unit of {size} bytes does not fit the size field")
    return (size | _LONG_LIMIT).to_bytes(4, "big") + header + payload


def read_units(data: bytes | memoryview) -> Iterator[Unit]:
    """Cut a bitstream into its units.

    Raises
    ------
    TruncatedError
        The bitstream ends inside a unit. Units before it have been yielded.
    CorruptError
        A unit is smaller than its own header.
    """
    return read_arriving_units([data])


def read_arriving_units(chunks: Iterable[bytes | memoryview]) -> Iterator[Unit]:
    """Cut a bitstream that comes in pieces into its units; no more of it is kept than the unit that is not whole yet.

    Raises
    ------
    TruncatedError, CorruptError
        As `read_units`.
    """
    start = index = n_bytes = 0
    pieces: list[memoryview] = []
    n_needed = 1
    for chunk in chunks:
        pieces.append(memoryview(chunk).cast("B"))
        n_bytes += len(pieces[-1])
        if n_bytes < n_needed:
            continue
        rest = pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))
        while n_bytes >= (n_needed := _bytes_needed(rest, start, index)):
            yield _unit(rest[:n_needed], start, index)
            rest = rest[n_needed:]
            start, index, n_bytes = start + n_needed, index + 1, n_bytes - n_needed
        pieces = [rest]
    if n_bytes:
        is_sized = n_bytes >= _size_bytes(b"".join(pieces))
        message = (
            f"a unit of {n_needed} bytes has only {n_bytes} left"
            if is_sized
            else "the bitstream ends inside a unit's size"
        )
        raise TruncatedError(message, byte_offset=start, unit_index=index)


def _size_bytes(unit: bytes | memoryview) -> int:
    return 4 if unit[0] & 0x80 else 2


def _bytes_needed(unit: memoryview, start: int, index: int) -> int:
    """Return how many bytes a unit has; as long as that is not known, how many it takes to know more."""
    if not unit:
        return 1
    n_size_bytes = _size_bytes(unit)
    if len(unit) < n_size_bytes:
        return n_size_bytes
    size = int.from_bytes(unit[:n_size_bytes], "big") & ((_LONG_LIMIT if n_size_bytes == 4 else _SHORT_LIMIT) - 1)
    if size < n_size_bytes + 1:
        raise CorruptError(f"a unit of {size} bytes has no header", byte_offset=start, unit_index=index)
    return size


def _unit(unit: memoryview, start: int, index: int) -> Unit:
    n_size_bytes = _size_bytes(unit)
    header = unit[n_size_bytes]
    n_header_bytes = n_size_bytes + 1 + (header & _COUNTER_PRESENT)
    if len(unit) < n_header_bytes:
        raise CorruptError("a unit is smaller than its header", byte_offset=start, unit_index=index)
    counter = unit[n_header_bytes - 1] if header & _COUNTER_PRESENT else None
    framing = Framing(int(n_size_bytes == 4), header >> 1 & 1, counter)
    return Unit(header >> 2, unit, unit[n_header_bytes:], start + n_header_bytes, index, framing)

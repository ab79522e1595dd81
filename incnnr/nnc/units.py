"""Units: the self-delimiting pieces a bitstream is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from incnnr.errors import CorruptError, TruncatedError


class UnitType(IntEnum):
    """``nnr_unit_type``. Types 32 to 63 are free for applications: the ones here are profile ``incnnr``'s."""

    STR = 0
    BEGIN = 32
    TABLE = 33
    DATA = 34
    END = 35


INCNNR_PROFILE = 0xF1  # general_profile_idc of profile ``incnnr``
_SHORT_LIMIT = 1 << 15
_LONG_LIMIT = 1 << 31
_INDEPENDENTLY_DECODABLE = 0b10
_COUNTER_PRESENT = 0b01


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
    """

    type: int
    data: memoryview
    payload: memoryview
    byte_offset: int
    index: int


def pack_unit(unit_type: int, payload: bytes) -> bytes:
    """Put size and header before a payload.

    Examples
    --------
    >>> pack_unit(UnitType.STR, bytes([INCNNR_PROFILE])).hex()
    '000402f1'
    """
    header = bytes([unit_type << 2 | _INDEPENDENTLY_DECODABLE])
    size = 2 + len(header) + len(payload)
    if size < _SHORT_LIMIT:
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
    view = memoryview(data).cast("B")
    start = index = 0
    while start < len(view):
        head = bytes(view[start : start + 4])
        n_size_bytes = 4 if head[0] & 0x80 else 2
        if len(head) < n_size_bytes:
            raise TruncatedError("the bitstream ends inside a unit's size", byte_offset=start, unit_index=index)
        size = int.from_bytes(head[:n_size_bytes], "big") & ((_LONG_LIMIT if n_size_bytes == 4 else _SHORT_LIMIT) - 1)
        if size < n_size_bytes + 1:
            raise CorruptError(f"a unit of {size} bytes has no header", byte_offset=start, unit_index=index)
        if start + size > len(view):
            raise TruncatedError(
                f"a unit of {size} bytes has only {len(view) - start} left", byte_offset=start, unit_index=index
            )
        yield _unit(view[start : start + size], n_size_bytes, start, index)
        start += size
        index += 1


def _unit(unit: memoryview, n_size_bytes: int, start: int, index: int) -> Unit:
    header = unit[n_size_bytes]
    n_header_bytes = n_size_bytes + 1 + (header & _COUNTER_PRESENT)
    if len(unit) < n_header_bytes:
        raise CorruptError("a unit is smaller than its header", byte_offset=start, unit_index=index)
    return Unit(header >> 2, unit, unit[n_header_bytes:], start + n_header_bytes, index)

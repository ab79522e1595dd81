"""Units: the self-delimiting pieces a bitstream is made of."""

from __future__ import annotations

from collections.abc import Iterator
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
    counter = unit[n_header_bytes - 1] if header & _COUNTER_PRESENT else None
    framing = Framing(int(n_size_bytes == 4), header >> 1 & 1, counter)
    return Unit(header >> 2, unit, unit[n_header_bytes:], start + n_header_bytes, index, framing)

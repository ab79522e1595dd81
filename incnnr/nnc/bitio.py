"""Bits in and out: the descriptors that the standard's syntax tables are written in.

`BitReader` and `BitWriter` have the same methods. Each takes the value to write and returns the value that is in the
bitstream, so that one function calling them in order is the syntax table of both directions. A reader ignores what
it is given; a writer gives it back.
"""

from __future__ import annotations

import operator
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypedDict, TypeVar

from incnnr.errors import CorruptError, LimitExceededError, TruncatedError, UnsupportedError

Element = TypeVar("Element")

_MAX_PREFIX = 63  # leading zeros of an Exp-Golomb code: nothing the standard counts needs more


class BitCoder(ABC):
    """The descriptors, for both directions; see `BitReader` and `BitWriter`."""

    @abstractmethod
    def u(self, n_bits: int, value: int, /) -> int:
        """Code an unsigned number of `n_bits`, most significant bit first."""

    @abstractmethod
    def ue(self, order: int, value: int, /) -> int:
        """Code an unsigned number in Exp-Golomb code of an order that grows by one with each leading zero."""

    @abstractmethod
    def st(self, value: str, /) -> str:
        """Code UTF-8 text and the zero byte that ends it; only at a byte boundary."""

    @abstractmethod
    def bs(self, value: bytes, /) -> bytes:
        """Code all bytes up to the end of the unit; only at a byte boundary."""

    @abstractmethod
    def byte_alignment(self) -> None:
        """Code a one, and zeros up to the next byte boundary: 1 to 8 bits."""

    @abstractmethod
    def repeated(
        self, count: int, values: Sequence[Element], blank: Element, element: Callable[[Element], Element], /
    ) -> tuple[Element, ...]:
        """Code `count` elements one after the other; a reader hands `blank` to `element`, a writer the values."""

    @abstractmethod
    def check(self, holds: bool, message: str, /) -> None:
        """Require what the syntax requires: CorruptError when reading, ValueError when writing."""

    @abstractmethod
    def unsupported(self, message: str, /) -> UnsupportedError:
        """Make the error for an element that this release does not code."""

    @abstractmethod
    def beyond_limits(self, message: str, /) -> LimitExceededError:
        """Make the error for what limits forbid."""

    def i(self, n_bits: int, value: int, /) -> int:
        """Code a number of `n_bits` in two's complement."""
        half = 1 << n_bits - 1
        self.check(-half <= value < half, f"{value} is not a number of {n_bits} bits")
        return (self.u(n_bits, value % (2 * half)) ^ half) - half

    def ie(self, order: int, value: int, /) -> int:
        """Code a signed number in Exp-Golomb code: 0, 1, -1, 2, -2 and so on are coded as 0, 1, 2, 3, 4."""
        coded = self.ue(order, 2 * value - 1 if value > 0 else -2 * value)
        return (coded + 1) // 2 if coded % 2 else -(coded // 2)

    def flt32(self, value: float, /) -> float:
        """Code a binary32 number, least significant byte first."""
        try:
            given = struct.pack("<f", value)
        except OverflowError as error:
            raise ValueError(f"{value} is too large for 32 bits") from error
        coded = self.u(32, int.from_bytes(given, "big")).to_bytes(4, "big")
        if coded == given:
            return value
        # Python's floats do not keep a signalling NaN: it would not be written back as it was
        self.check(not _is_signalling(int.from_bytes(coded, "little")), "a signalling NaN")
        (number,) = struct.unpack("<f", coded)
        return float(number)

    def bits(self, n_bits: int, value: bytes, /) -> bytes:
        """Code a string of bits, held as bytes with zeros behind the last bit."""
        n_behind = -n_bits % 8
        coded = self.u(n_bits, int.from_bytes(value, "big") >> n_behind)
        return (coded << n_behind).to_bytes((n_bits + n_behind) // 8, "big")

    def reserved(self, n_bits: int, /) -> None:
        """Code bits that are zero in the editions known here."""
        if self.u(n_bits, 0):
            raise self.unsupported("a reserved bit is set")


def _is_signalling(bits: int) -> bool:
    return bits & 0x7FC0_0000 == 0x7F80_0000 and bool(bits & 0x003F_FFFF)


class BitReader(BitCoder):
    """Reads the descriptors; every read is checked against the end of the bytes.

    Parameters
    ----------
    data : bytes
        What follows the common part of a unit's header.
    byte_offset : int
        Where `data` begins in the bitstream, for errors.
    unit_index : int or None
        Number of the unit, for errors.
    most_elements : int or None
        How long all lists may be together.

    Raises
    ------
    TruncatedError
        By any method: the bytes end first.
    LimitExceededError
        By `repeated`: the lists are too long.
    CorruptError
        By any method: no writer makes such bits.

    Examples
    --------
    >>> reader = BitReader(bytes([0b101_011_10]))
    >>> reader.u(3), reader.ie(0, 0), reader.n_bits_left
    (5, -1, 2)
    """

    def __init__(
        self, data: bytes, byte_offset: int = 0, unit_index: int | None = None, most_elements: int | None = None
    ) -> None:
        self._data = data
        self._n_bits = 8 * len(data)
        self._at = 0
        self._n_elements = 0
        self._most_elements = most_elements
        self._byte_offset = byte_offset
        self._unit_index = unit_index

    @property
    def n_bits_left(self) -> int:
        """Bits not read yet."""
        return self._n_bits - self._at

    @property
    def byte_offset(self) -> int:
        """Where in the bitstream the next bit is."""
        return self._byte_offset + self._at // 8

    def u(self, n_bits: int, _value: int = 0, /) -> int:
        """Read an unsigned number of `n_bits`."""
        end = self._at + n_bits
        if end > self._n_bits:
            raise self._truncated(f"{n_bits} bits")
        last = (end + 7) // 8
        coded = int.from_bytes(self._data[self._at // 8 : last], "big") >> 8 * last - end
        self._at = end
        return coded & (1 << n_bits) - 1

    def ue(self, order: int, _value: int = 0, /) -> int:
        """Read an unsigned Exp-Golomb number."""
        n_zeros = 0
        while not self.u(1):
            n_zeros += 1
            if n_zeros > _MAX_PREFIX:
                raise CorruptError(f"a number begins with more than {_MAX_PREFIX} zeros", **self._where)
        return (((1 << n_zeros) - 1) << order) + self.u(order + n_zeros)

    def st(self, _value: str = "", /) -> str:
        """Read text up to its zero byte."""
        start = self._aligned()
        end = self._data.find(0, start)
        if end < 0:
            raise TruncatedError("a string does not end in its unit", **self._where)
        try:
            text = self._data[start:end].decode()
        except UnicodeDecodeError as error:
            raise CorruptError("a string is not UTF-8", **self._where) from error
        self._at = 8 * (end + 1)
        return text

    def bs(self, _value: bytes = b"", /) -> bytes:
        """Read everything that is left."""
        start = self._aligned()
        self._at = 8 * len(self._data)
        return self._data[start:]

    def byte_alignment(self) -> None:
        """Read the one and the zeros up to the byte boundary."""
        n_bits = 8 - self._at % 8
        self.check(self.u(n_bits) == 1 << n_bits - 1, "a byte alignment is not a one and zeros")

    def repeated(
        self, count: int, _values: Sequence[Element], blank: Element, element: Callable[[Element], Element], /
    ) -> tuple[Element, ...]:
        """Read `count` elements, of at least one bit each."""
        self.check(count >= 0, f"a list of {count} elements")
        if count > self.n_bits_left:
            raise self._truncated(f"{count} elements")
        self._n_elements += count
        if self._most_elements is not None and self._n_elements > self._most_elements:
            raise self.beyond_limits(f"lists of more than {self._most_elements} elements")
        return tuple(element(blank) for _ in range(count))

    def check(self, holds: bool, message: str, /) -> None:
        """Raise CorruptError unless `holds`."""
        if not holds:
            raise CorruptError(message, **self._where)

    def unsupported(self, message: str, /) -> UnsupportedError:
        """Make the error for what this release does not read."""
        return UnsupportedError(message, **self._where)

    def beyond_limits(self, message: str, /) -> LimitExceededError:
        """Make the error for what the decoder's limits forbid."""
        return LimitExceededError(message, **self._where)

    def end(self) -> None:
        """Raise unless everything was read."""
        self.check(not self.n_bits_left, f"{self.n_bits_left} bits too many in the unit")

    def _truncated(self, what: str) -> TruncatedError:
        return TruncatedError(f"{what} needed, {self.n_bits_left} bits left in the unit", **self._where)

    def _aligned(self) -> int:
        self.check(self._at % 8 == 0, "bytes begin inside a byte")
        return self._at // 8

    @property
    def _where(self) -> _Where:
        return {"byte_offset": self.byte_offset, "unit_index": self._unit_index}


class BitWriter(BitCoder):
    """Writes the descriptors.

    Raises
    ------
    ValueError
        By any method: the value does not fit.

    Examples
    --------
    >>> writer = BitWriter()
    >>> writer.u(3, 5), writer.ie(0, -1), writer.byte_alignment()
    (5, -1, None)
    >>> bytes(writer).hex()
    'ae'
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._pending = 0
        self._n_pending = 0

    def __bytes__(self) -> bytes:
        self._aligned()
        return bytes(self._data)

    def u(self, n_bits: int, value: int, /) -> int:
        """Write an unsigned number of `n_bits`."""
        value = operator.index(value)
        if value < 0 or value >> n_bits:
            raise ValueError(f"{value:#x} is not an unsigned number of {n_bits} bits")
        n_bytes, left = divmod(self._n_pending + n_bits, 8)
        pending = self._pending << n_bits | value
        self._data += (pending >> left).to_bytes(n_bytes, "big")
        self._pending, self._n_pending = pending & (1 << left) - 1, left
        return value

    def ue(self, order: int, value: int, /) -> int:
        """Write an unsigned Exp-Golomb number."""
        n_zeros = ((operator.index(value) >> order) + 1).bit_length() - 1
        if value < 0 or n_zeros > _MAX_PREFIX:
            raise ValueError(f"{value} is {'negative' if value < 0 else 'too large'}")
        self.u(n_zeros + 1, 1)
        self.u(order + n_zeros, value - (((1 << n_zeros) - 1) << order))
        return value

    def st(self, value: str, /) -> str:
        """Write text and its zero byte."""
        self.check("\0" not in value, f"{value!r} holds the character that ends a string")
        self._aligned()
        self._data += value.encode() + b"\0"
        return value

    def bs(self, value: bytes, /) -> bytes:
        """Write bytes as they are."""
        self._aligned()
        self._data += value
        return value

    def byte_alignment(self) -> None:
        """Write a one and the zeros up to the byte boundary."""
        n_bits = 8 - self._n_pending
        self.u(n_bits, 1 << n_bits - 1)

    def repeated(
        self, count: int, values: Sequence[Element], _blank: Element, element: Callable[[Element], Element], /
    ) -> tuple[Element, ...]:
        """Write the values."""
        self.check(count == len(values), f"{len(values)} elements where the syntax has {count}")
        return tuple(element(value) for value in values)

    def check(self, holds: bool, message: str, /) -> None:
        """Raise ValueError unless `holds`."""
        if not holds:
            raise ValueError(message)

    def unsupported(self, message: str, /) -> UnsupportedError:
        """Make the error for what this release does not write."""
        return UnsupportedError(message)

    def beyond_limits(self, message: str, /) -> LimitExceededError:
        """Make the error for what no decoder would take."""
        return LimitExceededError(message)

    def _aligned(self) -> None:
        self.check(not self._n_pending, "bytes begin inside a byte")


class _Where(TypedDict):
    byte_offset: int
    unit_index: int | None

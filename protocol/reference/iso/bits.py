"""iso.md section 1: the descriptors."""

from __future__ import annotations

import struct

from protocol.reference.errors import require


class Bits:
    """Bytes that are read bit by bit from the front, the most significant bit of a byte first."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def u(self, n_bits: int) -> int:
        end = self.position + n_bits
        require(end <= 8 * len(self.data), "the bits end early")
        first, last = self.position // 8, -(-end // 8)
        piece = int.from_bytes(self.data[first:last], "big") >> 8 * last - end
        self.position = end
        return piece & (1 << n_bits) - 1

    def i(self, n_bits: int) -> int:
        return signed(self.u(n_bits), n_bits)

    def flag(self) -> bool:
        return self.u(1) == 1

    def ue(self, order: int) -> int:
        """Each leading zero steps over 2^order numbers and makes the next step twice as long."""
        number = 0
        while not self.flag():
            number += 1 << order
            order += 1
            require(order < 64, "a number of more than 64 bits")
        return number + self.u(order)

    def ie(self, order: int) -> int:
        number = self.ue(order)
        return (number + 1) // 2 if number % 2 == 1 else -(number // 2)

    def flt(self) -> float:
        return float(struct.unpack("<f", self.u(32).to_bytes(4, "big"))[0])

    def st(self) -> str:
        """The bytes up to the next 00."""
        require(self.position % 8 == 0, "a string that does not start with a byte")
        start = self.position // 8
        end = self.data.find(0, start)
        require(end >= 0, "a string without an end")
        self.position = 8 * (end + 1)
        try:
            return self.data[start:end].decode()
        except UnicodeDecodeError:
            require(False, "a string that is not UTF-8")
            raise

    def byte_alignment(self) -> None:
        require(self.flag(), "an alignment that does not start with 1")
        self.position = -(-self.position // 8) * 8

    def rest(self) -> bytes:
        """What is left, from here to the end."""
        require(self.position % 8 == 0, "data that does not start with a byte")
        start, self.position = self.position // 8, 8 * len(self.data)
        return self.data[start:]


def signed(number: int, n_bits: int) -> int:
    """Two's complement."""
    return number - (1 << n_bits) if number >> n_bits - 1 else number

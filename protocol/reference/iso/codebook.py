"""iso.md section 5, "Codebooks"."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.reference.errors import require
from protocol.reference.iso.bits import Bits


@dataclass
class Codebook:
    """Increasing integers; level 0 stands for the one at ``zero_offset``."""

    values: list[int]
    zero_offset: int

    @property
    def largest_negative(self) -> int:
        return self.zero_offset

    @property
    def largest_positive(self) -> int:
        return len(self.values) - 1 - self.zero_offset

    def value(self, level: int) -> int:
        return self.values[level + self.zero_offset]


def read_codebook(bits: Bits) -> Codebook:
    order = bits.u(4)
    size = bits.ue(2)
    zero_offset = size // 2 + bits.ie(2)
    require(0 <= zero_offset < size, "a codebook without its zero")
    middle = bits.ie(7)
    below = [middle]
    for _ in range(zero_offset):
        below.append(below[-1] - bits.ue(order) - 1)
    above = [middle]
    for _ in range(size - 1 - zero_offset):
        above.append(above[-1] + bits.ue(order) + 1)
    require(below[-1] >= -(2**31) and above[-1] < 2**31, "a codebook value that does not fit 32 bits")
    return Codebook([*reversed(below), *above[1:]], zero_offset)

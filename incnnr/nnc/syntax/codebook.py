"""``codebook()``: the integers that coded levels stand for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from incnnr.nnc.bitio import BitCoder

_INT32 = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True, slots=True)
class Codebook:
    """A strictly increasing list of 32-bit integers.

    Attributes
    ----------
    egk : int
        Order of the code of the gaps, 0 to 15.
    zero_offset : int
        Place of the value that level 0 stands for.
    values : tuple of int
        Level ``k`` stands for ``values[k + zero_offset]``.
    """

    egk: int = 0
    zero_offset: int = 0
    values: tuple[int, ...] = (0,)

    def syntax(self, c: BitCoder) -> Codebook:
        """Code the value in the middle, then the gaps to the left and to the right of it."""
        egk = c.u(4, self.egk)
        size = c.ue(2, len(self.values))
        zero_offset = size // 2 + c.ie(2, self.zero_offset - len(self.values) // 2)
        c.check(0 <= zero_offset < size, f"place {zero_offset} is not in a codebook of {size} values")
        gaps = [right - left - 1 for left, right in pairwise(self.values)]
        middle = c.ie(7, self.values[self.zero_offset])
        left = c.repeated(zero_offset, gaps[: self.zero_offset][::-1], 0, lambda gap: c.ue(egk, gap))
        right = c.repeated(size - 1 - zero_offset, gaps[self.zero_offset :], 0, lambda gap: c.ue(egk, gap))
        values = (
            *reversed([*accumulate(left, lambda value, gap: value - gap - 1, initial=middle)][1:]),
            *accumulate(right, lambda value, gap: value + gap + 1, initial=middle),
        )
        c.check(values[0] in _INT32 and values[-1] in _INT32, "a codebook's values do not fit 32 bits")
        return Codebook(egk, zero_offset, values)

"""Entry points: where in the codeword a block row begins, and the state to begin it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from incnnr.nnc.bitio import BitCoder


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """The beginning of one block row after the first.

    Attributes
    ----------
    cabac_offset : int
        The arithmetic decoder's value there, 8 bits.
    dq_state : int
        The state of dependent quantisation there, 0 to 7; 0 without it.
    bit_offset : int
        Bits of the codeword from the beginning of the block row before it to here.
    """

    cabac_offset: int = 0
    dq_state: int = 0
    bit_offset: int = 0


def entry_points(c: BitCoder, count: int, points: Sequence[EntryPoint], dq_flag: int) -> tuple[EntryPoint, ...]:
    """Code the list; from the second on, offsets are differences to the one before."""
    before: list[EntryPoint] = []

    def entry_point(point: EntryPoint) -> EntryPoint:
        offset = c.u(8, point.cabac_offset)
        state = c.u(3, point.dq_state) if dq_flag else 0
        if before:
            last = before[-1].bit_offset
            bits = last + c.ie(7, point.bit_offset - last)
        else:
            bits = c.ue(11, point.bit_offset)
        c.check(bits >= 0, "a block row begins before the one above it")
        before.append(EntryPoint(offset, state, bits))
        return before[-1]

    return c.repeated(count, points, EntryPoint(), entry_point)

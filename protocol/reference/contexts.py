"""bitstream.md section 4: contexts, and how they learn."""

from __future__ import annotations

from collections.abc import Callable

FRESH = (2**31, 2**31)
SLICE_SHIFTS = (6, 10)
FLAG_SHIFTS = (3, 5)


def fresh(_: object) -> tuple[int, int]:
    return FRESH


class Contexts:
    """A set of contexts. One that is not in the dictionary has never been used: it is where contexts of its key start.

    Contexts are called by a key: ``("significant", bucket)``, ``("prefix", bucket, 3)``, ``"negative"``.
    """

    def __init__(
        self,
        shifts: tuple[int, int] = SLICE_SHIFTS,
        used: dict[object, tuple[int, int]] | None = None,
        start: Callable[[object], tuple[int, int]] = fresh,
    ) -> None:
        self.shifts = shifts
        self.used = used or {}
        self.start = start

    def copy(self) -> Contexts:
        return Contexts(self.shifts, dict(self.used), self.start)

    def get(self, key: object) -> tuple[int, int]:
        return self.used.get(key) or self.start(key)

    def probability_of_1(self, key: object) -> int:
        """In units of 2^-22, never 0."""
        fast, slow = self.get(key)
        return ((fast >> 10) + (slow >> 10) >> 1) | 1

    def adapt(self, key: object, bit: int) -> None:
        fast, slow = self.get(key)
        fast_shift, slow_shift = self.shifts
        n = fast & 1023
        moved_fast = moved(fast, bit, max(step(n), 2 ** (16 - fast_shift)), 2**10)
        counted = moved_fast - moved_fast % 2**10 + min(n + 1, 2**slow_shift - 1)
        self.used[key] = counted, moved(slow, bit, max(step(n), 2 ** (16 - slow_shift)), 1)


def step(n: int) -> int:
    return 131072 // (2 * n + 3)


def moved(x: int, bit: int, share: int, unit: int) -> int:
    """The probability of the other bit shrinks by share / 65536; bits of x below `unit` do not count."""
    other = 2**32 - 1 - x if bit else x
    other -= other % unit
    other -= other * share >> 16
    return 2**32 - 1 - other if bit else other

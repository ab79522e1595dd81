"""bitstream.md section 4: contexts, and how they learn."""

from __future__ import annotations

FRESH = (2**31, 2**31)
SLICE_LIMITS = (62, 1022)
FLAG_LIMITS = (6, 30)


class Contexts:
    """A set of contexts. One that is not in the dictionary has never been used: it is fresh.

    Contexts are called by a key: ``("significant", bucket)``, ``("prefix", bucket, 3)``, ``"negative"``.
    """

    def __init__(
        self, limits: tuple[int, int] = SLICE_LIMITS, used: dict[object, tuple[int, int]] | None = None
    ) -> None:
        self.limits = limits
        self.used = used or {}

    def copy(self) -> Contexts:
        return Contexts(self.limits, dict(self.used))

    def probability_of_1(self, key: object) -> int:
        """In units of 2^-22, never 0."""
        fast, slow = self.used.get(key, FRESH)
        return ((fast >> 10) + (slow >> 10) >> 1) | 1

    def adapt(self, key: object, bit: int) -> None:
        fast, slow = self.used.get(key, FRESH)
        fast_limit, count_limit = self.limits
        n = fast & 1023
        moved_fast = moved(fast - n, bit, step(min(n, fast_limit)))
        counted = moved_fast - (moved_fast & 1023) + min(n + 1, count_limit)
        self.used[key] = counted, moved(slow, bit, step(n))


def step(k: int) -> int:
    return 131072 // (2 * k + 3)


def moved(x: int, bit: int, share: int) -> int:
    """A probability moves towards the bit by share / 65536 of the way."""
    target = 2**32 - 1 if bit else 0
    return x + ((target - x) * share >> 16)

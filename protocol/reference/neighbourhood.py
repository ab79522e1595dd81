"""bitstream.md section 6, "Expectations" and "Signs": what level is to be expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.reference.signs import Features

MOST_MAGNITUDE = 4095
MOST_EXPECTATION = 31
MOST_NEAR = 2
MOST_SIGNED = 8


@dataclass(frozen=True)
class Hints:
    """What is known of each element: how far it moved before, and the signs of its first mean and of its reference."""

    moved: Sequence[int]
    directions: Sequence[int]
    signs: Sequence[int]


class Neighbourhood:
    """The levels of a slice so far."""

    def __init__(self, n_elements: int, width: int, hints: Hints) -> None:
        self.n_elements = n_elements
        self.width = width
        self.hints = hints
        self.levels: list[int] = []
        self.columns = [0] * width
        self.signed_columns = [0] * width
        self.row = 0

    def level(self, distance: int, most: int) -> int:
        """Of the element so far before the next one."""
        at = len(self.levels) - distance
        return clamped(self.levels[at], most) if at >= 0 else 0

    def before(self, distance: int) -> int:
        return abs(self.level(distance, MOST_MAGNITUDE))

    def expectation(self) -> int:
        """Of the next level."""
        here, w = len(self.levels), self.width
        near = 2 * self.before(1) + self.before(2) + self.before(3) + 2 * self.before(w) + self.before(w + 1)
        if w > 1:
            near += self.before(w - 1)
        x = (400 * near + 64 * (self.columns[here % w] + self.row) + self.hints.moved[here]) >> 8
        if x == 0:
            return 0
        octave = x.bit_length() - 1
        upper_half = octave > 0 and x >> (octave - 1) & 1
        return min(1 + 2 * octave + upper_half, MOST_EXPECTATION)

    def sign_features(self, distances: list[int]) -> Features:
        """Of the next level."""
        here = len(self.levels)
        near = [self.level(distance, MOST_NEAR) for distance in (1, 2, 3, self.width)]
        column = self.signed_columns[here % self.width] / 256
        far = [self.level(distance, MOST_NEAR) if distance else 0 for distance in distances]
        known = [column, 1, self.hints.directions[here], self.hints.signs[here]]
        return [float(x) for x in (*near, *known, *far)]

    def push(self, level: int) -> None:
        rows, column = divmod(len(self.levels), self.width)
        self.levels.append(level)
        magnitude = min(abs(level), MOST_MAGNITUDE)
        self.columns[column] = moved(self.columns[column], magnitude, column_shift(rows))
        self.signed_columns[column] = moved(
            self.signed_columns[column], clamped(level, MOST_SIGNED), column_shift(rows)
        )
        self.row = moved(self.row, magnitude, 4)


def clamped(level: int, most: int) -> int:
    return max(-most, min(level, most))


def moved(mean: int, value: int, shift: int) -> int:
    return mean + ((256 * value - mean) >> shift)


def column_shift(n_rows: int) -> int:
    """The mean of a column is nearly that of all rows, until there are many."""
    return 0 if n_rows < 1 else 1 if n_rows < 2 else 2 if n_rows < 4 else 3 if n_rows < 12 else 4

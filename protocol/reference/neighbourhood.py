"""bitstream.md section 6, "Expectations": how large a level is to be expected."""

from __future__ import annotations

MOST_MAGNITUDE = 4095
MOST_EXPECTATION = 31


class Neighbourhood:
    """The levels of a slice so far.

    ``moved`` says what is to be expected of each element from updates before.
    """

    def __init__(self, n_elements: int, width: int, moved: list[int]) -> None:
        self.n_elements = n_elements
        self.width = width
        self.moved = moved
        self.magnitudes: list[int] = []
        self.columns = [0] * width
        self.row = 0

    def before(self, distance: int) -> int:
        at = len(self.magnitudes) - distance
        return self.magnitudes[at] if at >= 0 else 0

    def expectation(self) -> int:
        """Of the next level."""
        here, w = len(self.magnitudes), self.width
        near = 2 * self.before(1) + self.before(2) + self.before(3) + 2 * self.before(w) + self.before(w + 1)
        if w > 1:
            near += self.before(w - 1)
        x = (400 * near + 64 * (self.columns[here % w] + self.row) + self.moved[here]) >> 8
        if x == 0:
            return 0
        octave = x.bit_length() - 1
        upper_half = octave > 0 and x >> (octave - 1) & 1
        return min(1 + 2 * octave + upper_half, MOST_EXPECTATION)

    def push(self, level: int) -> None:
        rows, column = divmod(len(self.magnitudes), self.width)
        magnitude = min(abs(level), MOST_MAGNITUDE)
        self.magnitudes.append(magnitude)
        self.columns[column] += (256 * magnitude - self.columns[column]) >> column_shift(rows)
        self.row += (256 * magnitude - self.row) >> 4


def column_shift(n_rows: int) -> int:
    """The mean of a column is nearly that of all rows, until there are many."""
    return 0 if n_rows < 1 else 1 if n_rows < 2 else 2 if n_rows < 4 else 3 if n_rows < 12 else 4

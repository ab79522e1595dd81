"""Dependent quantisation, written out: levels for the integers of a codeword."""

from __future__ import annotations

import numpy as np

STEPS = ((0, 2), (7, 5), (1, 3), (6, 4), (2, 0), (5, 7), (3, 1), (4, 6))


def scan(height, width, block):
    """Flat indices, one list per segment of a row, in coding order."""
    block_rows = range(0, height, block) if block else [0]
    for top in block_rows:
        for left in range(0, width, block or width):
            for row in range(top, min(top + (block or height), height)):
                start = row * width + left
                yield row, range(start, min(start + (block or width), (row + 1) * width))


def dependent_levels(numbers, height, width, block, skipped):
    """Levels of the dependent quantiser for the integers of its codeword."""
    levels, state = np.zeros_like(numbers), 0
    for row, segment in scan(height, width, block if height > 1 and width > 1 else 0):
        if skipped[row]:
            for _ in range(width):
                state = STEPS[state][0]
            continue
        for i in segment:
            number = int(numbers[i])
            levels[i] = 2 * number - np.sign(number) * (state & 1)
            state = STEPS[state][number & 1]
    return levels

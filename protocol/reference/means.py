"""bitstream.md section 6, "Running means": what elements did in the updates before, and what follows from it."""

from __future__ import annotations

import math

from protocol.reference.floats import FLOAT32, FLOAT64, rounded
from protocol.reference.kinds import NAMED, Kind

RATES = (0.3125, 0.078125)
MOST_MOVEMENT = 2**20

Means = list[list[float]]


def fresh_means(n_means: int, n_elements: int) -> Means:
    return [[0.0] * n_elements for _ in range(n_means)]


def working(kind: Kind) -> Kind:
    """The format that is computed in."""
    return FLOAT64 if kind is FLOAT64 else FLOAT32


def predictions(means: Means, coefficients: list[int], kind: Kind) -> list[float]:
    """For each element; not all coefficients are 0."""
    real = working(kind)
    first, *others = ([rounded(c / 64 * x, real) for x in mean] for c, mean in zip(coefficients, means, strict=True))
    for other in others:
        first = [rounded(a + b, real) for a, b in zip(first, other, strict=True)]
    return first


def movements(means: Means, step: float) -> list[int]:
    """In 1/256 steps, at most 2^12 steps."""
    per_step = rounded(256 / step, FLOAT32)
    return [movement([mean[i] for mean in means], per_step) for i in range(len(means[0]))]


def movement(means: list[float], per_step: float) -> int:
    total = abs(means[0])
    if len(means) > 1:
        total = rounded(total + 2 * abs(means[1]), FLOAT32)
    scaled = rounded(total * per_step, FLOAT32)
    return int(scaled) if scaled < MOST_MOVEMENT else MOST_MOVEMENT


def expected_from(moved: list[int], width: int) -> list[int]:
    """An element's own movement and, less, that of the four around it; outside of the slice nothing moves."""

    def at(i: int) -> int:
        return moved[i] if 0 <= i < len(moved) else 0

    around = (at(i - 1) + at(i + 1) + at(i - width) + at(i + width) for i in range(len(moved)))
    return [19 * here + 5 * near for here, near in zip(moved, around, strict=True)]


def updated(means: Means, before: list[float], after: list[float], kind: Kind) -> Means:
    """Each mean moves towards how the element moved."""
    moves = [difference(b, a, kind) for b, a in zip(before, after, strict=True)]
    return [
        [moved_mean(x, move, rate, kind) for x, move in zip(mean, moves, strict=True)]
        for mean, rate in zip(means, RATES, strict=False)
    ]


def difference(before: float, after: float, kind: Kind) -> float:
    return rounded(rounded(after - before, working(kind)), FLOAT32)


def moved_mean(x: float, move: float, rate: float, kind: Kind) -> float:
    """Means have as many bits as the elements, 32 at most. One that would not be finite stays."""
    if x == move == 0:
        return x
    step = rounded(rounded(move - x, FLOAT32) * rate, FLOAT32)
    moved = rounded(rounded(x + step, FLOAT32), NAMED["bfloat16"] if kind.n_bits == 16 else FLOAT32)
    return moved if math.isfinite(moved) else x

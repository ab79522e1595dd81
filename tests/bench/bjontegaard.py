"""Bjontegaard's difference of two rate-distortion curves: how much more the one takes for the same error, on average.

A curve is piecewise linear in log bytes over log rms error. A side may have several, one for each setting of its
encoder; then at every error the lowest of them counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Curve = Floats
"""Of shape (2, n): log rms, rising, and log bytes, falling."""


def curve(points: Iterable[tuple[float, float]]) -> Curve:
    """Join points of (rms, bytes), without those that another one is no worse than in both.

    >>> np.exp(curve([(1, 8), (2, 9), (4, 2), (4, 3)])).round(9)
    array([[1., 4.],
           [8., 2.]])
    """
    best: list[tuple[float, float]] = []
    for rms, size in sorted(points):
        if not best or size < best[-1][1]:
            best.append((rms, size))
    return np.log(np.array(best, np.float64).reshape(-1, 2)).T


def lowest(curves: Sequence[Curve], log_rms: Floats) -> Floats:
    """Return the least log bytes of the curves that reach so far; infinity where none does."""
    return np.min([np.interp(log_rms, *each, left=np.inf, right=np.inf) for each in curves], axis=0)


def bd_rate(ours: Sequence[Curve], theirs: Sequence[Curve]) -> float:
    """Return by which share our bytes differ from theirs, averaged over log rms where both sides have curves.

    Negative means fewer. The integral is exact.

    Raises
    ------
    ValueError
        There is no stretch of errors that both sides reach.
    """
    if not ours or not theirs:
        raise ValueError("one side has no curve")
    low, high = common_range(ours, theirs)
    cuts = np.unique(np.concatenate([breaks(ours, low, high), breaks(theirs, low, high)]))
    middles, widths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)  # between two cuts both sides are straight
    difference = lowest(ours, middles) - lowest(theirs, middles)
    return float(np.expm1((difference * widths).sum() / (high - low)))


def common_range(ours: Sequence[Curve], theirs: Sequence[Curve]) -> tuple[float, float]:
    low = max(min(each[0, 0] for each in side) for side in (ours, theirs))
    high = min(max(each[0, -1] for each in side) for side in (ours, theirs))
    if low >= high:
        raise ValueError("the curves have no error in common")
    return low, high


def breaks(curves: Sequence[Curve], low: float, high: float) -> Floats:
    """Return where the lowest of the curves may bend or jump between `low` and `high`, and these two."""
    bends = np.unique(np.concatenate([[low, high], *(each[0] for each in curves)]))
    crossings = [crossing for pair in combinations(curves, 2) for crossing in crossings_of(*pair, bends)]
    all_of_them = np.concatenate([bends, crossings])
    return all_of_them[(all_of_them >= low) & (all_of_them <= high)]


def crossings_of(a: Curve, b: Curve, bends: Floats) -> Floats:
    """Return where two curves meet between bends of either."""
    bends = bends[(bends >= max(a[0, 0], b[0, 0])) & (bends <= min(a[0, -1], b[0, -1]))]
    gap = np.interp(bends, *a) - np.interp(bends, *b)
    at = np.flatnonzero(gap[:-1] * gap[1:] < 0)
    share = gap[at] / (gap[at] - gap[at + 1])
    return bends[at] + share * (bends[at + 1] - bends[at])

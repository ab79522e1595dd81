"""Codebooks: weights that take few values, as places in a list of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Clusters(NamedTuple):
    """Levels as places in a list.

    Attributes
    ----------
    values : numpy.ndarray of int32
        The distinct levels, in increasing order.
    zero_offset : int
        Place of the most frequent one.
    places : numpy.ndarray of int32
        For each level its place, counted from `zero_offset`.
    """

    values: NDArray[np.int32]
    zero_offset: int
    places: NDArray[np.int32]


def clusters_of(levels: NDArray[np.int32]) -> Clusters:
    """List the distinct levels, and say of each level which one it is.

    Parameters
    ----------
    levels : numpy.ndarray of int32
        Flat, at least one.

    Examples
    --------
    >>> values, zero_offset, places = clusters_of(np.int32([7, -5, 7, 7, 90]))
    >>> values.tolist(), zero_offset, places.tolist()
    ([-5, 7, 90], 1, [0, -1, 0, 0, 1])
    """
    values, places, counts = np.unique(levels, return_inverse=True, return_counts=True)
    zero_offset = int(counts.argmax())
    return Clusters(values, zero_offset, (places.reshape(-1) - zero_offset).astype(np.int32))

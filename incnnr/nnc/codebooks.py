"""The codebook of a tensor, as the header of its unit carries it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from incnnr.nnc.members import Levels
from incnnr.nnc.syntax import Codebook
from incnnr.quantization import clusters_of

_ORDERS = range(16)


def codebook_of(levels: Levels) -> tuple[Codebook, Levels]:
    """List the distinct levels in the cheapest way; return the list, and for each level its place in it.

    Examples
    --------
    >>> import numpy as np
    >>> codebook, places = codebook_of(np.int32([100, 300, 100, 200]))
    >>> codebook.values, codebook.zero_offset, codebook.egk, places.tolist()
    ((100, 200, 300), 0, 7, [0, 2, 0, 1])
    """
    values, zero_offset, places = clusters_of(levels)
    gaps = [right - left - 1 for left, right in pairwise(values.tolist())]
    egk = min(_ORDERS, key=lambda order: _exp_golomb_bits(gaps, order))
    return Codebook(egk, zero_offset, tuple(values.tolist())), places


def _exp_golomb_bits(numbers: Sequence[int], order: int) -> int:
    """Count the bits of numbers in Exp-Golomb code."""
    return sum(2 * (number + (1 << order)).bit_length() - 1 - order for number in numbers)

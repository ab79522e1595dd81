"""Which elements of a tensor an update changed, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_BITS_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did to one tensor.

    Attributes
    ----------
    bits : numpy.ndarray of uint8, or None
        One bit for each unit of the tensor, the lowest of each byte first: does it differ from before? None: the tensor
        is new, so that all do.
    unit_bytes : int
        Bytes of a unit: an element, unless the kernels know its dtype as bytes only.
    """

    bits: NDArray[np.uint8] | None
    unit_bytes: int

    def indices(self, n_elements: int, element_bytes: int) -> NDArray[np.int64]:
        """Return the flat indices of the elements that differ, in order.

        Examples
        --------
        >>> Change(np.array([0b1001], np.uint8), unit_bytes=1).indices(2, 2)
        array([0, 1])
        """
        if self.bits is None:
            return np.arange(n_elements, dtype=np.int64)
        n_units = n_elements * element_bytes // self.unit_bytes
        units = _ones(self.bits, n_units)
        return units if self.unit_bytes == element_bytes else np.unique(units // (element_bytes // self.unit_bytes))


def changed_bits(before: NDArray[np.uint8], after: NDArray[np.uint8], unit_bytes: int) -> NDArray[np.uint8]:
    """Compare two tensors unit by unit.

    Examples
    --------
    >>> changed_bits(np.array([1, 2, 3, 4], np.uint8), np.array([1, 2, 3, 5], np.uint8), unit_bytes=2)
    array([2], dtype=uint8)
    """
    if not before.size:
        return np.zeros(0, np.uint8)
    return np.packbits((before != after).reshape(-1, unit_bytes).any(axis=1), bitorder="little")


def difference_of(after: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
    """Subtract two arrays of one type, as `Model.difference` says.

    Examples
    --------
    >>> difference_of(np.array([1, 2], np.uint8), np.array([2, 2], np.uint8))
    array([255,   0], dtype=uint8)
    >>> difference_of(np.array([True, False]), np.array([False, True]))
    array([ 1, -1], dtype=int8)
    """
    dtype = _dtype_of_differences(after.dtype)
    with np.errstate(all="ignore"):  # infinities, and signalling NaNs
        return np.asarray(np.subtract(after.astype(dtype, copy=False), before.astype(dtype, copy=False)))


def _dtype_of_differences(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype(np.int8)
    if dtype.kind in "iuc":
        return dtype.newbyteorder("=")
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        raise TypeError(f"values of dtype {dtype} have no differences") from None
    return np.promote_types(np.float32, dtype)


def _ones(bits: NDArray[np.uint8], n_bits: int) -> NDArray[np.int64]:
    """Find the bits that are set, a part at a time: unpacked, a bit takes a byte."""
    parts = [np.zeros(0, np.int64)]
    for first in range(0, n_bits, _BITS_AT_ONCE):
        count = min(_BITS_AT_ONCE, n_bits - first)
        part = bits[first // 8 : (first + count + 7) // 8]
        if part.any():
            parts.append(np.flatnonzero(np.unpackbits(part, count=count, bitorder="little")) + first)
    return np.concatenate(parts)

"""Predictive residual coding: updates as differences to the updates before them (``nnr_pre_flag``).

No public text says what the flag means for values. Here an update is the coded residual plus the update before it of
the same tensor, added in float32; the first prediction is zero, and a tensor that is left out has a residual of zero.
Integers are not predicted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from incnnr.nnc.members import DecodedTensor
from incnnr.tensors import as_array

Updates = Mapping[str, NDArray[np.float32]]


def residuals_of(tensors: Mapping[str, object], updates: Updates) -> dict[str, object]:
    """Subtract from each tensor of floats its update before.

    Examples
    --------
    >>> residuals_of({"w": np.float32([3, 5]), "new": np.float32([1])}, {"w": np.float32([1, 1])})
    {'w': array([2., 4.], dtype=float32), 'new': array([1.], dtype=float32)}
    """
    return {name: _residual(value, updates[name]) if name in updates else value for name, value in tensors.items()}


def _residual(value: object, update: NDArray[np.float32]) -> object:
    array = as_array(value)
    return value if array.shape != update.shape else array.astype(np.float32) - update


def updates_after(updates: Updates, residuals: Mapping[str, DecodedTensor]) -> dict[str, NDArray[np.float32]]:
    """Add decoded residuals to the updates before; return those that are new.

    Examples
    --------
    >>> residual = DecodedTensor(np.float32([2, 4]), np.int32([1, 2]))
    >>> updates_after({"w": np.float32([1, 1]), "b": np.float32([1])}, {"w": residual})
    {'w': array([3., 5.], dtype=float32)}
    """
    after = {}
    for name, residual in residuals.items():
        if residual.values.dtype.kind == "f":
            known = updates.get(name)
            with np.errstate(over="ignore", invalid="ignore"):
                values = residual.values.astype(np.float32)
                after[name] = values if known is None or known.shape != values.shape else known + values
    return after

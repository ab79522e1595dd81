"""iso.md section 10: from levels to values."""

from __future__ import annotations

from math import isfinite, ldexp

import numpy as np

from protocol.reference.errors import MalformedError, require
from protocol.reference.iso.codebook import Codebook


def step_size(qp: int, density: int) -> np.float32:
    """(2^density + the low bits of qp) * 2^(the high bits of qp - density)."""
    mantissa = (1 << density) + (qp & (1 << density) - 1)
    try:
        step = ldexp(mantissa, (qp >> density) - density)
    except OverflowError:
        raise MalformedError("a step size that is no float32") from None
    with np.errstate(over="ignore"):
        step32 = np.float32(step)
    require(isfinite(step32), "a step size that is no float32")
    return step32


def values_of(levels: np.ndarray, codebook: Codebook | None, step: np.float32 | None) -> np.ndarray:
    """int32 where there is no step, float64 where there is a codebook, else float32."""
    if step is None:
        return levels
    if codebook is not None:
        last = len(codebook.values) - 1 - codebook.zero_offset
        inside = (levels >= -codebook.zero_offset) & (levels <= last)
        require(bool(inside.all()), "a level that is not in the codebook")
        table = np.array(codebook.values, np.float64) * np.float64(step)
        return table[levels + codebook.zero_offset]
    with np.errstate(over="ignore"):
        return levels.astype(np.float32) * step

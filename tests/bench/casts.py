"""Checkpoints in narrower types, as inference engines hold them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tests.bench import series

FLOATS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}
SCALED = {"float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2, "int8": np.int8}
DTYPES = [*FLOATS, *SCALED]


def cast_all(weights: series.Weights, dtype: str | None) -> dict[str, NDArray[Any]]:
    """Cast every float tensor; to 8 bits with a scale tensor beside it. None: as they are."""
    if dtype is None:
        return dict(weights)
    if dtype in FLOATS:
        return {name: series.cast(array, FLOATS[dtype], 1.0) for name, array in weights.items()}
    narrow: dict[str, NDArray[Any]] = {}
    for name, array in weights.items():
        narrow.update(scaled(name, array, np.dtype(SCALED[dtype])) if series.is_float(array) else {name: array})
    return narrow


def scaled(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> dict[str, NDArray[Any]]:
    """Divide by the scale that makes the largest magnitude the largest number of `dtype`."""
    values = array.astype(np.float32)
    largest = np.float32(127 if dtype.kind == "i" else ml_dtypes.finfo(dtype).max)
    scale = np.float32(np.abs(values).max(initial=0) / largest) or np.float32(1)
    quotients = np.clip(values / scale, -largest, largest)
    narrow = np.rint(quotients).astype(dtype) if dtype.kind == "i" else quotients.astype(dtype)
    return {name: narrow, f"{name}.scale": np.array(scale, np.float32)}

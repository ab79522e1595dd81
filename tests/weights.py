"""Weights to test with, and exact comparison."""

from __future__ import annotations

import ml_dtypes
import numpy as np

FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
FLOAT8S = [
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e4m3,
    ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2fnuz,
]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
OTHERS = ["<c8", ">f4", ">i8", "<U5", "S3", "<M8[ns]", "V7", ml_dtypes.float8_e8m0fnu, ml_dtypes.int4]
ALL_DTYPES = [np.dtype(dtype) for dtype in [*FLOATS, *FLOAT8S, *INTEGERS, *OTHERS]]


def exact(weights):
    """What two mappings must agree in to be the same."""
    return {name: (np.asarray(a).dtype, np.shape(a), np.asarray(a).tobytes()) for name, a in weights.items()}


def random_array(rng, dtype, shape):
    """Every bit pattern is possible."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    bits = rng.integers(0, 2 if dtype == np.bool_ else 256, n_bytes, np.uint8)
    if dtype.kind == "U":
        return np.full(shape, "weiß", dtype)
    return bits.view(dtype).reshape(shape)


def bit_neighbours(rng, array, share=0.1):
    """The same array with some elements moved by a few units in the last place."""
    words = array.copy().reshape(-1).view(np.uint8).copy()
    width = array.dtype.itemsize
    at = np.flatnonzero(rng.random(array.size) < share) * width
    if array.dtype.kind not in "?U":
        words[at] += rng.integers(1, 4, at.size, np.uint8)
    return words.view(array.dtype).reshape(array.shape)


def trained(rng, n_steps, shapes=None, dtype=np.float32, rate=1e-3):
    """A series of checkpoints that drift as in training."""
    shapes = shapes or {"conv.weight": (8, 3, 3, 3), "fc.weight": (40, 50), "fc.bias": (40,), "scale": ()}
    weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    for _ in range(n_steps):
        yield {name: np.asarray(w).astype(dtype) for name, w in weights.items()}
        weights = {name: w + rng.normal(0, rate, w.shape) for name, w in weights.items()}


def moving(rng, n_steps, shapes, dtype=np.float32, rate=1e-2):
    """A series of checkpoints each of whose steps is much like the one before."""
    weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    steps = {name: rng.normal(0, rate, shape) for name, shape in shapes.items()}
    for _ in range(n_steps):
        yield {name: np.asarray(w).astype(dtype) for name, w in weights.items()}
        weights = {name: w + steps[name] for name, w in weights.items()}
        steps = {name: 0.9 * step + rng.normal(0, 0.2 * rate, step.shape) for name, step in steps.items()}

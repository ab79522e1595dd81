"""Pairs of bit patterns, from a reference to what follows it, through the native coders in every mode they have."""

from __future__ import annotations

from collections import Counter
from itertools import product

import ml_dtypes
import numpy as np

from incnnr import _core
from incnnr.coding import ELEMENT_BYTES, Coding, fresh_history, fresh_slice_contexts
from incnnr.tensors import Kind

DILUTIONS = {"plain": 1, "dense": 2, "sparse": 16}
"""One pair and else unchanged elements in so many: that is what the encoder chooses its mode by."""

FLOATS = {
    Kind.FLOAT8_E4M3: ml_dtypes.float8_e4m3fn,
    Kind.FLOAT8_E5M2: ml_dtypes.float8_e5m2,
    Kind.FLOAT16: np.float16,
    Kind.BFLOAT16: ml_dtypes.bfloat16,
    Kind.FLOAT32: np.float32,
}
N_EXPONENT_BITS = {Kind.FLOAT8_E4M3: 4, Kind.FLOAT8_E5M2: 5, Kind.FLOAT16: 5, Kind.BFLOAT16: 8, Kind.FLOAT32: 8}


def word_type(kind):
    return np.dtype(f"u{ELEMENT_BYTES[kind]}")


def special_patterns(kind):
    """Zeros, subnormals, ones, the largest numbers, infinities and NaNs, of both signs."""
    n_bits = 8 * ELEMENT_BYTES[kind]
    n_mantissa_bits = n_bits - 1 - N_EXPONENT_BITS[kind]
    infinity = (1 << (n_bits - 1)) - (1 << n_mantissa_bits)
    one = (infinity >> 1) & ~((1 << n_mantissa_bits) - 1)
    quiet = infinity | 1 << (n_mantissa_bits - 1)
    low = (1 << n_mantissa_bits) - 1
    patterns = [0, 1, 2, low, low + 1, one - 1, one, one + 1, infinity - 1, infinity, infinity + 1, quiet, quiet + 1]
    patterns.append(infinity + low)
    return np.array([sign | p for sign in (0, 1 << (n_bits - 1)) for p in patterns], word_type(kind))


def special_pairs(kind):
    return np.array(list(product(special_patterns(kind), repeat=2)), word_type(kind)).T


def all_pairs_of_bytes():
    return np.indices((256, 256), np.uint8).reshape(2, -1)


def sampled_pairs(rng, kind, n):
    """All pairs of special patterns, and random ones to make it `n`."""
    special = special_pairs(kind)
    n_bytes = max(0, n - special.shape[1]) * ELEMENT_BYTES[kind]
    drawn = [np.frombuffer(rng.bytes(n_bytes), word_type(kind)) for _ in range(2)]
    return tuple(np.concatenate(parts) for parts in zip(special, drawn, strict=True))


def diluted(rng, before, after, dilution):
    """Put each pair at a random place of a stretch of `dilution` elements; the others stay as they are."""
    n = before.size
    old = np.frombuffer(rng.bytes(n * dilution * before.itemsize), before.dtype).reshape(n, dilution).copy()
    new = old.copy()
    at = (np.arange(n), rng.integers(0, dilution, n))
    old[at], new[at] = before, after
    return old.reshape(-1), new.reshape(-1)


class Sides:
    """An encoder's and a decoder's memory of one slice."""

    def __init__(self, kind, n_elements, *, with_history):
        self._kind = kind
        self._sides = [self._fresh(n_elements, with_history) for _ in range(2)]

    def _fresh(self, n_elements, with_history):
        arrays = {"contexts": fresh_slice_contexts(self._kind, Coding.INTER)}
        return arrays | {"history": fresh_history(n_elements)} if with_history else arrays

    def n_faults(self, before, after):
        """Send `after` to who holds `before`; return how many elements come back wrong, on either side."""
        results = [np.zeros_like(after) for _ in range(2)]
        ours, theirs = (
            _core.Segment(
                self._kind,
                Coding.INTER,
                after.size,
                reference=before.view(np.uint8),
                result=result.view(np.uint8),
                **({"source": after.view(np.uint8)} if side == 0 else {}),
                **self._sides[side],
            )
            for side, result in enumerate(results)
        )
        coded = _core.encode([[ours]], 1)
        _core.decode([[theirs]], coded, 1)
        return sum(int((result != after).sum()) for result in results) + (ours.digest != theirs.digest)


def counts_of(kind, before, after):
    """Return how many of the pairs are what they are sampled for."""
    dtype, negative_zero = FLOATS[kind], 1 << (8 * ELEMENT_BYTES[kind] - 1)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        has_nan = np.isnan(before.view(dtype)) | np.isnan(after.view(dtype))
    has_negative_zero = (before == negative_zero) | (after == negative_zero)
    return Counter(pairs=before.size, NaN=int(has_nan.sum()), negative_zero=int(has_negative_zero.sum()))


def arrays_of_pairs(rng, kind, n, size):
    """Yield `n` sampled pairs by arrays of at most `size`; of 8 bits all there are, twice."""
    if ELEMENT_BYTES[kind] == 1:
        yield from (all_pairs_of_bytes() for _ in range(2))
        return
    for start in range(0, n, size):
        yield sampled_pairs(rng, kind, min(size, n - start))


def check(rng, kind, n, mode, *, size=1 << 20):
    """Code pairs in a mode, without and with a history in turn; yield counts and faults of each array."""
    sides = {}
    for number, (before, after) in enumerate(arrays_of_pairs(rng, kind, n, size)):
        old, new = diluted(rng, before, after, DILUTIONS[mode])
        key = (old.size, number % 2 == 1)
        side = sides.setdefault(key, Sides(kind, old.size, with_history=key[1]))
        yield counts_of(kind, before, after), side.n_faults(old, new)

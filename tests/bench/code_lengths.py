"""Ideal lengths of codes for exact differences under models of choice, reckoned in numpy: no coder is involved.

Every model is a context for each weight; of each context the frequencies count, beginning with a half of each (the
length of an adaptive code depends on the counts alone), and are carried from update to update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from tests.bench import lossless_peers, series

MOST_COUNTED = 1 << 14  # then older updates count less
N_EXPONENTS = 64
N_PASTS = 16
N_PACES = 13

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_lgamma = np.vectorize(lgamma, otypes=[float])


class Counts:
    """Adaptive frequencies of a decision in each of some contexts."""

    def __init__(self, n_contexts: int) -> None:
        self._of = np.full((2, n_contexts), 0.5)

    def code(self, contexts: Ints, decisions: Bools) -> float:
        """Return the bits that these decisions take, in any order, and learn them."""
        n = self._of.shape[1]
        new = np.stack([np.bincount(contexts[decisions == value], minlength=n) for value in (False, True)])
        used = np.flatnonzero(new.sum(axis=0))
        old, new = self._of[:, used], new[:, used]
        nats = _log_beta(old) - _log_beta(old + new) if used.size else np.zeros(0)
        total = old + new
        self._of[:, used] = total * np.minimum(1, MOST_COUNTED / total.sum(axis=0))
        return float(nats.sum()) / log(2)

    def rates(self) -> NDArray[np.float64]:
        return self._of[1] / self._of.sum(axis=0)


def _log_beta(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return _lgamma(counts).sum(axis=0) - _lgamma(counts.sum(axis=0))


@dataclass
class Tensor:
    """What is known of one tensor before the next update of it: its past and rates by exponent."""

    pasts: Ints
    rates: Counts = field(default_factory=lambda: Counts(N_EXPONENTS))
    n_updates: int = 0


def bits_of(array: NDArray) -> NDArray[np.uint32]:
    return array.astype(np.float32).view(np.uint32).reshape(-1)


def exponents_of(array: NDArray) -> Ints:
    return np.clip((bits_of(array) >> 23 & 255).astype(np.int64) - 79, 0, N_EXPONENTS - 1)


def mantissas_of(array: NDArray) -> Ints:
    """Return the two bits below the leading one."""
    return (bits_of(array) >> 21 & 3).astype(np.int64)


def windowed(values: NDArray, width: int) -> NDArray[np.float64]:
    """Sum the `width` values before each, along the first axis."""
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0, dtype=np.float64)])
    index = np.arange(values.shape[0])
    return sums[index] - sums[np.maximum(index - width, 0)]


def paces(changes: NDArray, expected: NDArray, width: int) -> Ints:
    """Compare changes among the `width` weights before each with what was expected of them: in half octaves."""
    ratio = (windowed(changes, width) + 1) / (windowed(expected, width) + 1)
    return np.clip(np.rint(2 * np.log2(ratio)).astype(np.int64) + N_PACES // 2, 0, N_PACES - 1)


def contexts_of(tensor: Tensor, before: NDArray, changed: Bools) -> dict[str, tuple[Ints, int]]:
    """Return each weight's context under every model, from what a decoder knows by then, and how many there are."""
    exponents = exponents_of(before)
    expected = tensor.rates.rates()[exponents]
    if tensor.n_updates == 0:
        so_far = np.arange(changed.size) + 1
        expected = (np.cumsum(changed) - changed + 0.5) / so_far
    rows = (-1, before.shape[-1]) if before.ndim > 1 else (1, -1)
    down = paces(changed.reshape(rows), expected.reshape(rows), 64).reshape(-1)
    return {
        "exponent": (exponents, N_EXPONENTS),
        "mantissa": (mantissas_of(before), 4),
        "pace": (paces(changed, expected, 2048), N_PACES),
        "neighbours": (paces(changed, expected, 32), N_PACES),
        "column": (down, N_PACES),
        "history": (tensor.pasts, N_PASTS),
    }


def combined(contexts: Mapping[str, tuple[Ints, int]], models: Sequence[str], n: int) -> tuple[Ints, int]:
    index, size = np.zeros(n, np.int64), 1
    for model in models:
        of_model, n_contexts = contexts[model]
        index, size = index * n_contexts + of_model, size * n_contexts
    return index, size


def older(pasts: Ints, changed: Bools, upwards: Bools) -> Ints:
    """0: no change seen; else 1 + direction + 2 * age, up to age 6."""
    aged = np.where((pasts > 0) & (pasts < 13), pasts + 2, pasts)
    return np.where(changed, 1 + upwards, aged)


class Lengths:
    """Bits of the series under each set of models, and what their counts are."""

    def __init__(self, sets: Mapping[str, Sequence[str]]) -> None:
        self.sets = sets
        self.bits: dict[str, float] = {}
        self._counts: dict[object, Counts] = {}

    def code(self, label: str, key: object, contexts: tuple[Ints, int], decisions: Bools) -> None:
        counts = self._counts.setdefault((label, key), Counts(contexts[1]))
        self.bits[label] = self.bits.get(label, 0.0) + counts.code(contexts[0], decisions)


def differences(before: NDArray, after: NDArray) -> Ints:
    old, new = (lossless_peers.ordered({"w": array})[0] for array in (before, after))
    return (new - old).view(f"i{old.itemsize}").astype(np.int64)


def reckon(checkpoints: list[dict[str, NDArray]], sets: Mapping[str, Sequence[str]]) -> Lengths:
    """Return the bits of places under every set of models, and of signs and sizes, over all updates.

    A set with ``shared`` has its counts in common to all tensors; others have them for each tensor.
    """
    lengths = Lengths(sets)
    tensors = {name: Tensor(np.zeros(array.size, np.int64)) for name, array in checkpoints[0].items()}
    for before, after in pairwise(checkpoints):
        for name, tensor in tensors.items():
            if before[name].size and series.is_float(before[name]):
                _reckon_tensor(lengths, name, tensor, before[name], after[name])
    return lengths


def _reckon_tensor(lengths: Lengths, name: str, tensor: Tensor, before: NDArray, after: NDArray) -> None:
    difference = differences(before, after)
    changed, upwards = difference != 0, difference > 0
    contexts = contexts_of(tensor, before, changed)
    for label, models in lengths.sets.items():
        own = [model for model in models if model != "shared"]
        lengths.code(label, None if "shared" in models else name, combined(contexts, own, changed.size), changed)
    at = np.flatnonzero(changed)
    for label, models in {"signs, one rate": [], "signs by history": ["history"]}.items():
        index, size = combined(contexts, models, changed.size)
        lengths.code(label, name, (index[at], size), upwards[at])
    _reckon_sizes(lengths, name, contexts["exponent"][0][at], np.abs(difference[at]))
    tensor.rates.code(contexts["exponent"][0], changed)
    tensor.pasts = older(tensor.pasts, changed, upwards)
    tensor.n_updates += 1


def _reckon_sizes(lengths: Lengths, name: str, exponents: Ints, sizes: Ints) -> None:
    """The bit length in unary, each step by the exponent; then the bits below the leading one."""
    n_bits = np.frexp(sizes.astype(np.float64))[1].astype(np.int64)
    for step in range(1, int(n_bits.max(initial=1)) + 1):
        reached = n_bits >= step
        lengths.code("sizes", (name, step), (exponents[reached], N_EXPONENTS), n_bits[reached] > step)
    lengths.bits["sizes"] += float((n_bits - 1).sum())

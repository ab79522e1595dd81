"""Exact differences by the kernels alone: arrays that are there already, no table, no digest of the whole.

For `tests.bench.lossless_speed`, which counts the instructions of this program::

    python -m tests.bench.lossless_kernels BEFORE AFTER EFFORT N_ENCODE N_DECODE
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from incnnr import _core
from incnnr.coding import Coding, fresh_history, fresh_slice_contexts, group_sizes, slice_elements
from incnnr.tensors import Kind, bytes_of, type_of
from tests.bench import series

Slices = list[NDArray[np.uint8]]


def slices_of(weights: series.Weights) -> Slices:
    """Cut all tensors as the codec does, without copies."""
    slices = []
    for array in weights.values():
        data, start = bytes_of(array), 0
        for n in slice_elements(array.size):
            stop = start + n * array.itemsize
            slices.append(data[start:stop])
            start = stop
    return slices


def kinds_of(weights: series.Weights) -> list[Kind]:
    return [type_of(array).kind for array in weights.values() for _ in slice_elements(array.size)]


class Side:
    """What an encoder or a decoder remembers of the slices of a model, and the arrays it writes."""

    def __init__(self, weights: series.Weights, *, with_history: bool) -> None:
        self.kinds = kinds_of(weights)
        self.results = [np.zeros_like(data) for data in slices_of(weights)]
        self.n_elements = [n for array in weights.values() for n in slice_elements(array.size)]
        self.histories = [fresh_history(n) if with_history else None for n in self.n_elements]
        self.contexts = [fresh_slice_contexts(kind, Coding.INTER) for kind in self.kinds]

    def forget_pasts(self) -> None:
        """Forget what each weight did, not what was learned from that: a half byte for each, at the end."""
        for n, history in zip(self.n_elements, self.histories, strict=True):
            if history is not None:
                history[history.size - (n + 1) // 2 :] = 0

    def codewords(self, before: Slices, after: Slices | None) -> list[list[_core.Segment]]:
        """Make segments, grouped as the codec does; to encode if there is an `after`."""
        segments = [
            _core.Segment(
                kind,
                Coding.INTER,
                n,
                result=self.results[i],
                reference=before[i],
                source=None if after is None else after[i],
                contexts=self.contexts[i],
                history=self.histories[i],
            )
            for i, (kind, n) in enumerate(zip(self.kinds, self.n_elements, strict=True))
        ]
        groups, start = [], 0
        for size in group_sizes(self.n_elements):
            groups.append(segments[start : start + size])
            start += size
        return groups

    def encode(self, before: Slices, after: Slices, threads: int) -> list[bytes]:
        return _core.encode(self.codewords(before, after), threads)

    def decode(self, before: Slices, coded: Sequence[bytes], threads: int) -> None:
        _core.decode(self.codewords(before, None), coded, threads)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the kernels some times.")
    parser.add_argument("paths", nargs=2, type=Path)
    parser.add_argument("effort")
    parser.add_argument("times", nargs=2, type=int)
    arguments = parser.parse_args()
    first, second = (series.load(path) for path in arguments.paths)
    before, after = slices_of(first), slices_of(second)
    ours, theirs = (Side(first, with_history=arguments.effort == "small") for _ in range(2))
    coded = [ours.encode(before, after, 1) for _ in range(arguments.times[0])]
    for i in range(arguments.times[1]):
        theirs.decode(before, coded[i], 1)


if __name__ == "__main__":
    main()

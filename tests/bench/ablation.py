"""Prints what each model of exact differences is worth, in bits per weight over all updates of a series.

By hand (a minute)::

    python -m tests.bench.ablation SERIES_FOLDER [...]

First the codec, with what can be taken away from outside: the history of weights (effort), what was learned in earlier
updates, where a weight is (its tensor shuffled, the same way in every checkpoint), and its exponent (the same bits as
unsigned integers: only the sign is left). Then ideal lengths of codes with other sets of models; see `code_lengths`.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import incnnr
from incnnr.incremental.encoder import Effort
from tests.bench import code_lengths, lossless_kernels, series

Checkpoints = list[dict[str, NDArray[Any]]]

ALL = ("exponent", "pace", "history")
SETS = {
    "one rate for a tensor": (),
    "exponent": ("exponent",),
    "exponent, tensors in common": ("shared", "exponent"),
    "exponent, two bits of mantissa": ("exponent", "mantissa"),
    "exponent, pace (2,048 before)": ("exponent", "pace"),
    "exponent, neighbours (32 before)": ("exponent", "neighbours"),
    "exponent, column (64 above)": ("exponent", "column"),
    "exponent, history": ("exponent", "history"),
    "pace, history": ("pace", "history"),
    "exponent, pace, history": ALL,
    "and neighbours": (*ALL, "neighbours"),
    "and column": (*ALL, "column"),
    "and two bits of mantissa": (*ALL, "mantissa"),
}


def updates_bytes(checkpoints: Checkpoints, effort: Effort) -> int:
    encoder = incnnr.Encoder(base=checkpoints[0], effort=effort)
    return sum(len(bytes(encoder.encode(weights))) for weights in checkpoints[1:])


def reset_bytes(checkpoints: Checkpoints) -> int:
    return sum(len(bytes(incnnr.Encoder(base=a).encode(b))) for a, b in pairwise(checkpoints))


def kernel_bytes(checkpoints: Checkpoints, forget: str) -> int:
    """Return the bytes of codewords with a history, where before each update something is forgotten."""
    side = lossless_kernels.Side(checkpoints[0], with_history=True)
    total = 0
    for before, after in pairwise(checkpoints):
        if forget == "pasts":
            side.forget_pasts()
        coded = side.encode(lossless_kernels.slices_of(before), lossless_kernels.slices_of(after), 1)
        total += sum(map(len, coded))
    return total


def shuffled(checkpoints: Checkpoints) -> Checkpoints:
    rng = np.random.default_rng(1)
    orders = {name: rng.permutation(array.size) for name, array in checkpoints[0].items()}
    return [
        {name: array.reshape(-1)[orders[name]].reshape(array.shape) for name, array in weights.items()}
        for weights in checkpoints
    ]


def as_integers(checkpoints: Checkpoints) -> Checkpoints:
    return [{name: array.view(f"u{array.itemsize}") for name, array in weights.items()} for weights in checkpoints]


def report_codec(checkpoints: Checkpoints, n: int) -> None:
    mixed, integers = shuffled(checkpoints), as_integers(checkpoints)
    sizes = {
        "default": updates_bytes(checkpoints, "default"),
        "  without the exponent": updates_bytes(integers, "default"),
        "  without the place (shuffled)": updates_bytes(mixed, "default"),
        "  without earlier updates": reset_bytes(checkpoints),
        "small: with the history of weights": updates_bytes(checkpoints, "small"),
        "  without the exponent ": updates_bytes(integers, "small"),
        "  without the place (shuffled) ": updates_bytes(mixed, "small"),
        "  without what weights did": kernel_bytes(checkpoints, "pasts"),
    }
    rows = [(name, series.bits_per_weight(size, n), size / sizes["default"]) for name, size in sizes.items()]
    series.print_table("the codec", ("", "bits per weight", "of default"), rows)


def report_estimate(checkpoints: Checkpoints, n: int) -> None:
    bits = code_lengths.reckon(checkpoints, SETS).bits
    rows = [(label, bits[label] / n, bits[label] / bits["exponent"]) for label in SETS]
    series.print_table("ideal: which weights change, by", ("", "bits per weight", "of exponent"), rows)
    rest = [(label, bits[label] / n) for label in ("signs, one rate", "signs by history", "sizes")]
    series.print_table("ideal: how those change", ("", "bits per weight"), rest)
    totals = {
        "exponent, pace; signs at one rate (what default knows)": ("exponent, pace (2,048 before)", "signs, one rate"),
        "and history for both (what small knows)": ("exponent, pace, history", "signs by history"),
    }
    sums = [(name, (sum(bits[part] for part in parts) + bits["sizes"]) / n) for name, parts in totals.items()]
    series.print_table("ideal: all of it", ("", "bits per weight"), sums)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each model of exact differences is worth.")
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        checkpoints = [series.load(path) for path in series.paths_of(folder)]
        n = (len(checkpoints) - 1) * series.n_weights(checkpoints[0])
        print(f"\n{folder.name}: {len(checkpoints) - 1} updates")
        report_codec(checkpoints, n)
        report_estimate(checkpoints, n)


if __name__ == "__main__":
    main()

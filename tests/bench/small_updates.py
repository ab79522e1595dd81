"""Prints the bytes of updates in which nothing or a single weight changed, for 300 bf16 tensors of 512 x 512.

By hand (a minute, 1 GB of memory)::

    python -m tests.bench.small_updates

Measured after a keyframe and 0, 1 and 10 updates, in each of which 2 % of the weights moved to a neighbouring value,
or nothing changed. A single weight is changed in several places, to a neighbouring value (+1 ulp) and to a wholly
different one; the largest update counts.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

import incnnr
from tests.bench import series

N_TENSORS, SHAPE, N_PLACES = 300, (512, 512), 5
Change = Callable[[series.Weights], series.Weights]


def random_weights(rng: np.random.Generator) -> series.Weights:
    size = (N_TENSORS, *SHAPE)
    values = rng.standard_normal(size, dtype=np.float32) * np.float32(0.02)
    return {f"layers.{i}.weight": array for i, array in enumerate(values.astype(ml_dtypes.bfloat16))}


def moved(weights: series.Weights, rng: np.random.Generator, share: float = 0.02) -> series.Weights:
    after = {}
    for name, array in weights.items():
        bits = array.view(np.uint16).copy().reshape(-1)
        at = rng.integers(0, bits.size, int(share * bits.size))
        bits[at] += rng.choice(np.array([1, -1], np.int16), at.size).view(np.uint16)
        after[name] = bits.view(array.dtype).reshape(array.shape)
    return after


def with_one_changed(weights: series.Weights, rng: np.random.Generator, flip: int) -> series.Weights:
    """Flip bits of one weight anywhere."""
    name = str(rng.choice(list(weights)))
    array = weights[name].copy()
    array.view(np.uint16).reshape(-1)[rng.integers(array.size)] ^= flip
    return {**weights, name: array}


def sizes(encoder: incnnr.Encoder, weights: series.Weights, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the bytes of an update when nothing, a bit, and sign, exponent and mantissa of one weight change."""

    def size(after: series.Weights) -> int:
        update = encoder.encode(after)
        encoder.rollback()
        return len(bytes(update))

    one = [max(size(with_one_changed(weights, rng, flip)) for _ in range(N_PLACES)) for flip in (0x0001, 0xC155)]
    return size(weights), one[0], one[1]


def measure(before: str, change: Change, weights: series.Weights, rng: np.random.Generator) -> list[tuple[object, ...]]:
    encoder, rows = incnnr.Encoder(require_ack=True), []
    encoder.acknowledge(encoder.encode(weights).position)
    for n_updates in range(11):
        if n_updates in (0, 1, 10):
            rows.append((before, n_updates, *sizes(encoder, weights, rng)))
        weights = change(weights)
        encoder.acknowledge(encoder.encode(weights).position)
    return rows


def main() -> None:
    rng = np.random.default_rng(1)
    weights = random_weights(rng)
    rows = measure("2 % moved", lambda weights: moved(weights, rng), weights, rng)
    rows += measure("nothing changed", lambda weights: weights, weights, rng)
    title = f"bytes of an update of {N_TENSORS} bf16 tensors of {SHAPE[0]} x {SHAPE[1]}"
    columns = ("updates before", "their number", "nothing changes", "one weight by a bit", "one weight by much")
    series.print_table(title, columns, rows)


if __name__ == "__main__":
    main()

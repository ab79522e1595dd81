"""Prints how close updates come to the bytes they may take, for random targets.

By hand (minutes)::

    python -m tests.bench.target_bytes SERIES_FOLDER [--targets 100] [--updates 3] [--profile iso]

A target, between 0.02 and 4 bits per weight with all orders of magnitude alike, is that of every update of a stream
that begins at a random place of the series; both sides hold the checkpoint there. Every update is decoded. An encoder
that refuses a target must be left as it was, and the stream goes on from there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import incnnr
from tests.bench import series
from tests.bench.series import FloatTensors

LOWEST_BITS, HIGHEST_BITS = 0.02, 4.0


@dataclass
class Outcome:
    """Bytes of updates over the bytes they might take, and how often a target was refused."""

    shares: list[float] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def follow_target(checkpoints: list[FloatTensors], target: int, options: dict[str, Any], outcome: Outcome) -> None:
    """Code all but the first checkpoint with so many bytes each at most."""
    encoder = incnnr.Encoder(base=checkpoints[0], target_bytes=target, **options)
    decoder = incnnr.Decoder(base=checkpoints[0])
    for weights in checkpoints[1:]:
        before = encoder.position
        try:
            data = bytes(encoder.encode(weights))
        except ValueError:
            outcome.counts["refused"] += 1
            outcome.counts["refused, but changed"] += encoder.position != before
            continue
        decoder.decode(data)
        outcome.counts["sides apart"] += encoder.position != decoder.position
        outcome.shares.append(len(data) / target)
        outcome.bits.append(series.bits_per_weight(target, series.n_weights(weights)))


def random_targets(rng: np.random.Generator, count: int, n_weights: int) -> list[int]:
    bits = np.exp(rng.uniform(np.log(LOWEST_BITS), np.log(HIGHEST_BITS), count))
    return [int(each * n_weights / 8) for each in bits]


def print_outcome(title: str, outcome: Outcome) -> None:
    shares, bits = np.array(outcome.shares), np.array(outcome.bits)
    rows = []
    for low, high in ((0.02, 0.1), (0.1, 0.5), (0.5, 4.0), (0.02, 4.0)):
        own = shares[(bits >= 0.99 * low) & (bits <= high)]
        if own.size:
            under = np.maximum(1 - own, 0)
            figures = (max(own.max() - 1, 0), under.mean(), under.max())
            rows.append((f"{low} to {high}", own.size, *(f"{figure:.2%}" for figure in figures)))
    columns = ("bits per weight", "updates", "worst overshoot", "mean undershoot", "worst undershoot")
    series.print_table(title, columns, rows)
    for what in ("refused", "refused, but changed", "sides apart"):
        print(f"{what}: {outcome.counts[what]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How close updates come to their target.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--updates", type=int, default=3, help="of each stream")
    parser.add_argument("--profile", default="incnnr", choices=("incnnr", "iso"))
    arguments = parser.parse_args()
    checkpoints = [series.float_tensors(path) for path in series.paths_of(arguments.folder)]
    n_updates = min(arguments.updates, len(checkpoints) - 1)
    rng, outcome = np.random.default_rng(1), Outcome()
    for target in random_targets(rng, arguments.targets, series.n_weights(checkpoints[0])):
        first = int(rng.integers(len(checkpoints) - n_updates))
        own = checkpoints[first : first + 1 + n_updates]
        follow_target(own, target, {"profile": arguments.profile}, outcome)
    print_outcome(f"{arguments.folder.name}: {arguments.targets} targets, {n_updates} updates each", outcome)


if __name__ == "__main__":
    main()

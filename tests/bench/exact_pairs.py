"""Prints how many pairs of bit patterns go through the native coders exactly, in every mode they have.

By hand (minutes)::

    python -m tests.bench.exact_pairs [--pairs 100_000_000]

Of bf16, fp16 and fp32 so many random pairs, a third of them each as plain, dense and sparse changes (among others that
stay as they are), without and with a history in turn, all pairs of special patterns in every array; of both types of
fp8 all pairs, in each mode, without and with a history.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from incnnr.coding import ELEMENT_BYTES
from tests import pairs
from tests.bench import series


def main() -> None:
    parser = argparse.ArgumentParser(description="Exact round trips of pairs of bit patterns.")
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    n_faults = 0
    rows = []
    for kind in pairs.FLOATS:
        start, counts, faults = time.perf_counter(), Counter[str](), 0
        for mode, dilution in pairs.DILUTIONS.items():
            rng = np.random.default_rng([arguments.seed, kind, dilution])
            n = -(-arguments.pairs // len(pairs.DILUTIONS))
            for found, wrong in pairs.check(rng, kind, n, mode, size=(4 << 20) // dilution):
                counts, faults = counts + found, faults + wrong
        kinds_of_pairs = "all, twice in each mode" if ELEMENT_BYTES[kind] == 1 else "sampled"
        columns = (counts["pairs"], counts["NaN"], counts["negative_zero"], faults, time.perf_counter() - start)
        rows.append((kind.name.lower(), kinds_of_pairs, *columns))
        n_faults += faults
    series.print_table("pairs", ("", "which", "pairs", "with NaN", "with -0.0", "faults", "seconds"), rows)
    raise SystemExit(n_faults > 0)


if __name__ == "__main__":
    main()

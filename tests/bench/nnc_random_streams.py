"""Random streams of the standard: do the native decoder and the plain one of the pages make the same of them?

Run ``python -m tests.bench.nnc_random_streams [--streams 500] [--seed 1000]``. Prints how many streams agree in levels,
values, entry points and state, and what the streams use. Exits 1 if there is a difference.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import count

from tests.bench import series
from tests.nnc_agreement import differences
from tests.nnc_chains import random_chain


def main() -> None:
    parser = argparse.ArgumentParser(description="Native against plain decoder.")
    parser.add_argument("--streams", type=int, default=500, help="bitstreams at least; each of a chain counts")
    parser.add_argument("--seed", type=int, default=1000, help="of the first chain")
    arguments = parser.parse_args()
    tools: Counter[str] = Counter()
    n_streams = n_chains = n_different = 0
    for seed in count(arguments.seed):
        if n_streams >= arguments.streams:
            break
        chain = random_chain(seed)
        found = list(differences(chain))
        for what in found:
            print(f"chain {seed}: different {what}")
        n_different += len({what.split()[-1] for what in found})
        n_streams, n_chains, tools = n_streams + len(chain.bitstreams), n_chains + 1, tools + chain.tools
    series.print_table("what they use", ("", "count"), sorted(tools.items()))
    print(f"{n_streams} streams in {n_chains} chains: {n_streams - n_different} agree, {n_different} do not")
    sys.exit(n_different > 0)


if __name__ == "__main__":
    main()

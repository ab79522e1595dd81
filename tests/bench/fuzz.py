"""Damages updates and stream files at random and in every length, and checks that nothing but typed errors comes of it.

By hand (a minute or two)::

    python -m tests.bench.fuzz [--flips 20000] [--seed 1] [--stream-bytes 65536] [--series SERIES_FOLDER]

Updates of small models of many dtypes, lossless and lossy, and a stream file get one to eight bits flipped, `flips`
times each, updates once more with the hash over all their bytes repaired, so that the damage reaches the decoder.
Every prefix of the updates is tried, and of a stream file of `stream-bytes`, and 2,000 prefixes of the stream of a real
series. Prints how often what came out. Wrong weights or positions, untyped errors and entries that are gone without a
word are faults; exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import incnnr
from tests import crafted
from tests.bench import damage, fuzz_streams, series

OPTIONS = [{}, {"max_error": 1e-3}, {"qp": -24}, {"relative_error": 0.2, "effort": "fast"}]


@dataclass
class Case:
    """An update, the decoder that it is meant for, and what it makes of it."""

    name: str
    decoder: incnnr.Decoder
    data: bytes
    exact: dict[str, tuple[object, ...]]
    sequence: int


def cases(seed: int) -> list[Case]:
    found = []
    for options in OPTIONS:
        encoder, decoder = incnnr.Encoder(threads=1, **options), incnnr.Decoder(threads=1)
        for i, weights in enumerate(damage.models(np.random.default_rng(seed), 4)):
            update, before = encoder.encode(weights), decoder.fork()
            exact = series.exact(decoder.decode(update))
            found.append(Case(f"{options} {i}", before, bytes(update), exact, update.position.sequence))
    return found


def decoded(case: Case, data: bytes, forged: bool = False) -> str:
    before = case.decoder.position
    decoder = case.decoder.fork()
    result = damage.outcome(lambda: verdict(decoder.decode(data), case, forged))
    if result.endswith("Error") and decoder.position != before:
        return "FAULT: the decoder moved"
    return result


def verdict(model: incnnr.Model, case: Case, forged: bool) -> str:
    if series.exact(model) != case.exact:
        return "FAULT: wrong weights"
    if forged or model.position.sequence == case.sequence:
        return "right weights"
    return "FAULT: right weights, wrong sequence"


def fuzz_updates(n_flips: int, seed: int) -> int:
    """Return the number of faults."""
    luck, all_cases = random.Random(seed), cases(seed)
    flips, repaired, prefixes = Counter(), Counter(), Counter()
    for i in range(n_flips):
        case = all_cases[i % len(all_cases)]
        flipped = damage.flipped(case.data, luck)
        flips[decoded(case, flipped)] += 1
        repaired[decoded(case, crafted.resealed(flipped), forged=True)] += 1
    for case in all_cases:
        prefixes.update(decoded(case, case.data[:n]) for n in range(len(case.data)))
        if decoded(case, case.data) != "right weights":
            raise SystemExit(f"{case.name}: the update itself no longer decodes after all this")
    n_faults = damage.report(
        f"{n_flips} flips in {len(all_cases)} updates of {sum(len(case.data) for case in all_cases)} bytes", flips
    )
    n_faults += damage.report("the same, with the hash repaired", repaired)
    return n_faults + damage.report(f"their {sum(prefixes.values())} prefixes", prefixes)


def fuzz_stream_files(n_flips: int, seed: int, n_bytes: int, series_folder: Path | None) -> int:
    """Return the number of faults."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "run.incnnr"
        n_faults = fuzz_streams.fuzz_flips(n_flips, seed, path)
        small = damage.models(np.random.default_rng(seed), 1000)
        stream = fuzz_streams.write_stream(path, small, 10, n_bytes)
        n_faults += fuzz_streams.fuzz_prefixes("prefixes of a stream file", stream, list(range(len(stream.data))), path)
        if series_folder:
            checkpoints = map(incnnr.read, series.paths_of(series_folder))
            real = fuzz_streams.write_stream(path, checkpoints, 500, 1 << 40)
            lengths = random.Random(seed).sample(range(len(real.data)), 2000)
            n_faults += fuzz_streams.fuzz_prefixes("prefixes of a real one", real, lengths, path)
    return n_faults


def main() -> None:
    parser = argparse.ArgumentParser(description="Bit flips and prefixes of updates and stream files.")
    parser.add_argument("--flips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream-bytes", type=int, default=65_536)
    parser.add_argument("--series", type=Path, help="a folder of checkpoints to try 2,000 prefixes of")
    arguments = parser.parse_args()
    n_faults = fuzz_updates(arguments.flips, arguments.seed)
    n_faults += fuzz_stream_files(arguments.flips, arguments.seed, arguments.stream_bytes, arguments.series)
    print(f"{n_faults} faults")
    sys.exit(n_faults > 0)


if __name__ == "__main__":
    main()

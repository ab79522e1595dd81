"""Damages updates and stream files at random and in every length, and checks that nothing but typed errors comes of it.

By hand (a minute or two)::

    python -m tests.bench.fuzz [--flips 20000] [--seed 1] [--stream-bytes 65536] [--series SERIES_FOLDER]

Updates of small models of many dtypes, lossless and lossy, and a stream file get one to eight bits flipped, `flips`
times each. Every prefix of the updates is tried, and of a stream file of `stream-bytes`, and 2,000 prefixes of the
stream of a real series. Prints how often what came out. Wrong weights or positions, untyped errors and entries that
are gone without a word are faults; exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

import incnnr
from tests.bench import series

DTYPES = ["f2", ml_dtypes.bfloat16, "f4", "f8", "i1", "i4", "u8", "?", ml_dtypes.float8_e4m3fn, ">f4", "c8"]
OPTIONS = [{}, {"max_error": 1e-3}, {"qp": -24}]


@dataclass
class Case:
    """An update, the decoder that it is meant for, and what it makes of it."""

    name: str
    decoder: incnnr.Decoder
    data: bytes
    exact: dict[str, tuple[object, ...]]
    sequence: int


def models(rng: np.random.Generator, n: int) -> Iterator[series.Weights]:
    """A small model of many dtypes that moves a little; one tensor comes and goes, one grows."""
    values = rng.normal(0, 1, (8, 6))
    for i in range(n):
        model = {f"tensor{k}": values.astype(dtype) for k, dtype in enumerate(DTYPES)}
        yield model | {"growing": np.arange(i, dtype=np.int16)} | ({"passing": np.ones(3)} if i % 3 == 1 else {})
        values = values + rng.normal(0, 0.1, values.shape) * (rng.random(values.shape) < 0.3)


def cases(seed: int) -> list[Case]:
    found = []
    for options in OPTIONS:
        encoder, decoder = incnnr.Encoder(threads=1, **options), incnnr.Decoder(threads=1)
        for i, weights in enumerate(models(np.random.default_rng(seed), 4)):
            update, before = encoder.encode(weights), decoder.fork()
            exact = series.exact(decoder.decode(update))
            found.append(Case(f"{options} {i}", before, bytes(update), exact, update.position.sequence))
    return found


def outcome(call: Callable[[], str]) -> str:
    """Name what a call ends with."""
    try:
        return call()
    except incnnr.IncnnrError as error:
        return type(error).__name__
    except Exception as error:  # whatever else it is, it is a finding
        return f"FAULT: {type(error).__name__}: {error}"


def decoded(case: Case, data: bytes) -> str:
    before = case.decoder.position
    decoder = case.decoder.fork()
    result = outcome(lambda: verdict(decoder.decode(data), case))
    if result.endswith("Error") and decoder.position != before:
        return "FAULT: the decoder moved"
    return result


def verdict(model: incnnr.Model, case: Case) -> str:
    if series.exact(model) != case.exact:
        return "FAULT: wrong weights"
    return "right weights" if model.position.sequence == case.sequence else "FAULT: right weights, wrong sequence"


def flipped(data: bytes, luck: random.Random) -> bytes:
    damaged = bytearray(data)
    for bit in luck.sample(range(8 * len(data)), luck.choice([1, 1, 1, luck.randint(2, 8)])):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def fuzz_updates(n_flips: int, seed: int) -> None:
    luck, all_cases = random.Random(seed), cases(seed)
    flips, prefixes = Counter(), Counter()
    for i in range(n_flips):
        case = all_cases[i % len(all_cases)]
        flips[decoded(case, flipped(case.data, luck))] += 1
    for case in all_cases:
        prefixes.update(decoded(case, case.data[:n]) for n in range(len(case.data)))
        if decoded(case, case.data) != "right weights":
            raise SystemExit(f"{case.name}: the update itself no longer decodes after all this")
    report(f"{n_flips} flips in {len(all_cases)} updates of {sum(len(case.data) for case in all_cases)} bytes", flips)
    report(f"their {sum(prefixes.values())} prefixes", prefixes)


@dataclass
class Stream:
    """A stream file, the file size at which each entry was committed, and what each entry holds."""

    data: bytes
    ends: list[int]
    described: list[tuple[object, ...]]
    exact: list[dict[str, tuple[object, ...]]]


def write_stream(path: Path, checkpoints: Iterator[series.Weights], keyframe_every: int, n_bytes: int) -> Stream:
    """Append checkpoints until there are no more, or the file has `n_bytes`."""
    ends: list[int] = []
    with incnnr.open(path, "w", keyframe_every=keyframe_every, threads=1) as writer:
        for step, weights in enumerate(checkpoints):
            writer.append(weights, step=step, name=f"step{step}", metadata={"loss": 0.5}, sync=False)
            ends.append(path.stat().st_size)
            if ends[-1] >= n_bytes:
                break
    with incnnr.open(path, threads=1) as reader:
        return Stream(path.read_bytes(), ends, described(reader), [series.exact(model) for model in reader])


def described(reader: incnnr.stream.StreamReader) -> list[tuple[object, ...]]:
    return [(entry.index, entry.step, entry.name, entry.position) for entry in reader.entries]


def read_entries(path: Path, stream: Stream, counts: Counter[str]) -> str:
    """Read every entry there is; count what comes of each."""
    with incnnr.open(path, threads=1) as reader:
        n_entries, entries = len(reader), described(reader)
        for index, exact in enumerate(stream.exact[:n_entries]):
            counts["entry: " + outcome(lambda: entry_verdict(reader[index], exact))] += 1  # noqa: B023 -- called at once
            is_lost = reader.entries[index].is_lost
            counts["FAULT: another entry"] += not is_lost and entries[index] != stream.described[index]
        is_known = bool(reader.damage or reader.torn_bytes)
    if n_entries == len(stream.exact):
        return "file: opens"
    return f"file: opens, {'damage or torn tail reported' if is_known else 'FAULT: other length, no word'}"


def entry_verdict(model: incnnr.Model, exact: dict[str, tuple[object, ...]]) -> str:
    return "exact" if series.exact(model) == exact else "FAULT: wrong weights"


def fuzz_stream(n_flips: int, seed: int, path: Path) -> None:
    luck, counts = random.Random(seed), Counter()
    stream = write_stream(path, models(np.random.default_rng(seed), 6), 3, 1 << 30)
    for _ in range(n_flips):
        path.write_bytes(flipped(stream.data, luck))
        counts[outcome(lambda: read_entries(path, stream, counts))] += 1
    report(f"{n_flips} flips in a stream file of {len(stream.ends)} entries and {len(stream.data)} bytes", counts)


def fuzz_prefixes(title: str, stream: Stream, lengths: list[int], path: Path) -> None:
    """Cut the file shorter and shorter; the newest entry is decoded at each new one and now and then."""
    counts: Counter[str] = Counter()
    path.write_bytes(stream.data)
    n_before = -1
    for length in sorted(lengths, reverse=True):
        os.truncate(path, length)
        n_committed = sum(end <= length for end in stream.ends)
        is_checked = n_committed and (n_committed != n_before or length % 64 == 0)
        counts[outcome(lambda: prefix_verdict(path, stream, n_committed, is_checked))] += 1  # noqa: B023
        n_before = n_committed
    report(f"{len(lengths)} {title}", counts)


def prefix_verdict(path: Path, stream: Stream, n_committed: int, is_checked: bool) -> str:
    with incnnr.open(path, threads=1) as reader:
        if described(reader) != stream.described[:n_committed]:
            return f"FAULT: {len(reader)} entries, not {n_committed}"
        if reader.damage:
            return "FAULT: called damaged"
        return (
            entry_verdict(reader[-1], stream.exact[n_committed - 1]) + " newest" if is_checked else "committed entries"
        )


def report(title: str, counts: Counter[str]) -> None:
    FAULTS.update(name for name in +counts if "FAULT" in name)
    series.print_table(title, ("", "count"), (+counts).most_common())


FAULTS: set[str] = set()


def main() -> None:
    parser = argparse.ArgumentParser(description="Bit flips and prefixes of updates and stream files.")
    parser.add_argument("--flips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream-bytes", type=int, default=65_536)
    parser.add_argument("--series", type=Path, help="a folder of checkpoints to try 2,000 prefixes of")
    arguments = parser.parse_args()
    fuzz_updates(arguments.flips, arguments.seed)
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "run.incnnr"
        fuzz_stream(arguments.flips, arguments.seed, path)
        small = models(np.random.default_rng(arguments.seed), 1000)
        stream = write_stream(path, small, 10, arguments.stream_bytes)
        fuzz_prefixes("prefixes of a stream file", stream, list(range(len(stream.data))), path)
        if arguments.series:
            real = write_stream(path, map(incnnr.read, series.paths_of(arguments.series)), 500, 1 << 40)
            luck = random.Random(arguments.seed)
            fuzz_prefixes("prefixes of a real one", real, luck.sample(range(len(real.data)), 2000), path)
    sys.exit(bool(FAULTS))


if __name__ == "__main__":
    main()

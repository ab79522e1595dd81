"""The part of `fuzz` that damages stream files."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

import incnnr
from incnnr.stream.entry import Label
from tests.bench import damage, series


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
    # the same time always, so that a seed always gives the same bytes
    labels = mock.patch("incnnr.stream.writer.label", lambda *said: Label(*said, time=1e9))
    with labels, incnnr.open(path, "w", keyframe_every=keyframe_every, threads=1) as writer:
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
            counts["entry: " + damage.outcome(lambda: entry_verdict(reader[index], exact))] += 1  # noqa: B023 -- called at once
            is_lost = reader.entries[index].is_lost
            counts["FAULT: another entry"] += not is_lost and entries[index] != stream.described[index]
        is_known = bool(reader.damage or reader.torn_bytes)
    if n_entries == len(stream.exact):
        return "file: opens"
    return f"file: opens, {'damage or torn tail reported' if is_known else 'FAULT: other length, no word'}"


def entry_verdict(model: incnnr.Model, exact: dict[str, tuple[object, ...]]) -> str:
    return "exact" if series.exact(model) == exact else "FAULT: wrong weights"


def fuzz_flips(n_flips: int, seed: int, path: Path) -> int:
    luck, counts = random.Random(seed), Counter()
    stream = write_stream(path, damage.models(np.random.default_rng(seed), 6), 3, 1 << 30)
    for _ in range(n_flips):
        path.write_bytes(damage.flipped(stream.data, luck))
        counts[damage.outcome(lambda: read_entries(path, stream, counts))] += 1
    return damage.report(
        f"{n_flips} flips in a stream file of {len(stream.ends)} entries and {len(stream.data)} bytes", counts
    )


def fuzz_prefixes(title: str, stream: Stream, lengths: list[int], path: Path) -> int:
    """Cut the file shorter and shorter; the newest entry is decoded at each new one and now and then."""
    counts: Counter[str] = Counter()
    path.write_bytes(stream.data)
    n_before = -1
    for length in sorted(lengths, reverse=True):
        os.truncate(path, length)
        n_committed = sum(end <= length for end in stream.ends)
        is_checked = n_committed and (n_committed != n_before or length % 64 == 0)
        counts[damage.outcome(lambda: prefix_verdict(path, stream, n_committed, is_checked))] += 1  # noqa: B023
        n_before = n_committed
    return damage.report(f"{len(lengths)} {title}", counts)


def prefix_verdict(path: Path, stream: Stream, n_committed: int, is_checked: bool) -> str:
    with incnnr.open(path, threads=1) as reader:
        if described(reader) != stream.described[:n_committed]:
            return f"FAULT: {len(reader)} entries, not {n_committed}"
        if reader.damage:
            return "FAULT: called damaged"
        return (
            entry_verdict(reader[-1], stream.exact[n_committed - 1]) + " newest" if is_checked else "committed entries"
        )

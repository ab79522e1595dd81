"""What the fuzzing of updates and of stream files shares: models to try, damage, and what comes of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import ml_dtypes
import numpy as np

import incnnr
from tests.bench import series

DTYPES = ["f2", ml_dtypes.bfloat16, "f4", "f8", "i1", "i4", "u8", "?", ml_dtypes.float8_e4m3fn, ">f4", "c8"]


def models(rng: np.random.Generator, n: int) -> Iterator[series.Weights]:
    """A small model of many dtypes that moves a little; one tensor comes and goes, one grows."""
    values = rng.normal(0, 1, (8, 6))
    for i in range(n):
        model = {f"tensor{k}": values.astype(dtype) for k, dtype in enumerate(DTYPES)}
        yield model | {"growing": np.arange(i, dtype=np.int16)} | ({"passing": np.ones(3)} if i % 3 == 1 else {})
        values = values + rng.normal(0, 0.1, values.shape) * (rng.random(values.shape) < 0.3)


def outcome(call: Callable[[], str]) -> str:
    """Name what a call ends with."""
    try:
        return call()
    except incnnr.IncnnrError as error:
        return type(error).__name__
    except Exception as error:  # whatever else it is, it is a finding
        return f"FAULT: {type(error).__name__}: {error}"


def flipped(data: bytes, luck: random.Random) -> bytes:
    damaged = bytearray(data)
    for bit in luck.sample(range(8 * len(data)), luck.choice([1, 1, 1, luck.randint(2, 8)])):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def report(title: str, counts: Counter[str]) -> int:
    """Print how often what came out; return how many faults there are."""
    series.print_table(title, ("", "count"), (+counts).most_common())
    return sum(count for name, count in counts.items() if "FAULT" in name)

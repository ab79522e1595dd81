"""Damaged bitstreams of the standard, and what may come of decoding them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import groupby

from incnnr.errors import BitstreamError, ReferenceMismatchError
from incnnr.limits import Limits
from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors
from tests.nnc_chains import random_chain
from tests.nnc_vectors import EXPECTED, bytes_of, series_of, shapes_of

LIMITS = Limits(model_bytes=1 << 24)


@dataclass
class Case:
    """A bitstream, the state it is decoded with, and the shapes that it does not carry."""

    name: str
    data: bytes
    state: IncrementalState
    shapes: dict[str, tuple[int, ...]]


def copied(state):
    return IncrementalState(dict(state.nodes), dict(state.shapes), dict(state.updates))


def stored_cases():
    """Every stored bitstream, behind those of its series."""
    for _, names in groupby(sorted(EXPECTED), series_of):
        state = IncrementalState()
        for name in names:
            yield (case := Case(name, bytes_of(name), copied(state), shapes_of(name, {})))
            outcome(case.data, state, case.shapes)


def random_cases(seeds):
    """Bitstreams of random chains, likewise."""
    for seed in seeds:
        chain, state = random_chain(seed), IncrementalState()
        for i, data in enumerate(chain.bitstreams):
            yield Case(f"chain {seed}, {i}", data, copied(state), chain.shapes)
            outcome(data, state, chain.shapes)


def outcome(data, state, shapes, limits=LIMITS):
    """Name what decoding ends with: weights, a typed error that says where and leaves the state alone, or a fault."""
    before = copied(state)
    try:
        decode_tensors(data, state, shapes, limits)
    except (BitstreamError, ReferenceMismatchError) as error:
        if error.byte_offset is None or not 0 <= error.byte_offset <= len(data):
            return f"FAULT: {type(error).__name__} at {error.byte_offset}: {error}"
        if not same_state(before, state):
            return f"FAULT: the state changed with {type(error).__name__}"
        return type(error).__name__
    except Exception as error:  # whatever else it is, it is a finding
        return f"FAULT: {type(error).__name__}: {error}"
    return "weights"


def same_state(a, b):
    """Nodes and arrays are never changed, only replaced."""
    return a.shapes == b.shapes and same_objects(a.nodes, b.nodes) and same_objects(a.updates, b.updates)


def same_objects(a, b):
    return a.keys() == b.keys() and all(a[name] is b[name] for name in a)


def prefixes(data, most, seed):
    """All of them, or as many as asked for."""
    lengths = range(len(data))
    return [data[:n] for n in (lengths if len(data) <= most else sorted(random.Random(seed).sample(lengths, most)))]


def flipped(data, n, seed):
    """Copies with one to four bits flipped, half of the flips among the first 60 bytes, where headers are."""
    luck = random.Random(seed)
    for _ in range(n):
        damaged = bytearray(data)
        for _ in range(luck.choice([1, 1, 1, luck.randint(2, 4)])):
            bit = luck.randrange(8 * luck.choice([len(data), min(len(data), 60)]))
            damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)

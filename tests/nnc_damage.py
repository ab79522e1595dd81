"""Damaged bitstreams of the standard, and what may come of decoding them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from incnnr.errors import BitstreamError, ReferenceMismatchError
from incnnr.limits import Limits
from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "iso"
LIMITS = Limits(model_bytes=1 << 24)


@dataclass
class Case:
    """A bitstream, the state it is decoded with, and the shapes that it does not carry."""

    name: str
    data: bytes
    state: IncrementalState
    shapes: dict[str, tuple[int, ...]]


def copied(state):
    return IncrementalState(dict(state.nodes), dict(state.shapes))


def series_of(name):
    return name.split("/")[0] if name.startswith("seq_") else name


def stored_cases():
    """Every stored bitstream, behind those of its series."""
    expected = json.loads((FOLDER / "expected.json").read_text("utf-8"))
    for _, names in groupby(sorted(expected), series_of):
        state = IncrementalState()
        for name in names:
            data = (FOLDER / f"{name}.nnc").read_bytes()
            shapes = {key: tuple(shape) for key, shape in expected[name].get("shapes", {}).items()}
            yield Case(name, data, copied(state), shapes)
            outcome(data, state, shapes)


def outcome(data, state, shapes, limits=LIMITS):
    """Name what decoding ends with; anything but weights, or a typed error that says where and leaves the state, is a
    fault."""
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
    """Nodes are never changed, only replaced."""
    same_nodes = a.nodes.keys() == b.nodes.keys() and all(a.nodes[name] is b.nodes[name] for name in a.nodes)
    return same_nodes and a.shapes == b.shapes


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

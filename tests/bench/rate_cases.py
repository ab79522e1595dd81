"""What rate and distortion are measured on: chains of checkpoints, each coded from what both sides hold by then.

Only float tensors with dimensions and elements, as float32: it is those that NNCodec can take.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tests.bench import series
from tests.bench.series import FloatTensors

_CLIENT = re.compile(r"r(\d+)_c(\d+)")
_GLOBAL = re.compile(r"r(\d+)$")


@dataclass(frozen=True)
class Chain:
    """Checkpoints one after the other.

    Both sides hold `base` exactly; without one the first checkpoint is a keyframe. Of an uplink, `before` is what they
    held before that: the difference is the last update that was broadcast.
    """

    base: FloatTensors | None
    checkpoints: list[FloatTensors]
    before: FloatTensors | None = None


@dataclass(frozen=True)
class Case:
    """Chains whose bytes are summed up, and whose errors are pooled."""

    name: str
    chains: list[Chain]

    @cached_property
    def n_weights(self) -> int:
        """Weights of all checkpoints together."""
        return sum(series.n_weights(weights) for chain in self.chains for weights in chain.checkpoints)

    @cached_property
    def digest(self) -> str:
        """Name the weights."""
        digest = hashlib.blake2b(digest_size=8)
        for chain in self.chains:
            for weights in [chain.base or {}, *chain.checkpoints]:
                for name, array in weights.items():
                    digest.update(f"{name}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    @cached_property
    def typical_step(self) -> float:
        """Return the root mean square of what there is to code, if every checkpoint came exactly before the next."""
        total = 0.0
        for chain in self.chains:
            held = chain.base
            for weights in chain.checkpoints:
                differences = [array - held[name] if held else array for name, array in weights.items()]
                total += sum(float(np.square(each, dtype=np.float64).sum()) for each in differences)
                held = weights
        return float(np.sqrt(total / self.n_weights))


def case_of(argument: str) -> Case:
    """Read NAME=FOLDER, a series; NAME=CLIENTS:GLOBALS, uplinks; or NAME=FILE, a keyframe."""
    name, separator, where = argument.partition("=")
    if not separator:
        raise SystemExit(f"{argument!r} is not NAME=FOLDER, NAME=CLIENTS:GLOBALS or NAME=FILE")
    if ":" in where:
        clients, globals_ = where.split(":")
        return Case(name, list(uplinks(Path(clients), Path(globals_))))
    path = Path(where)
    if path.is_file():
        return Case(name, [Chain(None, [series.float_tensors(path)])])
    checkpoints = [series.float_tensors(each) for each in series.paths_of(path)]
    return Case(name, [Chain(checkpoints[0], checkpoints[1:])])


def uplinks(clients: Path, globals_: Path) -> Iterator[Chain]:
    """Yield every client's model of round R (rR_cK) as the update of the global model of the round before (..rR)."""
    by_round = {int(found[1]): path for path in series.paths_of(globals_) if (found := _GLOBAL.search(path.stem))}
    for path in series.paths_of(clients):
        found = _CLIENT.search(path.stem)
        if not found or int(found[1]) - 1 not in by_round:
            raise SystemExit(f"{path}: no global model of the round before in {globals_}")
        last = int(found[1]) - 1
        before = series.float_tensors(by_round[last - 1]) if last - 1 in by_round else None
        yield Chain(series.float_tensors(by_round[last]), [series.float_tensors(path)], before)

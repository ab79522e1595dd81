"""Lets NNCodec 2.1.3 decode random bitstreams of ours, and compares what it finds with what we find and meant.

By hand (a minute for each thousand)::

    python -m tests.bench.nncodec_exchange [--streams 1000] [--seed 0] [--only CASE]

A case is one bitstream, or a chain of five updates. Compared are names, dtypes, shapes and bits of the weights on both
sides, the levels there, here and, in chains, in the encoder's state. Each difference is printed with the number of its
case, and counted. Exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

import incnnr.nnc
from incnnr.coding.nnc import NncLayer
from incnnr.errors import IncnnrError
from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import DecodedTensor, decode_tensors
from incnnr.nnc.state import Node
from incnnr.nnc.syntax import DataUnit, ParameterTypes, PayloadType, SyntaxUnit
from tests.bench import nncodec_streams as streams
from tests.bench import series
from tests.bench.nncodec_peer import Decoded, Peer, PeerError
from tests.nnc_layers import units_with_layers


@dataclass
class Outcome:
    """What was sent and found so far."""

    differences: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def exchange(peer: Peer, case: int, seed: int, outcome: Outcome) -> None:
    """Send one bitstream, or a chain up to its first difference."""
    rng = np.random.default_rng([seed, case])
    model = streams.random_model(rng)
    is_chain = not model.has_factors and rng.random() < 0.15
    sides = Sides(model, peer, peer.new_chain() if is_chain else None, int(rng.integers(0, 3)))
    for number in range(streams.CHAIN_LENGTH if is_chain else 1):
        tensors, settings = streams.random_tensors(rng, model), streams.random_settings(rng, model)
        outcome.counts["bitstreams"] += 1
        try:
            differences = list(sides.differences(tensors, settings))
        except (IncnnrError, PeerError, ValueError) as error:
            differences = [f"{type(error).__name__}: {error}"]
        outcome.differences += [f"case {case}, bitstream {number}: {what}" for what in differences]
        if differences:
            break
        outcome.counts.update(sides.tools)
    sides.close()


@dataclass
class Sides:
    """Our sender and receiver, and NNCodec; `tools` are those of the newest bitstream."""

    model: streams.Model
    peer: Peer
    chain: int | None
    device_id: int
    sender: IncrementalState = field(default_factory=IncrementalState)
    receiver: IncrementalState = field(default_factory=IncrementalState)
    nodes: dict[str, Node] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)

    def differences(self, tensors: streams.Tensors, settings: dict[str, Any]) -> Iterator[str]:
        """Send one bitstream."""
        if self.chain is not None:
            settings |= {"state": self.sender, "device_id": self.device_id}
        data = incnnr.nnc.encode(tensors, **settings)
        ours = decode_tensors(data, self.receiver)
        yield from differences_here(ours, self.sender)
        yield from differences_there(self._decoded_there(data), ours)
        self.tools = [tool for unit, layers in units_with_layers(data, self.nodes) for tool in tools(unit, layers)]

    def close(self) -> None:
        """Free what the peer keeps."""
        if self.chain is not None:
            self.peer.forget(self.chain)

    def _decoded_there(self, data: bytes) -> Decoded:
        if self.chain is not None:
            return self.peer.decode_update(data, self.chain)
        return self.peer.decode_factors(data) if self.model.has_factors else self.peer.decode(data)


def differences_here(ours: dict[str, DecodedTensor], sender: IncrementalState) -> Iterator[str]:
    for name, tensor in ours.items():
        if name in sender.nodes and not np.array_equal(sender.nodes[name].levels, tensor.levels.reshape(-1)):
            yield f"{name}: our decoder finds other levels than the encoder meant"


def differences_there(theirs: Decoded, ours: dict[str, DecodedTensor]) -> Iterator[str]:
    if theirs.values.keys() != ours.keys():
        yield f"NNCodec finds {sorted(theirs.values)}, we {sorted(ours)}"
        return
    there = series.exact(theirs.values)
    for name, here in series.exact({name: tensor.values for name, tensor in ours.items()}).items():
        if there[name] != here:
            yield f"{name}: NNCodec finds other weights"
    for name, levels in theirs.levels.items():
        if not np.array_equal(levels, ours[name].levels):
            yield f"{name}: NNCodec finds other levels"


def tools(unit: SyntaxUnit, layers: list[NncLayer]) -> Iterator[str]:
    """Name what a unit uses, to see that nothing is left out."""
    if not isinstance(unit, DataUnit):
        return
    yield f"units of payload type {PayloadType(unit.nnr_compressed_data_unit_payload_type).name}"
    yield from (f"blocks with {part.name}" for part in ParameterTypes(unit.compressed_parameter_types))
    used = {
        "dependent quantisation": unit.dq_flag,
        "block scan": unit.scan_order,
        "entry points": unit.entry_points,
        "codebook": unit.codebook_present_flag,
        "parent": unit.parent_node_id_present_flag,
        "temporal contexts": unit.temporal_context_modeling_flag,
        "history contexts": any(layer.history_contexts for layer in layers),
        "row skip": any(layer.row_skip for layer in layers),
        "initial states": any(any(layer.state_sets) for layer in layers),
    }
    yield from (f"units with {tool}" for tool, is_used in used.items() if is_used)
    everything = ("dependent quantisation", "block scan", "temporal contexts", "history contexts", "row skip")
    if all(used[tool] for tool in everything):
        yield f"units with {', '.join(everything)} at once"


def main() -> None:
    parser = argparse.ArgumentParser(description="Let NNCodec decode random bitstreams of ours.")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="CASE")
    arguments = parser.parse_args()
    outcome = Outcome()
    with Peer() as peer:
        for case in count() if arguments.only is None else [arguments.only]:
            n_known = len(outcome.differences)
            exchange(peer, case, arguments.seed, outcome)
            print("\n".join(outcome.differences[n_known:]), end="\n" * (len(outcome.differences) > n_known), flush=True)
            if outcome.counts["bitstreams"] >= arguments.streams:
                break
    for what, n in sorted(outcome.counts.items()):
        print(f"{n:7d} {what}")
    print(f"{len(outcome.differences):7d} differences")
    sys.exit(bool(outcome.differences))


if __name__ == "__main__":
    main()

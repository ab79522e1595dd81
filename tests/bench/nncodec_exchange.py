"""Lets NNCodec 2.1.3 decode random bitstreams of ours, and compares what it finds with what we find and meant.

By hand (half a minute)::

    python -m tests.bench.nncodec_exchange [--streams 1000] [--seed 0] [--only CASE]

A case is one bitstream, or a chain of five updates. Half of the bitstreams are what `incnnr.nnc.encode` makes of random
tensors with random settings; cases of an odd number have their levels and all tools drawn by lot. Compared are names,
dtypes, shapes and bits of the weights on both sides; in chains also the levels there, here and in the encoder's state.
Each difference is printed with its case, and counted. Exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

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
from tests.bench.nncodec_chains import PlainSender
from tests.bench.nncodec_peer import Decoded, Peer, PeerError
from tests.nnc_layers import units_with_layers


@dataclass
class Receivers:
    """Our decoder and NNCodec, and what the bitstreams so far used."""

    peer: Peer
    chain: int | None
    has_factors: bool = False
    state: IncrementalState = field(default_factory=IncrementalState)
    nodes: dict[str, Node] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def differences(self, data: bytes, meant: IncrementalState | None = None) -> Iterator[str]:
        """Decode the next bitstream on both sides."""
        ours = decode_tensors(data, self.state)
        if meant is not None:
            yield from differences_here(ours, meant)
        yield from differences_there(self._decoded_there(data), ours)
        for unit, layers in units_with_layers(data, self.nodes):
            self.counts.update(tools(unit, layers))

    def _decoded_there(self, data: bytes) -> Decoded:
        if self.chain is not None:
            return self.peer.decode_update(data, self.chain)
        return self.peer.decode_factors(data) if self.has_factors else self.peer.decode(data)


def encoded_case(receivers: Receivers, rng: np.random.Generator, model: streams.Model) -> Iterator[list[str]]:
    """Encode random tensors; yield the differences of each bitstream."""
    sender, device_id = IncrementalState(), int(rng.integers(0, 3))
    for _ in range(1 if receivers.chain is None else streams.CHAIN_LENGTH):
        tensors, settings = streams.random_tensors(rng, model), streams.random_settings(rng, model)
        if receivers.chain is not None:
            settings |= {"state": sender, "device_id": device_id}
        yield list(receivers.differences(incnnr.nnc.encode(tensors, **settings), sender))


def drawn_case(receivers: Receivers, sender: PlainSender) -> Iterator[list[str]]:
    for data in sender.chain().bitstreams:
        yield list(receivers.differences(data))


def outcomes(peer: Peer, case: int, seed: int, counts: Counter[str]) -> Iterator[list[str]]:
    """Run a case; yield the differences of each bitstream."""
    if case % 2:
        sender = PlainSender(seed << 32 | case)
        receivers = Receivers(peer, peer.new_chain() if sender.signalling else None, counts=counts)
        bitstreams = drawn_case(receivers, sender)
    else:
        rng = np.random.default_rng([seed, case])
        model = streams.random_model(rng)
        is_chain = not model.has_factors and rng.random() < 0.6
        receivers = Receivers(peer, peer.new_chain() if is_chain else None, model.has_factors, counts=counts)
        bitstreams = encoded_case(receivers, rng, model)
    try:
        yield from bitstreams
    except (IncnnrError, PeerError, ValueError) as error:
        yield [f"{type(error).__name__}: {error}"]
    if receivers.chain is not None:
        peer.forget(receivers.chain)


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
    counts: Counter[str] = Counter()
    n_streams = n_different = 0
    with Peer() as peer:
        for case in count() if arguments.only is None else [arguments.only]:
            if n_streams >= arguments.streams:
                break
            for number, differences in enumerate(outcomes(peer, case, arguments.seed, counts)):
                for what in differences:
                    print(f"case {case}, bitstream {number}: {what}", flush=True)
                n_streams, n_different = n_streams + 1, n_different + bool(differences)
    series.print_table("what they use", ("", "count"), sorted(counts.items()))
    print(f"{n_streams} bitstreams: {n_streams - n_different} decode to the same, {n_different} do not")
    sys.exit(n_different > 0)


if __name__ == "__main__":
    main()

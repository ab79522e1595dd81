"""Random bitstreams with everything drawn by lot, tools and levels, as far as NNCodec 2.1.3 can decode them.

An encoder chooses tools that pay; here any of them meets any other. What NNCodec cannot take is left out of
`tests.nnc_chains`: units that it does not know, tensors without elements or without shapes of their own, factors, raw
floats, nodes without names. It keeps one device in a chain, and its history counts bitstreams, so that a tensor comes
once in each.
"""

from __future__ import annotations

from typing import Any

from incnnr.nnc import IncrementalState
from incnnr.nnc.bitstream import decode_tensors
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import ModelParameterSet, ParameterTypes, PayloadType, QuantizationMethod, Start
from incnnr.nnc.units import PLAIN
from tests.nnc_chains import Chain, Sender
from tests.nnc_fillers import chance
from tests.nnc_things import Thing

CHAIN_LENGTH = 5
_SHAPES = [(1,), (6,), (70,), (7, 3), (17, 10), (2, 3, 4), (26, 9), (9, 2, 2, 3), (8, 9), (40, 19), (1, 9), (9, 1)]


class PlainSender(Sender):
    """Sends what NNCodec can decode."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.profile, self.nncodec_1, self.indexed = 1, False, False
        self.signalling = chance(self.rng, 0.6)
        self.state, self.made, self.names = IncrementalState(), Chain(), ["", ""]
        self.device_id = self.rng.randrange(3)
        self.things = [self.thing() for _ in range(self.rng.randint(1, 4))]

    def chain(self) -> Chain:
        self.made.bitstreams += [self.bitstream() for _ in range(CHAIN_LENGTH if self.signalling else 1)]
        return self.made

    def thing(self) -> Thing:
        kind = self.rng.choice([PayloadType.INT, *[PayloadType.FLOAT] * 3, *[PayloadType.BLOCK] * 3])
        if kind != PayloadType.BLOCK:
            return Thing(kind, [self.name()], self.rng.choice(_SHAPES), ParameterTypes(0))
        types = ParameterTypes(2 * self.rng.randrange(1, 8))
        n_vectors = bool(types & 2) + 4 * bool(types & 4) + bool(types & 8)
        return Thing(kind, [self.name() for _ in range(1 + n_vectors)], self.rng.choice(_SHAPES), types)

    def bitstream(self) -> bytes:
        density = self.rng.randrange(8)
        parameter_set = ModelParameterSet(
            mps_quantization_method_flags=QuantizationMethod.UNIFORM,
            mps_parent_signalling_enabled_flag=self.signalling,
            mps_qp_density=density,
            mps_quantization_parameter=self.rng.randint(-4 << density, 4 << density),
        )
        units = [Start(general_profile_idc=1), parameter_set]
        context = self.context_after(units)
        for thing in self.rng.sample(self.things, self.rng.randint(1, len(self.things))):
            unit = self.data_unit(thing, self.node_elements(thing), context, is_h=False)
            unit.framing, unit.first_tensor_dimension_shift = PLAIN, 0
            units.append(unit)
        data = write(units)
        decode_tensors(data, self.state)
        return data

    def node_elements(self, thing: Thing) -> dict[str, Any]:
        known = self.state.nodes.get(thing.names[0])
        node = {
            "parameter_id": known.parameter_id if known else self.things.index(thing),
            "put_node_depth": known.put_node_depth + 1 if known else 1,
        }
        elements = {"node_id_present_flag": 1, "device_id": self.device_id, **node}
        return elements | (self.parent_elements(known, elements, node) if self.signalling else {})

    def parent_elements(self, known: Any, elements: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
        parent: dict[str, Any] = super().parent_elements(known, elements, node)
        named = {"parent_node_id_present_flag": 1, "parent_device_id": 0}
        return named | {key: parent[key] for key in ("temporal_context_modeling_flag",)}

    def coded_numbers(self, n: int, codebook: Any, dependent: bool) -> Any:
        """NNCodec takes the magnitude of the least 32-bit integer, in temporal contexts, for a negative number."""
        return super().coded_numbers(n, codebook, dependent).clip(-(2**31 - 1))

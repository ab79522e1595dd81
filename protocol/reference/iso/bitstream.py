"""iso.md sections 2 and 12: a whole bitstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from protocol.reference.errors import MalformedError, require
from protocol.reference.iso.bits import Bits
from protocol.reference.iso.data_unit import (
    BLOCK,
    DECOMPOSED,
    RAW_FLOAT,
    DataUnit,
    EntryPoint,
    Shape,
    Surroundings,
    read_data_unit,
)
from protocol.reference.iso.dequantisation import step_size, values_of
from protocol.reference.iso.incremental import State
from protocol.reference.iso.levels import Rules
from protocol.reference.iso.parameter_sets import ParameterSet, read_lps, read_mps
from protocol.reference.iso.payload import Coded, decode_payload, members
from protocol.reference.iso.topology import read_topology
from protocol.reference.iso.units import AGG, LPS, MPS, NDU, STR, TPL, Unit, read_aggregate, read_units

NNCODEC_1 = Rules(n_remainder=32, fewest_block_rows=1)


@dataclass
class Decoded:
    """What a bitstream holds.

    ``levels`` are int32, without the tensors that are coded as raw floats; ``units`` are the headers of the data units,
    and ``found`` the entry points that were met in each of them.
    """

    state: State
    values: dict[str, np.ndarray] = field(default_factory=dict)
    levels: dict[str, np.ndarray] = field(default_factory=dict)
    topology: bytes = b""
    units: list[DataUnit] = field(default_factory=list)
    found: list[list[EntryPoint]] = field(default_factory=list)


def decode(data: bytes, state: State | None = None, shapes: Mapping[str, Shape] | None = None) -> Decoded:
    """Decode one bitstream.

    ``state`` is that of the bitstream before, for updates; it is left as it is, and the new one is in the result.
    ``shapes`` are those of tensors that come without (of a block: by the name of its weight).
    """
    state, shapes = state or State(), shapes or {}
    try:
        return Decoder(data, state, shapes, Rules()).decoded
    except MalformedError:
        if profile_of(data) == 1:
            raise
    return Decoder(data, state, shapes, NNCODEC_1).decoded


def profile_of(data: bytes) -> int:
    first = next(read_units(data), None)
    if first is None or first.type != STR:
        raise MalformedError("a bitstream starts with a start unit")
    return 1 if first.bits.u(8) == 1 else 0


class Decoder:
    """One pass over a bitstream."""

    def __init__(self, data: bytes, state: State, shapes: Mapping[str, Shape], rules: Rules) -> None:
        self.decoded = Decoded(state.copy())
        self.rules = rules
        self.around = Surroundings(profile_of(data), ParameterSet(), [], shapes, awaits_h=False)
        self.model_parameters: ParameterSet | None = None
        for unit in read_units(data):
            self.decode_unit(unit)
        require(not self.around.awaits_h, "a decomposed tensor without its second half")

    def decode_unit(self, unit: Unit) -> None:
        """Units of other types tell nothing that is needed here."""
        if unit.type == MPS:
            require(self.model_parameters is None, "two model parameter sets")
            self.around.parameters = self.model_parameters = read_mps(unit.bits, self.around.profile)
        elif unit.type == LPS:
            self.around.parameters = read_lps(unit.bits, self.required_model_parameters())
        elif unit.type == TPL:
            self.decoded.topology, self.around.reference_list = read_topology(unit.bits)
        elif unit.type == AGG:
            for inner in read_aggregate(unit.bits, self.around.parameters.unification):
                self.decode_unit(inner)
        elif unit.type == NDU:
            self.required_model_parameters()
            self.decode_data_unit(unit.bits)

    def required_model_parameters(self) -> ParameterSet:
        if self.model_parameters is None:
            raise MalformedError("no model parameter set comes first")
        return self.model_parameters

    def decode_data_unit(self, bits: Bits) -> None:
        unit = read_data_unit(bits, self.around)
        self.decoded.units.append(unit)
        if unit.payload_type == RAW_FLOAT:
            (member,) = members(unit, self.around.awaits_h)
            self.decoded.values[member.name] = raw_floats(bits.rest(), member.shape)
            self.decoded.found.append([])
            self.follow_halves(unit)
            return
        coded, found = decode_payload(unit, bits.rest(), self.around, self.decoded.state, self.rules)
        self.decoded.found.append(found)
        for tensor in coded:
            self.keep(tensor, unit)
        self.follow_halves(unit)

    def follow_halves(self, unit: DataUnit) -> None:
        is_half = unit.has(DECOMPOSED) and unit.payload_type != BLOCK
        self.around.awaits_h = is_half and not self.around.awaits_h

    def keep(self, tensor: Coded, unit: DataUnit) -> None:
        name = tensor.member.name
        levels = np.array(tensor.levels, np.int32).reshape(tensor.member.shape)
        step = None if tensor.qp is None else step_size(tensor.qp, self.around.parameters.qp_density or 0)
        self.decoded.levels[name] = levels
        self.decoded.values[name] = values_of(levels, tensor.member.codebook, step)
        if self.around.parameters.parent_signalling:
            self.decoded.state.add(name, tensor.levels, unit.node)


def raw_floats(data: bytes, shape: Shape) -> np.ndarray:
    require(len(data) == 4 * prod(shape), "raw floats that do not fill the tensor")
    return np.frombuffer(data, "<f4").reshape(shape)

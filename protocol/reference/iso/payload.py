"""iso.md section 8, "Tensors of a data unit": from the payload to the levels of every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from protocol.reference.errors import require
from protocol.reference.iso.codebook import Codebook
from protocol.reference.iso.data_unit import (
    BATCH_NORM,
    BIAS,
    BLOCK,
    DECOMPOSED,
    INT,
    LOCAL_SCALING,
    DataUnit,
    EntryPoint,
    Shape,
    Surroundings,
)
from protocol.reference.iso.engine import Codeword
from protocol.reference.iso.incremental import State
from protocol.reference.iso.layer import decode_layer
from protocol.reference.iso.levels import Layer, Rules


@dataclass
class Member:
    """A tensor that a data unit codes."""

    name: str
    shape: Shape
    codebook: Codebook | None = None
    scan_order: int = 0


@dataclass
class Coded:
    """A tensor as it was coded. An integer tensor has no ``qp``."""

    member: Member
    levels: list[int]
    qp: int | None


def decode_payload(
    unit: DataUnit, data: bytes, around: Surroundings, state: State, rules: Rules
) -> tuple[list[Coded], list[EntryPoint]]:
    """The tensors, and the entry points that were met on the way."""
    codeword = Codeword(data)
    found: list[EntryPoint] = []
    coded = []
    for member in members(unit, around.awaits_h):
        qp = None if unit.payload_type == INT else decode_qp(codeword, around)
        coded.append(Coded(member, decode_layer(codeword, layer_of(member, unit, around, state, rules), found), qp))
    codeword.finish()
    return coded, found


def decode_qp(codeword: Codeword, around: Surroundings) -> int:
    density = around.parameters.qp_density
    require(density is not None, "a quantised tensor without a quantisation method in the parameter set")
    return around.parameters.qp + codeword.signed_bypass(6 + (density or 0))


def layer_of(member: Member, unit: DataUnit, around: Surroundings, state: State, rules: Rules) -> Layer:
    n_elements = prod(member.shape)
    temporal = unit.parent is not None and unit.parent.temporal_contexts
    if unit.parent is not None and unit.parent.node is not None:
        state.check_that_it_follows(member.name, unit.node)
    return Layer(
        shape=member.shape,
        n_flags=unit.n_flags,
        dq_flag=unit.dq_flag and unit.payload_type != INT,
        scan_order=member.scan_order,
        codebook=member.codebook if around.profile == 1 else None,
        has_preamble=around.profile == 1,
        has_parent=unit.parent is not None,
        base=state.base(member.name, n_elements) if temporal else None,
        history=state.history(member.name, n_elements) if unit.parent is not None else None,
        rules=rules,
    )


def members(unit: DataUnit, awaits_h: bool) -> list[Member]:
    """The tensors of a data unit in the order of the codeword."""
    if unit.payload_type == BLOCK:
        return members_of_block(unit)
    shape = unit.shape
    if unit.has(DECOMPOSED):
        shape = shape_of_h(unit) if awaits_h else shape_of_g(unit)
    return [Member(unit.names[0], shape, unit.codebook, unit.scan_order)]


def members_of_block(unit: DataUnit) -> list[Member]:
    """The header names weights, scaling, batch norm, bias; the codeword has scaling, bias, batch norm, weights."""
    n_weights = 2 if unit.has(DECOMPOSED) else 1
    n_scaling, n_norm, n_bias = int(unit.has(LOCAL_SCALING)), 4 * unit.has(BATCH_NORM), int(unit.has(BIAS))
    require(
        len(unit.names) == n_weights + n_scaling + n_norm + n_bias, "a block that does not have a name for each tensor"
    )
    require(len(unit.shape) > 0, "a block around a tensor without dimensions")
    names = iter(unit.names)
    weights = [next(names) for _ in range(n_weights)]
    scaling = [next(names) for _ in range(n_scaling)]
    norm = [next(names) for _ in range(n_norm)]
    vectors = [Member(name, unit.shape[:1]) for name in (*scaling, *names, *norm)]
    return vectors + weights_of_block(unit, weights)


def weights_of_block(unit: DataUnit, names: list[str]) -> list[Member]:
    if not unit.has(DECOMPOSED):
        return [Member(names[0], unit.shape, unit.codebook, unit.scan_order)]
    return [
        Member(names[0], shape_of_g(unit), unit.codebook, unit.scan_order),
        Member(names[1], shape_of_h(unit), unit.codebook_of_h, unit.scan_order),
    ]


def shape_of_g(unit: DataUnit) -> Shape:
    return unit.n_rows_of_g, unit.rank


def shape_of_h(unit: DataUnit) -> Shape:
    require(unit.n_rows_of_g > 0, "a decomposed tensor without rows")
    return unit.rank, prod(unit.shape) // unit.n_rows_of_g

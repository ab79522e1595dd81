"""iso.md section 3: model and layer parameter sets."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.reference.iso.bits import Bits
from protocol.reference.iso.performance_maps import read_map


@dataclass
class ParameterSet:
    """What later units need of an MPS or LPS; the rest is read and let go."""

    indexed_references: bool = False
    parent_signalling: bool = False
    predictive_residuals: bool = False
    unification: bool = False
    qp_density: int | None = None
    qp: int = 0


def read_mps(bits: Bits, profile: int) -> ParameterSet:
    parameters = ParameterSet()
    bits.flag()
    sparsification, pruning, unification, decomposition = (bits.flag() for _ in range(4))
    method = bits.u(3)
    parameters.unification = unification
    parameters.indexed_references = bits.flag()
    has_performance = read_edition_2(bits, parameters) if profile == 1 else read_edition_1(bits)
    read_quantization(bits, method, parameters)
    maps = {"sparsification": sparsification, "pruning": pruning, "unification": unification}
    read_maps(bits, maps | {"decomposition": decomposition})
    if has_performance:
        bits.flt()
    bits.byte_alignment()
    return parameters


def read_edition_2(bits: Bits, parameters: ParameterSet) -> bool:
    """The elements that edition 2 adds; whether a performance is told at the end of the unit."""
    has_base_model, has_performance, has_metric = bits.flag(), bits.flag(), bits.flag()
    parameters.parent_signalling = bits.flag()
    parameters.predictive_residuals = bits.flag() and parameters.parent_signalling
    bits.u(2)
    if has_base_model:
        bits.st()
    if has_performance or has_metric:
        bits.st()
    return has_performance


def read_edition_1(bits: Bits) -> bool:
    bits.u(7)
    return False


def read_lps(bits: Bits, model: ParameterSet) -> ParameterSet:
    """What the layer parameter set does not say stays as the model parameter set has it."""
    bits.u(1 + 7)
    bits.u(1)
    sparsification, pruning, unification = (bits.flag() for _ in range(3))
    method = bits.u(3)
    bits.u(1)
    parameters = ParameterSet(
        model.indexed_references,
        model.parent_signalling,
        model.predictive_residuals,
        unification,
        model.qp_density,
        model.qp,
    )
    read_quantization(bits, method, parameters)
    read_maps(bits, {"sparsification": sparsification, "pruning": pruning, "unification": unification})
    bits.byte_alignment()
    return parameters


def read_quantization(bits: Bits, method: int, parameters: ParameterSet) -> None:
    if method & 3:
        parameters.qp_density = bits.u(3)
        parameters.qp = bits.i(13)


def read_maps(bits: Bits, present: dict[str, bool]) -> None:
    for name, is_present in present.items():
        if is_present:
            read_map(bits, name)

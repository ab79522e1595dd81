"""MPS and LPS: what holds for the whole model, and what holds for the data units from here on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Self

from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.context import Context
from incnnr.nnc.syntax.performance_maps import (
    DecompositionPoint,
    PruningPoint,
    SparsificationPoint,
    UnificationPoint,
    performance_map,
)


class QuantizationMethod(IntFlag):
    """``mps_quantization_method_flags`` and ``lps_quantization_method_flags``."""

    UNIFORM = 1
    CODEBOOK = 2


_WITH_QP = QuantizationMethod.UNIFORM | QuantizationMethod.CODEBOOK


@dataclass(slots=True, kw_only=True)
class ModelParameterSet(SyntaxUnit):
    """NNR_MPS.

    Attributes
    ----------
    mps_quantization_method_flags : int
        `QuantizationMethod`; without any there is no density and no parameter.
    mps_qp_density, mps_quantization_parameter : int
        Base of the step sizes of all data units: 0 to 7 and -4096 to 4095.
    base_model_id, performance_metric_type : str
        Free text (edition 2).
    nnr_pre_flag : int
        Updates are differences to a prediction (edition 2, with parent signalling).
    sparsification_performance_map and so on : tuple
        Operating points, there if the flag of the same name is.
    """

    topology_carriage_flag: int = 0
    mps_sparsification_flag: int = 0
    mps_pruning_flag: int = 0
    mps_unification_flag: int = 0
    mps_decomposition_performance_map_flag: int = 0
    mps_quantization_method_flags: int = 0
    mps_topology_indexed_reference_flag: int = 0
    base_model_id_present_flag: int = 0
    validation_set_performance_present_flag: int = 0
    metric_type_performance_map_valid_flag: int = 0
    mps_parent_signalling_enabled_flag: int = 0
    nnr_pre_flag: int = 0
    base_model_id: str = ""
    performance_metric_type: str = ""
    mps_qp_density: int = 0
    mps_quantization_parameter: int = 0
    sparsification_performance_map: tuple[SparsificationPoint, ...] = ()
    pruning_performance_map: tuple[PruningPoint, ...] = ()
    unification_performance_map: tuple[UnificationPoint, ...] = ()
    decomposition_performance_map: tuple[DecompositionPoint, ...] = ()
    validation_set_performance: float = 0.0

    def syntax(self, c: BitCoder, context: Context) -> Self:
        """Code the set."""
        new = type(self)()
        new.topology_carriage_flag = c.u(1, self.topology_carriage_flag)
        new.mps_sparsification_flag = c.u(1, self.mps_sparsification_flag)
        new.mps_pruning_flag = c.u(1, self.mps_pruning_flag)
        new.mps_unification_flag = c.u(1, self.mps_unification_flag)
        new.mps_decomposition_performance_map_flag = c.u(1, self.mps_decomposition_performance_map_flag)
        new.mps_quantization_method_flags = c.u(3, self.mps_quantization_method_flags)
        new.mps_topology_indexed_reference_flag = c.u(1, self.mps_topology_indexed_reference_flag)
        if context.general_profile_idc == 1:
            new._edition_2(c, self)
        else:
            c.reserved(7)
        if new.mps_quantization_method_flags & _WITH_QP:
            new.mps_qp_density = c.u(3, self.mps_qp_density)
            new.mps_quantization_parameter = c.i(13, self.mps_quantization_parameter)
        new._maps(c, self)
        if new.validation_set_performance_present_flag:
            new.validation_set_performance = c.flt32(self.validation_set_performance)
        c.byte_alignment()
        return new

    def _edition_2(self, c: BitCoder, given: Self) -> None:
        self.base_model_id_present_flag = c.u(1, given.base_model_id_present_flag)
        self.validation_set_performance_present_flag = c.u(1, given.validation_set_performance_present_flag)
        self.metric_type_performance_map_valid_flag = c.u(1, given.metric_type_performance_map_valid_flag)
        self.mps_parent_signalling_enabled_flag = c.u(1, given.mps_parent_signalling_enabled_flag)
        if self.mps_parent_signalling_enabled_flag:
            self.nnr_pre_flag = c.u(1, given.nnr_pre_flag)
        else:
            c.reserved(1)
        c.reserved(2)
        if self.base_model_id_present_flag:
            self.base_model_id = c.st(given.base_model_id)
        if self.validation_set_performance_present_flag or self.metric_type_performance_map_valid_flag:
            self.performance_metric_type = c.st(given.performance_metric_type)

    def _maps(self, c: BitCoder, given: Self) -> None:
        if self.mps_sparsification_flag:
            self.sparsification_performance_map = performance_map(
                c, given.sparsification_performance_map, SparsificationPoint()
            )
        if self.mps_pruning_flag:
            self.pruning_performance_map = performance_map(c, given.pruning_performance_map, PruningPoint())
        if self.mps_unification_flag:
            self.unification_performance_map = performance_map(c, given.unification_performance_map, UnificationPoint())
        if self.mps_decomposition_performance_map_flag:
            self.decomposition_performance_map = performance_map(
                c, given.decomposition_performance_map, DecompositionPoint()
            )

    def context_after(self, context: Context) -> Context:
        """Keep what data units and aggregate units depend on."""
        has_method = bool(self.mps_quantization_method_flags & _WITH_QP)
        return replace(
            context,
            mps_seen=True,
            mps_parent_signalling_enabled_flag=self.mps_parent_signalling_enabled_flag,
            mps_topology_indexed_reference_flag=self.mps_topology_indexed_reference_flag,
            nnr_pre_flag=self.nnr_pre_flag,
            qp_density=self.mps_qp_density,
            quantization_parameter=self.mps_quantization_parameter,
            has_quantization_method=has_method,
            mps_steps=(self.mps_qp_density, self.mps_quantization_parameter) if has_method else None,
            mps_unification_flag=self.mps_unification_flag,
        )


@dataclass(slots=True, kw_only=True)
class LayerParameterSet(SyntaxUnit):
    """NNR_LPS.

    Attributes
    ----------
    lps_quantization_method_flags : int
        `QuantizationMethod`; with any, density and parameter take the place of the model parameter set's.
    lps_qp_density, lps_quantization_parameter : int
        0 to 7 and -4096 to 4095.
    """

    lps_self_contained_flag: int = 0
    lps_sparsification_flag: int = 0
    lps_pruning_flag: int = 0
    lps_unification_flag: int = 0
    lps_quantization_method_flags: int = 0
    lps_qp_density: int = 0
    lps_quantization_parameter: int = 0
    sparsification_performance_map: tuple[SparsificationPoint, ...] = ()
    pruning_performance_map: tuple[PruningPoint, ...] = ()
    unification_performance_map: tuple[UnificationPoint, ...] = ()

    def syntax(self, c: BitCoder, context: Context) -> Self:  # noqa: ARG002 - the same in both editions
        """Code the set."""
        new = type(self)()
        new.lps_self_contained_flag = c.u(1, self.lps_self_contained_flag)
        c.reserved(7 + 1)
        new.lps_sparsification_flag = c.u(1, self.lps_sparsification_flag)
        new.lps_pruning_flag = c.u(1, self.lps_pruning_flag)
        new.lps_unification_flag = c.u(1, self.lps_unification_flag)
        new.lps_quantization_method_flags = c.u(3, self.lps_quantization_method_flags)
        c.reserved(1)
        if new.lps_quantization_method_flags & _WITH_QP:
            new.lps_qp_density = c.u(3, self.lps_qp_density)
            new.lps_quantization_parameter = c.i(13, self.lps_quantization_parameter)
        if new.lps_sparsification_flag:
            new.sparsification_performance_map = performance_map(
                c, self.sparsification_performance_map, SparsificationPoint()
            )
        if new.lps_pruning_flag:
            new.pruning_performance_map = performance_map(c, self.pruning_performance_map, PruningPoint())
        if new.lps_unification_flag:
            new.unification_performance_map = performance_map(c, self.unification_performance_map, UnificationPoint())
        c.byte_alignment()
        return new

    def context_after(self, context: Context) -> Context:
        """Replace the step sizes; without any here, those of the model hold again."""
        steps = context.mps_steps
        if self.lps_quantization_method_flags & _WITH_QP:
            steps = (self.lps_qp_density, self.lps_quantization_parameter)
        density, parameter = steps or (0, 0)
        return replace(
            context,
            qp_density=density,
            quantization_parameter=parameter,
            has_quantization_method=steps is not None,
            lps_unification_flag=self.lps_unification_flag,
        )

"""What the syntax of a unit depends on besides the unit: a few values from the units before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from incnnr.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Context:
    """The state between two units; plain data.

    Attributes
    ----------
    general_profile_idc : int
        0 for the syntax of edition 1, 1 for edition 2.
    mps_seen : bool
        A model parameter set was read.
    mps_parent_signalling_enabled_flag, mps_topology_indexed_reference_flag, nnr_pre_flag : int
        From the model parameter set.
    qp_density, quantization_parameter : int
        From the newest layer parameter set if it has them, else from the model parameter set.
    has_quantization_method : bool
        A parameter set said them; without, there can be no quantised tensor.
    mps_steps : tuple of int, or None
        Density and parameter of the model parameter set, if it has them.
    mps_unification_flag, lps_unification_flag : int
        From the parameter sets.
    topology_elements : tuple of str
        From the reference list, for indexed references.
    awaits_h : bool
        The last data unit held the first factor of a decomposed tensor, outside of a block.
    tensor_dimensions : Mapping of str to tuple of int
        Shapes known from elsewhere (a base model), for data units that carry none.
    limits : Limits
        How long lists may be.
    """

    general_profile_idc: int = 0
    mps_seen: bool = False
    mps_parent_signalling_enabled_flag: int = 0
    mps_topology_indexed_reference_flag: int = 0
    nnr_pre_flag: int = 0
    qp_density: int = 0
    quantization_parameter: int = 0
    has_quantization_method: bool = False
    mps_steps: tuple[int, int] | None = None
    mps_unification_flag: int = 0
    lps_unification_flag: int = 0
    topology_elements: tuple[str, ...] = ()
    awaits_h: bool = False
    tensor_dimensions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS

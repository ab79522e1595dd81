"""Levels and weights: how finely, and which levels."""

from incnnr.quantization.codebook import Clusters, clusters_of
from incnnr.quantization.levels import Quantization, price_of_a_bit, quantize, reconstruct
from incnnr.quantization.quality import (
    LOSSLESS,
    Knob,
    Quality,
    Search,
    Tolerance,
    check_qps,
    check_relative_errors,
    choice,
    representable_step,
    warn_of_unmatched,
)
from incnnr.quantization.step_sizes import (
    QP_DENSITY,
    coarsest_qp,
    finer_for_small_matrices,
    level_range,
    ordered_sum,
    qp_of_bit_depth,
    qp_of_step_size,
    smallest_qp,
    step_size_of_qp,
)

__all__ = [
    "LOSSLESS",
    "QP_DENSITY",
    "Clusters",
    "Knob",
    "Quality",
    "Quantization",
    "Search",
    "Tolerance",
    "check_qps",
    "check_relative_errors",
    "choice",
    "clusters_of",
    "coarsest_qp",
    "finer_for_small_matrices",
    "level_range",
    "ordered_sum",
    "price_of_a_bit",
    "qp_of_bit_depth",
    "qp_of_step_size",
    "quantize",
    "reconstruct",
    "representable_step",
    "smallest_qp",
    "step_size_of_qp",
    "warn_of_unmatched",
]

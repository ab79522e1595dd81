"""Quantisation parameters and the step sizes they stand for (ISO/IEC 15938-17)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

QP_DENSITY = 2
_LARGEST_LEVEL = 2**31 - 8  # dependent quantisation may go a few levels beyond the nearest
_UNCHANGED_SHARE = 0.15  # of a matrix that is more than half of the model
_LARGE_SHARE = 0.5
_PERCENTILE = 99.95


def step_size_of_qp(qp: int, qp_density: int = QP_DENSITY) -> float:
    """Step size of a quantisation parameter (ISO/IEC 15938-17, dequantisation of uniform levels).

    Parameters
    ----------
    qp : int
        Every ``2**qp_density`` double the step.
    qp_density : int
        0 to 7.

    Examples
    --------
    >>> step_size_of_qp(-32), step_size_of_qp(-31), step_size_of_qp(0)
    (0.00390625, 0.0048828125, 1.0)
    """
    n_per_octave = 1 << qp_density
    return math.ldexp(n_per_octave + (qp & (n_per_octave - 1)), (qp >> qp_density) - qp_density)


def qp_of_step_size(step_size: float, qp_density: int = QP_DENSITY) -> int:
    """Quantisation parameter whose step is nearest to a step size.

    Parameters
    ----------
    step_size : float
        Positive.
    qp_density : int
        0 to 7.

    Examples
    --------
    >>> qp_of_step_size(0.004), qp_of_step_size(1.0)
    (-32, 0)
    """
    n_per_octave = 1 << qp_density
    mantissa, exponent = math.frexp(step_size)
    return (exponent - 1) * n_per_octave + round(n_per_octave * (2 * mantissa - 1))


def coarsest_qp(step_size: float, qp_density: int = QP_DENSITY) -> int:
    """Greatest quantisation parameter whose step is not wider than a step size.

    Parameters
    ----------
    step_size : float
        Positive.
    qp_density : int
        0 to 7.

    Examples
    --------
    >>> coarsest_qp(0.0048), coarsest_qp(0.0048, qp_density=7), step_size_of_qp(-32), step_size_of_qp(-995, 7)
    (-32, -995, 0.00390625, 0.004791259765625)
    """
    qp = qp_of_step_size(step_size, qp_density)
    return qp if step_size_of_qp(qp, qp_density) <= step_size else qp - 1


def qp_of_bit_depth(weights: NDArray[np.float32], bit_depth: int, qp_density: int = QP_DENSITY) -> int:
    """Quantisation parameter that spreads weights over the integers of a bit depth; one in 2,000 may be clipped.

    Parameters
    ----------
    weights : numpy.ndarray of float32
        Any shape; finite.
    bit_depth : int
        2 or more. Without negative weights levels have no sign.

    Examples
    --------
    >>> step_size_of_qp(qp_of_bit_depth(np.float32([-1, 0.5]), 8)) * 127
    1.240234375
    """
    magnitudes = np.abs(weights).reshape(-1)
    if not magnitudes.any():
        return 0
    reach = float(np.percentile(magnitudes, _PERCENTILE)) or float(magnitudes.max())
    wanted = reach / level_range(weights, bit_depth)[1]
    qp = qp_of_step_size(wanted, qp_density)
    return qp if step_size_of_qp(qp, qp_density) >= wanted else qp + 1


def level_range(weights: NDArray[np.float32], bit_depth: int) -> tuple[int, int]:
    """Least and greatest integer of a bit depth, with a sign if there are negative weights.

    Examples
    --------
    >>> level_range(np.float32([-1, 0.5]), 8), level_range(np.float32([0.5]), 8)
    ((-128, 127), (0, 255))
    """
    if (weights < 0).any():
        return -(1 << (bit_depth - 1)), (1 << (bit_depth - 1)) - 1
    return 0, (1 << bit_depth) - 1


def smallest_qp(largest: float, qp_density: int = QP_DENSITY) -> int:
    """Least quantisation parameter whose levels fit 32 bits if no weight is larger.

    Parameters
    ----------
    largest : float
        Magnitude; finite.

    Examples
    --------
    >>> smallest_qp(1.0), smallest_qp(0.0)
    (-123, -4096)
    """
    if not largest:
        return -4096
    qp = qp_of_step_size(largest / _LARGEST_LEVEL, qp_density)
    while largest / step_size_of_qp(qp, qp_density) > _LARGEST_LEVEL:
        qp += 1
    return qp


def finer_for_small_matrices(matrices: Mapping[str, tuple[int, NDArray[np.float32]]]) -> dict[str, int]:
    """Spend bits where they are few: raise quantisation parameters by a matrix's share of all weights, and its spread.

    Parameters
    ----------
    matrices : mapping of str to (int, numpy.ndarray)
        Quantisation parameter and weights; arrays of fewer than two dimensions are left alone.

    Returns
    -------
    dict of str to int
        By name, of the matrices alone.

    Notes
    -----
    The rule of the reference software's ``opt_qp``.

    Examples
    --------
    >>> finer_for_small_matrices({"w": (-32, np.eye(2, dtype=np.float32)), "v": (-32, np.eye(8, dtype=np.float32))})
    {'w': -30, 'v': -27}
    """
    weights = {name: array for name, (_, array) in matrices.items() if array.ndim > 1 and array.size}
    total = sum(array.size for array in weights.values())
    deviations = {name: _standard_deviation(array) for name, array in weights.items()}
    most = max(deviations.values(), default=0.0) or 1.0
    shares = {name: array.size / total + 0.1 * (1 - deviations[name] / most) for name, array in weights.items()}
    shares = {name: _UNCHANGED_SHARE if share > _LARGE_SHARE else share for name, share in shares.items()}
    return {name: round(matrices[name][0] * (1 - share)) for name, share in shares.items()}


def _standard_deviation(weights: NDArray[np.float32]) -> float:
    values = weights.reshape(-1).astype(np.float64)
    mean = ordered_sum(values) / values.size
    return math.sqrt(ordered_sum((values - mean) ** 2) / values.size)


def ordered_sum(values: NDArray[np.float64]) -> float:
    """Add up in an order that does not depend on the machine.

    Examples
    --------
    >>> ordered_sum(np.array([0.5, 0.25]))
    0.75
    """
    padded = np.zeros(-(-values.size // 1024) * 1024)
    padded[: values.size] = values
    return math.fsum(np.add.reduce(padded.reshape(-1, 1024), axis=0))

"""Weights to levels, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from incnnr import _core

Levels = NDArray[np.int32]
_TRELLIS_REACH = 2  # levels that dependent quantisation may go beyond the nearest


@dataclass(frozen=True, slots=True)
class Quantization:
    """A matrix to quantise, and how. Levels stand for themselves times the step size, in float32.

    Attributes
    ----------
    weights : numpy.ndarray of float32
        Flat, finite.
    height, width : int
        Of the matrix.
    step_size : float
        A float32, not subnormal.
    dependent : bool
        Dependent quantisation with eight states, or the nearest level (ties away from zero).
    block_size : int
        8 to 64: the order that states follow goes in blocks of so many rows and columns; 0: row by row.
    lambda_scale : float
        How much bits weigh against squared error: 0 gives the least error, 1 saves bits as NNCodec does at 1.
    n_greater_flags : int
        Of the codeword to come, for estimating bits.
    level_range : tuple of int, or None
        Least and greatest level there may be.
    skipped_rows : numpy.ndarray of uint8, or None
        1 for rows that become zeros without being coded.
    """

    weights: NDArray[np.float32]
    height: int
    width: int
    step_size: float
    dependent: bool
    block_size: int = 0
    lambda_scale: float = 0.0
    n_greater_flags: int = 10
    level_range: tuple[int, int] | None = None
    skipped_rows: NDArray[np.uint8] | None = None


def quantize(jobs: Sequence[Quantization], threads: int) -> list[Levels]:
    """Quantise matrices.

    Parameters
    ----------
    jobs : sequence of Quantization
        What to quantise.
    threads : int
        They do not change the levels.

    Returns
    -------
    list of numpy.ndarray of int32
        Flat, one for each job.

    Raises
    ------
    ValueError
        A level does not fit 32 bits.

    Examples
    --------
    >>> weights = np.float32([0.2, -0.7, 1.1, 0])
    >>> quantize([Quantization(weights, 2, 2, step_size=0.25, dependent=False)], threads=1)[0].tolist()
    [1, -3, 4, 0]
    """
    levels = _quantized([_clipped(job) for job in jobs], threads)
    for i, job in enumerate(jobs):
        if job.level_range is not None:
            levels[i] = _within_range(job, levels[i], threads)
    return levels


def price_of_a_bit(lambda_scale: float, *, dependent: bool) -> float:
    """Return the squared error that a bit is worth, in squared steps: from the slope of an ideal quantiser.

    The factors are a little below the reference software's (0.7 and 1): better rates would else end at a larger error
    than its own.

    Examples
    --------
    >>> round(price_of_a_bit(1.0, dependent=True), 4)
    0.3004
    """
    return lambda_scale * (4 * 0.65 if dependent else 0.95) * (0.6931471805599453 / 6)


def reconstruct(levels: Levels, step_size: float) -> NDArray[np.float32]:
    """Make weights of levels, as every decoder does: in float32, with one rounding of the level and one of the product.

    Examples
    --------
    >>> reconstruct(np.int32([3, -2]), 0.25)
    array([ 0.75, -0.5 ], dtype=float32)
    """
    weights = levels.astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        weights *= np.float32(step_size)
    return weights


def _within_range(job: Quantization, levels: Levels, threads: int) -> Levels:
    """Quantise again, with what lies outside of the range moved so far in that no path of the trellis leads out."""
    low, high = job.level_range or (0, 0)
    weights = _clipped(job).weights.copy()
    step_size = np.float32(job.step_size)
    lowest, highest = min(low + _TRELLIS_REACH, 0) * step_size, max(high - _TRELLIS_REACH, 0) * step_size
    while ((levels < low) | (levels > high)).any():
        weights[levels < low] = lowest
        weights[levels > high] = highest
        (levels,) = _quantized([replace(job, weights=weights)], threads)
    return levels


def _clipped(job: Quantization) -> Quantization:
    if job.level_range is None:
        return job
    low, high = job.level_range
    step_size = np.float32(job.step_size)
    return replace(job, weights=np.clip(job.weights, low * step_size, high * step_size))


def _quantized(jobs: Sequence[Quantization], threads: int) -> list[Levels]:
    levels = [np.empty(job.height * job.width, np.int32) for job in jobs]
    natives = [
        _core.NncQuantization(
            job.weights,
            out,
            job.height,
            job.width,
            step_size=job.step_size,
            dependent=job.dependent,
            block_size=job.block_size,
            price_of_a_bit=price_of_a_bit(job.lambda_scale, dependent=job.dependent),
            n_greater_flags=job.n_greater_flags,
            skipped_rows=job.skipped_rows,
        )
        for job, out in zip(jobs, levels, strict=True)
    ]
    _core.quantize_nnc(natives, threads)
    if not all(native.in_range for native in natives):
        raise ValueError("a level does not fit 32 bits")
    return levels

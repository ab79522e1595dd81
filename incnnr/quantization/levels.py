"""Weights to levels: uniform and dependent quantisation of ISO/IEC 15938-17."""

from __future__ import annotations

from collections.abc import Mapping

from incnnr import _core
from incnnr._core import NncQuantization

__all__ = ["NncQuantization", "quantize"]


def quantize(jobs: Mapping[str, NncQuantization], threads: int = 1) -> None:
    """Quantise matrices into their `levels`: a decoder returns ``float32(level) * float32(step_size)``.

    Parameters
    ----------
    jobs : mapping of str to NncQuantization
        By tensor name.
    threads : int
        Most threads to use; the levels are the same for any number.

    Raises
    ------
    ValueError
        A weight is not finite, or its level does not fit 32 bits; see `smallest_qp`. The levels are unspecified then.

    Examples
    --------
    >>> import numpy as np
    >>> weights, levels = np.float32([0.1, 0.9, -1.6, 0.5]), np.empty(4, np.int32)
    >>> quantize({"w": NncQuantization(weights, levels, 2, 2, step_size=0.5, dependent=False)})
    >>> levels.tolist()
    [0, 2, -3, 1]
    """
    _core.quantize_nnc(list(jobs.values()), threads)
    for name, job in jobs.items():
        if not job.in_range:
            raise ValueError(f"{name}: a weight is not finite or needs a level beyond 32 bits")

"""What a user asks for: one knob, for all tensors or by pattern, and what it means for each."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from numbers import Integral, Real

import numpy as np

from incnnr.quantization.step_sizes import step_size_of_qp
from incnnr.tensors import Kind, TensorType

# Keeps float32 rounding of the reconstruction inside the bound; costs 0.006 bit per level.
_SAFETY = 1 - 2**-8

Knob = float | int | None | Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a tensor may change in coding.

    Attributes
    ----------
    step_size : float
        Distance between two levels; 0 codes exactly.
    max_error : float
        Bound of the error of every weight; infinite where only the step size is asked for.
    """

    step_size: float
    max_error: float


LOSSLESS = Tolerance(0.0, 0.0)


def tolerance_of_max_error(max_error: float) -> Tolerance:
    """Return the widest step whose error stays within `max_error`."""
    return Tolerance(2 * max_error * _SAFETY, max_error)


def tolerance_of_qp(qp: int) -> Tolerance:
    """Return the step of `qp`, with no bound on single weights."""
    return Tolerance(step_size_of_qp(qp), math.inf)


@dataclass(frozen=True, slots=True)
class Quality:
    """What the user asked for: one knob, for all tensors or by pattern.

    Parameters
    ----------
    max_error, qp : number, None or mapping of pattern to number or None
        At most one is given. Patterns are shell-style and match whole tensor names; the first match wins, and None,
        like no match, means lossless.

    Raises
    ------
    ValueError
        Both are given, or a value is out of range.
    TypeError
        A value is not a number.

    Examples
    --------
    >>> quality = Quality(qp={"*.bias": None, "*": -32})
    >>> quality.tolerance("fc.bias", TensorType("float32", (3,))) == LOSSLESS
    True
    >>> quality.tolerance("fc.weight", TensorType("float32", (3, 3))).step_size
    0.00390625
    """

    max_error: Knob = None
    qp: Knob = None

    def __post_init__(self) -> None:
        if self.max_error is not None and self.qp is not None:
            raise ValueError("give max_error or qp, not both")
        for value in _values(self.max_error):
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"max_error must be a number, not {value!r}")
            if not 0 < value <= sys.float_info.max:
                raise ValueError(f"max_error must be positive and finite, not {value!r}")
        check_qps(self.qp)

    def tolerance(self, name: str, tensor: TensorType) -> Tolerance:
        """Return what holds for one tensor; exact where its dtype has no fractions or is an 8-bit float."""
        if not tensor.is_lossy_capable:
            return LOSSLESS
        max_error, qp = choice(self.max_error, name), choice(self.qp, name)
        if max_error is not None:
            return _representable(tolerance_of_max_error(float(max_error)), tensor)
        if qp is not None:
            return _representable(tolerance_of_qp(int(qp)), tensor)
        return LOSSLESS


def _values(knob: Knob) -> list[float | int]:
    values = knob.values() if isinstance(knob, Mapping) else [knob]
    return [value for value in values if value is not None]


def check_qps(knob: Knob) -> None:
    """Raise TypeError or ValueError unless every number of a knob is a quantisation parameter."""
    for value in _values(knob):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"qp must be an integer, not {value!r}")
        if not -4096 <= value < 4096:
            raise ValueError(f"qp must be in -4096..4095, not {value}")


def choice(knob: Knob, name: str) -> float | int | None:
    """Find what a knob says of a tensor: of its patterns, the first that matches counts; None means exact.

    Examples
    --------
    >>> choice({"*.bias": None, "*": -32}, "fc.weight")
    -32
    """
    if not isinstance(knob, Mapping):
        return knob
    return next((value for pattern, value in knob.items() if fnmatchcase(name, pattern)), None)


def representable_step(step_size: float, tensor: TensorType) -> float:
    """Round a step to the type that reconstruction computes in; 0 where none is left, or where the dtype stays exact.

    Examples
    --------
    >>> representable_step(0.5, TensorType("float32", (3,))), representable_step(1e300, TensorType("float32", (3,)))
    (0.5, 0.0)
    """
    if not tensor.is_lossy_capable:
        return 0.0
    if tensor.kind is not Kind.FLOAT64:
        with np.errstate(over="ignore", under="ignore"):
            step_size = float(np.float32(step_size))
    return step_size if math.isfinite(step_size) else 0.0


def _representable(tolerance: Tolerance, tensor: TensorType) -> Tolerance:
    step_size = representable_step(tolerance.step_size, tensor)
    return Tolerance(step_size, tolerance.max_error) if step_size else LOSSLESS

"""What a user asks for: one knob, for all tensors or by pattern, and what it means for each."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatchcase
from numbers import Integral, Real

import numpy as np

from incnnr.errors import PatternWarning
from incnnr.quantization.step_sizes import step_size_of_qp
from incnnr.tensors import Kind, TensorType

# Keeps float32 rounding of the reconstruction inside the bound; costs 0.006 bit per level.
_SAFETY = 1 - 2**-8

_FINENESS_OF_VECTORS = 1 / 8

Knob = float | int | None | Mapping[str, float | int | None]


class Search(IntEnum):
    """How levels are chosen; see ``core.h``."""

    NEAREST = 0
    DEAD_ZONE = 1
    TRELLIS = 2


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a tensor may change in coding.

    Attributes
    ----------
    step_size : float
        Distance between two levels; 0 codes exactly.
    max_error : float
        Bound of the error of every weight; infinite where only the step size is asked for.
    relative_error : float
        Not 0: bound of the part of the difference that is lost, in rms; the step follows from it.
    search : Search
        How levels are chosen where nothing bounds the error of single weights.
    scale : int
        What the step size is multiplied by: 1024 double it.
    """

    step_size: float
    max_error: float = math.inf
    relative_error: float = 0.0
    search: Search = Search.NEAREST
    scale: int = 0

    @property
    def grid_step(self) -> float:
        """Distance between the levels that dependent quantization chooses from; others use every second one."""
        return self.step_size if self.search is Search.TRELLIS else self.step_size / 2


LOSSLESS = Tolerance(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Quality:
    """What the user asked for: one knob, for all tensors or by pattern.

    Parameters
    ----------
    max_error, relative_error, qp, target_bytes : number, None or mapping of pattern to number or None
        At most one is given. Patterns are shell-style and match whole tensor names; the first match wins, and None,
        like no match, means lossless. What patterns say of `target_bytes` is one number: for the whole update.
    search : Search
        How levels are chosen where no bound holds for single weights.

    Raises
    ------
    ValueError
        More than one is given, or a value is out of range.
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
    relative_error: Knob = None
    qp: Knob = None
    target_bytes: Knob = None
    search: Search = Search.TRELLIS

    def __post_init__(self) -> None:
        knobs = (self.max_error, self.relative_error, self.qp, self.target_bytes)
        if sum(knob is not None for knob in knobs) > 1:
            raise ValueError("give one of max_error, relative_error, qp and target_bytes")
        check_max_errors(self.max_error)
        check_relative_errors("relative_error", self.relative_error)
        check_qps(self.qp)
        check_target_bytes(self.target_bytes)

    @property
    def is_lossless(self) -> bool:
        """Whether no knob says anything."""
        return self.max_error is self.relative_error is self.qp is self.target_bytes is None

    @property
    def is_about_differences(self) -> bool:
        """Whether what was asked for means nothing to a keyframe."""
        return self.relative_error is not None or self.target_bytes is not None

    @property
    def most_bytes(self) -> int | None:
        """How many bytes an update may take, if that is what was asked for."""
        return next((int(value) for value in _values(self.target_bytes)), None)

    def warn_of_unmatched(self, names: Collection[str]) -> None:
        """Warn of patterns that match none of the names."""
        for knob in (self.max_error, self.relative_error, self.qp, self.target_bytes):
            warn_of_unmatched(knob, names)

    def tolerance(self, name: str, tensor: TensorType) -> Tolerance:
        """Return what holds for one tensor; exact where its dtype has no fractions or is an 8-bit float."""
        if not tensor.is_lossy_capable:
            return LOSSLESS
        if (max_error := choice(self.max_error, name)) is not None:
            return _representable(Tolerance(2 * float(max_error) * _SAFETY, float(max_error)), tensor)
        if (relative_error := choice(self.relative_error, name)) is not None:
            return Tolerance(1.0, relative_error=float(relative_error) * _fineness(tensor), search=self.search)
        if (qp := choice(self.qp, name)) is not None:
            return _representable(Tolerance(step_size_of_qp(int(qp)), search=self.search), tensor)
        if choice(self.target_bytes, name) is not None:
            return Tolerance(_fineness(tensor), search=self.search)
        return LOSSLESS


def _fineness(tensor: TensorType) -> float:
    """Return the part of what weights may lose that vectors may: variances, scales and biases are few, and matter."""
    return 1.0 if len(tensor.shape) > 1 else _FINENESS_OF_VECTORS


def check_max_errors(knob: Knob) -> None:
    """Raise TypeError or ValueError unless every number of a knob bounds errors."""
    for value in _values(knob):
        _check_real("max_error", value)
        if not 0 < value <= sys.float_info.max:
            raise ValueError(f"max_error must be positive and finite, not {value!r}")


def check_relative_errors(what: str, knob: Knob) -> None:
    """Raise TypeError or ValueError unless every number of a knob is a part that may be lost."""
    for value in _values(knob):
        _check_real(what, value)
        if not 1e-4 <= value < 1:
            raise ValueError(f"{what} must be at least 0.0001 and below 1, not {value!r}")


def check_qps(knob: Knob) -> None:
    """Raise TypeError or ValueError unless every number of a knob is a quantisation parameter."""
    for value in _values(knob):
        _check_integer("qp", value)
        if not -4096 <= value < 4096:
            raise ValueError(f"qp must be in -4096..4095, not {value}")


def check_target_bytes(knob: Knob) -> None:
    """Raise TypeError or ValueError unless the numbers of a knob are one size that an update can have."""
    targets = set(_values(knob))
    for value in targets:
        _check_integer("target_bytes", value)
    if len(targets) > 1 or any(value <= 0 for value in targets):
        raise ValueError(f"target_bytes is one positive number for a whole update, not {knob!r}")


def _check_real(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, not {value!r}")


def _check_integer(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{what} must be an integer, not {value!r}")


def _values(knob: Knob) -> list[float | int]:
    values = knob.values() if isinstance(knob, Mapping) else [knob]
    return [value for value in values if value is not None]


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


def warn_of_unmatched(knob: Knob, names: Collection[str]) -> None:
    """Warn of each pattern that matches none of the names: it is misspelt, or meant for another model.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of_unmatched({"*.bais": None, "*": -32}, ["fc.bias", "fc.weight"])
    >>> print(caught[0].message)
    pattern '*.bais' matches no tensor
    """
    for pattern in knob if isinstance(knob, Mapping) else ():
        if not any(fnmatchcase(name, pattern) for name in names):
            warnings.warn(f"pattern {pattern!r} matches no tensor", PatternWarning, stacklevel=2)


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
    return replace(tolerance, step_size=step_size) if step_size else LOSSLESS

"""What a bitstream of ISO/IEC 15938-17 is to say of each tensor, and whether its result will do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from incnnr.errors import UnsupportedError
from incnnr.incremental.given import Given
from incnnr.incremental.standard import added, carried_type, converted, held_array
from incnnr.incremental.state import CodecState, TensorState
from incnnr.nnc.members import Levels
from incnnr.nnc.parameters import FORMATS, Parameter
from incnnr.nnc.settings import Settings
from incnnr.nnc.syntax import PayloadType
from incnnr.quantization import (
    LOSSLESS,
    Tolerance,
    coarsest_qp,
    ordered_sum,
    reconstruct,
    smallest_qp,
    step_size_of_qp,
)
from incnnr.tensors import Array, TensorType, array_of, bytes_of, type_of

_REACH_OCTAVES = 32  # either side of 1: steps that tensors of one bitstream may have beside each other
_FINER_OCTAVES = (0, 1, 2)  # what is tried where rounding to the tensor's dtype adds to the error
_INT32 = np.iinfo(np.int32)

Tries = tuple[int | None, ...]
"""Quantisation parameters to try, from coarse to fine; None sends numbers as they are."""


class Deviation(NamedTuple):
    """How far a result is from what is wanted: at most, and squared and summed up; infinite if in more than numbers."""

    largest: float
    squared: float


@dataclass(frozen=True, slots=True)
class SentTensor:
    """One tensor on its way into a bitstream.

    Attributes
    ----------
    given : numpy.ndarray
        What is wanted.
    reference : numpy.ndarray or None
        What is held; None in a keyframe.
    type : TensorType
        What a decoder makes of it.
    values : numpy.ndarray of float32 or int32
        What is sent: weights in a keyframe, else differences.
    tolerance : Tolerance
        How far from `given` the result may be.
    """

    given: Array
    reference: Array | None
    type: TensorType
    values: Array
    tolerance: Tolerance

    def qps(self, settings: Settings) -> range:
        """Return the quantisation parameters it may have; none if it can only be sent as it is."""
        if not self.tolerance.step_size or not self.values.size or not np.isfinite(self.values).all():
            return range(0)
        reach = _REACH_OCTAVES << settings.qp_density
        return range(max(smallest_qp(float(np.abs(self.values).max()), settings.qp_density), -reach), reach)

    def tries(self, settings: Settings, coarsest: int | None = None) -> Tries:
        """List the ways to send it, from a quantisation parameter on; by default from its tolerance's step."""
        allowed, density = self.qps(settings), settings.qp_density
        if not allowed:
            return (None,)
        qp = coarsest_qp(self.tolerance.step_size, density) if coarsest is None else coarsest
        qps = [qp - (octaves << density) for octaves in _FINER_OCTAVES]
        return (*(qp for qp in qps if qp in allowed), None)

    def parameter(self, name: str, qp: int | None) -> Parameter:
        """Describe it to the encoder of bitstreams."""
        is_integer = self.values.dtype.kind == "i"
        exact = PayloadType.INT if is_integer else PayloadType.RAW_FLOAT
        payload_type = exact if qp is None else PayloadType.FLOAT
        data_format = None if self.reference is not None else FORMATS.get(self.type.dtype)
        return Parameter(
            name,
            self.type.shape,
            payload_type,
            self.values.reshape(-1),
            data_format,
            qp or 0,
            may_be_left_out=not self.tolerance.relative_error,
        )

    def result(self, qp: int | None, levels: Levels | None, settings: Settings) -> Array:
        """Compute what a decoder makes of it; without levels a quantised tensor has no unit, and stays."""
        values = self.values
        if qp is not None and levels is None:
            values = np.zeros_like(values)
        elif qp is not None and levels is not None:
            values = reconstruct(levels, step_size_of_qp(qp, settings.qp_density))
        values = values.reshape(self.type.shape)
        return converted(values, self.type) if self.reference is None else added(self.reference, values)

    def is_good(self, deviation: Deviation) -> bool:
        """Whether a result that is so far off will do."""
        if not math.isfinite(deviation.largest) or deviation.largest > self.tolerance.max_error:
            return False
        share = self.tolerance.relative_error
        return not share or deviation.squared <= share * share * self._squares()

    def largest_rms(self) -> float:
        """Return what the root mean square of the deviation may be; 0 if nothing is said of it, or nothing left."""
        share = self.tolerance.relative_error
        return share * math.sqrt(self._squares() / self.given.size) if share and self.given.size else 0.0

    def _squares(self) -> float:
        """Add up the squares of what there is to say."""
        wanted = self.given.astype(np.float64)
        difference = wanted if self.reference is None else wanted - self.reference.astype(np.float64)
        return ordered_sum(np.square(difference.reshape(-1)))

    def deviation(self, result: Array) -> Deviation:
        """Return how far a result is from what is wanted."""
        nothing, everything = Deviation(0.0, 0.0), Deviation(np.inf, np.inf)
        if self.given.dtype.kind in "biu":
            return nothing if (result == self.given).all() else everything
        wanted, got = self.given.astype(np.float64), result.astype(np.float64)
        if self.tolerance == LOSSLESS and (np.signbit(got) != np.signbit(wanted))[got == 0].any():
            return everything
        with np.errstate(invalid="ignore"):
            distance = np.where(_are_same(got, wanted), 0, np.abs(got - wanted)).reshape(-1)
        if not np.isfinite(distance).all():
            return everything
        with np.errstate(over="ignore"):
            return Deviation(float(distance.max(initial=0)), ordered_sum(np.square(distance)))


def whole(name: str, tensor: Given) -> SentTensor:
    """Prepare a tensor of a keyframe.

    Raises
    ------
    UnsupportedError
        The standard has no place for its name, its type or its integers.
    """
    carried = carried_type(tensor.type)
    if carried is None or "\0" in name:
        raise UnsupportedError(f"the standard has no place for tensor {name!r} of type {tensor.type}")
    array = _native(tensor)
    if array.dtype.kind not in "biu":
        return SentTensor(array, None, carried, _float32(array), tensor.tolerance)
    if array.size and not (_INT32.min <= array.min() and array.max() <= _INT32.max):
        raise UnsupportedError(f"tensor {name!r} holds an integer that does not fit the standard's 32 bits")
    return SentTensor(array, None, carried, array.astype(np.int32), tensor.tolerance)


def differences(parent: CodecState, given: Mapping[str, Given], *, partial: bool) -> dict[str, SentTensor]:
    """Prepare the tensors of an update, all but those that stay.

    Raises
    ------
    UnsupportedError
        No differences lead from what is held to what is given.
    """
    added_names, missing_names = given.keys() - parent.tensors.keys(), parent.tensors.keys() - given.keys()
    if added_names or (missing_names and not partial):
        raise UnsupportedError("an update has the tensors that are held")
    tensors = {}
    for name, tensor in given.items():
        held = parent.tensors[name]
        if held.spec.type not in (tensor.type, carried_type(tensor.type)):
            raise UnsupportedError(f"tensor {name!r} is of another type than the one that is held")
        if _stays(held, tensor):
            continue
        array, reference = _native(tensor), held_array(held)
        difference = _difference(reference, array)
        tensors[name] = SentTensor(array, reference, held.spec.type, difference, tensor.tolerance)
    return tensors


def _stays(held: TensorState, tensor: Given) -> bool:
    if held.spec.type == tensor.type:
        return np.array_equal(held.data, tensor.data)
    return np.array_equal(held.data, bytes_of(_native(tensor).astype(held.spec.type.numpy_dtype)))


def _difference(reference: Array, array: Array) -> Array:
    """Return what leads from one to the other, as a bitstream says it."""
    if array.dtype.kind in "biu":
        steps = array.astype(np.int64) - reference.astype(np.int64)
        if steps.size and not (_INT32.min <= steps.min() and steps.max() <= _INT32.max):
            raise UnsupportedError("a difference of integers does not fit the standard's 32 bits")
        return np.asarray(steps.astype(np.int32))
    if carried_type(type_of(array)) is None:
        raise UnsupportedError(f"no difference says an array of {array.dtype}")
    wide = np.float64 if reference.dtype == np.float64 else np.float32
    array, reference = array.astype(wide), reference.astype(wide)
    with np.errstate(all="ignore"):
        difference = np.where(_are_same(array, reference), np.float32(0), _float32(array - reference))
    if not np.isfinite(difference).all():
        raise UnsupportedError("a difference of weights is not finite")
    return difference


def _are_same(one: Array, other: Array) -> Array:
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _float32(array: Array) -> Array:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(array.astype(np.float32))


def _native(tensor: Given) -> Array:
    array = array_of(tensor.data, tensor.type)
    return array.astype(array.dtype.newbyteorder("="), copy=False)

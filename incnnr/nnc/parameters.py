"""Tensors on their way into a bitstream: what of each is coded, and how finely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from incnnr.nnc.members import Levels
from incnnr.nnc.settings import Settings
from incnnr.nnc.syntax import DecompressedDataFormat, PayloadType
from incnnr.quantization import finer_for_small_matrices, level_range, qp_of_bit_depth, smallest_qp
from incnnr.tensors import Array, Kind, as_array, dtype_name, type_of

FORMATS = {
    "float16": DecompressedDataFormat.FLOAT16,
    "float64": DecompressedDataFormat.FLOAT64,
    "int8": DecompressedDataFormat.INT8,
    "int16": DecompressedDataFormat.INT16,
    "int64": DecompressedDataFormat.INT64,
}
_INT32 = np.iinfo(np.int32)
_VECTOR_BIT_DEPTH = 8  # at least: a vector has few weights, and each of them many effects


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor.

    Attributes
    ----------
    values : numpy.ndarray
        Flat; float32, or int32 for integers, which have payload type INT.
    data_format : DecompressedDataFormat or None
        The type it came in, where that is not the one its payload type stands for.
    qp : int
        Quantisation parameter; 0 for all but payload type FLOAT.
    level_range : tuple of int, or None
        Least and greatest level, where a bit depth says so.
    may_be_left_out : bool
        Whether an update may be without it where its levels are not worth their bytes.
    """

    name: str
    shape: tuple[int, ...]
    payload_type: PayloadType
    values: NDArray[np.float32] | Levels
    data_format: DecompressedDataFormat | None
    qp: int = 0
    level_range: tuple[int, int] | None = None
    may_be_left_out: bool = True


def parameters_of(tensors: Mapping[str, object], settings: Settings) -> dict[str, Parameter]:
    """Convert tensors, and choose the quantisation parameter of each.

    Raises
    ------
    TypeError
        A tensor is not of numbers.
    ValueError
        An integer does not fit 32 bits, or a weight is not finite, or not as a float32.
    """
    arrays = {name: as_array(value) for name, value in tensors.items()}
    weights = {name: _as_float32(name, array) for name, array in arrays.items() if array.dtype.kind not in "biu"}
    qps = _qps(weights, settings)
    parameters = {}
    for name, array in arrays.items():
        data_format = FORMATS.get(dtype_name(array.dtype))
        if name not in weights:
            integers = _as_int32(name, array).reshape(-1)
            parameters[name] = Parameter(name, array.shape, PayloadType.INT, integers, data_format)
        elif name not in qps:
            values = weights[name].reshape(-1)
            parameters[name] = Parameter(name, array.shape, PayloadType.RAW_FLOAT, values, data_format)
        else:
            parameters[name] = _quantised(name, weights[name], qps[name], data_format, settings)
    return parameters


def _quantised(
    name: str, weights: NDArray[np.float32], qp: int, data_format: DecompressedDataFormat | None, settings: Settings
) -> Parameter:
    depth = _bit_depth(weights, settings)
    limits = None if depth is None else level_range(weights, depth)
    return Parameter(name, weights.shape, PayloadType.FLOAT, weights.reshape(-1), data_format, qp, limits)


def _bit_depth(weights: NDArray[np.float32], settings: Settings) -> int | None:
    if settings.bit_depth is None or weights.ndim > 1:
        return settings.bit_depth
    return max(settings.bit_depth, _VECTOR_BIT_DEPTH)


def _qps(weights: Mapping[str, NDArray[np.float32]], settings: Settings) -> dict[str, int]:
    """Choose quantisation parameters, for all but what is sent as it is."""
    wished = {name: settings.qp_of(name) for name in weights}
    qps = {name: qp for name, qp in wished.items() if qp is not None}
    for name in qps:
        if not np.isfinite(weights[name]).all():
            raise ValueError(
                f"tensor {name!r} holds numbers that are no finite float32: send it as it is, with qp None"
            )
    density = settings.qp_density
    if settings.bit_depth is not None:
        for name in qps:
            qps[name] = qp_of_bit_depth(weights[name], _bit_depth(weights[name], settings) or 0, density)
    elif settings.opt_qp:
        qps |= finer_for_small_matrices({name: (qp, weights[name]) for name, qp in qps.items()})
    largest = {name: float(np.abs(weights[name]).max(initial=0)) for name in qps}
    return {name: max(qp, smallest_qp(largest[name], density)) for name, qp in qps.items()}


def _as_int32(name: str, array: Array) -> NDArray[np.int32]:
    if array.dtype.kind != "b" and array.size and not (_INT32.min <= array.min() and array.max() <= _INT32.max):
        raise ValueError(f"tensor {name!r} holds an integer that does not fit 32 bits")
    return np.asarray(array, np.int32, order="C")


def _as_float32(name: str, array: Array) -> NDArray[np.float32]:
    if type_of(array).kind < Kind.FLOAT8_E4M3:
        raise TypeError(f"tensor {name!r} is of {array.dtype}, which the standard has no place for")
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(array, np.float32, order="C")

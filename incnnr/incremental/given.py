"""From what a user gives to what the codec takes: bytes, and how much each tensor may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from incnnr.incremental.state import Bytes
from incnnr.limits import DEFAULT_LIMITS
from incnnr.quantization import Quality, Tolerance
from incnnr.tensors import TensorType, as_array, bytes_of, type_of


@dataclass(frozen=True, slots=True)
class Given:
    """One tensor to encode.

    Attributes
    ----------
    type : TensorType
        Dtype and shape.
    data : numpy.ndarray of uint8
        Its elements, little-endian in C order.
    tolerance : Tolerance
        How much it may change.
    """

    type: TensorType
    data: Bytes
    tolerance: Tolerance


def given_from(weights: Mapping[str, object], quality: Quality) -> dict[str, Given]:
    """Take arrays as they are.

    Raises
    ------
    TypeError
        A name is not a string, or a value is not an array of numbers.
    ValueError
        A name or a shape that decoders refuse by default.
    """
    given: dict[str, Given] = {}
    for name in weights:
        if not isinstance(name, str):
            raise TypeError(f"tensor names are strings, not {name!r}")
        array = as_array(weights[name])
        tensor = type_of(array)
        _check(name, tensor)
        given[name] = Given(tensor, bytes_of(array), quality.tolerance(name, tensor))
    return given


def _check(name: str, tensor: TensorType) -> None:
    """Refuse what no decoder takes unless it is told to."""
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"tensor name {name!r} is not text") from None
    if n_bytes > DEFAULT_LIMITS.name_bytes:
        raise ValueError(f"tensor name {name[:80]!r}... has {n_bytes} bytes, more than {DEFAULT_LIMITS.name_bytes}")
    if len(tensor.shape) > DEFAULT_LIMITS.rank:
        raise ValueError(f"tensor {name!r} has {len(tensor.shape)} dimensions, more than {DEFAULT_LIMITS.rank}")

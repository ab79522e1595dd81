"""What a bitstream of ISO/IEC 15938-17 makes of the tensors that are held: what both sides compute alike."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from incnnr.changes import Change, changed_bits
from incnnr.coding import fresh_flag_contexts
from incnnr.errors import CorruptError
from incnnr.incremental.state import CodecState, Outcome, TensorSpec, TensorState, chain_of, digest_of, held_tensor
from incnnr.nnc.state import Node
from incnnr.nnc.syntax import DecompressedDataFormat
from incnnr.position import Position
from incnnr.tensors import Array, Kind, TensorType, array_of, bytes_of, type_of

_INTEGERS = {
    DecompressedDataFormat.INT8: "int8",
    DecompressedDataFormat.INT16: "int16",
    DecompressedDataFormat.INT64: "int64",
}
_FLOATS = {DecompressedDataFormat.FLOAT16: "float16", DecompressedDataFormat.FLOAT64: "float64"}
_KEPT = frozenset({*_INTEGERS.values(), *_FLOATS.values()})


def carried_type(tensor: TensorType) -> TensorType | None:
    """Return the type that a tensor has behind a keyframe; None if no bitstream says its values.

    Examples
    --------
    >>> str(carried_type(TensorType("bfloat16", (2,)))), carried_type(TensorType("<c8", (2,)))
    ('float32[2]', None)
    """
    dtype = tensor.numpy_dtype
    name = dtype.newbyteorder("=").name
    if name in _KEPT:
        return TensorType(name, tensor.shape)
    if dtype.kind in "biu":
        return TensorType("int32", tensor.shape)
    return TensorType("float32", tensor.shape) if tensor.kind >= Kind.FLOAT8_E4M3 else None


def type_in_keyframe(values: Array, data_format: int | None) -> TensorType:
    """Return the type of a tensor that a keyframe holds: the one it names if values of its payload can be of that type.

    Examples
    --------
    >>> str(type_in_keyframe(np.zeros(3, np.float32), DecompressedDataFormat.FLOAT16))
    'float16[3]'
    """
    is_integer = values.dtype.kind == "i"
    names: Mapping[int | None, str] = _INTEGERS if is_integer else _FLOATS  # type: ignore[assignment]
    return TensorType(names.get(data_format, "int32" if is_integer else "float32"), values.shape)


def converted(values: Array, tensor: TensorType) -> Array:
    """Return the values of a keyframe in their type: integers as they are, floats rounded once.

    Raises
    ------
    CorruptError
        An integer does not fit.
    """
    dtype = tensor.numpy_dtype
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result = np.asarray(values.astype(dtype))
    if dtype.kind in "biu" and (result != values).any():
        raise CorruptError(f"an integer does not fit {dtype}")
    return result


def added(reference: Array, difference: Array) -> Array:
    """Return a tensor after an update.

    Floats are added in float32, or in float64 if either side is so, and rounded once to the tensor's dtype. An element
    whose difference is zero stays as it is, bit for bit.

    Raises
    ------
    CorruptError
        The tensor's values are not such that something can be added, or an integer leaves its range.

    Examples
    --------
    >>> added(np.float16([1, -0.0]), np.float32([2**-11, 0]))
    array([ 1., -0.], dtype=float16)
    """
    dtype = reference.dtype
    if dtype.kind in "biu" and difference.dtype.kind == "i":
        return _integers_added(reference, difference)
    if dtype.kind in "biu" or type_of(reference).kind < Kind.FLOAT8_E4M3:
        raise CorruptError(f"{difference.dtype} cannot be added to {dtype}")
    wide = np.float64 if np.float64 in (dtype, difference.dtype) else np.float32
    with np.errstate(all="ignore"):
        result = np.asarray((reference.astype(wide) + difference.astype(wide)).astype(dtype))
    np.copyto(result, reference, where=difference == 0)
    return result


def _integers_added(reference: Array, difference: Array) -> Array:
    total = np.asarray(reference.astype(np.int64) + difference)  # those of uint64 wrap around, and back again
    result = np.asarray(total.astype(reference.dtype))
    if (result.astype(np.int64) != total).any():
        raise CorruptError(f"an integer does not fit {reference.dtype}")
    return result


def held_array(tensor: TensorState) -> Array:
    """Return what is held of a tensor, in the byte order of the machine."""
    array = array_of(tensor.data, tensor.spec.type)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def state_after(
    parent: CodecState | None, sequence: int, data: bytes, results: Mapping[str, Array], nodes: Mapping[str, Node]
) -> Outcome:
    """Put together what both sides hold after a bitstream.

    Parameters
    ----------
    parent : CodecState or None
        None for a keyframe.
    sequence : int
        Number of the update.
    data : bytes
        The bitstream.
    results : mapping of str to numpy.ndarray
        The tensors of the bitstream, in its order, as they are now. Others are as in `parent`.
    nodes : mapping of str to Node
        What the chain of bitstreams carries.
    """
    tensors: dict[str, TensorState] = dict(parent.tensors) if parent else {}
    changes, n_changed = {}, 0
    for name, result in results.items():
        held = tensors.get(name)
        spec = held.spec if held else TensorSpec(type_of(result))
        tensor = held_tensor(TensorSpec(spec.type), bytes_of(result))
        change, n = _change(held, tensor)
        n_changed += n
        if held is None or n:
            changes[name] = change
            tensors[name] = tensor
    digest = digest_of(tensors)
    parent_chain = parent.position.chain if parent else None
    position = Position(sequence, chain_of(parent_chain, [data], digest), digest)
    contexts = parent.flag_contexts if parent else fresh_flag_contexts()
    return Outcome(CodecState(position, tensors, contexts, nodes), changes, n_changed)


def _change(held: TensorState | None, tensor: TensorState) -> tuple[Change, int]:
    """Find the elements of a tensor whose bits are others than those held, and count them."""
    unit_bytes = tensor.spec.type.numpy_dtype.itemsize
    if held is None:
        return Change(None, unit_bytes), tensor.spec.type.n_elements
    bits = changed_bits(held.data, tensor.data, unit_bytes)
    return Change(bits, unit_bytes), int(np.unpackbits(bits).sum())

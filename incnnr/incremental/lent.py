"""Where a decoder writes: new arrays, those of the caller that it uses as its own, or over what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from incnnr.coding import xxh64
from incnnr.errors import BitstreamError, ModelMismatchError, ReferenceMismatchError
from incnnr.incremental.results import Journal, Places, Results
from incnnr.incremental.state import Bytes, CodecState, Outcome, TensorSpec, TensorState
from incnnr.tensors import Array, TensorType, as_array, type_of


@dataclass(frozen=True, slots=True)
class Lent:
    """One array: its type, its memory, and where that begins."""

    type: TensorType
    data: Bytes
    address: int


def lent_memory(arrays: Mapping[str, object]) -> dict[str, Lent]:
    """Find the caller's own memory of each array.

    Raises
    ------
    TypeError
        A value is neither a numpy array nor a torch tensor.
    ValueError
        An array is read-only, not contiguous in C order, not little-endian, or shares memory with another one; a tensor
        is not in main memory.
    """
    lent = {name: _lent(name, array) for name, array in arrays.items()}
    spans = sorted((of.address, of.address + of.data.nbytes, name) for name, of in lent.items())
    for (_, stop, name), (start, end, other) in pairwise(span for span in spans if span[0] < span[1]):
        if start < min(stop, end):
            raise ValueError(f"arrays {name!r} and {other!r} share memory")
    return lent


def _lent(name: str, value: object) -> Lent:
    array = value if isinstance(value, np.ndarray) else _array_on(name, value)
    tensor = type_of(array)
    if not array.flags.c_contiguous or not array.flags.writeable or array.dtype.newbyteorder("<") != array.dtype:
        raise ValueError(f"array {name!r} is not writable, little-endian and in C order")
    data = array.reshape(-1).view(np.uint8)
    return Lent(tensor, data, data.ctypes.data)


def _array_on(name: str, value: object) -> Array:
    """Return a torch tensor's memory as an array."""
    address = getattr(value, "data_ptr", None)
    if address is None:
        raise TypeError(f"{name!r} is neither a numpy array nor a torch tensor, but {type(value).__name__}")
    array = as_array(value)
    if array.ctypes.data != address():
        raise ValueError(f"tensor {name!r} is not contiguous in main memory")
    return array


def check_lent(lent: Mapping[str, Lent], table: Mapping[str, TensorSpec]) -> None:
    """Make sure that the arrays are those of a model.

    Raises
    ------
    ModelMismatchError
        One is missing, too many, or of another type.
    """
    for name in [*table, *lent]:
        expected = table[name].type if name in table else None
        actual = lent[name].type if name in lent else None
        if actual != expected:
            raise ModelMismatchError(name, expected=expected, actual=actual)


def places_in(lent: Mapping[str, Lent] | None) -> Places:
    """Decode into lent arrays, which must be those of the model; without any, into new ones."""
    return partial(Results, over={}) if lent is None else partial(_lent_results, lent)


def _lent_results(lent: Mapping[str, Lent], table: Mapping[str, TensorSpec]) -> Results:
    check_lent(lent, table)
    return Results(table, {name: array.data for name, array in lent.items()}, Journal())


def places_over(tensors: Mapping[str, TensorState]) -> Places:
    """Decode over tensors that nobody needs as they are, for good, as far as they keep their type."""
    return partial(_results_over, tensors)


def _results_over(tensors: Mapping[str, TensorState], table: Mapping[str, TensorSpec]) -> Results:
    over = {k: v.data for k, v in tensors.items() if k in table and v.spec.type == table[k].type}
    for data in over.values():
        data.flags.writeable = True
    return Results(table, over)


def adopted(state: CodecState, lent: Mapping[str, Lent]) -> CodecState:
    """Return `state` with its tensors in the arrays.

    Raises
    ------
    ModelMismatchError
        They do not hold them.
    """
    check_lent(lent, state.table)
    return replace(state, tensors={name: _moved(name, held, lent[name]) for name, held in state.tensors.items()})


def _moved(name: str, held: TensorState, to: Lent) -> TensorState:
    if held.data.ctypes.data == to.address:
        return held
    for start, stop in held.spec.slice_bounds:
        if not np.array_equal(held.data[start:stop], to.data[start:stop]):
            raise ModelMismatchError(name, expected="the values that the decoder holds", actual="other values")
    return replace(held, data=to.data)


def poured(outcome: Outcome, lent: Mapping[str, Lent]) -> Outcome:
    """Copy what changed into the arrays, which hold the rest, and return the same with its tensors there."""
    check_lent(lent, outcome.state.table)
    for name in outcome.changes:
        lent[name].data[:] = outcome.state.tensors[name].data
    tensors = {name: replace(held, data=lent[name].data) for name, held in outcome.state.tensors.items()}
    return replace(outcome, state=replace(outcome.state, tensors=tensors))


@contextmanager
def blaming_alterations(state: CodecState | None, names: Iterable[str]) -> Iterator[None]:
    """Say where decoding from `state` fails because somebody wrote to the memory of one of these tensors.

    Raises
    ------
    ReferenceMismatchError
        Instead of a BitstreamError.
    """
    try:
        yield
    except BitstreamError as error:
        for name in names if state else ():
            if state and not _is_as_left(state.tensors[name]):
                message = f"array {name!r} does not hold what the decoder left in it"
                raise ReferenceMismatchError(message, expected=state.position) from error
        raise


def _is_as_left(held: TensorState) -> bool:
    parts = zip(held.spec.slice_bounds, held.slices, strict=True)
    return all(xxh64(held.data[start:stop]) == known.digest for (start, stop), known in parts)


def copied(state: CodecState, names: Iterable[str]) -> CodecState:
    """Return a state with these tensors in arrays of its own."""
    own = {name: replace(state.tensors[name], data=state.tensors[name].data.copy()) for name in names}
    return replace(state, tensors={**state.tensors, **own})

"""What an encoder and a decoder at one position both know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import prod

import msgpack
import numpy as np
from numpy.typing import NDArray

from incnnr.changes import Change
from incnnr.coding import (
    ELEMENT_BYTES,
    SLICE_ELEMENTS,
    Coding,
    contexts_bytes,
    fresh_flag_contexts,
    slice_elements,
    xxh64,
)
from incnnr.nnc.state import Node
from incnnr.position import Position
from incnnr.tensors import Model, ModelStats, TensorType, as_array, bytes_of, type_of

Bytes = NDArray[np.uint8]
_NO_UPDATE = ModelStats()
_NO_CHANGES: Mapping[str, Change] = {}


@dataclass(frozen=True, slots=True)
class Memory:
    """What is to be remembered of each element from update to update.

    Attributes
    ----------
    with_history : bool
        What elements that are coded exactly did.
    n_means : int
        Running means of the updates of elements that are quantised.
    """

    with_history: bool = False
    n_means: int = 0


@dataclass(frozen=True)
class TensorSpec:
    """An entry of the tensor table.

    Attributes
    ----------
    type : TensorType
        Dtype and shape.
    step_size : float
        Distance between levels, but for what slices say of their scale; 0 for exact coding.
    """

    type: TensorType
    step_size: float = 0.0

    @cached_property
    def coding(self) -> Coding:
        """How its slices are coded against a reference."""
        return Coding.QUANTIZED if self.step_size else Coding.INTER

    @cached_property
    def contexts_bytes(self) -> int:
        """Bytes of the contexts of one slice, once it has been coded against a reference."""
        return contexts_bytes(self.type.kind, self.coding)

    @cached_property
    def width(self) -> int:
        """Elements of a row: of what lies behind the first axis."""
        return prod(self.type.shape[1:]) if len(self.type.shape) > 1 else self.n_elements

    @cached_property
    def n_elements(self) -> int:
        """Elements as the kernel of the dtype reads them: bytes, for a dtype that it does not know."""
        return self.type.n_bytes // ELEMENT_BYTES[self.type.kind]

    @cached_property
    def n_slices(self) -> int:
        """Slices."""
        return -(-self.n_elements // SLICE_ELEMENTS)

    @cached_property
    def slice_elements(self) -> list[int]:
        """Elements of each slice."""
        return slice_elements(self.n_elements)

    @cached_property
    def slice_bounds(self) -> list[tuple[int, int]]:
        """First byte of each slice, and the byte behind it."""
        stops = list(accumulate(n * ELEMENT_BYTES[self.type.kind] for n in self.slice_elements))
        return list(zip([0, *stops], stops, strict=False))


@dataclass(frozen=True, slots=True)
class SliceState:
    """What is remembered of one slice.

    Attributes
    ----------
    digest : int
        XXH64 of its bytes.
    contexts : numpy.ndarray of uint8, or None
        Adapted contexts, opaque; None while they are fresh.
    changed : bool
        Its flag in the last update that had one for it.
    history : numpy.ndarray of uint8, or None
        What its elements did in the updates before, or running means of their updates, opaque; None unless the update
        that coded it asked for it.
    """

    digest: int
    contexts: Bytes | None = None
    changed: bool = True
    history: Bytes | None = None


@dataclass(frozen=True)
class TensorState:
    """One tensor as both sides hold it; arrays are never written to again."""

    spec: TensorSpec
    data: Bytes
    slices: tuple[SliceState, ...]

    @cached_property
    def digest(self) -> int:
        """XXH64 of the slices' digests, each as 8 little-endian bytes."""
        return xxh64(b"".join(s.digest.to_bytes(8, "little") for s in self.slices))


@dataclass(frozen=True)
class CodecState:
    """Everything at one position. It is never changed, only replaced.

    Attributes
    ----------
    position : Position
        Its name.
    tensors : mapping of str to TensorState
        In model order.
    flag_contexts : numpy.ndarray of uint8
        Contexts of the changed flags.
    nodes : mapping of str to Node
        What bitstreams of the standard carry from one to the next; a keyframe or an update of profile ``incnnr`` ends
        their chain.
    """

    position: Position
    tensors: Mapping[str, TensorState]
    flag_contexts: Bytes
    nodes: Mapping[str, Node] = field(default_factory=dict)

    @cached_property
    def table(self) -> Mapping[str, TensorSpec]:
        """The tensor table."""
        return {name: tensor.spec for name, tensor in self.tensors.items()}

    def model(self, changes: Mapping[str, Change] = _NO_CHANGES, stats: ModelStats = _NO_UPDATE) -> Model:
        """Hand the weights out."""
        tensors = {name: (tensor.spec.type, tensor.data) for name, tensor in self.tensors.items()}
        return Model(tensors, self.position, changes, stats)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What decoding an update leads to.

    Attributes
    ----------
    state : CodecState
        What the decoder holds after it.
    changes : mapping of str to Change
        Of the tensors that were added or may have got other values.
    n_changed : int
        Elements that changed.
    """

    state: CodecState
    changes: Mapping[str, Change]
    n_changed: int


def model_bytes(table: Mapping[str, TensorSpec]) -> int:
    """Bytes of all tensors of a table."""
    return sum(spec.type.n_bytes for spec in table.values())


def digest_of(tensors: Mapping[str, TensorState]) -> int:
    """Hash names, types and values: XXH64 over msgpack [name, dtype, shape, digest] of each tensor, sorted by name."""
    records = (
        msgpack.packb([name, tensor.spec.type.dtype, tensor.spec.type.shape, tensor.digest])
        for name, tensor in sorted(tensors.items(), key=lambda item: item[0].encode())
    )
    return xxh64(b"".join(records))


def chain_of(parent_chain: int | None, units: Iterable[bytes | memoryview], digest: int) -> int:
    """Hash an update onto its parent's chain: the hashes of its units before END, then the digest of its result."""
    return chain_of_hashes(parent_chain, map(xxh64, units), digest)


def chain_of_hashes(parent_chain: int | None, hashes: Iterable[int], digest: int) -> int:
    """Do what `chain_of` does, with units that are gone."""
    return xxh64(b"".join(h.to_bytes(8, "little") for h in (*hashes, digest)), parent_chain or 0)


def next_sequence(parent: CodecState | None, last_sequence: int) -> int:
    """Return the number of an update, or of a keyframe: that must be newer than whatever may have arrived of others."""
    return parent.position.sequence + 1 if parent else last_sequence + 1


def base_state(weights: Mapping[str, object]) -> CodecState:
    """State of a peer that holds `weights` without having been sent them: position 0.

    The arrays are copied. Both sides may have the tensors in different order, so they are sorted by name. Both know
    them exactly, so their steps are 0 until an update says otherwise.
    """
    tensors: dict[str, TensorState] = {}
    for name in sorted(weights, key=str.encode):
        array = as_array(weights[name])
        tensors[name] = held_tensor(TensorSpec(type_of(array)), bytes_of(array).copy())
    digest = digest_of(tensors)
    position = Position(0, chain_of(None, [], digest), digest)
    return CodecState(position, tensors, fresh_flag_contexts())


def held_tensor(spec: TensorSpec, data: Bytes) -> TensorState:
    """State of a tensor that was never coded."""
    return TensorState(spec, data, tuple(SliceState(xxh64(data[start:stop])) for start, stop in spec.slice_bounds))

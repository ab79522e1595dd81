"""state.md: what a decoder remembers, digests and positions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import msgpack

from protocol.reference.contexts import FLAG_SHIFTS, Contexts
from protocol.reference.differences import Learned
from protocol.reference.kinds import ElementType, element_type
from protocol.reference.levels import LearnedLevels
from protocol.reference.means import Means
from protocol.reference.xxh64 import xxh64

SLICE_ELEMENTS = 2**20


@dataclass(frozen=True)
class Position:
    """Where a state stands."""

    sequence: int
    chain: int
    digest: int


@dataclass(frozen=True)
class Slice:
    """Elements as unsigned integers that hold their bits. What is learned is copied before it changes.

    ``learned`` is what the tensor's coding remembers, None while it is fresh. ``history`` is running means, if the
    tensor has a step size.
    """

    elements: list[int]
    learned: LearnedLevels | Learned | None
    history: Means | Learned | None
    last_flag: int
    digest: int


@dataclass(frozen=True)
class TableEntry:
    """What the table says about a tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    step_size: float

    @property
    def type(self) -> ElementType:
        return element_type(self.dtype)

    def slice_sizes(self) -> list[int]:
        """Elements of each slice; a dtype that is coded as bytes has as many elements as bytes."""
        n_elements = math.prod(self.shape) * self.type.item_bytes * 8 // self.type.kind.n_bits
        cuts = [*range(0, n_elements, SLICE_ELEMENTS), n_elements]
        return [end - begin for begin, end in pairwise(cuts)]

    def width(self) -> int:
        """Elements of a row of a tensor that can be quantised."""
        return math.prod(self.shape[1:]) if len(self.shape) > 1 else math.prod(self.shape)

    def matches(self, other: TableEntry) -> bool:
        """Whether one can be the reference of the other."""
        return (self.dtype, self.shape) == (other.dtype, other.shape)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the state."""

    entry: TableEntry
    slices: list[Slice]

    def bytes(self) -> bytes:
        """The elements in C order and the byte order of the dtype."""
        return self.entry.type.in_own_order(b"".join(map(self.slice_bytes, self.slices)))

    def slice_bytes(self, part: Slice) -> bytes:
        return bytes_of(part.elements, self.entry)

    def digest(self) -> int:
        return xxh64(b"".join(part.digest.to_bytes(8, "little") for part in self.slices))


@dataclass(frozen=True)
class State:
    """Everything the next update may refer to."""

    position: Position
    tensors: list[Tensor]
    flag_contexts: Contexts = field(default_factory=lambda: Contexts(FLAG_SHIFTS))

    def weights(self) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
        """Name -> (dtype, shape, bytes)."""
        return {t.entry.name: (t.entry.dtype, t.entry.shape, t.bytes()) for t in self.tensors}


def bytes_of(elements: list[int], entry: TableEntry) -> bytes:
    n = entry.type.kind.n_bits // 8
    return b"".join(x.to_bytes(n, "little") for x in elements)


def new_slice(
    elements: list[int],
    entry: TableEntry,
    learned: LearnedLevels | Learned | None = None,
    history: Means | Learned | None = None,
) -> Slice:
    """A slice that was just coded, or is part of a base."""
    return Slice(elements, learned, history, 1, xxh64(bytes_of(elements, entry)))


def model_digest(tensors: list[Tensor]) -> int:
    """The digest that END names."""
    by_name = sorted(tensors, key=lambda tensor: tensor.entry.name.encode())
    described = ([t.entry.name, t.entry.dtype, t.entry.shape, t.digest()] for t in by_name)
    return xxh64(b"".join(map(msgpack.packb, described)))


def state_of_base(weights: dict[str, tuple[str, tuple[int, ...], bytes]]) -> State:
    """The state of weights that both sides have without an update."""
    tensors = []
    for name in sorted(weights, key=str.encode):
        dtype, shape, data = weights[name]
        entry = TableEntry(name, dtype, shape, 0.0)
        little_endian = entry.type.in_own_order(data)
        n = entry.type.kind.n_bits // 8
        elements = [int.from_bytes(little_endian[i : i + n], "little") for i in range(0, len(data), n)]
        begins = range(0, len(elements), SLICE_ELEMENTS)
        slices = [new_slice(elements[i : i + SLICE_ELEMENTS], entry) for i in begins]
        tensors.append(Tensor(entry, slices))
    digest = model_digest(tensors)
    return State(Position(0, xxh64(digest.to_bytes(8, "little")), digest), tensors)

"""The units of an update in profile ``incnnr``: one dataclass each, with the way to bytes and back.

An update is STR, BEGIN, then TABLE and DATA units, then END.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import msgpack
import zstandard

from incnnr.coding import MOST_MEANS
from incnnr.errors import CorruptError, LimitExceededError, TruncatedError, UnsupportedError
from incnnr.incremental.state import Memory, TensorSpec
from incnnr.nnc.units import INCNNR_PROFILE, Unit, UnitType, pack_unit
from incnnr.position import Position
from incnnr.quantization import representable_step
from incnnr.tensors import TensorType, dtype_name, named_dtype

FORMAT_VERSION = 4
START = pack_unit(UnitType.STR, bytes([INCNNR_PROFILE]))
_KEYFRAME = 1
_WITH_HISTORY = 2
_NOTHING = Memory()
_MEANS_SHIFT = 2
_MOST_ELEMENTS = 1 << 48  # also of an array without elements, were its empty dimensions 1


def pack_varint(value: int) -> bytes:
    """Write an unsigned integer in groups of seven bits, least significant first; the top bit says that more follow.

    Examples
    --------
    >>> pack_varint(300).hex()
    'ac02'
    """
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


class Cursor:
    """Reads fields of a unit's payload in order; errors carry the offset in the update."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._at = 0

    @property
    def where(self) -> dict[str, int]:
        """Keyword arguments for an error about the next byte."""
        return {"byte_offset": self._unit.byte_offset + self._at, "unit_index": self._unit.index}

    @property
    def n_left(self) -> int:
        """Bytes not read yet."""
        return len(self._unit.payload) - self._at

    def take(self, n_bytes: int) -> memoryview:
        """Read `n_bytes`."""
        if n_bytes > self.n_left:
            raise TruncatedError(f"{n_bytes} bytes needed, {self.n_left} left in the unit", **self.where)
        self._at += n_bytes
        return self._unit.payload[self._at - n_bytes : self._at]

    def u8(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def u64(self) -> int:
        """Read 8 little-endian bytes."""
        return int.from_bytes(self.take(8), "little")

    def varint(self) -> int:
        """Read what `pack_varint` wrote; at most 64 bits."""
        value = shift = 0
        while shift < 64:
            group = self.u8()
            value |= (group & 0x7F) << shift
            shift += 7
            if group < 0x80 and value < 1 << 64:
                return value
        raise CorruptError("a number has more than 64 bits", **self.where)

    def end(self) -> None:
        """Raise unless everything was read."""
        if self.n_left:
            raise CorruptError(f"{self.n_left} bytes too many in the unit", **self.where)


@dataclass(frozen=True, slots=True)
class Begin:
    """What the update follows.

    Attributes
    ----------
    sequence : int
        Number of the update.
    parent_chain : int or None
        Chain of the position it was coded from; None makes it a keyframe.
    memory : Memory
        What slices use of the updates before, and are to remember.
    """

    sequence: int
    parent_chain: int | None
    memory: Memory = _NOTHING

    @property
    def parent(self) -> Position | None:
        """Where the update must be applied; None for a keyframe."""
        return None if self.parent_chain is None else Position(self.sequence - 1, self.parent_chain, None)

    def pack(self) -> bytes:
        """Write the unit."""
        flags = (
            _KEYFRAME * (self.parent_chain is None)
            | _WITH_HISTORY * self.memory.with_history
            | self.memory.n_means << _MEANS_SHIFT
        )
        parent = b"" if self.parent_chain is None else self.parent_chain.to_bytes(8, "little")
        return pack_unit(UnitType.BEGIN, bytes([FORMAT_VERSION, flags]) + pack_varint(self.sequence) + parent)

    @classmethod
    def read(cls, unit: Unit) -> Begin:
        """Read the unit."""
        cursor = Cursor(unit)
        version, flags = cursor.u8(), cursor.u8()
        memory = Memory(bool(flags & _WITH_HISTORY), flags >> _MEANS_SHIFT)
        if version != FORMAT_VERSION or memory.n_means > MOST_MEANS:
            raise UnsupportedError(f"update format {version}, flags {flags:#x}", **cursor.where)
        sequence = cursor.varint()
        begin = cls(sequence, None if flags & _KEYFRAME else cursor.u64(), memory)
        cursor.end()
        return begin


@dataclass(frozen=True, slots=True)
class Table:
    """How the tensor table differs from the parent's; numbers are places in the parent's table.

    Attributes
    ----------
    removed : list of int
        Tensors that are gone.
    altered : list of (int, TensorSpec)
        Tensors that keep their name and place but not their type or step.
    added : list of (str, TensorSpec)
        New tensors, behind all others.
    """

    removed: list[int] = field(default_factory=list)
    altered: list[tuple[int, TensorSpec]] = field(default_factory=list)
    added: list[tuple[str, TensorSpec]] = field(default_factory=list)

    @classmethod
    def between(cls, old: Mapping[str, TensorSpec], new: Mapping[str, TensorSpec]) -> Table:
        """Find the difference of two tables."""
        return cls(
            [i for i, name in enumerate(old) if name not in new],
            [(i, new[name]) for i, (name, spec) in enumerate(old.items()) if name in new and new[name] != spec],
            [(name, spec) for name, spec in new.items() if name not in old],
        )

    def __bool__(self) -> bool:
        return bool(self.removed or self.altered or self.added)

    def apply(self, old: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
        """Return the table after the update.

        Raises
        ------
        CorruptError
            It names a place that the old table does not have, or adds a name that is there.
        """
        names = list(old)
        places = [*self.removed, *(i for i, _ in self.altered)]
        if len(places) > len(names) or len(set(places)) < len(places) or any(i >= len(names) for i in places):
            raise CorruptError("the tensor table names a tensor twice, or one that is not there")
        altered = {names[i]: spec for i, spec in self.altered}
        gone = {names[i] for i in self.removed}
        table = {name: altered.get(name, spec) for name, spec in old.items() if name not in gone}
        for name, spec in self.added:
            if name in table:
                raise CorruptError(f"the tensor table adds {name[:80]!r} twice")
            table[name] = spec
        return table

    def pack(self) -> bytes:
        """Write the unit: zstandard around one msgpack array."""
        fields = [
            self.removed,
            *([[key, *spec_fields(spec)] for key, spec in part] for part in (self.altered, self.added)),
        ]
        return pack_unit(UnitType.TABLE, zstandard.ZstdCompressor(level=19).compress(msgpack.packb(fields)))

    @classmethod
    def read(cls, unit: Unit) -> Table:
        """Read the unit."""
        where = {"byte_offset": unit.byte_offset, "unit_index": unit.index}
        packed = decompressed(unit.payload, max(1 << 24, 100 * len(unit.payload)), "tensor table", where)
        try:
            removed, altered, added = msgpack.unpackb(packed)
            return cls(
                [_int(i) for i in removed],
                [(_int(i), read_spec(fields)) for i, *fields in altered],
                [(_str(name), read_spec(fields)) for name, *fields in added],
            )
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
            raise CorruptError(f"the tensor table cannot be read: {error}", **where) from None


def decompressed(frame: memoryview | bytes, most: int, what: str, where: dict[str, int]) -> bytes:
    """Decompress one zstandard frame of at most `most` bytes that says how many they are."""
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= most:
            raise LimitExceededError(f"the {what} is too large", **where)
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=most, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptError(f"the {what} cannot be read: {error}", **where) from None


def spec_fields(spec: TensorSpec) -> list[Any]:
    """Take a table entry apart into what msgpack writes."""
    return [spec.type.dtype, spec.type.shape, spec.step_size]


def read_spec(fields: Sequence[object]) -> TensorSpec:
    """Check and put together what `spec_fields` took apart; TypeError or ValueError if it does not fit."""
    dtype, shape, step_size = fields
    if not isinstance(shape, list):
        raise TypeError("a shape is not an array")
    if not isinstance(step_size, float) or not (step_size >= 0 and math.isfinite(step_size)):
        raise ValueError("a step size is not a finite positive number")
    if dtype_name(named_dtype(_str(dtype))) != dtype:
        raise ValueError(f"{dtype} is not how the dtype is named")
    spec = TensorSpec(TensorType(_str(dtype), tuple(_int(size) for size in shape)), step_size)
    if prod(size or 1 for size in spec.type.shape) >= _MOST_ELEMENTS:
        raise ValueError(f"no array has the shape {spec.type.shape}")
    if step_size != representable_step(step_size, spec.type):
        raise ValueError(f"step size {step_size} for dtype {dtype}")
    return spec


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("not an unsigned integer")
    return value


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


@dataclass(frozen=True, slots=True)
class Data:
    """The next slices in model order.

    Attributes
    ----------
    n_slices : int
        How many slices it is about.
    flags : bytes-like
        Arithmetic codeword of the changed flags of those of them that have a reference.
    codewords : sequence of bytes-like
        Codewords of the changed slices.
    """

    n_slices: int
    flags: bytes | memoryview
    codewords: Sequence[bytes | memoryview]

    def pack(self) -> bytes:
        """Write the unit."""
        parts: list[bytes | memoryview] = [pack_varint(self.n_slices)]
        for codeword in (self.flags, *self.codewords):
            parts += [pack_varint(len(codeword)), codeword]
        return pack_unit(UnitType.DATA, b"".join(parts))

    @classmethod
    def read(cls, unit: Unit, most_codewords: int) -> Data:
        """Read the unit."""
        cursor = Cursor(unit)
        n_slices = cursor.varint()
        flags = cursor.take(cursor.varint())
        codewords: list[memoryview] = []
        while cursor.n_left:
            if len(codewords) == most_codewords:
                raise CorruptError("more codewords than the model has slices", **cursor.where)
            codewords.append(cursor.take(cursor.varint()))
        return cls(n_slices, flags, codewords)


@dataclass(frozen=True, slots=True)
class End:
    """Where the update leads.

    Attributes
    ----------
    digest : int
        Of the weights after it.
    chain : int
        Of the position after it; it also proves that every byte of the update arrived.
    """

    digest: int
    chain: int

    def pack(self) -> bytes:
        """Write the unit."""
        return pack_unit(UnitType.END, self.digest.to_bytes(8, "little") + self.chain.to_bytes(8, "little"))

    @classmethod
    def read(cls, unit: Unit) -> End:
        """Read the unit."""
        cursor = Cursor(unit)
        end = cls(cursor.u64(), cursor.u64())
        cursor.end()
        return end

"""bitstream.md section 1, TABLE: the tensor table after an update."""

from __future__ import annotations

import math

import msgpack
import zstandard

from protocol.reference.errors import MalformedError, require
from protocol.reference.floats import rounded
from protocol.reference.kinds import NAMED, QUANTISABLE
from protocol.reference.state import TableEntry

MOST_ELEMENTS = 2**48


def table_after(before: list[TableEntry], payload: bytes | None) -> list[TableEntry]:
    """The tensors of the new table, in order."""
    if payload is None:
        return before
    removed, altered, added = unpacked(payload)
    places = [*removed, *(place for place, *_ in altered)]
    require(all(is_unsigned(place) and place < len(before) for place in places), "the table has no such place")
    require(len(set(places)) == len(places), "a tensor is removed or altered twice")
    altered_to = {place: described(before[place].name, *rest) for place, *rest in altered}
    after = [altered_to.get(place, entry) for place, entry in enumerate(before) if place not in removed]
    after += [described(*fields) for fields in added]
    require(len({entry.name for entry in after}) == len(after), "two tensors have the same name")
    return after


def unpacked(payload: bytes) -> list[list[object]]:
    """One zstandard frame around one msgpack array, and nothing else."""
    try:
        return msgpack.unpackb(zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False))
    except (zstandard.ZstdError, ValueError) as error:
        raise MalformedError("the table cannot be unpacked") from error


def is_unsigned(x: object) -> bool:
    return type(x) is int and x >= 0


def described(name: object, dtype: object, shape: object, step_size: object) -> TableEntry:
    """The entry that msgpack's values stand for."""
    require(type(name) is str and type(dtype) is str and type(step_size) is float, "a field is of another type")
    require(type(shape) is list and all(map(is_unsigned, shape)), "a shape is no array of unsigned integers")
    entry = TableEntry(name, dtype, tuple(shape), step_size)
    may_be_quantised = entry.type.kind.number in QUANTISABLE
    require(step_size == 0 or (may_be_quantised and 0 < step_size < math.inf), "this step size is not allowed")
    if entry.type.kind is not NAMED["float64"]:
        require(rounded(step_size, NAMED["float32"]) == step_size, "this step size is no float32")
    require(math.prod(size or 1 for size in shape) < MOST_ELEMENTS, "no array has this shape")
    return entry

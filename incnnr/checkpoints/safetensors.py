"""Single safetensors files.

A file is an 8-byte little-endian length, a JSON header of that length, and the tensors' bytes. The header is checked
before anything is allocated: the tensors must cover the rest of the file exactly. Bytes after the last tensor are
refused, as the format demands, because they are also what a file looks like that was overwritten in place.

Tensors stand in the order of their data, not of the header's keys: some writers emit keys in the order of a hash table
that changes from run to run, while the data is laid out alike in every checkpoint of a training; it is also the order
in which a mapping is read fastest.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from incnnr.checkpoints.checkpoint import Checkpoint, Format
from incnnr.errors import CheckpointError
from incnnr.files import replacing
from incnnr.tensors import Array, Layout, TensorType, array_of, bytes_of, dtype_name, type_of

NAME = "safetensors"
_MAX_HEADER_BYTES = 100_000_000
_MAX_RANK = 32
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "<c8",
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_PACKED_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies in the data (bytes from its start) and what it is."""

    tensor: TensorType
    begin: int
    end: int


def read(path: Path, *, memory_map: bool) -> Checkpoint:
    """Read a file as views of one read-only mapping, or of bytes read at once.

    A mapping must not outlive a truncation of its file: touching it then kills the process. Whoever cannot rule that
    out reads with ``memory_map=False``.
    """
    data = _contents(path, memory_map=memory_map)
    header = bytes(data[8 : 8 + _header_bytes(path, data[:8].tobytes(), len(data))])
    slots = slots_of(path, header)
    start = 8 + len(header)
    _check_length(path, slots, start, len(data))
    try:
        tensors = {
            name: array_of(data[start + slot.begin : start + slot.end], slot.tensor) for name, slot in slots.items()
        }
    except ValueError as error:
        raise CheckpointError(path, f"a tensor has an impossible shape: {error}") from error
    return Checkpoint(path, tensors, Layout(NAME, header))


def is_complete(path: Path) -> bool:
    """Whether header and file length agree."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(_header_bytes(path, file.read(8), size))
    _check_length(path, slots_of(path, header), 8 + len(header), size)
    return True


def write(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> None:
    """Write the file that `rest` describes, or a plain one where it does not fit the weights."""
    header = header_for(path, weights, rest)
    with replacing(path) as file:
        write_tensors(file, path, weights, header)


def write_tensors(file: BinaryIO, path: Path, weights: Mapping[str, Array], header: bytes) -> None:
    """Write a whole safetensors file of the tensors that `header` names."""
    file.write(struct.pack("<Q", len(header)))
    file.write(header)
    for name in slots_of(path, header):
        file.write(bytes_of(weights[name]).data)


def header_for(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> bytes:
    """Return `rest` where it describes exactly these tensors, else a new header with the same metadata."""
    if rest is None:
        return _plain_header(path, weights, {})
    slots = slots_of(path, rest)
    if weights.keys() == slots.keys() and all(_holds(slot, weights[name]) for name, slot in slots.items()):
        return rest
    return _plain_header(path, weights, json.loads(rest).get("__metadata__", {}))


def slots_of(path: Path, header: bytes) -> dict[str, Slot]:
    """Parse a header; the slots come in the order of the data, follow one another and start at 0.

    Raises
    ------
    CheckpointError
        The header breaks a rule of the format.
    """
    try:
        entries = _json_object(header)
        _check_metadata(entries.pop("__metadata__", {}))
        slots = {name: _slot(name, entry) for name, entry in entries.items()}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"not a valid safetensors header: {error}") from error
    slots = dict(sorted(slots.items(), key=lambda item: (item[1].begin, item[1].end)))
    position = 0
    for name, slot in slots.items():
        if slot.begin != position:
            fault = "a hole before" if slot.begin > position else "an overlap at"
            raise CheckpointError(path, f"not a valid safetensors header: {fault} tensor {name!r}, byte {slot.begin}")
        position = slot.end
    return slots


def _contents(path: Path, *, memory_map: bool) -> NDArray[np.uint8]:
    with path.open("rb") as file:
        if not memory_map or not os.fstat(file.fileno()).st_size:
            return np.frombuffer(file.read(), np.uint8)
        try:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        except ValueError as error:
            raise CheckpointError(path, f"it changed while it was opened: {error}") from error


def _header_bytes(path: Path, prefix: bytes, size: int) -> int:
    if len(prefix) < 8:
        raise CheckpointError(path, f"truncated: {size} bytes are too few for a safetensors file")
    n_bytes: int = struct.unpack("<Q", prefix)[0]
    if n_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(path, f"not a safetensors file: a header of {n_bytes} bytes is over {_MAX_HEADER_BYTES}")
    if 8 + n_bytes > size:
        raise CheckpointError(path, f"truncated: {size} bytes, and the header alone takes {8 + n_bytes}")
    return n_bytes


def _check_length(path: Path, slots: Mapping[str, Slot], start: int, size: int) -> None:
    expected = start + max((slot.end for slot in slots.values()), default=0)
    if size < expected:
        raise CheckpointError(path, f"truncated: {size} bytes of {expected}")
    if size > expected:
        raise CheckpointError(path, f"{size - expected} bytes follow the last tensor")


def _json_object(header: bytes) -> dict[str, Any]:
    if not header.startswith(b"{"):
        raise ValueError("it does not start with '{'")
    entries = json.loads(header.decode(), object_pairs_hook=_without_duplicates)
    return dict(entries)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key stands there twice")
    return unique


def _check_metadata(metadata: Any) -> None:
    if type(metadata) is not dict or any(type(value) is not str for value in metadata.values()):
        raise ValueError("__metadata__ is not a map of strings")


def _slot(name: str, entry: Any) -> Slot:
    name.encode()  # a lone surrogate is no valid name
    if type(entry) is not dict:
        raise ValueError(f"tensor {name!r} is not described by an object")
    code = entry.get("dtype")
    if type(code) is not str:
        raise ValueError(f"tensor {name!r} lacks a dtype")
    shape, offsets = _counts(name, entry, "shape"), _counts(name, entry, "data_offsets")
    if len(shape) > _MAX_RANK or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has {len(shape)} dimensions and {len(offsets)} data_offsets")
    begin, end = offsets
    tensor = _tensor_type(code, shape, end - begin)
    if end < begin or _n_bytes(code, shape, tensor) != end - begin:
        raise ValueError(f"tensor {name!r}, {code}{shape}, does not take the {end - begin} bytes given to it")
    return Slot(tensor, begin, end)


def _counts(name: str, entry: dict[str, Any], key: str) -> list[int]:
    counts = entry.get(key)
    if type(counts) is not list or any(type(number) is not int or not 0 <= number < 2**63 for number in counts):
        raise ValueError(f"tensor {name!r} lacks a {key} of whole numbers")
    return counts


def _tensor_type(code: str, shape: list[int], n_bytes: int) -> TensorType:
    """Carry what numpy has no whole elements of, or we do not know, as a flat array of bytes."""
    if code in _DTYPES:
        return TensorType(_DTYPES[code], tuple(shape))
    return TensorType("uint8", (n_bytes,))


def _n_bytes(code: str, shape: list[int], tensor: TensorType) -> int:
    if code not in _PACKED_BITS:
        return tensor.n_bytes
    n_bits = prod(shape) * _PACKED_BITS[code]
    return n_bits // 8 if n_bits % 8 == 0 else -1


def _holds(slot: Slot, array: Array) -> bool:
    return type_of(array) == slot.tensor


def _plain_header(path: Path, weights: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Wider elements stand first, which aligns every tensor; the padding aligns the first."""
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name, array in sorted(weights.items(), key=lambda item: -item[1].itemsize):
        if name == "__metadata__":
            raise CheckpointError(path, "safetensors files cannot hold a tensor named '__metadata__'")
        end = position + array.nbytes
        entries[name] = {"dtype": _code(path, name, array), "shape": array.shape, "data_offsets": [position, end]}
        position = end
    try:
        header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise CheckpointError(path, f"a name that is not Unicode text: {error}") from error
    if len(header) > _MAX_HEADER_BYTES - 8:
        raise CheckpointError(path, f"safetensors headers end at {_MAX_HEADER_BYTES} bytes, this one has {len(header)}")
    return header + b" " * (-len(header) % 8)


def _code(path: Path, name: str, array: Array) -> str:
    code = _CODES.get(dtype_name(array.dtype.newbyteorder("=")))
    if code is None:
        raise CheckpointError(path, f"safetensors files have no dtype {array.dtype}, which tensor {name!r} is of")
    return code


FORMAT = Format(NAME, (".safetensors",), read, write, is_complete)

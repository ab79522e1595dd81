"""NumPy's .npz archives, never with pickles in them.

What is kept besides the arrays: their order, which of them are compressed and which stand in Fortran order.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import msgpack
import numpy as np

from incnnr.checkpoints.archive import has_end_record
from incnnr.checkpoints.checkpoint import Checkpoint, Format
from incnnr.errors import CheckpointError
from incnnr.files import replacing
from incnnr.tensors import Array, Layout, as_array

NAME = "npz"
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    TypeError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class _Member:
    """How one array stands in the archive."""

    name: str
    is_fortran: bool = False
    is_compressed: bool = False


def read(path: Path, *, memory_map: bool) -> Checkpoint:  # noqa: ARG001 -- members of an archive cannot be mapped
    """Read all arrays into memory."""
    members: list[_Member] = []
    tensors: dict[str, Array] = {}
    ignored: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name == info.filename:
                    ignored.append(name)
                    continue
                if name in tensors:
                    raise ValueError(f"array {name!r} stands in it twice")
                tensors[name] = _read_array(archive, info)
                members.append(_Member(name, tensors[name].flags.fnc, info.compress_type != zipfile.ZIP_STORED))
    except _FAULTS as error:
        raise CheckpointError(path, f"not a readable npz file: {str(error) or type(error).__name__}") from error
    rest = msgpack.packb([astuple(member) for member in members])
    return Checkpoint(path, tensors, Layout(NAME, rest), tuple(sorted(ignored)))


def write(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> None:
    """Write the archive that `rest` describes, or an uncompressed one where it does not fit the weights."""
    members = [] if rest is None else _members(path, rest)
    if {member.name for member in members} != weights.keys():
        members = [_Member(name) for name in weights]
    for name, array in weights.items():
        if array.dtype.type.__module__ != "numpy":
            raise CheckpointError(path, f"npz files have no dtype {array.dtype}, which tensor {name!r} is of")
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for member in members:
            _write_array(archive, member, weights[member.name])


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as file:
        array = as_array(np.lib.format.read_array(file, allow_pickle=False))
        if file.read(1):  # reading to the end also checks the member's checksum
            raise ValueError(f"bytes follow the array {info.filename!r}")
    array.flags.writeable = False
    return array


def _write_array(archive: zipfile.ZipFile, member: _Member, array: Array) -> None:
    info = zipfile.ZipInfo(f"{member.name}.npy")
    info.compress_type = zipfile.ZIP_DEFLATED if member.is_compressed else zipfile.ZIP_STORED
    order = np.asfortranarray(array) if member.is_fortran else array.copy(order="C")
    with archive.open(info, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, order, allow_pickle=False)


def _members(path: Path, rest: bytes) -> list[_Member]:
    try:
        members = [_Member(*fields) for fields in msgpack.unpackb(rest)]
        if any([type(field) for field in astuple(member)] != [str, bool, bool] for member in members):
            raise TypeError("a field of the wrong type")  # noqa: TRY301 -- one way out for all faults
        if len({member.name for member in members}) != len(members):
            raise ValueError("an array stands in it twice")  # noqa: TRY301
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, f"a damaged npz layout: {error}") from error
    return members


FORMAT = Format(NAME, (".npz",), read, write, has_end_record)

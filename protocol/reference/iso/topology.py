"""iso.md section 4: the graph of the model, which only has to be carried."""

from __future__ import annotations

import zlib

from protocol.reference.errors import require
from protocol.reference.iso.bits import Bits
from protocol.reference.iso.errors import UnsupportedError

PRUNED, REFERENCE_LIST = 5, 6
RAW, DEFLATE = 0, 1


def read_topology(bits: Bits) -> tuple[bytes, list[str]]:
    """The graph as it was stored, and the names that indices in data units stand for."""
    storage, compression = bits.u(8), bits.u(8)
    if storage == REFERENCE_LIST:
        return b"", read_names(bits)
    data = bits.rest()
    if storage == PRUNED:
        return data, []
    return uncompressed(data, compression), []


def uncompressed(data: bytes, compression: int) -> bytes:
    if compression == RAW:
        return data
    if compression != DEFLATE:
        raise UnsupportedError(f"topology compression format {compression}")
    try:
        return zlib.decompress(data)
    except zlib.error:
        require(False, "a topology that does not inflate")
        raise


def read_names(bits: Bits) -> list[str]:
    n_names = bits.ue(7) + 2
    bits.byte_alignment()
    return [bits.st() for _ in range(n_names)]


def read_indices(bits: Bits) -> list[int]:
    n_names = bits.ue(7) + 2
    indices = [bits.ue(7) for _ in range(n_names)]
    bits.byte_alignment()
    return indices

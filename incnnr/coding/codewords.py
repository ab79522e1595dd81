"""The native kernels with this package's errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from incnnr import _core
from incnnr._core import Segment, find_changed, squared_distance, trim_memory, xxh64
from incnnr.errors import CorruptError, LimitExceededError

__all__ = ["Coding", "Segment", "decode", "encode", "find_changed", "squared_distance", "trim_memory", "xxh64"]


class Coding(IntEnum):
    """How a slice is coded; see ``core.h``."""

    INTRA = 0
    INTER = 1
    QUANTIZED = 2


def encode(codewords: Sequence[Sequence[Segment]], threads: int) -> list[bytes]:
    """Encode each list of segments into one codeword and fill in the segments' results and digests."""
    return _core.encode(codewords, threads)


def decode(codewords: Sequence[Sequence[Segment]], coded: Sequence[memoryview], threads: int) -> None:
    """Decode codewords into the segments' results.

    Raises
    ------
    CorruptError
        No encoder produces such bytes for these segments.
    LimitExceededError
        Memory ran out.
    """
    with native_errors():
        _core.decode(codewords, coded, threads)


@contextmanager
def native_errors() -> Iterator[None]:
    """Translate the kernels' complaints about coded bytes."""
    try:
        yield
    except ValueError as error:
        raise CorruptError(str(error)) from None
    except MemoryError:
        raise LimitExceededError("memory ran out while decoding") from None

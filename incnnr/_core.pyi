from collections.abc import Sequence
from typing import Any, Final

from numpy import uint8
from numpy.typing import NDArray

Bytes = NDArray[uint8]
Buffer = Bytes | bytes | memoryview

CONTEXT_BYTES: Final[int]
SLICE_CONTEXTS_BYTES: Final[int]

class Segment:
    """One slice to code; arrays are one-dimensional and contiguous, as `core.h` describes them."""

    def __init__(
        self,
        kind: int,
        coding: int,
        n_elements: int,
        *,
        result: Bytes | None = None,
        source: Bytes | None = None,
        reference: Bytes | None = None,
        contexts: Bytes | None = None,
        step_size: float = 0.0,
        max_error: float = ...,
    ) -> None: ...
    @property
    def digest(self) -> int: ...
    @property
    def n_changed(self) -> int: ...
    @property
    def largest_error(self) -> float: ...

def encode(codewords: Sequence[Sequence[Segment]], threads: int) -> list[bytes]: ...
def decode(codewords: Sequence[Sequence[Segment]], coded: Sequence[Buffer], threads: int) -> None: ...
def find_changed(segments: Sequence[Segment], threads: int) -> list[bool]: ...
def encode_flags(flags: Buffer, last_flags: Buffer, contexts: Bytes) -> bytes: ...
def decode_flags(coded: Buffer, flags: Bytes, last_flags: Buffer, contexts: Bytes) -> None: ...
def reset_contexts(contexts: Bytes) -> None: ...
def xxh64(data: Any, seed: int = 0) -> int: ...

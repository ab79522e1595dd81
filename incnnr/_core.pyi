from collections.abc import Sequence
from typing import Any, Final

from numpy import float32, int32, uint8
from numpy.typing import NDArray

Bytes = NDArray[uint8]
Buffer = Bytes | bytes | memoryview

CONTEXT_BYTES: Final[int]
MOST_MEANS: Final[int]
SCALES_PER_OCTAVE: Final[int]
HAS_WIDE_VECTORS: Final[bool]

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
        history: Bytes | None = None,
        changed: Bytes | None = None,
        keeps_before: bool = False,
        width: int = 1,
        n_means: int = 0,
        step_size: float = 0.0,
        search: int = 0,
        scale: int = 0,
        max_error: float = ...,
        relative_error: float = 0.0,
    ) -> None: ...
    @property
    def digest(self) -> int: ...
    @property
    def before(self) -> bytes: ...
    @property
    def n_changed(self) -> int: ...
    @property
    def largest_error(self) -> float: ...
    @property
    def squared_error(self) -> float: ...

def encode(codewords: Sequence[Sequence[Segment]], threads: int) -> list[bytes]: ...
def decode(codewords: Sequence[Sequence[Segment]], coded: Sequence[Buffer], threads: int) -> None: ...
def find_changed(segments: Sequence[Segment], threads: int) -> list[bool]: ...
def encode_flags(flags: Buffer, last_flags: Buffer, contexts: Bytes) -> bytes: ...
def decode_flags(coded: Buffer, flags: Bytes, last_flags: Buffer, contexts: Bytes) -> None: ...
def reset_contexts(contexts: Bytes) -> None: ...
def contexts_bytes(kind: int, coding: int) -> int: ...
def reset_slice_contexts(kind: int, coding: int, contexts: Bytes) -> None: ...
def squared_distance(kind: int, a: Bytes, b: Bytes | None) -> float: ...
def means_bytes(kind: int, n_means: int, n_elements: int) -> int: ...
def history_bytes(n_elements: int) -> int: ...
def reset_history(n_elements: int, history: Bytes) -> None: ...
def trim_memory() -> None: ...
def xxh64(data: Any, seed: int = 0) -> int: ...

class NncLayer:
    """One parameter of a data unit; see `NncLayer` in `core.h`."""

    def __init__(
        self,
        levels: NDArray[int32],
        height: int,
        width: int,
        *,
        qp_bits: int = 0,
        qp_delta: int = 0,
        block_size: int = 0,
        n_greater_flags: int = 11,
        n_remainder_sets: int = 31,
        codebook_size: int = 0,
        zero_offset: int = 0,
        has_preamble: bool = True,
        has_parent: bool = False,
        dependent: bool = False,
        single_row_resets: bool = False,
        base: NDArray[int32] | None = None,
        history: Bytes | None = None,
        history_contexts: bool = False,
        row_skip: bool = False,
        skipped_rows: Bytes | None = None,
        state_sets: Sequence[int] = (),
        temporal: bool = False,
    ) -> None: ...
    @property
    def qp_delta(self) -> int: ...
    @property
    def history_contexts(self) -> bool: ...
    @property
    def row_skip(self) -> bool: ...
    @property
    def skipped_rows(self) -> Bytes | None: ...
    @property
    def temporal(self) -> bool: ...
    @property
    def state_sets(self) -> list[int]: ...
    @property
    def block_rows(self) -> list[tuple[int, int, int]]: ...

def choose_nnc_tools(units: Sequence[Sequence[NncLayer]], threads: int) -> None: ...
def encode_nnc(units: Sequence[Sequence[NncLayer]], threads: int) -> list[bytes]: ...
def decode_nnc(units: Sequence[Sequence[NncLayer]], coded: Sequence[Buffer], threads: int) -> list[int]: ...

class NncQuantization:
    """One matrix to quantise, in C order; see `NncQuantization` in `core.h`."""

    def __init__(
        self,
        weights: NDArray[float32],
        levels: NDArray[int32],
        height: int,
        width: int,
        *,
        step_size: float,
        dependent: bool,
        block_size: int = 0,
        price_of_a_bit: float = 0.0,
        n_greater_flags: int = 11,
        skipped_rows: Bytes | None = None,
    ) -> None: ...
    @property
    def in_range(self) -> bool: ...

def quantize_nnc(jobs: Sequence[NncQuantization], threads: int) -> None: ...

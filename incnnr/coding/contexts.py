"""What is learned about slices, opaque to Python, and the flags that say which slices changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from incnnr import _core
from incnnr.coding.codewords import Coding, native_errors
from incnnr.tensors import Kind

MOST_MEANS = _core.MOST_MEANS  # running means of updates that a slice may have
SCALES_PER_OCTAVE = _core.SCALES_PER_OCTAVE  # of the step of a slice
N_FLAG_CONTEXTS = 4  # the slice's flag in the last update that told it x the flag before it in this one


def contexts_bytes(kind: Kind, coding: Coding) -> int:
    """Bytes of the contexts of one slice."""
    return _core.contexts_bytes(kind, coding)


def fresh_slice_contexts(kind: Kind, coding: Coding) -> NDArray[np.uint8]:
    """Return the contexts that a slice starts with."""
    contexts = np.empty(_core.contexts_bytes(kind, coding), np.uint8)
    _core.reset_slice_contexts(kind, coding, contexts)
    return contexts


def history_bytes(n_elements: int) -> int:
    """Bytes of the history of a slice: half a byte for each element, and what is learned from it."""
    return _core.history_bytes(n_elements)


def fresh_history(n_elements: int) -> NDArray[np.uint8]:
    """Return the history of a slice of which nothing has been seen."""
    history = np.empty(_core.history_bytes(n_elements), np.uint8)
    _core.reset_history(n_elements, history)
    return history


def means_bytes(kind: Kind, n_means: int, n_elements: int) -> int:
    """Bytes of the running means of a slice, which start with zeros: of each no more than of its weights."""
    return _core.means_bytes(kind, n_means, n_elements)


def fresh_flag_contexts() -> NDArray[np.uint8]:
    """Return the contexts that flags start with."""
    contexts = np.empty(N_FLAG_CONTEXTS * _core.CONTEXT_BYTES, np.uint8)
    _core.reset_contexts(contexts)
    return contexts


def encode_flags(flags: Sequence[bool], last_flags: Sequence[bool], contexts: NDArray[np.uint8]) -> bytes:
    """Code one flag per slice and adapt `contexts`; `last_flags` are the same slices' flags before."""
    return _core.encode_flags(bytes(flags), bytes(last_flags), contexts)


def decode_flags(coded: memoryview, last_flags: Sequence[bool], contexts: NDArray[np.uint8]) -> list[bool]:
    """Decode what `encode_flags` coded.

    Raises
    ------
    CorruptError
        No encoder produces such bytes.
    """
    flags = np.empty(len(last_flags), np.uint8)
    with native_errors():
        _core.decode_flags(coded, flags, bytes(last_flags), contexts)
    return flags.astype(bool).tolist()

"""Context arrays, opaque to Python, and the flags that say which slices changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from incnnr import _core
from incnnr.coding.codewords import native_errors

SLICE_CONTEXTS_BYTES = _core.SLICE_CONTEXTS_BYTES
N_FLAG_CONTEXTS = 4  # the slice's flag in the last update that told it x the flag before it in this one


def _fresh(n_bytes: int) -> NDArray[np.uint8]:
    contexts = np.empty(n_bytes, np.uint8)
    _core.reset_contexts(contexts)
    return contexts


def fresh_slice_contexts() -> NDArray[np.uint8]:
    """Return the contexts that a slice starts with."""
    return _fresh(SLICE_CONTEXTS_BYTES)


def fresh_flag_contexts() -> NDArray[np.uint8]:
    """Return the contexts that flags start with."""
    return _fresh(N_FLAG_CONTEXTS * _core.CONTEXT_BYTES)


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

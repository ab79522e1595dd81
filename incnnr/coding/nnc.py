"""Arithmetic codewords of ISO/IEC 15938-17, with this package's errors."""

from __future__ import annotations

from collections.abc import Sequence

from incnnr import _core
from incnnr._core import NncLayer
from incnnr.coding.codewords import native_errors

__all__ = ["NncLayer", "decode_nnc", "encode_nnc"]


def encode_nnc(layers: Sequence[NncLayer]) -> bytes:
    """Encode the parameters of one unit in turn, with terminating bin and stop bit."""
    return _core.encode_nnc(layers)


def decode_nnc(layers: Sequence[NncLayer], coded: bytes) -> int:
    """Decode the parameters of one unit into the layers' levels; return how many bytes the codeword has.

    Raises
    ------
    CorruptError
        No encoder produces such bytes for these layers, or they end too early.
    LimitExceededError
        Memory ran out.
    """
    with native_errors():
        return _core.decode_nnc(layers, coded)

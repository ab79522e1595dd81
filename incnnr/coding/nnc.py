"""Arithmetic codewords of ISO/IEC 15938-17, with this package's errors."""

from __future__ import annotations

from collections.abc import Sequence

from incnnr import _core
from incnnr._core import NncLayer
from incnnr.coding.codewords import native_errors

__all__ = ["NncLayer", "choose_nnc_tools", "decode_nnc", "encode_nnc", "leading_bypass"]


def choose_nnc_tools(units: Sequence[Sequence[NncLayer]], threads: int) -> None:
    """Choose, by estimated cost, how each layer is coded.

    Fills ``state_sets``, ``history_contexts``, ``row_skip`` with ``skipped_rows``, and ``temporal``, which is common to
    the layers of a unit. Rows stay as they were given where skipping one changes what the levels mean: with dependent
    quantisation, blocks narrower than the layer, and a width that is no multiple of 4. Small layers are estimated
    exactly, of large ones a sample. The choice does not depend on `threads`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = NncLayer(np.zeros(600, np.int32), 20, 30)
    >>> choose_nnc_tools([[layer]], threads=1)
    >>> layer.row_skip
    True
    """
    _core.choose_nnc_tools(units, threads)


def encode_nnc(units: Sequence[Sequence[NncLayer]], threads: int) -> list[bytes]:
    """Encode each unit's layers in turn into one codeword, with terminating bin and stop bit.

    Parameters
    ----------
    units : sequence of sequence of NncLayer
        The layers' ``block_rows`` and ``state_sets`` are filled in.
    threads : int
        Most threads to use; the bytes do not depend on it.

    Raises
    ------
    ValueError
        A layer has a level that its codebook does not have, that its dependent quantiser cannot reconstruct, or that
        is not zero in a skipped row.

    Examples
    --------
    >>> import numpy as np
    >>> levels = np.array([0, -3, 1], np.int32)
    >>> [coded] = encode_nnc([[NncLayer(levels, 1, 3)]], threads=1)
    >>> decoded = np.empty_like(levels)
    >>> decode_nnc([[NncLayer(decoded, 1, 3)]], [coded], threads=1) == [len(coded)]
    True
    >>> decoded
    array([ 0, -3,  1], dtype=int32)
    """
    return _core.encode_nnc(units, threads)


def decode_nnc(units: Sequence[Sequence[NncLayer]], coded: Sequence[bytes], threads: int) -> list[int]:
    """Decode one codeword per unit into the layers' levels.

    Returns
    -------
    list of int
        How many bytes each codeword has; 0 where no encoder produces such bytes for the unit's layers, or where they
        end too early. The levels of such a unit are unspecified.

    Raises
    ------
    LimitExceededError
        Memory ran out.
    """
    with native_errors():
        return _core.decode_nnc(units, coded, threads)


def leading_bypass(coded: bytes, n_bins: int) -> int:
    """Read bypass bins at the beginning of a codeword, most significant first.

    As long as nothing else was decoded the range is 510, and the bins are the quotient of the bits by it.

    Examples
    --------
    >>> leading_bypass(bytes.fromhex("ebeba0bc"), 8)
    236
    """
    n_bits = 16 + n_bins
    start = int.from_bytes(coded[:4].ljust(4, b"\0"), "big") >> (32 - n_bits)
    return (start // (510 << 7)) & ((1 << n_bins) - 1)

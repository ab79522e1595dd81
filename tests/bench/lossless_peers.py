"""Today's lossless delta formats: how many bytes each takes for an update from `a` to `b`."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import zstandard
from numpy.typing import NDArray

from tests.bench import series, zipnn_peer
from tests.bench.series import Weights, Words, planes, words_of, zstd

Size = Callable[[Weights, Weights], int]


def of_words(coded: Callable[[Words, Words], bytes]) -> Size:
    return lambda a, b: len(coded(words_of(a), words_of(b)))


def gap_value(a: Words, b: Words) -> bytes:
    """Gaps between changed weights as bytes (255: go on counting), then the new values, all under zstd-1."""
    parts = []
    for old, new in zip(a, b, strict=True):
        at = np.flatnonzero(old != new)
        n_full, rest = np.divmod(np.diff(at, prepend=-1) - 1, 255)
        gaps = np.full(int(n_full.sum()) + at.size, 255, np.uint8)
        gaps[np.cumsum(n_full + 1) - 1] = rest
        parts += [gaps.tobytes(), new[at].tobytes()]
    return zstd(1, b"".join(parts))


def index_value(a: Words, b: Words) -> bytes:
    """32-bit indices of the changed weights and the new values, as they are."""
    parts = []
    for old, new in zip(a, b, strict=True):
        at = np.flatnonzero(old != new)
        parts += [at.astype(np.int32).tobytes(), new[at].tobytes()]
    return b"".join(parts)


def file_of(weights: Weights) -> bytes:
    """Return all elements in the order of a checkpoint file."""
    return b"".join(array.tobytes() for array in weights.values())


def patch_from(level: int, a: Weights, b: Weights) -> int:
    """Return the size of the new file with the old one as a dictionary, as zstd --patch-from makes it.

    Hash tables for the whole of both files: with those of the level alone most of the old file is not found at level 3.
    """
    old, new = file_of(a), file_of(b)
    log = min(max(20, (len(old) + len(new)).bit_length()), 27)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=len(new), dict_size=len(old), window_log=log, hash_log=log, chain_log=log, enable_ldm=True
    )
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return len(zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary).compress(new))


def ordered(weights: Weights) -> list[NDArray[np.unsignedinteger]]:
    """Return the elements of each tensor as unsigned integers in the order of the numbers."""
    return [_ordered(np.ascontiguousarray(array).reshape(-1)) for array in weights.values()]


def _ordered(array: NDArray) -> NDArray[np.unsignedinteger]:
    words = array.view(f"u{array.itemsize}")
    sign = words.dtype.type(1 << (8 * array.itemsize - 1))
    if series.is_float(array):
        return np.where(words & sign, ~words, words ^ sign)
    return words ^ sign if array.dtype.kind == "i" else words


def ulp_differences(a: Weights, b: Weights) -> bytes:
    """Differences of ordered integers, the sign as the lowest bit, in byte planes."""
    differences = [_zigzag(new - old) if new.size else new for old, new in zip(ordered(a), ordered(b), strict=True)]
    return planes(words_of({str(i): difference for i, difference in enumerate(differences)}))


def _zigzag(difference: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    top = difference.dtype.type(8 * difference.itemsize - 1)
    one = difference.dtype.type(1)
    return (difference << one) ^ (difference.dtype.type(0) - (difference >> top))


def all_peers(with_zipnn: bool) -> dict[str, Size]:
    """Return a function for each format, which measures bytes."""
    peers: dict[str, Size] = {
        "int32 index + value": of_words(index_value),
        "gap8 + value + zstd-1": of_words(gap_value),
        "XOR byte planes + zstd-3": of_words(functools.partial(series.xor_zstd, 3)),
        "XOR byte planes + zstd-19": of_words(functools.partial(series.xor_zstd, 19)),
        "zstd-3 --patch-from": functools.partial(patch_from, 3),
        "zstd-19 --patch-from": functools.partial(patch_from, 19),
        "ULP differences + zstd-19": lambda a, b: len(zstd(19, ulp_differences(a, b))),
    }
    if with_zipnn:
        peers["ZipNN delta"] = zipnn_peer.Peer().delta_bytes
    return peers

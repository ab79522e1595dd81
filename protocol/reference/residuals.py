"""bitstream.md section 5: a signed 64-bit integer under a bucket."""

from __future__ import annotations

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import Contexts


def signed(x: int, n_bits: int = 64) -> int:
    """Two's complement."""
    x %= 2**n_bits
    return x - 2**n_bits if x >> (n_bits - 1) else x


def decode_residual(codeword: Codeword, contexts: Contexts, bucket: int) -> int:
    """r of section 5."""
    if not codeword.bit(contexts, ("significant", bucket)):
        return 0
    negative = codeword.bit(contexts, "negative")
    magnitude = decode_magnitude(codeword, contexts, bucket)
    return signed(-magnitude if negative else magnitude)


def decode_magnitude(codeword: Codeword, contexts: Contexts, bucket: int) -> int:
    """m of section 5, known not to be 0."""
    if not codeword.bit(contexts, ("greater_than_1", bucket)):
        return 1
    if not codeword.bit(contexts, ("greater_than_2", bucket)):
        return 2
    length = 0
    while length < 63 and codeword.bit(contexts, ("prefix", bucket, prefix_index(length))):
        length += 1
    return 2 + 2**length + codeword.bypass(length)


def prefix_index(i: int) -> int:
    return i if i < 32 else 32 + ((i - 32) >> 2)

"""bitstream.md section 6: the elements of one slice, as unsigned integers that hold their bits."""

from __future__ import annotations

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import Contexts
from protocol.reference.floats import reconstructed
from protocol.reference.kinds import Kind
from protocol.reference.residuals import decode_residual


def corrected(codeword: Codeword, kind: Kind, reference: list[int], contexts: Contexts) -> list[int]:
    """Each element is a residual away from what was reconstructed."""
    return [kind.moved(a, decode_residual(codeword, contexts, kind.bucket(a))) for a in reference]


def exact_without_reference(codeword: Codeword, kind: Kind, n_elements: int, intra: Contexts) -> list[int]:
    if kind.n_bits == 8:
        return [codeword.symbol(intra, ("symbol", kind.number), 8) for _ in range(n_elements)]
    if kind.family == "float":
        n_zeros = min(codeword.bypass(6), kind.mantissa_bits)
        return [float_without_reference(codeword, kind, n_zeros, intra) for _ in range(n_elements)]
    return wide_integers_without_reference(codeword, kind, n_elements)


def float_without_reference(codeword: Codeword, kind: Kind, n_zeros: int, intra: Contexts) -> int:
    """Sign, exponent, the upper mantissa bits, and the n_zeros low ones, which are seldom other than 0."""
    sign = codeword.bit(intra, ("negative", kind.number))
    exponent = codeword.symbol(intra, ("symbol", kind.number), kind.exponent_bits)
    x = sign << kind.exponent_bits | exponent
    if n_zeros < kind.mantissa_bits:
        x = x << 1 | codeword.bit(intra, ("top_mantissa_bit", exponent & 255))
        n_plain = kind.mantissa_bits - 1 - n_zeros
        x = x << n_plain | codeword.bypass(n_plain)
    x <<= n_zeros
    if n_zeros > 0 and codeword.bit(intra, ("low_bits", kind.number)):
        x |= codeword.bypass(n_zeros)
    return x


def wide_integers_without_reference(codeword: Codeword, kind: Kind, n_elements: int) -> list[int]:
    """Each element is a residual away from the one before it."""
    contexts = Contexts()
    elements = []
    before = 0
    for _ in range(n_elements):
        before = kind.moved(before, decode_residual(codeword, contexts, kind.bucket(before)))
        elements.append(before)
    return elements


def quantised(codeword: Codeword, kind: Kind, step_size: float, reference: list[int], contexts: Contexts) -> list[int]:
    """All levels, then one bit, then all corrections if it is 1. Without a reference there are zeros in its place."""
    levels = decode_levels(codeword, len(reference), contexts)
    elements = [reconstructed(a, k, step_size, kind) if k != 0 else a for a, k in zip(reference, levels, strict=True)]
    if codeword.bypass(1):
        return corrected(codeword, kind, elements, Contexts())
    return elements


def decode_levels(codeword: Codeword, n_elements: int, contexts: Contexts) -> list[int]:
    """A level's bucket comes from the two before it, the nearer one (k1) counting twice."""
    levels = [0, 0]
    for _ in range(n_elements):
        k2, k1 = levels[-2:]
        levels.append(decode_residual(codeword, contexts, level_bucket(k1, k2)))
    return levels[2:]


def level_bucket(k1: int, k2: int) -> int:
    s = 2 * min(abs(k1), 2**30) + min(abs(k2), 2**30)
    return s if s < 8 else 5 + s.bit_length() - 1

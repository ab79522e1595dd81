"""bitstream.md section 6, "Exact, without a reference": elements as unsigned integers that hold their bits."""

from __future__ import annotations

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import Contexts
from protocol.reference.kinds import Kind
from protocol.reference.residuals import decode_residual


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
    n_top = min(3, kind.mantissa_bits - n_zeros)
    n_plain = kind.mantissa_bits - n_zeros - n_top
    x = sign << kind.exponent_bits | exponent
    x = x << n_top | codeword.symbol(intra, ("top_mantissa_bits", exponent & 255), n_top)
    x = (x << n_plain | codeword.bypass(n_plain)) << n_zeros
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

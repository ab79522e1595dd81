"""Floats and their bits; rounding is to nearest, ties to even."""

from __future__ import annotations

import math
import struct

from protocol.reference.kinds import NAMED, Kind

FLOAT32, FLOAT64 = NAMED["float32"], NAMED["float64"]


def bits_of(x: float, kind: Kind) -> int:
    """Round a number to a float format of at most 64 bits: the bits of the nearest number, the even one of two."""
    sign = int(math.copysign(1, x) < 0) << (kind.n_bits - 1)
    infinity = (2**kind.exponent_bits - 1) << kind.mantissa_bits
    if math.isinf(x) or x == 0:
        return sign | (infinity if x else 0)
    bias = 2 ** (kind.exponent_bits - 1) - 1
    exponent = max(math.frexp(x)[1] - 1, 1 - bias)  # numbers below the normal ones share the smallest exponent
    units = round(math.ldexp(abs(x), kind.mantissa_bits - exponent))  # a power of two times x, so only round() rounds
    # A normal number has its leading one in `units`: it adds 1 to the exponent field. So does a carry.
    return sign | min(((exponent + bias - 1) << kind.mantissa_bits) + units, infinity)


def value_of(bits: int, kind: Kind) -> float:
    """The number that the bits stand for; exact, for every format here fits into Python's float."""
    if kind is FLOAT64:
        return struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    if kind is NAMED["bfloat16"]:
        return struct.unpack("<f", (bits << 16).to_bytes(4, "little"))[0]
    return struct.unpack("<e" if kind is NAMED["float16"] else "<f", bits.to_bytes(kind.n_bits // 8, "little"))[0]


def rounded(x: float, kind: Kind) -> float:
    """The nearest number of the format.

    Python's floats are float64. A sum, a product or a quotient of two float32 in float64, rounded to float32, is the
    same as one rounded once, because 53 bits are more than twice 24.
    """
    return x if math.isnan(x) else value_of(bits_of(x, kind), kind)


def nan(kind: Kind) -> int:
    """The bits of the NaN that computations give."""
    return ((2 << kind.exponent_bits) - 1) << (kind.mantissa_bits - 1)

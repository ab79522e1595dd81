"""bitstream.md section 2, the kinds of elements, and what section 6 does with their bits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol.reference.errors import require


@dataclass(frozen=True)
class Kind:
    """How the bits of an element are read as a number."""

    number: int
    n_bits: int
    family: str
    exponent_bits: int = 0
    mantissa_bits: int = 0

    def exponent(self, x: int) -> int:
        return x >> self.mantissa_bits & (2**self.exponent_bits - 1)

    def ordered(self, x: int) -> int:
        """An unsigned integer in the order of the numbers."""
        top = 2 ** (self.n_bits - 1)
        if self.family == "unsigned":
            return x
        if self.family == "signed" or x < top:
            return x ^ top
        return 2**self.n_bits - 1 - x

    def from_ordered(self, y: int) -> int:
        top = 2 ** (self.n_bits - 1)
        if self.family == "unsigned":
            return y
        if self.family == "signed" or y >= top:
            return y ^ top
        return 2**self.n_bits - 1 - y

    def moved(self, x: int, residual: int) -> int:
        """The element whose place in the order is that of x plus the residual."""
        return self.from_ordered((self.ordered(x) + residual) % 2**self.n_bits)

    def bucket(self, x: int) -> int:
        """The size of x, roughly."""
        if self.family == "float":
            bias = 2 ** (self.exponent_bits - 1) - 1
            return min(max(self.exponent(x) - max(0, bias - 48), 0), 63)
        if self.family == "signed" and x >> (self.n_bits - 1):
            x = 2**self.n_bits - 1 - x
        return min(x.bit_length(), 63)


BYTES = Kind(0, 8, "unsigned")
NAMED = {
    "bool": BYTES,
    "uint8": BYTES,
    "uint16": Kind(1, 16, "unsigned"),
    "uint32": Kind(2, 32, "unsigned"),
    "uint64": Kind(3, 64, "unsigned"),
    "int8": Kind(4, 8, "signed"),
    "int16": Kind(5, 16, "signed"),
    "int32": Kind(6, 32, "signed"),
    "int64": Kind(7, 64, "signed"),
    "float8_e4m3": Kind(8, 8, "float", 4, 3),
    "float8_e4m3fn": Kind(8, 8, "float", 4, 3),
    "float8_e4m3fnuz": Kind(8, 8, "float", 4, 3),
    "float8_e5m2": Kind(9, 8, "float", 5, 2),
    "float8_e5m2fnuz": Kind(9, 8, "float", 5, 2),
    "float16": Kind(10, 16, "float", 5, 10),
    "bfloat16": Kind(11, 16, "float", 8, 7),
    "float32": Kind(12, 32, "float", 8, 23),
    "float64": Kind(13, 64, "float", 11, 52),
}
ONE_BYTE = [f"{sign}int{n}" for sign in ("", "u") for n in (1, 2, 4)]
ONE_BYTE += ["float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3b11fnuz", "float8_e8m0fnu"]
AS_BYTES = dict.fromkeys(ONE_BYTE, 1) | {"bcomplex32": 4, "complex32": 4}
QUANTISABLE = range(10, 14)
TYPE_STRING = re.compile(r"([<>|])([biufcSUVmM])([0-9]+)(\[[0-9]*[a-zA-Z]+\])?")
LETTERS = {"u": "uint", "i": "int", "f": "float"}


@dataclass(frozen=True)
class ElementType:
    """What a dtype of the table says about bytes.

    ``item_bytes`` is the size of what the shape counts, ``swapped_bytes`` that of what stands in big-endian order.
    """

    kind: Kind
    item_bytes: int
    swapped_bytes: int

    def in_own_order(self, little_endian: bytes) -> bytes:
        """Bytes as the dtype has them; it is its own inverse."""
        n = self.swapped_bytes
        if n == 1:
            return little_endian
        return b"".join(little_endian[i : i + n][::-1] for i in range(0, len(little_endian), n))


def element_type(dtype: str) -> ElementType:
    """Look a dtype up: a name, or a numpy type string."""
    if dtype in NAMED:
        return ElementType(NAMED[dtype], NAMED[dtype].n_bits // 8, 1)
    if dtype in AS_BYTES:
        return ElementType(BYTES, AS_BYTES[dtype], 1)
    found = TYPE_STRING.fullmatch(dtype)
    require(found is not None, f"unknown dtype {dtype}")
    order, letter, size = found[1], found[2], int(found[3])
    item_bytes = 4 * size if letter == "U" else size
    name = "bool" if letter == "b" else f"{LETTERS.get(letter)}{8 * size}"
    require(name not in NAMED or (order == ">" and size > 1), f"{dtype} has a name")
    return ElementType(NAMED.get(name, BYTES), item_bytes, swapped_part(letter, item_bytes) if order == ">" else 1)


def swapped_part(letter: str, item_bytes: int) -> int:
    """What is turned around: each part of a complex number, each character; bytes are not."""
    sizes = {"c": item_bytes // 2, "U": 4, "S": 1, "V": 1}
    return sizes.get(letter, item_bytes)

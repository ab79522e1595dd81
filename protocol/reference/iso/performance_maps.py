"""iso.md section 3, "Performance maps": what a tool costs and gains. Nothing of it is needed to decode."""

from __future__ import annotations

from protocol.reference.errors import require
from protocol.reference.iso.bits import Bits


def read_map(bits: Bits, name: str) -> None:
    entry = {
        "sparsification": sparsification,
        "pruning": pruning,
        "unification": unification,
        "decomposition": decomposition,
    }[name]
    for _ in range(one_less(bits.u(8))):
        entry(bits)


def sparsification(bits: Bits) -> None:
    floats(bits, 3)
    class_accuracies(bits)


def pruning(bits: Bits) -> None:
    floats(bits, 2)
    class_accuracies(bits)


def unification(bits: Bits) -> None:
    for _ in range(one_less(bits.ue(1))):
        bits.ue(7)
    bits.byte_alignment()
    for _ in ("super block", "block"):
        for _ in range(one_less(bits.u(8))):
            bits.u(8)
    floats(bits, 2)
    class_accuracies(bits)


def decomposition(bits: Bits) -> None:
    floats(bits, 3)
    floats(bits, bits.u(16))


def class_accuracies(bits: Bits) -> None:
    n_classes = bits.u(8)
    bits.ue(7)
    floats(bits, n_classes)


def floats(bits: Bits, n: int) -> None:
    for _ in range(n):
        bits.flt()


def one_less(count: int) -> int:
    """Every list here is announced with one more than it has."""
    require(count > 0, "a list of less than no entries")
    return count - 1

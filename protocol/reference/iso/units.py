"""iso.md section 2: a bitstream is a sequence of units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.reference.errors import require
from protocol.reference.iso.bits import Bits

STR, MPS, LPS, TPL, QNT, NDU, AGG = range(7)


@dataclass
class Unit:
    """One unit; ``bits`` stands behind the part of its header that all types have."""

    type: int
    independently_decodable_flag: bool
    partial_data_counter: int | None
    bits: Bits


def read_units(data: bytes) -> Iterator[Unit]:
    at = 0
    while at < len(data):
        size = unit_size(data[at:])
        require(at + size <= len(data), "a unit is longer than what is there")
        yield read_unit(data[at : at + size])
        at += size


def unit_size(data: bytes) -> int:
    bits = Bits(data)
    size = bits.u(31 if bits.flag() else 15)
    require(size > bits.position // 8, "a unit is shorter than its header")
    return size


def read_unit(data: bytes) -> Unit:
    bits = Bits(data)
    bits.u(31 if bits.flag() else 15)
    unit_type, independent, counted = bits.u(6), bits.flag(), bits.flag()
    return Unit(unit_type, independent, bits.u(8) if counted else None, bits)


def read_aggregate(bits: Bits, unification: bool) -> Iterator[Unit]:
    """The units inside an AGG unit. Nothing in its header is needed to decode them."""
    bits.u(8)
    has_entry_points = bits.flag()
    bits.u(7)
    n_units = bits.u(16) + 2
    for _ in range(n_units if has_entry_points else 0):
        bits.u(6 + 34)
    for _ in range(n_units):
        bits.u(6 if unification else 5)
    bits.byte_alignment()
    units = list(read_units(bits.rest()))
    require(len(units) == n_units, "an aggregate unit does not hold as many units as it says")
    yield from units

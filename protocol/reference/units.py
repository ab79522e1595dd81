"""bitstream.md section 1: an update is a sequence of units."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from protocol.reference.errors import MalformedError, require
from protocol.reference.xxh64 import xxh64

BEGIN, TABLE, DATA, END = 32, 33, 34, 35
START = b"\x00\x04\x02\xf1"
END_HEADER = b"\x00\x13\x8e"


class Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def take(self, n: int) -> bytes:
        """bytes(n)."""
        require(self.at + n <= len(self.data), "the bytes end early")
        self.at += n
        return self.data[self.at - n : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def varint(self) -> int:
        """Seven bits a byte, least significant first; the top bit says that another byte follows."""
        value = 0
        for shift in range(0, 64, 7):
            byte = self.u8()
            value |= (byte & 127) << shift
            if byte < 128:
                require(value < 2**64, "a varint has more than 64 bits")
                return value
        raise MalformedError("a varint has more than ten bytes")


@dataclass
class Begin:
    """What an update follows."""

    is_keyframe: bool
    sequence: int
    parent_chain: int | None
    with_history: bool
    n_means: int


@dataclass
class Units:
    """An update, taken apart."""

    begin: Begin
    table: bytes | None
    data: list[bytes]
    digest: int
    chain: int
    before_end: list[bytes]

    def chain_for(self, digest: int) -> int:
        """state.md, "Positions": the chain of the position that the update leads to."""
        hashes = [*map(xxh64, self.before_end), digest]
        return xxh64(b"".join(h.to_bytes(8, "little") for h in hashes), self.begin.parent_chain or 0)


def next_unit(source: Bytes) -> tuple[int, bytes]:
    """Type and payload of one unit; the sizes are the only numbers with their most significant byte first."""
    start = source.at
    size = int.from_bytes(source.take(2), "big")
    if size >> 15:
        size = (size & 0x7FFF) << 16 | int.from_bytes(source.take(2), "big")
    header = source.u8()
    if header & 1:
        source.u8()
    n_payload = size - (source.at - start)
    require(n_payload >= 0, "a unit is smaller than its header")
    return header >> 2, source.take(n_payload)


def read_begin(payload: bytes) -> Begin:
    source = Bytes(payload)
    require(source.u8() == 4, "the format version is not 4")
    flags = source.u8()
    is_keyframe, with_history, n_means = flags % 2 == 1, flags // 2 % 2 == 1, flags // 4
    require(n_means <= 2, "unknown flags")
    begin = Begin(is_keyframe, source.varint(), None if is_keyframe else source.u64(), with_history, n_means)
    require(not source, "BEGIN goes on behind its fields")
    require(begin.sequence > 0 or is_keyframe, "only a keyframe has sequence 0")
    return begin


def first_units(data: bytes) -> tuple[Begin, Bytes]:
    """BEGIN, which alone decides whether an update follows, and the bytes behind it."""
    source = Bytes(data)
    require(source.take(4) == START, "this is no update of profile incnnr")
    kind, payload = next_unit(source)
    require(kind == BEGIN, "there is no BEGIN")
    return read_begin(payload), source


def read_units(data: bytes) -> Units:
    """Take an update apart and check the order and the number of its units."""
    begin, source = first_units(data)
    units, starts = [], [0, len(START), source.at]
    while source:
        units.append(next_unit(source))
        starts.append(source.at)
    kinds = [kind for kind, _ in units]
    require(set(kinds) <= {TABLE, DATA, END}, "a unit of unknown type, or in a place that is not its own")
    require(kinds == sorted(kinds) and kinds.count(TABLE) <= 1, "the units are out of order")
    require(kinds.count(END) == 1, "there is not one END")
    require(data[starts[-2] :].startswith(END_HEADER), "END has another header than it must")
    end = Bytes(units[-1][1])
    digest, chain = end.u64(), end.u64()
    require(not end, "END goes on behind its fields")
    table = next((payload for kind, payload in units if kind == TABLE), None)
    before_end = [data[start:stop] for start, stop in pairwise(starts[:-1])]
    return Units(begin, table, [payload for kind, payload in units if kind == DATA], digest, chain, before_end)

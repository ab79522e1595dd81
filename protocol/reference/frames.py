"""stream.md, "Frame" and "Reading" steps 1 to 3: which bytes are frames, which are damage, which a torn tail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgpack

from protocol.reference.errors import MalformedError, require
from protocol.reference.xxh64 import xxh64

MARK = b"\x89INCNNR\n"
PREFIX_BYTES = 27
PART, UPDATE, OPTIONAL = 0x01, 0x02, 0x80
MAX_FIELDS_BYTES = 2**26


@dataclass(frozen=True)
class Header:
    """The sound header of a frame that may or may not be whole."""

    data: bytes
    begin: int

    def number(self, offset: int, n: int) -> int:
        return int.from_bytes(self.data[self.begin + offset : self.begin + offset + n], "little")

    @property
    def kind(self) -> int:
        return self.number(9, 1)

    @property
    def body_begin(self) -> int:
        return self.begin + PREFIX_BYTES + self.number(11, 4) + 8

    @property
    def end(self) -> int:
        return self.body_begin + self.number(15, 8) + 8

    def unmasked(self, begin: int, end: int) -> bytes:
        mask = self.number(10, 1)
        return bytes(byte ^ mask for byte in self.data[begin:end])

    @cached_property
    def fields(self) -> object:
        """A map, as it should be, or None for bytes that msgpack cannot read."""
        packed = self.unmasked(self.begin + PREFIX_BYTES, self.body_begin - 8)
        try:
            return msgpack.unpackb(packed, unicode_errors="surrogateescape", strict_map_key=False)
        except ValueError:
            return None

    @cached_property
    def body_holds(self) -> bool:
        stored = int.from_bytes(self.data[self.end - 8 : self.end], "little")
        return xxh64(self.data[self.body_begin : self.end - 8]) == stored

    def body(self) -> bytes:
        require(self.body_holds, f"the body of the frame at {self.begin} is damaged")
        return self.unmasked(self.body_begin, self.end - 8)


@dataclass(frozen=True)
class Damage:
    """Bytes that ought to have been frames."""

    begin: int
    end: int


@dataclass(frozen=True)
class Scan:
    """A file in order; behind ``end`` there are bytes that were not written to their end, or none."""

    items: list[Header | Damage]
    end: int

    @property
    def ends_in_damage(self) -> bool:
        return bool(self.items) and isinstance(self.items[-1], Damage)


def prefix_holds(data: bytes, begin: int) -> bool:
    """The lengths may be believed."""
    prefix = data[begin : begin + PREFIX_BYTES]
    check = int.from_bytes(prefix[23:], "little")
    return (
        len(prefix) == PREFIX_BYTES
        and prefix.startswith(MARK)
        and xxh64(prefix[:23]) % 2**32 == check
        and int.from_bytes(prefix[11:15], "little") <= MAX_FIELDS_BYTES
    )


def header_at(data: bytes, begin: int) -> Header | None:
    """The header that begins here, if its checks hold."""
    if not prefix_holds(data, begin):
        return None
    header = Header(data, begin)
    stored = data[header.body_begin - 8 : header.body_begin]
    if len(stored) < 8 or xxh64(data[begin : header.body_begin - 8]) != int.from_bytes(stored, "little"):
        return None
    if data[begin + 8] != 1:
        raise MalformedError("the version of the stream file is not 1")
    return header


def whole_frame_at(data: bytes, begin: int) -> Header | None:
    """Step 1: a frame with all its bytes. What the body holds is looked at later."""
    header = header_at(data, begin)
    if header is None or header.end > len(data):
        return None
    if header.end == len(data) and data.endswith(bytes(8)):
        return None
    return header


def next_frame(data: bytes, start: int) -> Header | None:
    """Step 2: the first whole frame whose header does not reach beyond the mark behind it."""
    at = data.find(MARK, start)
    while at >= 0:
        following = data.find(MARK, at + 1)
        header = whole_frame_at(data, at)
        if header and not 0 <= following < header.body_begin:
            return header
        at = following
    return None


def scan(data: bytes) -> Scan:
    """Cut a file into frames, damage and a torn tail."""
    items: list[Header | Damage] = []
    at = 0
    while at < len(data):
        frame = whole_frame_at(data, at)
        if frame is None:
            begin = search_begin(data, at, items)
            frame = next_frame(data, begin + 1)
            if frame is None:
                break
            items.append(Damage(begin, frame.begin))
        items.append(frame)
        at = frame.end
    require(at > 0 or MARK.startswith(data[:8]), "this is no stream")
    if at < len(data) and not is_torn_tail(data, at):
        items.append(Damage(at, len(data)))
        at = len(data)
    return Scan(items, at)


def search_begin(data: bytes, at: int, items: list[Header | Damage]) -> int:
    """Bytes may be missing from the body before: then the next frame may stand in it."""
    if items and header_at(data, at) is None and not items[-1].body_holds:
        return items[-1].body_begin
    return at


def is_torn_tail(data: bytes, at: int) -> bool:
    """Step 3: what a writer that was stopped can have left."""
    rest = data[at:]
    if len(rest) < PREFIX_BYTES:
        begun = rest[:8] == MARK[: len(rest)]
    elif prefix_holds(data, at):
        begun = header_at(data, at) is not None or Header(data, at).body_begin > len(data)
    else:
        begun = False
    return begun or (at > 0 and data.endswith(bytes(8)))

"""One frame <-> bytes: a mark to find it by, a header with checksums of its own, a body and its checksum.

The layout is drawn in ``protocol/stream.md``. Two properties carry the rest of the room:

- What is stored of fields and body never contains the mark (the mask sees to that), so that the mark occurs in a
  file only where a frame begins, and finding the next frame after damage takes one pass.
- The prefix has a check of its own, so that its lengths can be believed before the bytes they count are there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from incnnr._core import xxh64
from incnnr.errors import CorruptError, TruncatedError, UnsupportedError

MARK = b"\x89INCNNR\n"
VERSION = 1
OPTIONAL = 0x80
MAX_FIELDS_BYTES = 1 << 26

_PREFIX = struct.Struct("<8sBBBIQI")
_CHECKSUM = struct.Struct("<Q")
MIN_FRAME_BYTES = _PREFIX.size + 2 * _CHECKSUM.size


class Kind(IntEnum):
    """What a frame holds. A reader that does not know a kind skips it if its OPTIONAL bit is set, else gives up."""

    PART = 1
    """A piece of an update that goes on in another frame."""
    UPDATE = 2
    """The last piece of an update: it commits the entry."""
    FILE = OPTIONAL | 1
    """Reserved: a file carried along as it is."""
    INDEX = OPTIONAL | 2
    """Reserved: where the frames before it stand."""


class Source(Protocol):
    """Bytes that can be read anywhere."""

    def size(self) -> int:
        """Bytes there are by now."""

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Up to `n_bytes` from `offset` on, fewer only where the bytes end."""


@dataclass(frozen=True, slots=True)
class Body:
    """Where the body of a frame lies in the file, and the mask it was stored under."""

    offset: int
    n_bytes: int
    mask: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose header holds; its body has not been looked at."""

    offset: int
    kind: int
    fields: bytes
    body: Body

    @property
    def end(self) -> int:
        """Offset of the first byte after the frame."""
        return self.body.offset + self.body.n_bytes + _CHECKSUM.size

    @property
    def is_optional(self) -> bool:
        """Whether a reader that does not know the kind may skip it."""
        return bool(self.kind & OPTIONAL)


def pack(kind: int, fields: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a frame as three buffers to be written one after the other: header, body, checksum of the body."""
    mask = _mask_for(fields, body)
    fields, body = _masked(fields, mask), _masked(body, mask)
    prefix = _PREFIX.pack(MARK, VERSION, kind, mask, len(fields), len(body), 0)[:-4]
    header = prefix + _check(prefix) + fields
    return header + _CHECKSUM.pack(xxh64(header)), body, _CHECKSUM.pack(xxh64(body))


def unpack_header(source: Source, offset: int, limit: int | None = None) -> Frame:
    """Read the header of the frame that begins at `offset`.

    Parameters
    ----------
    source : Source
        The stream.
    offset : int
        Where the mark should stand.
    limit : int, optional
        A header that reaches beyond this offset is no header.

    Raises
    ------
    TruncatedError
        The bytes end before the header does, and all that is there may belong to one.
    CorruptError
        No frame begins here.
    UnsupportedError
        A frame of a later version does.
    """
    prefix = source.read(offset, _PREFIX.size)
    if prefix[: len(MARK)] != MARK[: len(prefix)]:
        raise CorruptError("no frame begins here", byte_offset=offset)
    if len(prefix) < _PREFIX.size:
        raise TruncatedError("the frame's header is incomplete", byte_offset=offset)
    _, version, kind, mask, fields_bytes, body_bytes, _ = _PREFIX.unpack(prefix)
    if prefix[-4:] != _check(prefix[:-4]) or fields_bytes > MAX_FIELDS_BYTES:
        raise CorruptError("the frame's header is damaged", byte_offset=offset)
    body_offset = offset + _PREFIX.size + fields_bytes + _CHECKSUM.size
    if limit is not None and body_offset > limit:
        raise CorruptError("the frame's header is damaged", byte_offset=offset)
    fields = _unpack_fields(prefix, source.read(offset + _PREFIX.size, fields_bytes + _CHECKSUM.size), offset)
    if version != VERSION:
        raise UnsupportedError(f"stream version {version} is not supported", byte_offset=offset)
    return Frame(offset, kind, _masked(fields, mask), Body(body_offset, body_bytes, mask))


def read_body(source: Source, body: Body) -> bytes:
    """Return the body of a frame.

    Raises
    ------
    CorruptError
        Its checksum does not hold, or the file ends before it does.
    """
    stored = source.read(body.offset, body.n_bytes)
    checksum = source.read(body.offset + body.n_bytes, _CHECKSUM.size)
    if len(stored) != body.n_bytes or checksum != _CHECKSUM.pack(xxh64(stored)):
        raise CorruptError("the checksum of a frame's body does not hold", byte_offset=body.offset)
    return _masked(stored, body.mask)


def _unpack_fields(prefix: bytes, rest: bytes, offset: int) -> bytes:
    fields_bytes = _PREFIX.unpack(prefix)[4]
    fields, checksum = rest[:fields_bytes], rest[fields_bytes:]
    if len(checksum) < _CHECKSUM.size:
        raise TruncatedError("the frame's header is incomplete", byte_offset=offset)
    if checksum != _CHECKSUM.pack(xxh64(prefix + fields)):
        raise CorruptError("the checksum of a frame's header does not hold", byte_offset=offset)
    return fields


def _check(prefix: bytes) -> bytes:
    return _CHECKSUM.pack(xxh64(prefix))[:4]


def _mask_for(fields: bytes, body: bytes) -> int:
    """Choose a byte under which the mark does not occur; there is one unless somebody planted 256 marks."""
    for mask in range(256):
        hidden = _masked(MARK, mask)
        if hidden not in fields and hidden not in body:
            return mask
    return 0


def _masked(data: bytes, mask: int) -> bytes:
    return data.translate(bytes(byte ^ mask for byte in range(256))) if mask else data

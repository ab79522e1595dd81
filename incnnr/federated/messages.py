"""What server and clients send each other: positions, and updates that name what they follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import msgpack

from incnnr.coding import xxh64
from incnnr.errors import CorruptError, TruncatedError, UnsupportedError
from incnnr.position import Position

MAGIC = b"INCF\x01"
_CHECKSUM_BYTES = 8
_BROADCAST, _REPLY = 0, 1


@dataclass(frozen=True, slots=True)
class Broadcast:
    """From the server: what leads a client to the current model.

    Attributes
    ----------
    head : Position
        Where the updates lead.
    since : Position or None
        Where the client was when the server last heard of it; None if it never did.
    updates : tuple of bytes
        One after the other; none if the client should be there already.

    Examples
    --------
    >>> Broadcast.read(Broadcast(Position(0, 7, None), None, (b"update",)).pack()).updates
    (b'update',)
    """

    head: Position
    since: Position | None
    updates: tuple[bytes, ...] = field(repr=False)

    def pack(self) -> bytes:
        """Write it: magic, msgpack, checksum."""
        return _pack([_BROADCAST, _fields(self.head), _fields(self.since), list(self.updates)])

    @classmethod
    def read(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read what `pack` wrote.

        Raises
        ------
        BitstreamError
            It is not that.
        """
        head, since, updates = _read(data, _BROADCAST, n_fields=3)
        position = _position(head)
        if position is None or not isinstance(updates, list) or not all(isinstance(u, bytes) for u in updates):
            raise _unreadable()
        return cls(position, _position(since), tuple(updates))


@dataclass(frozen=True, slots=True)
class Reply:
    """From a client: what it holds, and perhaps its own weights as an update to that.

    Attributes
    ----------
    held : Position or None
        Where it stands in the server's chain.
    update : bytes or None
        From there to its own weights. None: it only says what it holds, or asks for what it needs.
    is_kept : bool
        Whether the client keeps what the update left out, and needs to know that it arrived.

    Examples
    --------
    >>> Reply.read(Reply(None).pack())
    Reply(held=None, is_kept=False)
    """

    held: Position | None
    update: bytes | None = field(default=None, repr=False)
    is_kept: bool = False

    def pack(self) -> bytes:
        """Write it: magic, msgpack, checksum."""
        return _pack([_REPLY, _fields(self.held), self.update, self.is_kept])

    @classmethod
    def read(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read what `pack` wrote.

        Raises
        ------
        BitstreamError
            It is not that.
        """
        held, update, is_kept = _read(data, _REPLY, n_fields=3)
        if not isinstance(update, bytes | None) or not isinstance(is_kept, bool):
            raise _unreadable()
        return cls(_position(held), update, is_kept)


def _fields(position: Position | None) -> list[int] | None:
    return None if position is None else [position.sequence, position.chain]


def _pack(fields: list[Any]) -> bytes:
    data: bytes = MAGIC + msgpack.packb(fields)
    return data + xxh64(data).to_bytes(_CHECKSUM_BYTES, "little")


def _read(data: bytes | bytearray | memoryview, kind: int, *, n_fields: int) -> list[Any]:
    data = bytes(data)
    if data[: len(MAGIC) - 1] != MAGIC[: len(data)][:-1]:
        raise CorruptError("not a message of a federated session", byte_offset=0)
    if len(data) < len(MAGIC) + _CHECKSUM_BYTES:
        raise TruncatedError("the message is cut short", byte_offset=len(data))
    if not data.startswith(MAGIC):
        raise UnsupportedError("a message of another version", byte_offset=len(MAGIC) - 1)
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if xxh64(body) != int.from_bytes(checksum, "little"):
        raise CorruptError("the message is damaged: its checksum does not hold", byte_offset=0)
    try:
        fields = msgpack.unpackb(body[len(MAGIC) :])
    except (ValueError, msgpack.UnpackException):
        raise _unreadable() from None
    if not isinstance(fields, list) or len(fields) != n_fields + 1 or fields[0] != kind:
        raise _unreadable()
    return fields[1:]


def _position(fields: Any) -> Position | None:
    if fields is None:
        return None
    is_pair = isinstance(fields, list) and len(fields) == 2 and all(type(f) is int and f >= 0 for f in fields)
    if not is_pair:
        raise _unreadable()
    return Position(fields[0], fields[1], None)


def _unreadable() -> CorruptError:
    return CorruptError("the message does not hold what it must", byte_offset=len(MAGIC))

"""What goes over the pipes to NNCodec: messages in MessagePack, each behind its length in four bytes.

Both sides import this module, each in its own environment. Arrays travel as their bytes, bit for bit.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import msgpack
import numpy as np

_ARRAY = 1


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    data = msgpack.packb(message, default=_packed)
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message; None at the end of the stream."""
    size = stream.read(4)
    data = stream.read(int.from_bytes(size, "big"))
    if len(size) < 4 or len(data) < int.from_bytes(size, "big"):
        return None
    message: dict[str, Any] = msgpack.unpackb(data, ext_hook=_unpacked)
    return message


def _packed(array: np.ndarray) -> msgpack.ExtType:
    return msgpack.ExtType(_ARRAY, msgpack.packb([array.dtype.str, array.shape, array.tobytes()]))


def _unpacked(_: int, data: bytes) -> np.ndarray:
    dtype, shape, elements = msgpack.unpackb(data)
    return np.frombuffer(elements, dtype).reshape(shape).copy()

"""What a client keeps from its last reply to its next: what that reply left out, in a byte for each weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgpack
import numpy as np
from numpy.typing import NDArray

from incnnr.coding import xxh64
from incnnr.errors import CorruptError
from incnnr.position import Position
from incnnr.tensors import Array, type_of

MAGIC = b"INCE\x01"
_CHECKSUM_BYTES = 8
_MOST = 127


@dataclass(frozen=True, slots=True)
class Memory:
    """Error feedback: what a reply left out of a client's weights is added to the next one, if that reply arrived.

    Attributes
    ----------
    max_age : int
        Models of the server after which it is forgotten: what was left out long ago no longer fits.
    reply : Position or None
        Where the update leads that something was left out of; None if nothing is kept.
    remainders : mapping of str to (float, numpy.ndarray of int8)
        What was left out, in units of the number.

    Examples
    --------
    >>> weights, arrived = {"w": np.array([1.0, 2.0], np.float32)}, {"w": np.array([1.0, 1.0], np.float32)}
    >>> memory = Memory(max_age=10).after(Position(5, 1, None), weights, arrived)
    >>> memory.added_to(weights, Position(5, 0, None), Position(5, 1, None))["w"]
    array([1., 3.], dtype=float32)
    """

    max_age: int
    reply: Position | None = None
    remainders: Mapping[str, tuple[float, NDArray[np.int8]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.max_age < 1:
            raise ValueError(f"max_age counts from 1, not {self.max_age!r}")

    def added_to(
        self, weights: Mapping[str, Array], held: Position, acknowledged: Position | None
    ) -> Mapping[str, Array]:
        """Add what was left out of the last reply to new weights.

        Parameters
        ----------
        weights : mapping of str to numpy.ndarray
            The client's, after training.
        held : Position
            The global model that they were trained from.
        acknowledged : Position or None
            The last reply that the server has decoded: if that is another, nothing is added.
        """
        if self.reply is None or self.reply != acknowledged or held.sequence + 1 - self.reply.sequence > self.max_age:
            return weights
        return {name: self._added(name, array) for name, array in weights.items()}

    def after(self, reply: Position, weights: Mapping[str, Array], arrived: Mapping[str, Array]) -> Memory:
        """Return what to keep after a reply that leads to `reply`, of weights of which others `arrived`."""
        remainders = {}
        for name, array in weights.items():
            if type_of(array).is_lossy_capable:
                left = _wide(array) - _wide(arrived[name])
                left[~np.isfinite(left)] = 0
                if unit := float(np.abs(left).max(initial=0)) / _MOST:
                    remainders[name] = unit, np.rint(left / unit).astype(np.int8)
        return Memory(self.max_age, reply, remainders)

    def to_bytes(self) -> bytes:
        """Save it, in little more than a byte for each weight."""
        reply = None if self.reply is None else [self.reply.sequence, self.reply.chain]
        remainders = [[name, unit, n.shape, n.tobytes()] for name, (unit, n) in self.remainders.items()]
        data: bytes = MAGIC + msgpack.packb([self.max_age, reply, remainders])
        return data + xxh64(data).to_bytes(_CHECKSUM_BYTES, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Restore what `to_bytes` saved.

        Raises
        ------
        CorruptError
            It is not that.
        """
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if not body.startswith(MAGIC) or xxh64(body) != int.from_bytes(checksum, "little"):
            raise CorruptError("not a memory that was saved, or damaged", byte_offset=0)
        max_age, reply, remainders = msgpack.unpackb(body[len(MAGIC) :])
        arrays: dict[str, Any] = {
            name: (unit, np.frombuffer(levels, np.int8).reshape(shape)) for name, unit, shape, levels in remainders
        }
        return cls(max_age, None if reply is None else Position(reply[0], reply[1], None), arrays)

    def _added(self, name: str, array: Array) -> Array:
        if name not in self.remainders or self.remainders[name][1].shape != array.shape:
            return array
        unit, levels = self.remainders[name]
        with np.errstate(over="ignore", invalid="ignore"):
            added: Array = (_wide(array) + levels * np.float64(unit)).astype(array.dtype)
        return np.where(np.isfinite(added), added, array)


def _wide(array: Array) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return array.astype(np.float64)

"""Where a codec stands: the name of a set of weights together with the coding state that led to it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Position:
    """A point in a chain of updates.

    Two positions are equal when their sequence and chain are: then every following update decodes alike from both.

    Attributes
    ----------
    sequence : int
        Number of the update that led here. A first keyframe and a ``base`` are number 0.
    chain : int
        64-bit hash of the parent's chain and the bytes of the update that led here.
    digest : int or None
        64-bit hash of the decoded weights; None where it is not known, as for the parent named on the wire.

    Examples
    --------
    >>> str(Position(3, 0x1122334455667788, None))
    '3:1122334455667788'
    """

    sequence: int
    chain: int
    digest: int | None = field(compare=False)

    def __str__(self) -> str:
        return f"{self.sequence}:{self.chain:016x}"

"""What all units have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.context import Context
from incnnr.nnc.units import PLAIN, Framing


@dataclass(slots=True, kw_only=True)
class SyntaxUnit(ABC):
    """A unit as its syntax elements, which have their names from the standard.

    Counts are not fields: they are the lengths of the lists. Elements that the flags of a unit leave out keep their
    default, which is the value the standard infers.

    Attributes
    ----------
    framing : Framing
        The rest of the header that all units share.
    byte_offset : int or None
        Where the type-specific part begins in the bitstream it was read from; not part of what is compared.
    unit_index : int or None
        Number of the unit (of the aggregate unit, inside of one) in that bitstream; not part of what is compared.
    """

    framing: Framing = PLAIN
    byte_offset: int | None = field(default=None, compare=False)
    unit_index: int | None = field(default=None, compare=False)

    @abstractmethod
    def syntax(self, c: BitCoder, context: Context) -> Self:
        """Code this unit's elements in order; return the unit they make.

        This is the one syntax table of the unit. With a writer, `self` is what is written, and an element of it that
        is missing in the result has no place in the bitstream. With a reader, `self` is a blank unit.
        """

    def context_after(self, context: Context) -> Context:
        """Say what holds for the units behind this one."""
        return context


@dataclass(slots=True, kw_only=True)
class UnknownUnit(SyntaxUnit):
    """A unit of a reserved or unspecified type, kept as it is.

    Attributes
    ----------
    nnr_unit_type : int
        7 to 63.
    payload : bytes
        Everything behind the common part of the header.
    """

    nnr_unit_type: int = 63
    payload: bytes = b""

    def syntax(self, c: BitCoder, context: Context) -> Self:  # noqa: ARG002 - no other unit says what this one holds
        """Code the bytes."""
        new = type(self)(nnr_unit_type=self.nnr_unit_type)
        new.payload = c.bs(self.payload)
        return new

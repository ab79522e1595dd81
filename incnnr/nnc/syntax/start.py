"""STR: the unit a bitstream begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.context import Context


@dataclass(slots=True, kw_only=True)
class Start(SyntaxUnit):
    """NNR_STR.

    Attributes
    ----------
    general_profile_idc : int
        0 for the syntax of edition 1, 1 for edition 2.
    """

    general_profile_idc: int = 1

    def syntax(self, c: BitCoder, context: Context) -> Self:  # noqa: ARG002 - it begins a context
        """Code the profile."""
        new = type(self)()
        new.general_profile_idc = c.u(8, self.general_profile_idc)
        if new.general_profile_idc > 1:
            raise c.unsupported(f"general_profile_idc {new.general_profile_idc}")
        return new

    def context_after(self, context: Context) -> Context:
        """Begin again; only what comes from outside of the bitstream stays."""
        return Context(
            general_profile_idc=self.general_profile_idc,
            tensor_dimensions=context.tensor_dimensions,
            limits=context.limits,
        )

"""AGG: several units in one.

No software is known that writes this unit, and the elements of its header are from public descriptions only: what
does not read as described here is unsupported, not corrupt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.context import Context


@dataclass(frozen=True, slots=True)
class UnitEntryPoint:
    """Type and place of a unit inside of an aggregate unit."""

    nnr_unit_type: int = 0
    nnr_unit_entry_point: int = 0

    def syntax(self, c: BitCoder) -> UnitEntryPoint:
        """Code the entry point."""
        return UnitEntryPoint(c.u(6, self.nnr_unit_type), c.u(34, self.nnr_unit_entry_point))


@dataclass(frozen=True, slots=True)
class UnitSummary:
    """What an aggregate unit says about each of its units.

    Attributes
    ----------
    quant_bitdepth : int
        Bits that its quantised values need at most.
    ctu_partition_flag : int
        There if a parameter set has unification.
    """

    quant_bitdepth: int = 0
    ctu_partition_flag: int = 0

    def syntax(self, c: BitCoder, context: Context) -> UnitSummary:
        """Code the summary."""
        bit_depth = c.u(5, self.quant_bitdepth)
        unified = context.mps_unification_flag or context.lps_unification_flag
        return UnitSummary(bit_depth, c.u(1, self.ctu_partition_flag) if unified else 0)


@dataclass(slots=True, kw_only=True)
class Aggregate(SyntaxUnit):
    """NNR_AGG.

    Attributes
    ----------
    nnr_aggregate_unit_type : int
        0 generic, 1 self-contained.
    entry_points : tuple of UnitEntryPoint
        One per unit if `entry_points_present_flag` is set.
    summaries : tuple of UnitSummary
        One per unit.
    payload : bytes
        The units, one after the other; their syntax is not this table's.
    units : list of SyntaxUnit
        What the payload holds, filled in by ``parse``; ``write`` takes `payload`.
    """

    nnr_aggregate_unit_type: int = 0
    entry_points_present_flag: int = 0
    entry_points: tuple[UnitEntryPoint, ...] = ()
    summaries: tuple[UnitSummary, ...] = (UnitSummary(), UnitSummary())
    payload: bytes = b""
    units: list[SyntaxUnit] = field(default_factory=list, compare=False)

    def syntax(self, c: BitCoder, context: Context) -> Self:
        """Code the header and carry the payload."""
        new = type(self)()
        new.nnr_aggregate_unit_type = c.u(8, self.nnr_aggregate_unit_type)
        new.entry_points_present_flag = c.u(1, self.entry_points_present_flag)
        c.reserved(7)
        n_units = c.u(16, len(self.summaries) - 2) + 2
        if new.entry_points_present_flag:
            new.entry_points = c.repeated(n_units, self.entry_points, UnitEntryPoint(), lambda entry: entry.syntax(c))
        new.summaries = c.repeated(n_units, self.summaries, UnitSummary(), lambda summary: summary.syntax(c, context))
        c.byte_alignment()
        new.payload = c.bs(self.payload)
        return new

    def context_after(self, context: Context) -> Context:
        """Follow the contained units."""
        for unit in self.units:
            context = unit.context_after(context)
        return context

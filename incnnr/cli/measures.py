"""How much model an entry's update stands for, read off the tensor tables; no weights are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from incnnr.errors import BitstreamError
from incnnr.incremental.state import TensorSpec
from incnnr.incremental.syntax import Table
from incnnr.incremental.update import begin_of
from incnnr.nnc.units import UnitType
from incnnr.stream import Entry, StreamReader

Specs = Mapping[str, TensorSpec]


@dataclass(frozen=True, slots=True)
class Measures:
    """An entry, and the size of the model that it leads to; None where damage hides that.

    Attributes
    ----------
    entry : Entry
        The entry.
    n_weights : int or None
        Elements of all tensors.
    tensor_bytes : int or None
        Bytes of all tensors.
    """

    entry: Entry
    n_weights: int | None = None
    tensor_bytes: int | None = None

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of the update per element of the model."""
        return 8 * self.entry.n_bytes / self.n_weights if self.n_weights else None

    @property
    def ratio(self) -> float | None:
        """How many times smaller the update is than the tensors."""
        return self.tensor_bytes / self.entry.n_bytes if self.tensor_bytes else None


def measured(reader: StreamReader) -> Iterator[Measures]:
    """Yield the measures of every entry, oldest first."""
    tables: dict[int, Specs] = {}
    for entry in reader.entries:
        try:
            table = _table_after(reader.update(entry.index), tables)
        except BitstreamError:
            yield Measures(entry)
            continue
        if table is None:
            yield Measures(entry)
            continue
        tables[entry.position.chain] = table
        types = [spec.type for spec in table.values()]
        yield Measures(entry, sum(one.n_elements for one in types), sum(one.n_bytes for one in types))


def _table_after(update: bytes, tables: Mapping[int, Specs]) -> Specs | None:
    """Return the tensor table that an update leads to; None if its parent's is not known."""
    begin, units = begin_of(update)
    held = {} if begin.parent_chain is None else tables.get(begin.parent_chain)
    unit = next(units, None)
    if held is None or unit is None or unit.type != UnitType.TABLE:
        return held
    return Table.read(unit).apply(held)

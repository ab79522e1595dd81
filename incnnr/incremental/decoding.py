"""From an update to the state after it: a pure function of what the decoder holds."""

from __future__ import annotations

from collections.abc import Mapping

from incnnr import coding
from incnnr.errors import CorruptError, UnsupportedError, located
from incnnr.incremental.declared import check_table
from incnnr.incremental.revision import Revision
from incnnr.incremental.state import CodecState, TensorSpec, digest_of
from incnnr.incremental.syntax import Data, Table
from incnnr.incremental.update import ParsedUpdate
from incnnr.limits import Limits
from incnnr.nnc.units import UnitType


def decode_update(
    parent: CodecState | None, update: ParsedUpdate, update_bytes: int, limits: Limits, threads: int
) -> tuple[CodecState, frozenset[str], int]:
    """Decode an update whose parent is known to fit.

    Returns
    -------
    CodecState
        What the decoder holds after it. `parent` is unchanged.
    frozenset of str
        Tensors that were added or got other values.
    int
        Elements that changed.
    """
    units = list(update.units)
    table: Mapping[str, TensorSpec] = parent.table if parent else {}
    if units and units[0].type == UnitType.TABLE:
        unit = units.pop(0)
        with located(unit.byte_offset, unit.index):
            table = Table.read(unit).apply(table)
            check_table(limits, table, parent, update_bytes)
    revision = Revision(parent.tensors if parent else {}, table, with_history=update.begin.with_history)
    slices = _Slices(revision, parent, threads)
    for unit in units:
        with located(unit.byte_offset, unit.index):
            if unit.type != UnitType.DATA:
                raise UnsupportedError(f"unit type {unit.type}")
            slices.take(Data.read(unit, most_codewords=len(revision.refs)))
    with located(update_bytes, None):
        slices.end()
        tensors = revision.tensors()
    if digest_of(tensors) != update.end.digest:
        raise CorruptError("the decoded weights are not those the update was made from", byte_offset=update_bytes)
    state = CodecState(update.position, tensors, slices.flag_contexts)
    return state, revision.changed_names, slices.n_changed


class _Slices:
    """The slices of an update, decoded unit by unit."""

    def __init__(self, revision: Revision, parent: CodecState | None, threads: int) -> None:
        self.flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
        self.n_changed = 0
        self._revision = revision
        self._threads = threads
        self._n_done = 0

    def take(self, unit: Data) -> None:
        refs = self._revision.refs[self._n_done : self._n_done + unit.n_slices]
        if len(refs) < unit.n_slices:
            raise CorruptError("more slices than the model has")
        self._n_done += len(refs)
        known = [ref.reference.changed for ref in refs if ref.reference]
        coded_flags = iter(coding.decode_flags(memoryview(unit.flags), known, self.flag_contexts))
        rewritten = []
        for ref in refs:
            if ref.reference is None or next(coded_flags):
                rewritten.append(ref)
            else:
                self._revision.keep(ref)
        jobs = [(ref, self._revision.rewrite(ref)) for ref in rewritten]
        codewords = self._revision.grouped(jobs)
        if len(codewords) != len(unit.codewords):
            raise CorruptError(f"{len(codewords)} codewords needed, {len(unit.codewords)} found")
        coding.decode(codewords, [memoryview(codeword) for codeword in unit.codewords], self._threads)
        self._revision.settle(jobs)
        self.n_changed += sum(segment.n_changed for _, segment in jobs)

    def end(self) -> None:
        if any(ref.reference is None for ref in self._revision.refs[self._n_done :]):
            raise CorruptError("a new tensor has no data")

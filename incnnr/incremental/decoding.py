"""From an update to the state after it: a pure function of what the decoder holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from incnnr import coding
from incnnr._core import Segment
from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, UnsupportedError
from incnnr.incremental.limits import Limits
from incnnr.incremental.revision import Revision
from incnnr.incremental.state import CodecState, TensorSpec, chain_after, digest_of, model_bytes
from incnnr.incremental.syntax import Begin, Data, Table
from incnnr.incremental.update import end_of
from incnnr.nnc.units import Unit, UnitType
from incnnr.position import Position

T = TypeVar("T")


def decode_update(
    parent: CodecState | None, begin: Begin, units: Iterator[Unit], data: bytes, limits: Limits, threads: int
) -> tuple[CodecState, frozenset[str], int]:
    """Decode an update whose first units are read and whose parent is known to fit.

    Returns
    -------
    CodecState
        What the decoder holds after it. `parent` is unchanged.
    frozenset of str
        Tensors that were added or got other values.
    int
        Elements that changed.
    """
    unit = next(units, None)
    table: Mapping[str, TensorSpec] = parent.table if parent else {}
    if unit is not None and unit.type == UnitType.TABLE:
        table = _at(unit, lambda unit: Table.read(unit).apply(table))
        _at(unit, lambda _: limits.check(table, parent, len(data)))
        unit = next(units, None)
    revision = Revision(parent.tensors if parent else {}, table)
    decoding = _Slices(revision, parent, threads)
    while unit is not None and unit.type == UnitType.DATA:
        _at(unit, lambda unit: decoding.take(Data.read(unit)))
        unit = next(units, None)
    if unit is not None and unit.type != UnitType.END:
        raise UnsupportedError(f"unit type {unit.type}", byte_offset=unit.byte_offset, unit_index=unit.index)
    digest = end_of(unit, data).digest
    decoding.end()
    tensors = revision.tensors()
    if digest_of(tensors) != digest:
        raise CorruptError("the decoded weights are not those the update was made from", byte_offset=len(data))
    position = Position(begin.sequence, chain_after(parent.position if parent else None, data), digest)
    state = CodecState(
        position, tensors, decoding.flag_contexts, parent.first_n_bytes if parent else model_bytes(table)
    )
    return state, revision.changed_names, sum(segment.n_changed for segment in decoding.segments)


class _Slices:
    """The slices of an update, decoded unit by unit."""

    def __init__(self, revision: Revision, parent: CodecState | None, threads: int) -> None:
        self.flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
        self.segments: list[Segment] = []
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
        jobs = [self._revision.rewrite(ref) for ref in rewritten]
        codewords = self._revision.grouped(rewritten, jobs)
        if len(codewords) != len(unit.codewords):
            raise CorruptError(f"{len(codewords)} codewords needed, {len(unit.codewords)} found")
        coding.decode(codewords, [memoryview(codeword) for codeword in unit.codewords], self._threads)
        self._revision.settle(rewritten, jobs)
        self.segments += jobs

    def end(self) -> None:
        if any(ref.reference is None for ref in self._revision.refs[self._n_done :]):
            raise CorruptError("a new tensor has no data")


def _at(unit: Unit, step: Callable[[Unit], T]) -> T:
    """Let errors that do not know their place name the unit."""
    try:
        return step(unit)
    except BitstreamError as error:
        if error.byte_offset is None:
            error.byte_offset, error.unit_index = unit.byte_offset, unit.index
        raise
    except MemoryError:
        raise LimitExceededError("memory ran out", byte_offset=unit.byte_offset, unit_index=unit.index) from None

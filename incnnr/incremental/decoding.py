"""From an update to the state after it: a pure function of what the decoder holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incnnr import coding
from incnnr.errors import CorruptError, LimitExceededError, UnsupportedError, located
from incnnr.incremental.declared import check_table
from incnnr.incremental.results import Places, Results
from incnnr.incremental.revision import Job, Revision, SliceRef
from incnnr.incremental.state import CodecState, Outcome, TensorSpec, digest_of, model_bytes
from incnnr.incremental.syntax import Begin, Data, Table
from incnnr.incremental.update import ArrivingUpdate, ParsedUpdate
from incnnr.limits import Limits
from incnnr.nnc.units import Unit, UnitType
from incnnr.position import Position

_TRUSTED_BYTES = 64 << 20  # what comes of an update at once, at most


def decode_update(
    parent: CodecState | None,
    update: ParsedUpdate,
    update_bytes: int,
    places: Places,
    limits: Limits,
    threads: int,
) -> Outcome:
    """Decode an update whose parent is known to fit.

    `parent` is unchanged but for arrays among the `places`. If this raises, what was in them is in them again as far as
    the places keep a journal.
    """
    decoding = _Decoding(parent, update.begin, places, limits, threads)
    try:
        for unit in update.units:
            decoding.take(unit, update_bytes, None)
        return decoding.outcome(update.position, update_bytes)
    except BaseException:
        decoding.revert()
        raise


def decode_arriving(
    parent: CodecState | None,
    update: ArrivingUpdate,
    places: Places,
    limits: Limits,
    threads: int,
) -> Outcome:
    """Do as `decode_update`, unit by unit as they come. What `update` raises is passed on."""
    decoding = _Decoding(parent, update.begin, places, limits, threads)
    held_bytes = model_bytes(parent.table) if parent else 0
    try:
        for unit in update.units():
            new_bytes = limits.allowed_bytes(update.n_bytes, held_bytes)
            decoding.take(unit, max(update.n_bytes, _TRUSTED_BYTES), new_bytes)
        parsed = ParsedUpdate(update.begin, (), update.end)
        return decoding.outcome(parsed.position, update.n_bytes)
    except BaseException:
        decoding.revert()
        raise


class _Decoding:
    """An update on its way, unit by unit, from the state that it follows to the one after it."""

    def __init__(
        self,
        parent: CodecState | None,
        begin: Begin,
        places: Places,
        limits: Limits,
        threads: int,
    ) -> None:
        self._parent = parent
        self._begin = begin
        self._places = places
        self._limits = limits
        self._threads = threads
        self._slices: _Slices | None = None

    def take(self, unit: Unit, update_bytes: int, new_bytes: int | None) -> None:
        """Decode the next unit between BEGIN and END.

        Its table may declare what `update_bytes` may. Of `new_bytes`, if given, new tensors may have no more so far.
        """
        with located(unit.byte_offset, unit.index):
            if unit.type == UnitType.TABLE and self._slices is None:
                table = Table.read(unit).apply(self._held_table)
                check_table(self._limits, table, self._parent, update_bytes)
                self._slices = self._slices_of(table)
            elif unit.type == UnitType.DATA:
                self._slices = self._slices or self._slices_of(self._held_table)
                self._slices.take(unit, new_bytes)
            else:
                raise UnsupportedError(f"unit type {unit.type}")

    def outcome(self, position: Position, update_bytes: int) -> Outcome:
        """Finish at a position; the digest is compared with that of the weights."""
        slices = self._slices or self._slices_of(self._held_table)
        with located(update_bytes, None):
            outcome = slices.outcome(position)
        if digest_of(outcome.state.tensors) != position.digest:
            raise CorruptError("the decoded weights are not those the update was made from", byte_offset=update_bytes)
        return outcome

    def revert(self) -> None:
        """Put back what was in arrays that were decoded into."""
        if self._slices:
            self._slices.revert()

    @property
    def _held_table(self) -> Mapping[str, TensorSpec]:
        return self._parent.table if self._parent else {}

    def _slices_of(self, table: Mapping[str, TensorSpec]) -> _Slices:
        return _Slices(self._parent, self._begin, table, self._places(table), self._threads)


class _Slices:
    """The slices of an update, decoded unit by unit."""

    def __init__(
        self,
        parent: CodecState | None,
        begin: Begin,
        table: Mapping[str, TensorSpec],
        results: Results,
        threads: int,
    ) -> None:
        self._flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
        self._journal = results.journal
        held = parent.tensors if parent else {}
        self._revision = Revision(held, table, results, memory=begin.memory)
        self._threads = threads
        self._new_bytes = 0
        self._n_changed = 0
        self._n_done = 0

    def take(self, unit: Unit, new_bytes: int | None) -> None:
        data = Data.read(unit, most_codewords=len(self._revision.refs))
        jobs = self._opened(self._changed(data), new_bytes)
        codewords = self._revision.grouped(jobs)
        if len(codewords) != len(data.codewords):
            raise CorruptError(f"{len(codewords)} codewords needed, {len(data.codewords)} found")
        coding.decode(codewords, [memoryview(codeword) for codeword in data.codewords], self._threads)
        self._revision.settle(jobs)
        if self._journal:
            self._journal.settle()
        self._n_changed += sum(segment.n_changed for _, segment in jobs)

    def _changed(self, data: Data) -> list[SliceRef]:
        """Return the slices of a unit that it has codewords for."""
        refs = self._revision.refs[self._n_done : self._n_done + data.n_slices]
        if len(refs) < data.n_slices:
            raise CorruptError("more slices than the model has")
        self._n_done += len(refs)
        known = [ref.reference.changed for ref in refs if ref.reference]
        coded_flags = iter(coding.decode_flags(memoryview(data.flags), known, self._flag_contexts))
        changed = []
        for ref in refs:
            if ref.reference is None or next(coded_flags):
                changed.append(ref)
            else:
                self._revision.keep(ref)
        return changed

    def _opened(self, refs: Sequence[SliceRef], new_bytes: int | None) -> list[Job]:
        self._new_bytes += sum(ref.stop - ref.start for ref in refs if ref.reference is None)
        if new_bytes is not None and self._new_bytes > new_bytes:
            raise LimitExceededError(f"{self._new_bytes} bytes of new weights come of too few bytes")
        return [(ref, self._revision.restore(ref)) for ref in refs]

    def outcome(self, position: Position) -> Outcome:
        if any(ref.reference is None for ref in self._revision.refs[self._n_done :]):
            raise CorruptError("a new tensor has no data")
        state = CodecState(position, self._revision.tensors(), self._flag_contexts)
        return Outcome(state, self._revision.changes(), self._n_changed)

    def revert(self) -> None:
        if self._journal:
            self._journal.revert()

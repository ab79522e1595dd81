"""From given weights to an update: a pure function of what the other side holds."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress

from incnnr import coding
from incnnr.coding import Segment
from incnnr.incremental.given import Given
from incnnr.incremental.results import Results
from incnnr.incremental.revision import UNIT_BYTES, Revision, SliceRef
from incnnr.incremental.state import (
    Bytes,
    CodecState,
    Memory,
    TensorSpec,
    chain_of_hashes,
    digest_of,
    model_bytes,
    next_sequence,
)
from incnnr.incremental.syntax import START, Begin, Data, End, Table
from incnnr.incremental.update import UpdateStats
from incnnr.position import Position


@dataclass(frozen=True, slots=True)
class Encoded:
    """What there is to say of an update whose bytes are gone.

    Attributes
    ----------
    position, parent, stats
        As of `Update`.
    state : CodecState
        What a decoder holds after it.
    end : bytes
        Its last unit.
    """

    position: Position
    parent: Position | None
    stats: UpdateStats
    state: CodecState
    end: bytes


_NOTHING = Memory()

Units = Generator[bytes, None, Encoded]
"""The units of an update but the last, each coded when it is asked for; it returns what they came to."""


def encode_update(
    parent: CodecState | None,
    last_sequence: int,
    given: Mapping[str, Given],
    *,
    over: Mapping[str, Bytes],
    partial: bool,
    threads: int,
    memory: Memory = _NOTHING,
) -> Units:
    """Code `given` against `parent` (None: a keyframe), with `memory` of what each weight did.

    The update is the one after `parent`; a keyframe is the one after `last_sequence`. `parent` is unchanged but for the
    arrays of it that are `over`, by name: results are written over them.
    """
    sequence = next_sequence(parent, last_sequence)
    held = parent.table if parent else {}
    table = _table_after(held, given, keep_missing=partial)
    results = Results(table, over)
    revision = Revision(parent.tensors if parent else {}, table, results, memory=memory)
    parent_chain = parent.position.chain if parent else None
    difference = Table.between(held, table)

    changed, kept = _probed(revision, given, threads)
    for ref in compress(revision.refs, changed):
        revision.reserve(ref)
    slices = _Slices(revision, changed, given, parent)
    slices.note_errors(kept)
    hashes, n_bytes = [], 0
    head = [START, Begin(sequence, parent_chain, memory).pack(), *([difference.pack()] if difference else [])]
    for unit in chain(head, slices.units(threads)):
        hashes.append(coding.xxh64(unit))
        n_bytes += len(unit)
        yield unit

    tensors = revision.tensors()
    digest = digest_of(tensors)
    end = End(digest, chain_of_hashes(parent_chain, hashes, digest)).pack()
    position = Position(sequence, int.from_bytes(end[-8:], "little"), digest)
    stats = slices.stats(n_bytes + len(end))
    state = CodecState(position, tensors, slices.flag_contexts)
    return Encoded(position, parent.position if parent else None, stats, state, end)


def encoded_to_end(units: Units) -> Encoded:
    """Code to the end what nobody needs the bytes of."""
    while True:
        try:
            next(units)
        except StopIteration as end:
            encoded: Encoded = end.value
            return encoded


def _table_after(
    held: Mapping[str, TensorSpec], given: Mapping[str, Given], *, keep_missing: bool
) -> dict[str, TensorSpec]:
    """Tensors keep their place; new ones come last."""
    specs = {name: _spec_of(tensor, held.get(name)) for name, tensor in given.items()}
    kept = {name: specs.get(name, spec) for name, spec in held.items() if keep_missing or name in specs}
    return {**kept, **specs}


def _spec_of(tensor: Given, held: TensorSpec | None) -> TensorSpec:
    """Return the entry that is held where it says the same: it has been worked out."""
    if held and held.type == tensor.type and held.step_size == tensor.tolerance.grid_step:
        return held
    return TensorSpec(tensor.type, tensor.tolerance.grid_step)


class _Slices:
    """The slices of an update, encoded unit by unit."""

    def __init__(
        self, revision: Revision, changed: Sequence[bool], given: Mapping[str, Given], parent: CodecState | None
    ) -> None:
        self.flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
        self._revision = revision
        self._changed = changed
        self._given = given
        self._n_changed = 0
        self._largest_error = 0.0
        self._squared_error = 0.0

    def note_errors(self, segments: Iterable[Segment]) -> None:
        """Add up how far weights are from what was given."""
        for segment in segments:
            self._largest_error = max(self._largest_error, segment.largest_error)
            self._squared_error += segment.squared_error

    def units(self, threads: int) -> Iterator[bytes]:
        """Code what changed, a unit at a time; slices behind the last change need no unit."""
        n_needed = max((i + 1 for i, flag in enumerate(self._changed) if flag), default=0)
        start = 0
        while start < n_needed:
            stop = self._unit_stop(start, n_needed)
            yield self._unit(start, stop, threads).pack()
            start = stop

    def stats(self, n_bytes: int) -> UpdateStats:
        """Sum up."""
        table = self._revision.table
        n_weights = sum(spec.type.n_elements for spec in table.values())
        rms_error = math.sqrt(self._squared_error / max(1, n_weights))
        return UpdateStats(n_bytes, n_weights, model_bytes(table), self._n_changed, self._largest_error, rms_error)

    def _unit(self, start: int, stop: int, threads: int) -> Data:
        refs, changed = self._revision.refs[start:stop], self._changed[start:stop]
        jobs = [(ref, self._rewrite(ref)) for ref in compress(refs, changed)]
        codewords = coding.encode(self._revision.grouped(jobs), threads)
        self._revision.settle(jobs)
        self._n_changed += sum(segment.n_changed for _, segment in jobs)
        self.note_errors(segment for _, segment in jobs)
        known = [(ref.reference, flag) for ref, flag in zip(refs, changed, strict=True) if ref.reference]
        for ref, flag in zip(refs, changed, strict=True):
            if not flag:
                self._revision.keep(ref)
        last_flags = [reference.changed for reference, _ in known]
        flags = coding.encode_flags([flag for _, flag in known], last_flags, self.flag_contexts)
        return Data(len(refs), flags, codewords)

    def _rewrite(self, ref: SliceRef) -> Segment:
        tensor = self._given[ref.name]
        return self._revision.rewrite(ref, tensor.data, tensor.tolerance)

    def _unit_stop(self, start: int, stop: int) -> int:
        """Where a unit that begins at `start` ends: before its changed weights exceed `UNIT_BYTES`."""
        n_bytes = 0
        for i in range(start, stop):
            ref = self._revision.refs[i]
            n_bytes += ref.stop - ref.start if self._changed[i] else 0
            if n_bytes > UNIT_BYTES and i > start:
                return i
        return stop


def _probed(revision: Revision, given: Mapping[str, Given], threads: int) -> tuple[list[bool], list[Segment]]:
    """Tell which slices change, and what of those that were given stays as it is."""
    changed = [False] * len(revision.refs)
    at = [i for i, ref in enumerate(revision.refs) if ref.name in given]
    probes = []
    for i in at:
        tensor = given[revision.refs[i].name]
        probes.append(revision.probe(revision.refs[i], tensor.data, tensor.tolerance))
    flags = coding.find_changed(probes, threads)
    for i, flag in zip(at, flags, strict=True):
        changed[i] = flag
    return changed, [probe for probe, flag in zip(probes, flags, strict=True) if not flag]

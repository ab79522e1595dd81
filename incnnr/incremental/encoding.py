"""From given weights to an update: a pure function of what the other side holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from incnnr import coding
from incnnr._core import Segment
from incnnr.incremental.revision import UNIT_BYTES, Revision, SliceRef
from incnnr.incremental.state import Bytes, CodecState, TensorSpec, chain_after, digest_of, model_bytes
from incnnr.incremental.syntax import START, Begin, Data, End, Table
from incnnr.incremental.update import Update, UpdateStats
from incnnr.position import Position
from incnnr.quantization import Tolerance
from incnnr.tensors import TensorType


@dataclass(frozen=True, slots=True)
class Given:
    """One tensor to encode.

    Attributes
    ----------
    type : TensorType
        Dtype and shape.
    data : numpy.ndarray of uint8
        Its elements, little-endian in C order.
    tolerance : Tolerance
        How much it may change.
    """

    type: TensorType
    data: Bytes
    tolerance: Tolerance


def encode_update(
    parent: CodecState | None, sequence: int, given: Mapping[str, Given], *, partial: bool, threads: int
) -> tuple[Update, CodecState]:
    """Code `given` against `parent` (None: a keyframe).

    Returns
    -------
    Update
        Number `sequence`.
    CodecState
        What a decoder holds after it. `parent` is unchanged.
    """
    held = parent.table if parent else {}
    table = _table_after(held, given, keep_missing=partial)
    revision = Revision(parent.tensors if parent else {}, table)
    flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
    difference = Table.between(held, table)

    head = [START, Begin(sequence, parent.position.chain if parent else None).pack()]
    head += [difference.pack()] if difference else []
    segments: list[Segment] = []
    body = [unit.pack() for unit in _data_units(revision, given, flag_contexts, segments, threads)]
    tensors = revision.tensors()
    digest = digest_of(tensors)
    data = b"".join([*head, *body, End(digest).pack()])

    named_parent = parent.position if parent else None
    position = Position(sequence, chain_after(named_parent, data), digest)
    first_n_bytes = parent.first_n_bytes if parent else model_bytes(table)
    stats = UpdateStats(
        n_bytes=len(data),
        n_weights=sum(spec.type.n_elements for spec in table.values()),
        model_bytes=model_bytes(table),
        n_changed=sum(segment.n_changed for segment in segments),
        largest_error=max((segment.largest_error for segment in segments), default=0.0),
    )
    return Update(data, position, named_parent, stats), CodecState(position, tensors, flag_contexts, first_n_bytes)


def _table_after(
    held: Mapping[str, TensorSpec], given: Mapping[str, Given], *, keep_missing: bool
) -> dict[str, TensorSpec]:
    """Tensors keep their place; new ones come last."""
    specs = {name: TensorSpec(tensor.type, tensor.tolerance.step_size) for name, tensor in given.items()}
    kept = {name: specs.get(name, spec) for name, spec in held.items() if keep_missing or name in specs}
    return {**kept, **specs}


def _data_units(
    revision: Revision, given: Mapping[str, Given], flag_contexts: Bytes, segments: list[Segment], threads: int
) -> Iterator[Data]:
    """Code what changed, a unit at a time; slices behind the last change need no unit."""
    changed = _changed_flags(revision, given, threads)
    n_needed = max((i + 1 for i, flag in enumerate(changed) if flag), default=0)
    start = 0
    while start < n_needed:
        stop = _unit_stop(revision.refs, changed, start, n_needed)
        refs, flags = revision.refs[start:stop], changed[start:stop]
        start = stop
        for ref, flag in zip(refs, flags, strict=True):
            if not flag:
                revision.keep(ref)
        rewritten = [ref for ref, flag in zip(refs, flags, strict=True) if flag]
        jobs = [revision.rewrite(ref, given[ref.name].data, given[ref.name].tolerance.max_error) for ref in rewritten]
        codewords = coding.encode(revision.grouped(rewritten, jobs), threads)
        revision.settle(rewritten, jobs)
        segments += jobs
        known = [(ref.reference.changed, flag) for ref, flag in zip(refs, flags, strict=True) if ref.reference]
        coded_flags = coding.encode_flags([flag for _, flag in known], [last for last, _ in known], flag_contexts)
        yield Data(len(refs), coded_flags, codewords)


def _changed_flags(revision: Revision, given: Mapping[str, Given], threads: int) -> list[bool]:
    changed = [False] * len(revision.refs)
    at = [i for i, ref in enumerate(revision.refs) if ref.name in given]
    probes = []
    for i in at:
        tensor = given[revision.refs[i].name]
        probes.append(revision.probe(revision.refs[i], tensor.data, tensor.tolerance.max_error))
    for i, flag in zip(at, coding.find_changed(probes, threads), strict=True):
        changed[i] = flag
    return changed


def _unit_stop(refs: Sequence[SliceRef], changed: Sequence[bool], start: int, stop: int) -> int:
    """Where a unit that begins at `start` ends: before its changed weights exceed `UNIT_BYTES`."""
    n_bytes = 0
    for i in range(start, stop):
        n_bytes += (refs[i].stop - refs[i].start) * changed[i]
        if n_bytes > UNIT_BYTES:
            return i
    return stop

"""From given weights to an update: a pure function of what the other side holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from incnnr import coding
from incnnr.coding import Segment
from incnnr.incremental.revision import UNIT_BYTES, Revision, SliceRef
from incnnr.incremental.state import Bytes, CodecState, TensorSpec, chain_of, digest_of, model_bytes, next_sequence
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
    parent: CodecState | None,
    last_sequence: int,
    given: Mapping[str, Given],
    *,
    partial: bool,
    threads: int,
    with_history: bool = False,
) -> tuple[Update, CodecState]:
    """Code `given` against `parent` (None: a keyframe), `with_history` of each weight as far as it is coded exactly.

    Returns
    -------
    Update
        The one after `parent`; a keyframe is the one after `last_sequence`.
    CodecState
        What a decoder holds after it. `parent` is unchanged.
    """
    sequence = next_sequence(parent, last_sequence)
    held = parent.table if parent else {}
    table = _table_after(held, given, keep_missing=partial)
    revision = Revision(parent.tensors if parent else {}, table, with_history=with_history)
    flag_contexts = parent.flag_contexts.copy() if parent else coding.fresh_flag_contexts()
    difference = Table.between(held, table)

    changed = _changed_flags(revision, given, threads)
    # All arrays that stay are allocated before the first buffer that goes, so that no holes are left between them.
    segments = [
        revision.rewrite(ref, given[ref.name].data, given[ref.name].tolerance.max_error) if flag else None
        for ref, flag in zip(revision.refs, changed, strict=True)
    ]
    named_parent = parent.position if parent else None
    parent_chain = parent.position.chain if parent else None
    units = [START, Begin(sequence, parent_chain, with_history).pack(), *([difference.pack()] if difference else [])]
    units += [unit.pack() for unit in _data_units(revision, segments, flag_contexts, threads)]

    tensors = revision.tensors()
    digest = digest_of(tensors)
    end = End(digest, chain_of(parent_chain, units, digest))
    data = b"".join([*units, end.pack()])
    if len(data) > UNIT_BYTES:
        units.clear()
        coding.trim_memory()  # the buffers of a large update are of no use to the updates after it
    position = Position(sequence, end.chain, digest)
    stats = UpdateStats(
        n_bytes=len(data),
        n_weights=sum(spec.type.n_elements for spec in table.values()),
        model_bytes=model_bytes(table),
        n_changed=sum(segment.n_changed for segment in segments if segment),
        largest_error=max((segment.largest_error for segment in segments if segment), default=0.0),
    )
    return Update(data, position, named_parent, stats), CodecState(position, tensors, flag_contexts)


def _table_after(
    held: Mapping[str, TensorSpec], given: Mapping[str, Given], *, keep_missing: bool
) -> dict[str, TensorSpec]:
    """Tensors keep their place; new ones come last."""
    specs = {name: TensorSpec(tensor.type, tensor.tolerance.step_size) for name, tensor in given.items()}
    kept = {name: specs.get(name, spec) for name, spec in held.items() if keep_missing or name in specs}
    return {**kept, **specs}


def _data_units(
    revision: Revision, segments: Sequence[Segment | None], flag_contexts: Bytes, threads: int
) -> Iterator[Data]:
    """Code what changed, a unit at a time; slices behind the last change need no unit."""
    n_needed = max((i + 1 for i, segment in enumerate(segments) if segment), default=0)
    start = 0
    while start < n_needed:
        stop = _unit_stop(revision.refs, segments, start, n_needed)
        yield _data_unit(revision, revision.refs[start:stop], segments[start:stop], flag_contexts, threads)
        start = stop


def _data_unit(
    revision: Revision, refs: Sequence[SliceRef], segments: Sequence[Segment | None], flag_contexts: Bytes, threads: int
) -> Data:
    jobs = [(ref, segment) for ref, segment in zip(refs, segments, strict=True) if segment]
    codewords = coding.encode(revision.grouped(jobs), threads)
    revision.settle(jobs)
    known = [(ref, segment is not None) for ref, segment in zip(refs, segments, strict=True) if ref.reference]
    for ref, is_changed in known:
        if not is_changed:
            revision.keep(ref)
    last_flags = [ref.reference.changed for ref, _ in known if ref.reference]
    return Data(len(refs), coding.encode_flags([flag for _, flag in known], last_flags, flag_contexts), codewords)


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


def _unit_stop(refs: Sequence[SliceRef], segments: Sequence[Segment | None], start: int, stop: int) -> int:
    """Where a unit that begins at `start` ends: before its changed weights exceed `UNIT_BYTES`."""
    n_bytes = 0
    for i in range(start, stop):
        n_bytes += refs[i].stop - refs[i].start if segments[i] else 0
        if n_bytes > UNIT_BYTES:
            return i
    return stop

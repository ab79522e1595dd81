"""Tensors on their way from one state to the next: what encoder and decoder do alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from incnnr.changes import Change
from incnnr.coding import (
    ELEMENT_BYTES,
    SLICE_ELEMENTS,
    Coding,
    Segment,
    fresh_history,
    fresh_slice_contexts,
    group_sizes,
    means_bytes,
)
from incnnr.incremental.results import Results
from incnnr.incremental.state import Bytes, Memory, SliceState, TensorSpec, TensorState
from incnnr.quantization import Tolerance
from incnnr.tensors import Kind

UNIT_BYTES = 48 << 20  # weights per DATA unit; even incompressible ones stay well under the unit's 64 MiB


class SliceRef(NamedTuple):
    """One slice of the tensor table.

    Attributes
    ----------
    name : str
        Its tensor.
    number : int
        Which of the tensor's slices it is.
    kind : Kind
        How the kernel reads its elements.
    coding : Coding
        How it is coded.
    n_elements : int
        Elements, as the kernel counts them.
    start, stop : int
        Its bytes in the tensor.
    reference : SliceState or None
        What is known of it; None if the tensor is new or has another type than before.
    """

    name: str
    number: int
    kind: Kind
    coding: Coding
    n_elements: int
    start: int
    stop: int
    reference: SliceState | None


Job = tuple[SliceRef, Segment]


class Revision:
    """The tensors of an update in the making.

    Parameters
    ----------
    parent : mapping of str to TensorState
        What both sides hold; empty for a keyframe.
    table : mapping of str to TensorSpec
        The tensor table after the update, in model order.
    results : Results
        Where the tensors are written.
    memory : Memory
        What elements did before, so far as it tells what they do now.
    """

    def __init__(
        self,
        parent: Mapping[str, TensorState],
        table: Mapping[str, TensorSpec],
        results: Results,
        *,
        memory: Memory,
    ) -> None:
        self.table = table
        self._results = results
        self._memory = memory
        self._held = {
            name: _as_reference(parent[name], spec)
            for name, spec in table.items()
            if name in parent and parent[name].spec.type == spec.type
        }
        self._changes: dict[str, Change] = {}
        self._learned: dict[tuple[str, int], tuple[Bytes | None, Bytes | None]] = {}
        self._slices: dict[str, dict[int, SliceState]] = {}
        self.refs = [ref for name, spec in table.items() for ref in self._refs_of(name, spec)]

    def _refs_of(self, name: str, spec: TensorSpec) -> list[SliceRef]:
        held = self._held.get(name)
        kind, coding = spec.type.kind, spec.coding
        if held is None and coding is Coding.INTER:
            coding = Coding.INTRA
        known = held.slices if held else [None] * spec.n_slices
        parts = enumerate(zip(spec.slice_elements, spec.slice_bounds, known, strict=True))
        return [SliceRef(name, i, kind, coding, n, start, stop, state) for i, (n, (start, stop), state) in parts]

    def probe(self, ref: SliceRef, source: Bytes, tolerance: Tolerance) -> Segment:
        """Segment that asks whether a slice changes."""
        return self._segment(ref, self._held_bytes(ref), source=source[ref.start : ref.stop], **_goal(tolerance))

    def reserve(self, ref: SliceRef) -> None:
        """Allocate what stays of a slice that will be rewritten.

        Done before the first buffer that goes is allocated, no holes are left between what stays.
        """
        self._results.array(ref.name)
        self._learned[ref.name, ref.number] = self._own_contexts(ref), self._own_history(ref)

    def rewrite(self, ref: SliceRef, source: Bytes, tolerance: Tolerance) -> Segment:
        """Segment that encodes a slice that was reserved, with contexts of its own."""
        result, reference = self._results.opened(ref.name, ref.start, ref.stop, self._held_bytes(ref))
        contexts, history = self._learned[ref.name, ref.number]
        return self._segment(
            ref,
            reference,
            result=result,
            contexts=contexts,
            history=history,
            source=source[ref.start : ref.stop],
            **_goal(tolerance),
        )

    def restore(self, ref: SliceRef) -> Segment:
        """Segment that decodes a slice."""
        self.reserve(ref)
        contexts, history = self._learned[ref.name, ref.number]
        bits, journal = self._bits_of(ref), self._results.journal
        learned = {"contexts": contexts, "history": history, "changed": bits}
        if journal and bits is not None and ref.coding is Coding.INTER:
            place = self._results.array(ref.name)[ref.start : ref.stop]
            segment = self._segment(ref, place, result=place, keeps_before=True, **learned)
            journal.note(place, segment, bits, self._unit_bytes(ref))
            return segment
        result, reference = self._results.opened(ref.name, ref.start, ref.stop, self._held_bytes(ref))
        if journal:
            before = result.copy() if reference is None else reference
            journal.copy(result, before, bits, self._unit_bytes(ref))
        return self._segment(ref, reference, result=result, **learned)

    def _unit_bytes(self, ref: SliceRef) -> int:
        """Bytes of an element of a slice, as the kernel counts them."""
        return ELEMENT_BYTES[ref.kind]

    def _bits_of(self, ref: SliceRef) -> Bytes | None:
        """Where decoding says which elements of a slice changed; None if it has no reference."""
        if ref.name not in self._changes:
            n_bytes = (self.table[ref.name].n_elements + 7) // 8
            bits = np.zeros(n_bytes, np.uint8) if ref.reference else None
            self._changes[ref.name] = Change(bits, self._unit_bytes(ref))
        bits = self._changes[ref.name].bits
        first = ref.number * SLICE_ELEMENTS // 8
        return None if bits is None else bits[first : first + (ref.n_elements + 7) // 8]

    def _held_bytes(self, ref: SliceRef) -> Bytes | None:
        return self._held[ref.name].data[ref.start : ref.stop] if ref.reference else None

    def _own_contexts(self, ref: SliceRef) -> Bytes | None:
        if ref.coding is Coding.INTRA:
            return None
        known = ref.reference.contexts if ref.reference else None
        return fresh_slice_contexts(ref.kind, ref.coding) if known is None else known.copy()

    def _own_history(self, ref: SliceRef) -> Bytes | None:
        known = ref.reference.history if ref.reference else None
        if ref.coding is Coding.INTER and self._memory.with_history:
            return fresh_history(ref.n_elements) if known is None else known.copy()
        if n_means := self._n_means(ref):
            n_bytes = means_bytes(ref.kind, n_means, ref.n_elements)
            return np.zeros(n_bytes, np.uint8) if known is None or known.size != n_bytes else known.copy()
        return None

    def _n_means(self, ref: SliceRef) -> int:
        """Count the running means of a slice: what has no reference made no update yet."""
        return self._memory.n_means if ref.coding is Coding.QUANTIZED and ref.reference else 0

    def _segment(self, ref: SliceRef, reference: Bytes | None, **arrays: Any) -> Segment:
        spec = self.table[ref.name]
        return Segment(
            ref.kind,
            ref.coding,
            ref.n_elements,
            reference=reference,
            width=spec.width,
            n_means=self._n_means(ref),
            step_size=spec.step_size,
            **arrays,
        )

    @staticmethod
    def grouped(jobs: Sequence[Job]) -> list[list[Segment]]:
        """Pack the segments of rewritten slices into codewords."""
        groups, start = [], 0
        for size in group_sizes(ref.n_elements for ref, _ in jobs):
            groups.append([segment for _, segment in jobs[start : start + size]])
            start += size
        return groups

    def settle(self, jobs: Sequence[Job]) -> None:
        """Take over what the kernels made of rewritten slices."""
        for ref, segment in jobs:
            contexts, history = self._learned.pop((ref.name, ref.number))
            self._slices.setdefault(ref.name, {})[ref.number] = SliceState(segment.digest, contexts, history=history)

    def keep(self, ref: SliceRef) -> None:
        """Note that a slice was flagged as unchanged."""
        if ref.reference is not None and ref.reference.changed:
            self._slices.setdefault(ref.name, {})[ref.number] = replace(ref.reference, changed=False)

    def changes(self) -> dict[str, Change]:
        """Return what became of the tensors that were decoded, or are new."""
        empty = {
            name: Change(None, ELEMENT_BYTES[spec.type.kind])
            for name, spec in self.table.items()
            if name not in self._held and name not in self._changes
        }
        return self._changes | empty

    def tensors(self) -> dict[str, TensorState]:
        """Return the tensors after the update."""
        tensors = {name: self._tensor(name, spec) for name, spec in self.table.items()}
        self._results.seal()
        return tensors

    def _tensor(self, name: str, spec: TensorSpec) -> TensorState:
        held = self._held.get(name)
        touched = self._slices.get(name, {})
        if held is None:
            return TensorState(spec, self._results.array(name), tuple(touched[i] for i in range(spec.n_slices)))
        if not touched and held.spec == spec:
            return held
        slices = tuple(touched.get(i, known) for i, known in enumerate(held.slices))
        kept = [bounds for i, bounds in enumerate(spec.slice_bounds) if i not in touched or not touched[i].changed]
        return TensorState(spec, self._results.completed(name, held.data, kept), slices)


def _goal(tolerance: Tolerance) -> dict[str, Any]:
    """Tell the kernel what to aim at."""
    return {
        "search": tolerance.search,
        "scale": tolerance.scale,
        "max_error": tolerance.max_error,
        "relative_error": tolerance.relative_error,
    }


def _as_reference(held: TensorState, spec: TensorSpec) -> TensorState:
    """Drop what was learned if it was with another coding."""
    if held.spec.coding is spec.coding:
        return held
    return replace(held, slices=tuple(replace(known, contexts=None, history=None) for known in held.slices))

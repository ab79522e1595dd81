"""Tensors on their way from one state to the next: what encoder and decoder do alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from incnnr.coding import Coding, Segment, fresh_history, fresh_slice_contexts, group_sizes
from incnnr.incremental.state import Bytes, SliceState, TensorSpec, TensorState

UNIT_BYTES = 48 << 20  # weights per DATA unit; even incompressible ones stay well under the unit's 64 MiB


@dataclass(frozen=True, slots=True)
class SliceRef:
    """One slice of the tensor table.

    Attributes
    ----------
    name : str
        Its tensor.
    index : int
        Its number in the tensor.
    n_elements : int
        Elements, as the kernel counts them.
    start, stop : int
        Its bytes in the tensor.
    reference : SliceState or None
        What is known of it; None if the tensor is new or has another type than before.
    """

    name: str
    index: int
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
    with_history : bool
        Whether what elements did before tells what they do now.
    """

    def __init__(
        self, parent: Mapping[str, TensorState], table: Mapping[str, TensorSpec], *, with_history: bool
    ) -> None:
        self.table = table
        self._with_history = with_history
        self._held = {
            name: _as_reference(parent[name], spec)
            for name, spec in table.items()
            if name in parent and parent[name].spec.type == spec.type
        }
        self._written: dict[str, Bytes] = {}
        self._learned: dict[tuple[str, int], tuple[Bytes | None, Bytes | None]] = {}
        self._slices: dict[str, dict[int, SliceState]] = {}
        self.refs = [ref for name, spec in table.items() for ref in self._refs_of(name, spec)]

    def _refs_of(self, name: str, spec: TensorSpec) -> list[SliceRef]:
        known = self._held[name].slices if name in self._held else [None] * spec.n_slices
        parts = zip(spec.slice_elements, spec.slice_bounds, known, strict=True)
        return [SliceRef(name, i, n, start, stop, state) for i, (n, (start, stop), state) in enumerate(parts)]

    def probe(self, ref: SliceRef, source: Bytes, max_error: float) -> Segment:
        """Segment that asks whether a slice changes."""
        return self._segment(ref, source, max_error)

    def rewrite(self, ref: SliceRef, source: Bytes | None = None, max_error: float = 0.0) -> Segment:
        """Segment that codes a slice into a new array, with contexts of its own; without a source, to decode it."""
        if ref.name not in self._written:
            self._written[ref.name] = np.empty(self.table[ref.name].type.n_bytes, np.uint8)
        result = self._written[ref.name][ref.start : ref.stop]
        learned = self._own_contexts(ref), self._own_history(ref)
        self._learned[ref.name, ref.index] = learned
        return self._segment(ref, source, max_error, result, *learned)

    def _own_contexts(self, ref: SliceRef) -> Bytes | None:
        coding = self._coding(ref)
        if coding is Coding.INTRA:
            return None
        known = ref.reference.contexts if ref.reference else None
        return fresh_slice_contexts(self.table[ref.name].type.kind, coding) if known is None else known.copy()

    def _own_history(self, ref: SliceRef) -> Bytes | None:
        if not self._with_history or self._coding(ref) is not Coding.INTER:
            return None
        known = ref.reference.history if ref.reference else None
        return fresh_history(ref.n_elements) if known is None else known.copy()

    def _coding(self, ref: SliceRef) -> Coding:
        coding = self.table[ref.name].coding
        return Coding.INTRA if coding is Coding.INTER and ref.reference is None else coding

    def _segment(
        self,
        ref: SliceRef,
        source: Bytes | None,
        max_error: float,
        result: Bytes | None = None,
        contexts: Bytes | None = None,
        history: Bytes | None = None,
    ) -> Segment:
        return Segment(
            self.table[ref.name].type.kind,
            self._coding(ref),
            ref.n_elements,
            result=result,
            source=None if source is None else source[ref.start : ref.stop],
            reference=self._held[ref.name].data[ref.start : ref.stop] if ref.reference else None,
            contexts=contexts,
            history=history,
            step_size=self.table[ref.name].step_size,
            max_error=max_error,
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
            contexts, history = self._learned.pop((ref.name, ref.index))
            self._slices.setdefault(ref.name, {})[ref.index] = SliceState(segment.digest, contexts, history=history)

    def keep(self, ref: SliceRef) -> None:
        """Note that a slice was flagged as unchanged."""
        if ref.reference is not None and ref.reference.changed:
            self._slices.setdefault(ref.name, {})[ref.index] = replace(ref.reference, changed=False)

    @property
    def changed_names(self) -> frozenset[str]:
        """Tensors that got new values, or are new."""
        return frozenset(self._written) | frozenset(name for name in self.table if name not in self._held)

    def tensors(self) -> dict[str, TensorState]:
        """Return the tensors after the update; nobody writes to their arrays again."""
        tensors = {name: self._tensor(name, spec) for name, spec in self.table.items()}
        for written in self._written.values():
            written.flags.writeable = False
        return tensors

    def _tensor(self, name: str, spec: TensorSpec) -> TensorState:
        held = self._held.get(name)
        touched = self._slices.get(name, {})
        if held is None:
            data = self._written.get(name, np.empty(0, np.uint8))
            return TensorState(spec, data, tuple(touched[i] for i in range(spec.n_slices)))
        if not touched and held.spec == spec:
            return held
        slices = tuple(touched.get(i, known) for i, known in enumerate(held.slices))
        return TensorState(spec, self._completed(name, held, touched), slices)

    def _completed(self, name: str, held: TensorState, touched: Mapping[int, SliceState]) -> Bytes:
        """Copy the slices that were not rewritten from what is held."""
        written = self._written.get(name)
        if written is None:
            return held.data
        for index, (start, stop) in enumerate(held.spec.slice_bounds):
            if index not in touched or not touched[index].changed:
                written[start:stop] = held.data[start:stop]
        return written


def _as_reference(held: TensorState, spec: TensorSpec) -> TensorState:
    """Drop what was learned if it was with another coding."""
    if held.spec.coding is spec.coding:
        return held
    return replace(held, slices=tuple(replace(known, contexts=None, history=None) for known in held.slices))

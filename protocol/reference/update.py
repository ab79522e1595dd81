"""An update from its bytes to the next state: bitstream.md section 1 (DATA) and 2, state.md."""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import FLAG_SHIFTS, Contexts
from protocol.reference.differences import Differences, fresh_differences, fresh_history
from protocol.reference.errors import DoesNotFollowError, require
from protocol.reference.levels import LearnedLevels
from protocol.reference.means import fresh_means
from protocol.reference.quantised import Quantised
from protocol.reference.slices import exact_without_reference
from protocol.reference.state import (
    SLICE_ELEMENTS,
    Position,
    Slice,
    State,
    TableEntry,
    Tensor,
    model_digest,
    new_slice,
)
from protocol.reference.table import table_after
from protocol.reference.units import Begin, Bytes, Units, read_units


def decode(state: State | None, update: bytes, any_keyframe: bool = False) -> State:
    """Return the state after an update; the state before it stays as it is.

    Parameters
    ----------
    state : State or None
        What the decoder remembers; None before the first keyframe.
    update : bytes
        The whole update.
    any_keyframe : bool
        Take a keyframe whatever its sequence is.
    """
    units = read_units(update)
    require(units.chain == units.chain_for(units.digest), "the update is damaged")
    check_that_it_follows(state, units, any_keyframe)
    after = result(state, units)
    require(after.position.digest == units.digest, "the digest is not the one in END")
    return after


def check_that_it_follows(state: State | None, units: Units, any_keyframe: bool) -> None:
    """state.md, "Positions": decided from BEGIN and END alone."""
    reason = why_not(state, units, any_keyframe)
    if reason:
        raise DoesNotFollowError(reason)


def why_not(state: State | None, units: Units, any_keyframe: bool) -> str | None:
    begin = units.begin
    if begin.is_keyframe and (state is None or any_keyframe or begin.sequence > state.position.sequence):
        return None
    if state is None:
        return "gap"
    here = state.position
    if begin.sequence == here.sequence + 1 and begin.parent_chain == here.chain:
        return None
    led_here = begin.sequence == here.sequence and units.chain == here.chain
    if begin.sequence < here.sequence or led_here:
        return "stale"
    return "gap" if begin.sequence > here.sequence + 1 else "diverged"


def result(state: State | None, units: Units) -> State:
    """The state that the units lead to, with the digest it really has."""
    start = None if units.begin.is_keyframe else state
    tensors_before = start.tensors if start else []
    flag_contexts = start.flag_contexts.copy() if start else Contexts(FLAG_SHIFTS)
    entries = table_after([tensor.entry for tensor in tensors_before], units.table)
    tasks = list_slices(entries, tensors_before)
    decode_data(units.data, tasks, flag_contexts, units.begin)
    tensors = gather(entries, tasks)
    digest = model_digest(tensors)
    return State(Position(units.begin.sequence, units.chain_for(digest), digest), tensors, flag_contexts)


@dataclass
class Task:
    """A slice of the new table; ``before`` is its reference and, once decoded, ``after`` what it has become."""

    entry: TableEntry
    n_elements: int
    before: Slice | None
    after: Slice | None = None


def list_slices(entries: list[TableEntry], tensors_before: list[Tensor]) -> list[Task]:
    """Section 2: the slices are numbered through the new table; names lead to their references."""
    before = {tensor.entry.name: tensor for tensor in tensors_before}
    tasks = []
    for entry in entries:
        sizes = entry.slice_sizes()
        old = before.get(entry.name)
        references = references_for(entry, old) if old and entry.matches(old.entry) else [None] * len(sizes)
        tasks += [Task(entry, n, reference) for n, reference in zip(sizes, references, strict=True)]
    return tasks


def references_for(entry: TableEntry, old: Tensor) -> list[Slice]:
    """What was learned from differences says nothing about levels, nor the other way round."""
    if (entry.step_size > 0) == (old.entry.step_size > 0):
        return old.slices
    return [replace(part, learned=None, history=None) for part in old.slices]


def gather(entries: list[TableEntry], tasks: list[Task]) -> list[Tensor]:
    """Put the slices back into tensors; one that no unit reached stays as it was."""
    remaining = iter(tasks)
    tensors = []
    for entry in entries:
        tasks_here = [next(remaining) for _ in entry.slice_sizes()]
        slices = [task.after or task.before for task in tasks_here]
        require(None not in slices, "a new slice is not coded")
        tensors.append(Tensor(entry, slices))
    return tensors


def decode_data(payloads: list[bytes], tasks: list[Task], flag_contexts: Contexts, begin: Begin) -> None:
    """Section 1, DATA: the first unit has the first slices, the next one the following."""
    at = 0
    for payload in payloads:
        source = Bytes(payload)
        n_slices = source.varint()
        require(at + n_slices <= len(tasks), "there are more slices in the units than in the table")
        decode_unit(source, tasks[at : at + n_slices], flag_contexts, begin)
        require(not source, "a unit goes on behind its codewords")
        at += n_slices


def decode_unit(source: Bytes, tasks: list[Task], flag_contexts: Contexts, begin: Begin) -> None:
    changed = decode_flags(Codeword(source.take(source.varint())), tasks, flag_contexts)
    for group in packed(changed):
        codeword = next_codeword(source)
        intra = Contexts()
        for task in group:
            decode_task(codeword, task, intra, begin)
        codeword.finish()


def next_codeword(source: Bytes) -> Codeword:
    """Section 3: the size of the bulk, the bulk, the arithmetic codeword."""
    whole = Bytes(source.take(source.varint()))
    bulk = whole.take(whole.varint())
    return Codeword(whole.rest(), bulk)


def decode_flags(codeword: Codeword, tasks: list[Task], flag_contexts: Contexts) -> list[Task]:
    """The slices that are coded: those without a reference, and those whose flag is 1."""
    changed = []
    flag_before = 0
    for task in tasks:
        if task.before is None:
            changed.append(task)
            continue
        flag_before = codeword.bit(flag_contexts, 2 * task.before.last_flag + flag_before)
        if flag_before:
            changed.append(task)
        else:
            task.after = replace(task.before, last_flag=0)
    codeword.finish()
    return changed


def packed(tasks: list[Task]) -> list[list[Task]]:
    """Section 2: a codeword takes slices as long as they have at most 2^20 elements together."""
    groups: list[list[Task]] = []
    for task in tasks:
        if groups and sum(t.n_elements for t in groups[-1]) + task.n_elements <= SLICE_ELEMENTS:
            groups[-1].append(task)
        else:
            groups.append([task])
    return groups


def decode_task(codeword: Codeword, task: Task, intra: Contexts, begin: Begin) -> None:
    """Sections 6 and 7: which rule is meant, the step size and the reference say."""
    if task.entry.step_size > 0:
        task.after = quantised(codeword, task, begin.n_means if task.before else 0)
    elif task.before:
        task.after = exact_with_reference(codeword, task, begin.with_history)
    else:
        elements = exact_without_reference(codeword, task.entry.type.kind, task.n_elements, intra)
        task.after = new_slice(elements, task.entry)


def quantised(codeword: Codeword, task: Task, n_means: int) -> Slice:
    before = task.before
    reference = before.elements if before else [0] * task.n_elements
    learned = before.learned.copy() if before and before.learned else LearnedLevels()
    known = before.history if before and before.history else []
    means = known if len(known) == n_means else fresh_means(n_means, task.n_elements)
    slice_ = Quantised(task.entry.type.kind, task.entry.step_size, task.entry.width(), reference, means)
    return new_slice(slice_.decode(codeword, learned), task.entry, learned, slice_.means or None)


def exact_with_reference(codeword: Codeword, task: Task, with_history: bool) -> Slice:
    before = task.before
    history = None
    learned = before.learned.copy() if before.learned else fresh_differences()
    if with_history:
        history = before.history.copy() if before.history else fresh_history(task.n_elements)
    elements = Differences(codeword, task.entry.type.kind, before.elements, learned, history).decode()
    return new_slice(elements, task.entry, learned, history)

"""iso.md section 8: the levels of one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from protocol.reference.errors import require
from protocol.reference.iso.codebook import Codebook
from protocol.reference.iso.contexts import Context, Contexts
from protocol.reference.iso.data_unit import EntryPoint, Shape
from protocol.reference.iso.engine import Codeword
from protocol.reference.iso.scan import block_rows
from protocol.reference.iso.tables import DQ_STATES
from protocol.reference.iso.weights import Clues, coded_integer


@dataclass(frozen=True)
class Rules:
    """Where NNCodec 1.x and 2.x disagree about edition 1: shift ids of the remainder, block rows that restart."""

    n_remainder: int = 31
    fewest_block_rows: int = 2


@dataclass
class Layer:
    """What the levels of a tensor are decoded with.

    ``base`` are the levels of the update before this one, if contexts look at them; ``history`` says where there ever
    was a level other than 0; ``codebook`` is None where it puts no limit to the levels.
    """

    shape: Shape
    n_flags: int
    dq_flag: bool
    scan_order: int
    codebook: Codebook | None
    has_preamble: bool
    has_parent: bool
    base: list[int] | None
    history: list[bool] | None
    rules: Rules

    @property
    def height(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def width(self) -> int:
        return prod(self.shape[1:])

    @property
    def is_matrix(self) -> bool:
        return self.width > 1 and self.height > 1

    @property
    def has_one_value(self) -> bool:
        return self.codebook is not None and len(self.codebook.values) == 1


@dataclass
class Preamble:
    uses_history: bool
    zero_rows: list[bool]


def decode_layer(codeword: Codeword, layer: Layer, found: list[EntryPoint]) -> list[int]:
    """The levels in C order; entry points are added to ``found``."""
    contexts = Contexts(layer.n_flags, layer.rules.n_remainder)
    preamble = decode_preamble(codeword, contexts, layer)
    used = signalled_contexts(contexts, layer, preamble.uses_history)
    for context in used:
        if codeword.symbol(contexts.initial_present):
            context.start_from(1 + codeword.bypass(3))
    return decode_levels(codeword, contexts, layer, preamble, found)


def decode_preamble(codeword: Codeword, contexts: Contexts, layer: Layer) -> Preamble:
    if not (layer.has_preamble and layer.is_matrix and not layer.has_one_value):
        return Preamble(False, [False] * layer.height)
    uses_history = layer.has_parent and codeword.bypass(1) == 1
    if not codeword.bypass(1):
        return Preamble(uses_history, [False] * layer.height)
    return Preamble(uses_history, [codeword.symbol(contexts.row_is_zero) == 1 for _ in range(layer.height)])


def signalled_contexts(contexts: Contexts, layer: Layer, uses_history: bool) -> list[Context]:
    """The contexts whose initial set is told, in order."""
    n_states = 8 if layer.dq_flag else 1
    significant = contexts.significant[: 3 * n_states]
    negative = list(contexts.negative)
    greater = contexts.greater[: n_greater(layer.codebook, 0, contexts)]
    if layer.base is not None:
        significant += contexts.significant_temporal[: 2 * n_states]
        negative += contexts.negative_temporal
        greater += contexts.greater_temporal[: n_greater(layer.codebook, 1, contexts)]
    if uses_history:
        significant += contexts.significant_history[:n_states]
    if layer.has_one_value:
        significant = []
    if layer.codebook and 0 in (layer.codebook.largest_negative, layer.codebook.largest_positive):
        negative = []
    return significant + negative + greater + reachable_remainder(contexts, layer)


def n_greater(codebook: Codebook | None, below: int, contexts: Contexts) -> int:
    if codebook is None:
        return len(contexts.greater)
    return max(2 * (largest(codebook) - below), 0)


def reachable_remainder(contexts: Contexts, layer: Layer) -> list[Context]:
    if layer.codebook is None:
        return contexts.remainder
    limit = largest(layer.codebook)
    return [c for a, c in enumerate(contexts.remainder) if layer.n_flags + 2 ** (a + 1) - 2 < limit]


def largest(codebook: Codebook) -> int:
    return max(codebook.largest_negative, codebook.largest_positive)


def decode_levels(
    codeword: Codeword, contexts: Contexts, layer: Layer, preamble: Preamble, found: list[EntryPoint]
) -> list[int]:
    levels = [0] * (layer.height * layer.width)
    history = layer.history if preamble.uses_history else None
    rows = list(block_rows(layer.height, layer.width, layer.scan_order if layer.is_matrix else 0))
    restarts = layer.scan_order > 0 and layer.is_matrix and len(rows) >= layer.rules.fewest_block_rows
    state, n_shifted = 0, codeword.n_shifted
    for i, segments in enumerate(rows):
        if restarts:
            codeword.start_block_row()
        if i > 0:
            found.append(EntryPoint(codeword.window >> 7, state, codeword.n_shifted - n_shifted))
            n_shifted = codeword.n_shifted
            for context in contexts.of_levels():
                context.reset()
        before = 0
        for row, columns in segments:
            if preamble.zero_rows[row]:
                state = after_zero_row(state, layer)
                continue
            for at in range(row * layer.width + columns.start, row * layer.width + columns.stop):
                base = layer.base[at] if layer.base else 0
                clues = Clues(before, base, state, history is not None and history[at])
                before = coded_integer(codeword, contexts, layer.codebook, clues)
                levels[at] = before if not layer.dq_flag else dequantised(before, state)
                require(-(2**31) <= levels[at] < 2**31, "a level that does not fit 32 bits")
                state = DQ_STATES[state][before & 1] if layer.dq_flag else 0
    return levels


def dequantised(coded: int, state: int) -> int:
    """Dependent quantisation: even states have the even levels, odd states 0 and the odd ones."""
    if coded == 0:
        return 0
    return 2 * coded - (state & 1) * (1 if coded > 0 else -1)


def after_zero_row(state: int, layer: Layer) -> int:
    """A skipped segment counts as a whole row, however short it is."""
    if layer.dq_flag:
        for _ in range(layer.width):
            state = DQ_STATES[state][0]
    return state

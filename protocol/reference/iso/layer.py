"""iso.md section 8: one tensor in a codeword, what comes before its levels."""

from __future__ import annotations

from protocol.reference.iso.codebook import Codebook
from protocol.reference.iso.contexts import Context, Contexts
from protocol.reference.iso.data_unit import EntryPoint
from protocol.reference.iso.engine import Codeword
from protocol.reference.iso.levels import Layer, Levels, Preamble


def decode_layer(codeword: Codeword, layer: Layer, found: list[EntryPoint]) -> list[int]:
    """The levels in C order; entry points are added to ``found``."""
    contexts = Contexts(layer.n_flags, layer.rules.n_remainder)
    preamble = decode_preamble(codeword, contexts, layer)
    for context in signalled_contexts(contexts, layer, preamble.uses_history):
        if codeword.symbol(contexts.initial_present):
            context.start_from(1 + codeword.bypass(3))
    return Levels(codeword, contexts, layer, preamble).decode(found)


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

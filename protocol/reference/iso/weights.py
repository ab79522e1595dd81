"""iso.md section 8, "One level": how a coded integer is put together from decisions."""

from __future__ import annotations

from typing import NamedTuple

from protocol.reference.iso.codebook import Codebook
from protocol.reference.iso.contexts import Context, Contexts
from protocol.reference.iso.engine import Codeword

UNLIMITED = 1 << 64


class Clues(NamedTuple):
    """What contexts are chosen by.

    The coded integer before this one in the block row, the level of the update before at this place, the state of
    dependent quantisation, and whether there ever was a level other than 0 at this place.
    """

    before: int
    base: int
    state: int
    ever_significant: bool


def coded_integer(codeword: Codeword, contexts: Contexts, codebook: Codebook | None, clues: Clues) -> int:
    if codebook and len(codebook.values) == 1:
        return 0
    if not codeword.symbol(significance_context(contexts, clues)):
        return 0
    is_negative = decode_sign(codeword, contexts, codebook, clues)
    limit = UNLIMITED
    if codebook:
        limit = codebook.largest_negative if is_negative else codebook.largest_positive
    magnitude = decode_magnitude(codeword, contexts, is_negative, clues.base, limit)
    return -magnitude if is_negative else magnitude


def significance_context(contexts: Contexts, clues: Clues) -> Context:
    if clues.ever_significant:
        return contexts.significant_history[clues.state]
    if clues.base != 0:
        return contexts.significant_temporal[2 * clues.state + (abs(clues.base) > 1)]
    return contexts.significant[3 * clues.state + by_sign(clues.before)]


def by_sign(before: int) -> int:
    return 0 if before == 0 else 1 if before < 0 else 2


def decode_sign(codeword: Codeword, contexts: Contexts, codebook: Codebook | None, clues: Clues) -> bool:
    """A codebook that has values on one side only needs no sign."""
    if codebook and codebook.largest_negative == 0:
        return False
    if codebook and codebook.largest_positive == 0:
        return True
    if clues.base != 0:
        return codeword.symbol(contexts.negative_temporal[clues.base > 0]) == 1
    return codeword.symbol(contexts.negative[by_sign(clues.before)]) == 1


def decode_magnitude(codeword: Codeword, contexts: Contexts, is_negative: bool, base: int, limit: int) -> int:
    """Flags that each add 1, then, if all of them did, a remainder."""
    magnitude = 1
    for j in range(len(contexts.greater) // 2):
        if magnitude >= limit:
            return magnitude
        if base != 0:
            context = contexts.greater_temporal[2 * j + (abs(base) < j)]
        else:
            context = contexts.greater[2 * j + is_negative]
        if not codeword.symbol(context):
            return magnitude
        magnitude += 1
    if magnitude >= limit:
        return magnitude
    return magnitude + decode_remainder(codeword, contexts, limit - magnitude)


def decode_remainder(codeword: Codeword, contexts: Contexts, limit: int) -> int:
    """An Exp-Golomb number of order 0, the steps of which have contexts, and which knows the largest it can be."""
    remainder, order = 0, 0
    for context in contexts.remainder[:31]:
        if not codeword.symbol(context):
            break
        remainder += 1 << order
        order += 1
        if limit < remainder + (1 << order):
            break
    return remainder + codeword.bypass(order)

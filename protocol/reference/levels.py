"""bitstream.md section 6, "Levels": what a slice says of its step, and a level for each element."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import FLAG_SHIFTS, Contexts
from protocol.reference.errors import require
from protocol.reference.neighbourhood import Neighbourhood
from protocol.reference.residuals import signed
from protocol.reference.signs import Signs
from protocol.reference.tables import DQ_STATES, LEVEL_STARTS

MOST_SCALE = 2**17
MOST_COEFFICIENT = 4095
MOST_LENGTH = 23
INDEPENDENT_STATE = 2


def start(key: object) -> tuple[int, int]:
    """Contexts of levels begin near to where they usually end."""
    of, *indices = key
    if of == "top_bit":
        return 2**31, 2**31
    expectation, state_or_length = indices
    if of == "significant":
        states = "state_0" if state_or_length == 0 else "odd_states" if state_or_length % 2 else "even_states"
        one = LEVEL_STARTS[f"significant_in_{states}"][expectation]
    elif of == "longer":
        one = LEVEL_STARTS["greater"][max(0, expectation - 1 - 2 * state_or_length)]
    else:
        one = LEVEL_STARTS["greater"][expectation]
    return one << 20 | 4, one << 20


@dataclass
class LearnedLevels:
    """What is remembered of a slice: contexts, and what its header said last."""

    header: Contexts = field(default_factory=lambda: Contexts(FLAG_SHIFTS))
    levels: Contexts = field(default_factory=lambda: Contexts(start=start))
    scale: int = 0
    coefficients: list[int] = field(default_factory=lambda: [0, 0])
    signs: Signs = field(default_factory=Signs.fresh)

    def copy(self) -> LearnedLevels:
        return LearnedLevels(self.header.copy(), self.levels.copy(), self.scale, self.coefficients, self.signs.copy())


@dataclass(frozen=True)
class Header:
    """What a slice begins with."""

    has_levels: bool
    is_dependent: bool
    scale: int
    coefficients: list[int]


def decode_header(codeword: Codeword, learned: LearnedLevels, n_means: int) -> Header:
    is_dependent, coefficients = False, [0] * n_means
    has_levels = codeword.bit(learned.header, "any") == 1
    if has_levels:
        is_dependent = codeword.bit(learned.header, "dependent") == 1
        learned.scale = signed(learned.scale + decode_number(codeword, learned.header, "other_scale"), 32)
        require(abs(learned.scale) <= MOST_SCALE, "a step is scaled too much")
    if n_means > 0 and codeword.bit(learned.header, "predicted"):
        moved = [decode_number(codeword, learned.header, "other_coefficient") for _ in range(n_means)]
        coefficients = [signed(c + d, 32) for c, d in zip(learned.coefficients, moved, strict=False)]
        require(max(map(abs, coefficients)) <= MOST_COEFFICIENT, "a coefficient is too large")
        learned.coefficients = [*coefficients, *learned.coefficients[n_means:]]
    if has_levels and codeword.bit(learned.header, "other_distances"):
        learned.signs.decode_distances(codeword)
    return Header(has_levels, is_dependent, learned.scale, coefficients)


def decode_number(codeword: Codeword, contexts: Contexts, key: str) -> int:
    """A number that is mostly 0."""
    if not codeword.bit(contexts, key):
        return 0
    sign = -1 if codeword.bypass(1) else 1
    length = codeword.bypass(5)
    return sign * (2**length + codeword.bypass(length))


def decode_levels(codeword: Codeword, learned: LearnedLevels, is_dependent: bool, around: Neighbourhood) -> list[int]:
    """The state of dependent quantisation begins at 0; without it, it never changes."""
    levels = []
    state = 0 if is_dependent else INDEPENDENT_STATE
    for _ in range(around.n_elements):
        index = decode_index(codeword, learned, around, state)
        levels.append(level_of(index, state))
        around.push(levels[-1])
        if is_dependent:
            state = DQ_STATES[state][index % 2]
    return levels


def level_of(index: int, state: int) -> int:
    """Even multiples of the step in even states; odd ones, and 0, in odd states."""
    odd = state % 2
    return 2 * index - odd if index > 0 else 2 * index + odd if index < 0 else 0


def decode_index(codeword: Codeword, learned: LearnedLevels, around: Neighbourhood, state: int) -> int:
    magnitude = decode_magnitude(codeword, learned.levels, around.expectation(), state)
    if magnitude == 0:
        return 0
    features = around.sign_features(learned.signs.distances)
    negative = learned.signs.decode(codeword, features, level_of(magnitude, state))
    return -magnitude if negative else magnitude


def decode_magnitude(codeword: Codeword, contexts: Contexts, expectation: int, state: int) -> int:
    if not codeword.bit(contexts, ("significant", expectation, state)):
        return 0
    if not codeword.bit(contexts, ("greater_than_1", expectation, state)):
        return 1
    if not codeword.bit(contexts, ("greater_than_2", expectation, state)):
        return 2
    return 2 + decode_remainder(codeword, contexts, expectation)


def decode_remainder(codeword: Codeword, contexts: Contexts, expectation: int) -> int:
    length = 0
    while length < MOST_LENGTH and codeword.bit(contexts, ("longer", expectation, length)):
        length += 1
    if length == 0:
        return 1
    top = codeword.bit(contexts, ("top_bit", length))
    return (2 | top) << (length - 1) | codeword.bypass(length - 1)

"""iso.md sections 8 and 9: the levels of one tensor, one block row after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from protocol.reference.errors import require
from protocol.reference.iso.codebook import Codebook
from protocol.reference.iso.contexts import Contexts
from protocol.reference.iso.data_unit import EntryPoint, Shape, block_size
from protocol.reference.iso.engine import Codeword
from protocol.reference.iso.scan import Segment, block_rows
from protocol.reference.iso.weights import Clues, coded_integer
from protocol.reference.tables import DQ_STATES


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
    def effective_scan_order(self) -> int:
        return self.scan_order if self.is_matrix else 0

    @property
    def block_rows_restart(self) -> bool:
        if self.effective_scan_order == 0:
            return False
        return self.height > (self.rules.fewest_block_rows - 1) * block_size(self.scan_order)

    @property
    def has_one_value(self) -> bool:
        return self.codebook is not None and len(self.codebook.values) == 1


@dataclass
class Preamble:
    uses_history: bool
    zero_rows: list[bool]


class Levels:
    """The levels of a tensor while they are decoded."""

    def __init__(self, codeword: Codeword, contexts: Contexts, layer: Layer, preamble: Preamble) -> None:
        self.codeword, self.contexts, self.layer, self.preamble = codeword, contexts, layer, preamble
        self.levels = [0] * (layer.height * layer.width)
        self.state = 0

    def decode(self, found: list[EntryPoint]) -> list[int]:
        rows = block_rows(self.layer.height, self.layer.width, self.layer.effective_scan_order)
        begin = self.codeword.n_shifted
        for i, segments in enumerate(rows):
            if self.layer.block_rows_restart:
                self.codeword.start_block_row()
            if i > 0:
                found.append(EntryPoint(self.codeword.window >> 7, self.state, self.codeword.n_shifted - begin))
                begin = self.codeword.n_shifted
                for context in self.contexts.of_levels():
                    context.reset()
            self.decode_block_row(segments)
        return self.levels

    def decode_block_row(self, segments: Iterator[Segment]) -> None:
        before = 0
        for row, columns in segments:
            if self.preamble.zero_rows[row]:
                self.pass_over_row()
                continue
            for column in columns:
                before = self.decode_level(row * self.layer.width + column, before)

    def pass_over_row(self) -> None:
        """A row of a block counts as a whole row of the matrix, however short it is."""
        if self.layer.dq_flag:
            for _ in range(self.layer.width):
                self.state = DQ_STATES[self.state][0]

    def decode_level(self, at: int, before: int) -> int:
        """Decode one level, and hand back the coded integer."""
        coded = coded_integer(self.codeword, self.contexts, self.layer.codebook, self.clues(at, before))
        level = coded
        if self.layer.dq_flag:
            level = dequantised(coded, self.state)
            self.state = DQ_STATES[self.state][coded & 1]
        require(-(2**31) <= level < 2**31, "a level that does not fit 32 bits")
        self.levels[at] = level
        return coded

    def clues(self, at: int, before: int) -> Clues:
        base, history = self.layer.base, self.layer.history
        ever_significant = self.preamble.uses_history and history is not None and history[at]
        return Clues(before, base[at] if base is not None else 0, self.state, ever_significant)


def dequantised(coded: int, state: int) -> int:
    """Dependent quantisation: even states have the even levels, odd states 0 and the odd ones."""
    if coded == 0:
        return 0
    return 2 * coded - (state & 1) * (1 if coded > 0 else -1)

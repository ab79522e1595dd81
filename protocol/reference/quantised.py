"""bitstream.md section 6, "Quantised": a slice from its levels, what updates before predict, and corrections."""

from __future__ import annotations

import math

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import Contexts
from protocol.reference.errors import require
from protocol.reference.floats import bits_of, nan, rounded, value_of
from protocol.reference.kinds import Kind
from protocol.reference.levels import Header, LearnedLevels, decode_header, decode_levels
from protocol.reference.means import Means, expected_from, movements, predictions, updated, working
from protocol.reference.neighbourhood import Hints, Neighbourhood
from protocol.reference.residuals import decode_residual


class Quantised:
    """A slice on its way. Without a reference there are zeros in its place; `width` is that of a row of the tensor."""

    def __init__(self, kind: Kind, step_size: float, width: int, reference: list[int], means: Means) -> None:
        self.kind = kind
        self.step_size = step_size
        self.width = min(width, len(reference))
        self.reference = reference
        self.means = means

    def decode(self, codeword: Codeword, learned: LearnedLevels) -> list[int]:
        """The elements; ``means`` is then what is to be remembered."""
        header = decode_header(codeword, learned, len(self.means))
        elements = list(self.reference)
        if header.has_levels or any(header.coefficients):
            elements = self.displaced(codeword, learned, header)
        if codeword.bypass(1):
            elements = corrected(codeword, self.kind, elements)
        if self.means:
            before, after = ([value_of(x, self.kind) for x in xs] for xs in (self.reference, elements))
            self.means = updated(self.means, before, after, self.kind)
        return elements

    def displaced(self, codeword: Codeword, learned: LearnedLevels, header: Header) -> list[int]:
        """The reference, what is predicted, and the levels, together."""
        n = len(self.reference)
        levels, step = [0] * n, 0.0
        if header.has_levels:
            step = self.step(header.scale)
            around = Neighbourhood(n, self.width, self.hints(step))
            levels = decode_levels(codeword, learned, header.is_dependent, around)
        predicted = [0.0] * n
        if any(header.coefficients):
            predicted = predictions(self.means, header.coefficients, self.kind)
        parts = zip(self.reference, predicted, levels, strict=True)
        return [reconstructed(a, p, k, step, self.kind) for a, p, k in parts]

    def hints(self, step: float) -> Hints:
        nothing = [0] * len(self.reference)
        signs = [sign(value_of(a, self.kind)) for a in self.reference]
        if not self.means:
            return Hints(nothing, nothing, signs)
        moved = expected_from(movements(self.means, step), self.width)
        return Hints(moved, [sign(x) for x in self.means[0]], signs)

    def step(self, scale: int) -> float:
        """The distance between levels; 1024 more double it."""
        real = working(self.kind)
        step = rounded(self.step_size * math.ldexp(1024 + scale % 1024, scale // 1024 - 10), real)
        smallest = math.ldexp(1, 2 - 2 ** (real.exponent_bits - 1))
        require(smallest <= step < math.inf, "no step is left")
        return step


def sign(x: float) -> int:
    return (x > 0) - (x < 0)


def reconstructed(a: int, predicted: float, level: int, step: float, kind: Kind) -> int:
    """The bits of a + p + k * d; those of a, whatever they are, where nothing is added."""
    real = working(kind)
    value = value_of(a, kind)
    added = predicted if math.isfinite(value) else 0.0
    if level != 0:
        added = rounded(added + rounded(rounded(level, real) * step, real), real)
    if added == 0:
        return a
    total = rounded(value + added, real)
    return nan(kind) if math.isnan(total) else bits_of(total, kind)


def corrected(codeword: Codeword, kind: Kind, elements: list[int]) -> list[int]:
    """Each element is a residual away from what was reconstructed."""
    contexts = Contexts()
    return [kind.moved(a, decode_residual(codeword, contexts, kind.bucket(a))) for a in elements]

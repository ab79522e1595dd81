"""iso.md section 7: contexts, and how they learn."""

from __future__ import annotations

from protocol.reference.tables import ADAPTATION, INITIAL_STATES


class Context:
    """Two estimates of how likely a 1 is, a fast and a slow one: S = 16 state0 + state1 is above 0 if it is likely."""

    __slots__ = ("initial", "rate0", "rate1", "state0", "state1")

    def __init__(self) -> None:
        self.start_from(0)

    def start_from(self, initial: int) -> None:
        """One of the nine initial sets."""
        self.initial = INITIAL_STATES[initial]
        self.rate0, self.rate1 = self.initial["rate0"], self.initial["rate1"]
        self.reset()

    def reset(self) -> None:
        self.state0, self.state1 = self.initial["state0"], self.initial["state1"]

    def state(self) -> int:
        return 16 * self.state0 + self.state1

    def learn(self, symbol: int) -> None:
        towards = 1 if symbol else -1
        self.state0 += towards * (ADAPTATION[16 + (towards * self.state0 >> 3)] >> self.rate0)
        self.state1 += towards * (ADAPTATION[16 + (towards * self.state1 >> 7)] >> self.rate1)


class Contexts:
    """The contexts of one tensor. ``n_flags`` is the number of "greater than" flags."""

    def __init__(self, n_flags: int, n_remainder: int) -> None:
        self.significant = fresh(3 * 8)
        self.significant_temporal = fresh(2 * 8)
        self.significant_history = fresh(8)
        self.negative = fresh(3)
        self.negative_temporal = fresh(2)
        self.greater = fresh(2 * n_flags)
        self.greater_temporal = fresh(2 * n_flags)
        self.remainder = fresh(n_remainder)
        self.initial_present = Context()
        self.row_is_zero = Context()

    def of_levels(self) -> list[Context]:
        """All that code levels."""
        return [
            *self.significant,
            *self.significant_temporal,
            *self.significant_history,
            *self.negative,
            *self.negative_temporal,
            *self.greater,
            *self.greater_temporal,
            *self.remainder,
        ]


def fresh(n: int) -> list[Context]:
    return [Context() for _ in range(n)]

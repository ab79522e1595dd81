"""What data units of the standard can hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from incnnr.nnc.syntax import ParameterTypes, PayloadType


@dataclass
class Thing:
    """What one data unit (or, for a decomposed tensor outside of a block, two of them) codes; the same in every update.

    ``names`` are in the order of the unit's list: weight or factors, scaling, beta, gamma, mean, variance, bias.
    """

    kind: PayloadType
    names: list[str]
    shape: tuple[int, ...]
    types: ParameterTypes
    rank: int = 0
    rows: int = 0
    is_outside: bool = False

    @property
    def weights(self):
        if not self.types & ParameterTypes.DECOMPOSED:
            return [self.shape]
        return [(self.rows, self.rank), (self.rank, prod(self.shape) // self.rows)]

    @property
    def is_pair(self):
        return self.kind != PayloadType.BLOCK and bool(self.types & ParameterTypes.DECOMPOSED)

    @property
    def vectors(self):
        """Names of a block's vectors in the order of the codeword."""
        names = iter(self.names[len(self.weights) :])
        scaling = [next(names)] if self.types & ParameterTypes.LOCAL_SCALING else []
        norm = [next(names) for _ in range(4)] if self.types & ParameterTypes.BATCH_NORM else []
        return scaling + list(names) + norm

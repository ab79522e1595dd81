"""bitstream.md section 6, "Signs": logistic regression on the levels around, and on what is known of the element."""

from __future__ import annotations

from protocol.reference.arithmetic import Codeword
from protocol.reference.floats import FLOAT32, rounded
from protocol.reference.tables import SIGN_PROBABILITIES

N_DISTANCES = 4
FIRST_OF_DISTANCES = 8
MOST_EVIDENCE = 511.0
RATE = 1 / 128

Features = list[float]


class Signs:
    """What was learned of the signs in a slice."""

    def __init__(self, weights: list[float], distances: list[int]) -> None:
        self.weights = weights
        self.distances = distances

    @staticmethod
    def fresh() -> Signs:
        return Signs([0.0] * 12, [0] * N_DISTANCES)

    def copy(self) -> Signs:
        return Signs(list(self.weights), list(self.distances))

    def decode_distances(self, codeword: Codeword) -> None:
        self.distances = [codeword.bypass(16) for _ in range(N_DISTANCES)]
        self.weights[FIRST_OF_DISTANCES:] = [0.0] * N_DISTANCES

    def decode(self, codeword: Codeword, features: Features, magnitude: int) -> int:
        """Whether a level of this magnitude is negative."""
        probability = self.probability(features, magnitude)
        negative = codeword.fixed_bit(probability)
        self.learn(features, probability, negative)
        return negative

    def probability(self, features: Features, magnitude: int) -> int:
        lanes = [self.lane(features, k) for k in range(4)]
        total = plus(plus(lanes[0], lanes[2]), plus(lanes[1], lanes[3]))
        evidence = times(total, float(16 * (3 + min(magnitude, 7))))
        within = max(-MOST_EVIDENCE, min(evidence, MOST_EVIDENCE))
        return SIGN_PROBABILITIES[int(plus(within, 512.0))]

    def lane(self, features: Features, k: int) -> float:
        first, second, third = (times(features[i], self.weights[i]) for i in (k, k + 4, k + 8))
        return plus(plus(first, second), third)

    def learn(self, features: Features, probability: int, negative: int) -> None:
        error = times(rounded(negative - probability / 2**22, FLOAT32), RATE)
        self.weights = [plus(w, times(error, x)) for w, x in zip(self.weights, features, strict=True)]


def plus(x: float, y: float) -> float:
    return rounded(x + y, FLOAT32)


def times(x: float, y: float) -> float:
    return rounded(x * y, FLOAT32)

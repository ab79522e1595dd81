"""bitstream.md section 7: probabilities that stay as they are for some chunks."""

from __future__ import annotations

from collections import Counter

from protocol.reference.arithmetic import Codeword


class Odds:
    """Probabilities of a 1 under keys like those of contexts: key -> (probability, decisions it is worth)."""

    def __init__(self, known: dict[object, tuple[int, int]]) -> None:
        self.known = known

    def copy(self) -> Odds:
        return Odds(dict(self.known))

    def get(self, key: object) -> tuple[int, int]:
        return self.known.get(key, (2**31, 2))

    def learn(self, key: object, n_ones: int, n_seen: int) -> None:
        one, worth = self.get(key)
        worth_now = worth + n_seen
        self.known[key] = min((one * worth + (n_ones << 32)) // worth_now, 2**32 - 1), min(worth_now, 1023)


class Tallies:
    """Decisions under odds, counted until they learn."""

    def __init__(self, odds: Odds) -> None:
        self.odds = odds
        self.n_ones: Counter[object] = Counter()
        self.n_seen: Counter[object] = Counter()

    def bit(self, codeword: Codeword, key: object) -> int:
        decision = codeword.fixed_bit(self.odds.get(key)[0] >> 10 | 1)
        self.n_ones[key] += decision
        self.n_seen[key] += 1
        return decision

    def learn(self) -> None:
        for key, n_seen in self.n_seen.items():
            self.odds.learn(key, self.n_ones[key], n_seen)
        self.n_ones.clear()
        self.n_seen.clear()

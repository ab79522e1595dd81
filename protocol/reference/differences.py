"""bitstream.md section 7: the elements of a slice with a reference, exactly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from protocol.reference.arithmetic import Codeword
from protocol.reference.contexts import Contexts
from protocol.reference.kinds import Kind
from protocol.reference.odds import Odds, Tallies
from protocol.reference.residuals import signed

CHUNK_ELEMENTS = 2048
STRETCH_ELEMENTS = 64
SPARSE, DENSE, PLAIN = range(3)


@dataclass
class Rates:
    """How often elements change, for each class of them: class -> (changed, seen)."""

    counts: dict[int, tuple[int, int]] = field(default_factory=dict)

    def hazard(self, element_class: int) -> int:
        changed, seen = self.counts.get(element_class, (0, 0))
        return ((changed + 8) << 20) // (16 * seen + 256 - changed // 2) | 1

    def learn(self, element_class: int, n_changed: int, n_seen: int) -> None:
        changed, seen = self.counts.get(element_class, (0, 0))
        changed, seen = changed + 16 * n_changed, seen + n_seen
        self.counts[element_class] = (changed >> 1, seen >> 1) if seen > 2**16 else (changed, seen)


@dataclass
class Learned:
    """What is remembered of a slice: contexts, rates and odds, and a past for each element if there is a history."""

    contexts: Contexts
    rates: Rates
    odds: Odds
    pasts: list[int] | None = None

    def copy(self) -> Learned:
        return Learned(
            self.contexts.copy(), Rates(dict(self.rates.counts)), self.odds.copy(), self.pasts and list(self.pasts)
        )


def fresh_differences() -> Learned:
    """Odds of stretches start with what independent changes would give."""
    of_stretches = {
        (name, length): (start_of_stretch(length), 8) for name in ("change", "more") for length in range(64)
    }
    return Learned(Contexts(), Rates(), Odds(of_stretches | {("leap", bucket): (2**29, 2) for bucket in range(64)}))


def fresh_history(n_elements: int) -> Learned:
    return Learned(Contexts(), Rates(), Odds({}), [0] * n_elements)


def start_of_stretch(length: int) -> int:
    octave = 0 if length < 8 else length // 8 - 1
    x = 11 * (((length - 8 * octave) << (octave + 1)) + (1 << octave))
    e_to_x = 2**26 + (x << 13) + x * x // 2 + (x**3 // 6 >> 13)
    return 2**32 - 2**58 // e_to_x


def length_of(hazard: int, usual: int) -> int:
    x = hazard * (2**40 // usual) >> 32
    octave = (x | 8).bit_length() - 4
    return min(8 * octave + (x >> octave), 63)


@dataclass
class Pace:
    """How fast changes come: hazard that passed, and changes in it."""

    hazard: int = 4 << 20
    n_changes: int = 4

    def usual(self) -> int:
        return min(max(self.hazard // self.n_changes, 2**14), 2**24) * 11 // 16

    def learn(self, hazard: int, n_changes: int) -> None:
        self.hazard = self.hazard // 2 + hazard + (2 << 20)
        self.n_changes = self.n_changes // 2 + n_changes + 2


class Differences:
    """One slice on its way."""

    def __init__(
        self, codeword: Codeword, kind: Kind, reference: list[int], learned: Learned, history: Learned | None
    ) -> None:
        self.codeword = codeword
        self.kind = kind
        self.elements = list(reference)
        self.learned = learned
        self.history = history
        self.pace = Pace()
        self.mode = SPARSE
        self.tallies = Tallies(learned.odds)
        self.tallies_by_class = Tallies(history.odds) if history else self.tallies

    def decode(self) -> list[int]:
        n = len(self.elements)
        for first in range(0, n, CHUNK_ELEMENTS):
            chunk = range(first, min(first + CHUNK_ELEMENTS, n))
            classes = {i: self.class_of(i) for i in chunk}
            before = self.elements[chunk.start : chunk.stop]
            self.mode = self.decode_mode()
            (self.decode_sparse, self.decode_dense, self.decode_plain)[self.mode](chunk, classes)
            if self.history:
                remember(self.history.pasts, chunk, before, self.elements, self.kind)
        return self.elements

    def class_of(self, i: int) -> int:
        past = self.history.pasts[i] if self.history else 0
        return 64 * past + self.kind.bucket(self.elements[i])

    def decode_mode(self) -> int:
        if not self.codeword.bit(self.learned.contexts, ("coded", self.mode)):
            return SPARSE
        return PLAIN if self.codeword.bit(self.learned.contexts, ("plain", self.mode)) else DENSE

    @property
    def by_class(self) -> Learned:
        """Whose rates, signs and flags are looked up by class."""
        return self.history or self.learned

    def decode_sparse(self, chunk: range, classes: dict[int, int]) -> None:
        times = [0]
        for i in chunk:
            times.append(times[-1] + self.by_class.rates.hazard(classes[i]))
        usual = self.pace.usual()
        found = [s for s in cut(times, usual) if self.flag("change", times[s.stop] - times[s.start], usual)]
        changed = [chunk.start + at for s in found for at in self.decode_stretch(s, times, usual)]
        self.decode_changes(changed, classes)
        self.pace.learn(times[-1], len(changed))
        number = chunk.start // CHUNK_ELEMENTS
        if number < 8 or number % (4 if self.history else 16) == 0:
            self.learn(changed, classes)

    def flag(self, name: str, hazard: int, usual: int) -> int:
        return self.tallies.bit(self.codeword, (name, length_of(hazard, usual)))

    def decode_stretch(self, stretch: range, times: list[int], usual: int) -> list[int]:
        """The places of the stretch that change."""
        places = []
        at, more = stretch.start, 1
        while more:
            places.append(self.decode_place(range(at, stretch.stop), times))
            at = places[-1] + 1
            more = at < stretch.stop and self.flag("more", times[stretch.stop] - times[at], usual)
        return places

    def decode_changes(self, changed: list[int], classes: dict[int, int]) -> None:
        """First the directions of all, and which differ by more than 1; then how much these do."""
        falls, leaps = {}, {}
        for i in changed:
            falls[i] = self.tallies_by_class.bit(self.codeword, ("fall", classes[i]))
            leaps[i] = self.tallies.bit(self.codeword, ("leap", classes[i] % 64))
        for i in changed:
            size = self.decode_size(classes[i] % 64) if leaps[i] else 1
            self.move(i, -size if falls[i] else size)

    def learn(self, changed: list[int], classes: dict[int, int]) -> None:
        """Counters from this chunk, odds from all since they learned last."""
        n_changed, n_seen = Counter(classes[i] for i in changed), Counter(classes.values())
        for c in n_seen:
            self.by_class.rates.learn(c, n_changed[c], n_seen[c])
        self.tallies.learn()
        self.tallies_by_class.learn()

    def decode_place(self, places: range, times: list[int]) -> int:
        """Each place as likely as its hazard says."""
        if len(places) == 1:
            return places.start
        start = times[places.start]
        target = start + self.codeword.target(times[places.stop] - start)
        place = next(p for p in places if target < times[p + 1])
        self.codeword.take(times[place] - start, times[place + 1] - start)
        return place

    def decode_dense(self, chunk: range, classes: dict[int, int]) -> None:
        for i in chunk:
            if self.codeword.bit(self.by_class.contexts, ("changed", classes[i])):
                self.change(i, classes)

    def decode_plain(self, chunk: range, _: dict[int, int]) -> None:
        for i in chunk:
            self.elements[i] = self.codeword.bulk.bits(self.kind.n_bits)

    def change(self, i: int, classes: dict[int, int]) -> None:
        """One change by itself."""
        negative_key = ("negative", classes[i]) if self.history else "negative"
        negative = self.codeword.bit(self.by_class.contexts, negative_key)
        bucket = classes[i] % 64
        size = self.decode_size(bucket) if self.codeword.bit(self.learned.contexts, ("greater", bucket)) else 1
        self.move(i, -size if negative else size)

    def move(self, i: int, difference: int) -> None:
        self.elements[i] = self.kind.moved(self.elements[i], signed(difference))

    def decode_size(self, bucket: int) -> int:
        contexts = self.learned.contexts
        n_class_bits = {8: 4, 16: 5}.get(self.kind.n_bits, 6)
        length = self.codeword.symbol(contexts, ("length", bucket), n_class_bits)
        if length == 63:
            return self.codeword.bulk.bits(64)
        if length < 2:
            return length
        high, left = 1, length - 1
        while left > 0 and high < 4:
            left -= 1
            high = 2 * high + self.codeword.bit(contexts, ("top", length, high))
        if left == 0 or self.codeword.bit(contexts, ("round", length)):
            return high << left
        return high << left | self.codeword.bulk.bits(left)


def cut(times: list[int], usual: int) -> list[range]:
    """Stretches of a chunk: as many places to each as `usual` has room for on average, fewer where hazards are high."""
    n = len(times) - 1
    most = STRETCH_ELEMENTS
    while most > 1 and most * times[n] > n * usual:
        most //= 2
    stretches, i = [], 0
    while i < n:
        size = min(i & -i or most, most)
        while size > 1 and (i + size > n or times[i + size] - times[i] > 2 * usual):
            size //= 2
        stretches.append(range(i, i + size))
        i += size
    return stretches


def remember(pasts: list[int], chunk: range, before: list[int], elements: list[int], kind: Kind) -> None:
    """state.md, "History"."""
    for i, old in zip(chunk, before, strict=True):
        if elements[i] != old:
            difference = signed(kind.ordered(elements[i]) - kind.ordered(old), kind.n_bits)
            pasts[i] = 2 if difference > 0 else 1
        elif 1 <= pasts[i] <= 12:
            pasts[i] += 2

"""bitstream.md section 3: the arithmetic decoder of one codeword."""

from __future__ import annotations

from protocol.reference.contexts import Contexts
from protocol.reference.errors import require


class Bulk:
    """Bits in the order of their weight in each byte."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.n_read = 0

    def bits(self, n: int) -> int:
        """The first bit is the least significant."""
        begin, end = self.n_read // 8, (self.n_read + n + 7) // 8
        require(end <= len(self.data), "the bulk of a codeword ends early")
        piece = int.from_bytes(self.data[begin:end], "little") >> self.n_read % 8
        self.n_read += n
        return piece % 2**n

    def finish(self) -> None:
        require((self.n_read + 7) // 8 == len(self.data), "a codeword has bulk that nobody reads")


class Codeword:
    """The decisions in a codeword, one after the other."""

    def __init__(self, data: bytes, bulk: bytes = b"") -> None:
        self.bulk = Bulk(bulk)
        self.data = data
        self.n_read = 0
        self.range = 2**64 - 1
        self.value = self.next_bytes(8)

    def next_bytes(self, n: int) -> int:
        """Behind the end of the codeword there are zeros."""
        piece = self.data[self.n_read : self.n_read + n].ljust(n, b"\0")
        self.n_read += n
        return int.from_bytes(piece, "big")

    def renormalise(self) -> None:
        if self.range < 2**32:
            self.range <<= 32
            self.value = (self.value << 32 | self.next_bytes(4)) % 2**64

    def bit(self, contexts: Contexts, key: object) -> int:
        """A decision with a context, which learns from it."""
        decision = self.fixed_bit(contexts.probability_of_1(key))
        contexts.adapt(key, decision)
        return decision

    def fixed_bit(self, probability_of_1: int) -> int:
        """A decision; the probability is in units of 2^-22."""
        bound = self.range - (self.range >> 22) * probability_of_1
        if self.value >= bound:
            decision = 1
            self.value -= bound
            self.range -= bound
        else:
            decision = 0
            self.range = bound
        self.renormalise()
        return decision

    def bypass(self, n_bits: int) -> int:
        """Bits without a context, at most 16 at a time, most significant first."""
        bits = 0
        while n_bits > 0:
            m = min(n_bits, 16)
            self.range >>= m
            part = min(self.value // self.range, 2**m - 1)
            self.value -= part * self.range
            self.renormalise()
            bits = bits << m | part
            n_bits -= m
        return bits

    def target(self, total: int) -> int:
        """Section 3: a number below total; take() says which interval it was in."""
        self.unit, self.total = self.range // total, total
        return min(self.value // self.unit, total - 1)

    def take(self, begin: int, end: int) -> None:
        self.value -= self.unit * begin
        self.range = self.range - self.unit * begin if end == self.total else self.unit * (end - begin)
        self.renormalise()

    def symbol(self, contexts: Contexts, name: object, n_bits: int) -> int:
        """Section 6: a number bit by bit, each under the context that the bits before it lead to."""
        node = 1
        for _ in range(n_bits):
            node = 2 * node + self.bit(contexts, (name, node))
        return node - 2**n_bits

    def finish(self) -> None:
        """A codeword is sound only if nothing of it is left over."""
        self.bulk.finish()
        require(self.n_read >= len(self.data), "a codeword has bytes that nobody reads")

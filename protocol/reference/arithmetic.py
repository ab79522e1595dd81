"""bitstream.md section 3: the arithmetic decoder of one codeword."""

from __future__ import annotations

from protocol.reference.contexts import Contexts
from protocol.reference.errors import require


class Codeword:
    """The decisions in a codeword, one after the other."""

    def __init__(self, data: bytes) -> None:
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
        bound = self.range - (self.range >> 22) * contexts.probability_of_1(key)
        if self.value >= bound:
            decision = 1
            self.value -= bound
            self.range -= bound
        else:
            decision = 0
            self.range = bound
        self.renormalise()
        contexts.adapt(key, decision)
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

    def symbol(self, contexts: Contexts, name: object, n_bits: int) -> int:
        """Section 6: a number bit by bit, each under the context that the bits before it lead to."""
        node = 1
        for _ in range(n_bits):
            node = 2 * node + self.bit(contexts, (name, node))
        return node - 2**n_bits

    def finish(self) -> None:
        """A codeword is sound only if nothing of it is left over."""
        require(self.n_read >= len(self.data), "a codeword has bytes that nobody reads")

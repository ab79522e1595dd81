"""iso.md section 6: the arithmetic decoder of one codeword."""

from __future__ import annotations

from protocol.reference.errors import require
from protocol.reference.iso.bits import signed
from protocol.reference.iso.contexts import Context
from protocol.reference.tables import LPS_RANGE


class Codeword:
    """The decisions in the payload of a data unit, one after the other.

    ``window`` holds nine bits to compare with ``range`` and seven bits ahead of them.
    """

    def __init__(self, data: bytes) -> None:
        require(len(data) >= 2, "a codeword of less than two bytes")
        self.data = data
        self.range = 510
        self.window = int.from_bytes(data[:2], "big")
        self.n_shifted = 0

    def shift(self) -> None:
        """Take the next bit into the window; there may be up to seven of 0 behind the end, which decide nothing."""
        at, place = divmod(16 + self.n_shifted, 8)
        require(at <= len(self.data), "a codeword ends early")
        bit = self.data[at] >> 7 - place & 1 if at < len(self.data) else 0
        self.window = 2 * self.window + bit
        self.n_shifted += 1

    def symbol(self, context: Context) -> int:
        """A decision with a context, which learns from it."""
        state = context.state()
        likely = 1 if state >= 0 else 0
        lps_range = LPS_RANGE[self.range >> 5 & 7][abs(state >> 7)]
        self.range -= lps_range
        if self.window >= self.range << 7:
            self.window -= self.range << 7
            self.range = lps_range
            symbol = 1 - likely
        else:
            symbol = likely
        while self.range < 256:
            self.range *= 2
            self.shift()
        context.learn(symbol)
        return symbol

    def bypass(self, n_bits: int) -> int:
        """Bits without a context, most significant first: uae(n)."""
        number = 0
        for _ in range(n_bits):
            self.shift()
            bit = 1 if self.window >= self.range << 7 else 0
            self.window -= bit * (self.range << 7)
            number = 2 * number + bit
        return number

    def signed_bypass(self, n_bits: int) -> int:
        """iae(n)."""
        return signed(self.bypass(n_bits), n_bits)

    def start_block_row(self) -> None:
        self.range = 256

    def finish(self) -> None:
        """The terminating decision, the stop bit and the zeros behind it, right at the end of the data."""
        self.range -= 2
        require(self.window >= self.range << 7, "a codeword does not end where it should")
        require(len(self.data) == 2 + self.n_shifted // 8, "a codeword has bytes that nobody reads")
        n_last = 8 - self.n_shifted % 8
        last = self.data[-1] & (1 << n_last) - 1
        require(last == 1 << n_last - 1, "a codeword without its stop bit")

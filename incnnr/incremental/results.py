"""Where the kernels write the tensors of an update: new arrays, or over those that are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from incnnr.incremental.state import Bytes, TensorSpec


class Results:
    """Arrays for what an update changes.

    Parameters
    ----------
    table : mapping of str to TensorSpec
        The tensor table after the update.
    over : mapping of str to numpy.ndarray of uint8
        Arrays of tensors that nobody needs as they are: results go over them. A tensor that is held lies in its array.
        Other tensors get new arrays.
    """

    def __init__(self, table: Mapping[str, TensorSpec], over: Mapping[str, Bytes]) -> None:
        self._table = table
        self._over = over
        self._new: dict[str, Bytes] = {}

    def array(self, name: str) -> Bytes:
        """Return where a tensor goes."""
        if name in self._over:
            return self._over[name]
        if name not in self._new:
            self._new[name] = np.empty(self._table[name].type.n_bytes, np.uint8)
        return self._new[name]

    def opened(self, name: str, start: int, stop: int, held: Bytes | None) -> tuple[Bytes, Bytes | None]:
        """Return where bytes `start` to `stop` of a tensor go, and `held`, what they are by now, apart from that."""
        result = self.array(name)[start:stop]
        return result, held.copy() if held is not None and name in self._over else held

    def completed(self, name: str, held: Bytes, kept: Sequence[tuple[int, int]]) -> Bytes:
        """Return the array of a tensor, of which the parts `kept` are as in `held`."""
        if name in self._over:
            return self._over[name]
        if name not in self._new:
            return held
        for start, stop in kept:
            self._new[name][start:stop] = held[start:stop]
        return self._new[name]

    def seal(self) -> None:
        """Nobody writes to new arrays by accident from now on."""
        for array in self._new.values():
            array.flags.writeable = False


@dataclass(frozen=True, slots=True)
class _Old:
    """What was somewhere in an array: all words of `place`, or those with a set bit."""

    place: Bytes
    bits: Bytes | None
    words: Bytes
    word_bytes: int

    def put_back(self) -> None:
        if self.bits is None:
            self.place[:] = self.words
            return
        words = _as_words(self.place, self.word_bytes)
        words[_mask(self.bits, words.size)] = _as_words(self.words, self.word_bytes)


class RevertibleResults(Results):
    """Results that can be taken back: the words that changed are remembered."""

    def __init__(self, table: Mapping[str, TensorSpec], over: Mapping[str, Bytes]) -> None:
        super().__init__(table, over)
        self._open: list[tuple[Bytes, Bytes]] = []
        self._old: list[_Old] = []

    def opened(self, name: str, start: int, stop: int, held: Bytes | None) -> tuple[Bytes, Bytes | None]:
        """Do as the base class, and remember all that is there."""
        result, reference = super().opened(name, start, stop, held)
        self._open.append((result, result.copy() if reference is None else reference))
        return result, reference

    def settle(self, changed: Sequence[tuple[Bytes | None, int]]) -> None:
        """Forget of what was opened since the last call, in that order, what did not change.

        Each is given as its bits (None: all of it did) and the bytes of a word.
        """
        for (place, before), (bits, word_bytes) in zip(self._open, changed, strict=True):
            if bits is None:
                self._old.append(_Old(place, None, before, word_bytes))
            else:
                words = _as_words(before, word_bytes)
                self._old.append(_Old(place, bits, words[_mask(bits, words.size)].view(np.uint8), word_bytes))
        self._open.clear()

    def revert(self) -> None:
        """Put everything back."""
        for place, before in self._open:
            place[:] = before
        for old in self._old:
            old.put_back()


def _as_words(data: Bytes, word_bytes: int) -> np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]:
    return data.view(f"u{word_bytes}")


def _mask(bits: Bytes, n_bits: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.unpackbits(bits, count=n_bits, bitorder="little").view(np.bool_)

"""Where the kernels write the tensors of an update: new arrays, or over those that are held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from incnnr.coding import Segment
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
    journal : Journal, optional
        Where to note what was in arrays that are decoded into.
    """

    def __init__(
        self, table: Mapping[str, TensorSpec], over: Mapping[str, Bytes], journal: Journal | None = None
    ) -> None:
        self.journal = journal
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


Places = Callable[[Mapping[str, TensorSpec]], Results]
"""Says where the tensors of a table go."""


class Journal:
    """What was in arrays that are decoded into, as far as it changes, to be put back."""

    def __init__(self) -> None:
        self._whole: list[_Whole] = []
        self._changed: list[_Changed] = []

    def copy(self, place: Bytes, before: Bytes, bits: Bytes | None, word_bytes: int) -> None:
        """Remember what is in `place`, and keep the words whose `bits` are set by the next `settle`; None keeps all."""
        self._whole.append(_Whole(place, before, bits, word_bytes))

    def note(self, place: Bytes, segment: Segment, bits: Bytes, word_bytes: int) -> None:
        """Remember that the segment decoded in `place` knows the words that it changes there."""
        self._changed.append(_Changed(place, bits, word_bytes, lambda: segment.before))

    def settle(self) -> None:
        """Forget what did not change of all that was copied."""
        for whole in self._whole:
            self._changed.append(whole.compacted())
        self._whole.clear()

    def revert(self) -> None:
        """Put everything back."""
        for whole in self._whole:
            whole.put_back()
        for changed in self._changed:
            changed.put_back()


@dataclass(frozen=True, slots=True)
class _Whole:
    """All words of a place."""

    place: Bytes
    words: Bytes
    bits: Bytes | None
    word_bytes: int

    def compacted(self) -> _Changed:
        words = self.words
        if self.bits is not None:
            every = words.view(f"u{self.word_bytes}")
            words = every[_mask(self.bits, every.size)].view(np.uint8)
        return _Changed(self.place, self.bits, self.word_bytes, lambda: words)

    def put_back(self) -> None:
        self.place[:] = self.words


@dataclass(frozen=True, slots=True)
class _Changed:
    """The words of a place whose bits are set; all, without bits."""

    place: Bytes
    bits: Bytes | None
    word_bytes: int
    words: Callable[[], Bytes | bytes]

    def put_back(self) -> None:
        here = self.place.view(f"u{self.word_bytes}")
        at = slice(None) if self.bits is None else _mask(self.bits, here.size)
        here[at] = np.frombuffer(self.words(), here.dtype)


def _mask(bits: Bytes, n_bits: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.unpackbits(bits, count=n_bits, bitorder="little").view(np.bool_)

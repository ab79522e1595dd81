"""An update: the bytes that travel, and what can be said of them without decoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from incnnr.coding import xxh64
from incnnr.errors import BitstreamError, CorruptError, TruncatedError, UnsupportedError
from incnnr.incremental.state import chain_of_hashes
from incnnr.incremental.syntax import START, Begin, End
from incnnr.nnc.units import INCNNR_PROFILE, Unit, UnitType, read_arriving_units, read_units
from incnnr.position import Position


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What the encoder measured.

    Attributes
    ----------
    n_bytes : int
        Bytes of the update.
    n_weights : int
        Elements of all tensors.
    model_bytes : int
        Bytes of all tensors.
    n_changed : int
        Elements whose decoded value changed; in a keyframe all of them.
    largest_error : float
        Largest |decoded - given| over the finite weights that were quantised; 0 in lossless mode.
    rms_error : float
        Square root of the mean of its squares over all weights.
    """

    n_bytes: int
    n_weights: int
    model_bytes: int
    n_changed: int
    largest_error: float
    rms_error: float

    @property
    def bits_per_weight(self) -> float:
        """Bits of the update per element of the model."""
        return 8 * self.n_bytes / max(1, self.n_weights)


@dataclass(frozen=True, slots=True)
class Update:
    """One coded update.

    Attributes
    ----------
    data : bytes
        The bitstream; ``bytes(update)`` gives it too. In profile ``iso`` it does not say where it leads: send the other
        attributes along, or rely on what `Decoder.decode` says of bare bitstreams.
    position : Position
        Where it leads.
    parent : Position or None
        Where it must be applied; None for a keyframe, which can be applied anywhere.
    stats : UpdateStats or None
        What the encoder measured; None when the update was read from bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.incremental import Encoder
    >>> update = Encoder().encode({"w": np.zeros(3, np.float32)})
    >>> Update.from_bytes(bytes(update)).position == update.position
    True
    >>> update.is_keyframe, update.stats.n_weights
    (True, 3)
    """

    data: bytes = field(repr=False)
    position: Position
    parent: Position | None
    stats: UpdateStats | None = field(default=None, compare=False)

    @property
    def is_keyframe(self) -> bool:
        """Whether it restarts everything."""
        return self.parent is None

    def __bytes__(self) -> bytes:
        return self.data

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Update:
        """Read what an update says of itself, and make sure that every byte of it arrived.

        Whether it was made well shows only when it is decoded.

        Raises
        ------
        UnsupportedError
            `data` is a bitstream of the standard, which does not say where it leads: keep the `Update` that the encoder
            made, or give the bytes to `Decoder.decode` as they are.
        BitstreamError
            It is not one whole update.
        """
        data = bytes(data)
        parsed = parse(data)
        return cls(data, parsed.position, parsed.parent)


@dataclass(frozen=True, slots=True)
class ParsedUpdate:
    """An update in its units.

    Attributes
    ----------
    begin, end : Begin, End
        The units around the others.
    units : sequence of Unit
        Those between them.
    """

    begin: Begin
    units: Sequence[Unit]
    end: End

    @property
    def position(self) -> Position:
        """Where the update leads."""
        return Position(self.begin.sequence, self.end.chain, self.end.digest)

    @property
    def parent(self) -> Position | None:
        """Where it must be applied; None for a keyframe."""
        return self.begin.parent


def is_standard(data: bytes | memoryview) -> bool:
    """Whether the profile of a bitstream is another than ``incnnr``; False for bytes that are no bitstream.

    Examples
    --------
    >>> is_standard(bytes.fromhex("00040201")), is_standard(START), is_standard(b"")
    (True, False, False)
    """
    try:
        first = next(read_units(data), None)
    except BitstreamError:
        return False
    return first is not None and first.type == UnitType.STR and bytes(first.payload[:1]) != bytes([INCNNR_PROFILE])


def parse(data: bytes) -> ParsedUpdate:
    """Cut an update into its units.

    Raises
    ------
    BitstreamError
        `data` is not one whole update of profile ``incnnr``, or not what its encoder made.
    """
    arriving = ArrivingUpdate([data])
    units = list(arriving.units())
    return ParsedUpdate(arriving.begin, units, arriving.end)


class ArrivingUpdate:
    """An update of profile ``incnnr`` that comes in pieces. Whatever is wrong with them is a BitstreamError.

    Attributes
    ----------
    begin : Begin
        What it follows.
    end : End
        Where it leads; there once all of `units` were taken, and then every byte has the hash that it names.
    n_bytes : int
        Bytes of the units so far.
    """

    end: End

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._units = read_arriving_units(chunks)
        self._hashes: list[int] = []
        self.n_bytes = 0
        start = self._next()
        if start.data != START:
            raise _no_start(start)
        begin = self._next()
        self.begin = _read_begin(begin)
        self._hashes += [xxh64(start.data), xxh64(begin.data)]

    def units(self) -> Iterator[Unit]:
        """Yield what is between BEGIN and END."""
        while (unit := self._next()).type != UnitType.END:
            self._hashes.append(xxh64(unit.data))
            yield unit
        self._check_nothing_behind(unit)
        self.end = self._read_end(unit)

    def _next(self) -> Unit:
        unit = next(self._units, None)
        if unit is None:
            raise TruncatedError("the update has no END", byte_offset=self.n_bytes)
        self.n_bytes += len(unit.data)
        return unit

    def _check_nothing_behind(self, last: Unit) -> None:
        try:
            behind = next(self._units, None)
        except BitstreamError:
            pass
        else:
            if behind is None:
                return
        raise CorruptError("there are bytes behind the end", byte_offset=self.n_bytes, unit_index=last.index)

    def _read_end(self, last: Unit) -> End:
        end = End.read(last)
        if last.data != end.pack():
            raise CorruptError("END is not written as it must be", byte_offset=last.byte_offset, unit_index=last.index)
        if chain_of_hashes(self.begin.parent_chain, self._hashes, end.digest) != end.chain:
            message = "the update is damaged: its bytes do not have the hash it names"
            raise CorruptError(message, byte_offset=last.byte_offset)
        return end


def _no_start(unit: Unit) -> CorruptError | UnsupportedError:
    if unit.type == UnitType.STR:
        return UnsupportedError(
            "a bitstream of another profile than incnnr does not say where it leads", byte_offset=0, unit_index=0
        )
    return CorruptError("the update does not begin with a start unit", byte_offset=0, unit_index=0)


def _read_begin(unit: Unit) -> Begin:
    if unit.type != UnitType.BEGIN:
        raise CorruptError("the start unit is not followed by BEGIN", byte_offset=unit.byte_offset, unit_index=1)
    begin = Begin.read(unit)
    if begin.parent_chain is not None and begin.sequence == 0:
        raise CorruptError("update 0 cannot have a parent", byte_offset=unit.byte_offset, unit_index=1)
    return begin

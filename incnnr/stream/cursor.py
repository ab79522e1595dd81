"""A decoder that moves along the chains of a stream, from the newest keyframe to where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from incnnr.errors import BitstreamError, CorruptError, ReferenceMismatchError
from incnnr.incremental import Decoder, Update
from incnnr.incremental.update import is_standard
from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.stream import layouts
from incnnr.stream.entry import Record
from incnnr.stream.frames import Body, Source, read_body
from incnnr.stream.scan import Scan
from incnnr.tensors import Layout, Model

_START_BYTES = 4  # enough of a bitstream to tell its profile


class Cursor:
    """Decodes entries; one that follows from where it stands costs only the updates in between.

    Parameters
    ----------
    source : Source
        The stream's bytes.
    scan : Scan
        What is known of them.
    limits, threads
        For the decoder.

    Attributes
    ----------
    decoder : Decoder
        At the entry decoded last.
    layout : Layout or None
        That of the entry decoded last.
    """

    def __init__(self, source: Source, scan: Scan, limits: Limits, threads: int | None) -> None:
        self._source = source
        self._scan = scan
        self._limits = limits
        self._threads = threads
        self._standing: tuple[int, Model] | None = None
        self.decoder = Decoder(limits=limits, threads=threads)
        self.layout: Layout | None = None

    def model(self, index: int) -> Model:
        """Decode entry `index` and stand there.

        Raises
        ------
        BitstreamError
            The entry, or one it depends on, is damaged or larger than the limits; `byte_offset` is where in the file.
            The cursor then stands as close before the fault as it came.
        """
        if self._standing is not None and self._standing[0] == index:
            return self._standing[1]
        for passed in self._path(index):
            model = self._decode(passed, index, self._apply)
        return model

    def taken_to(self, index: int) -> Decoder:
        """Return a decoder at entry `index`, having decoded with one model in memory: earlier ones are void.

        Raises
        ------
        BitstreamError
            As by `model`; the cursor is of no use then.
        """
        for passed in self._path(index):
            self._decode(passed, index, self._apply_over)
        return self.decoder

    def update(self, index: int) -> Update:
        """Return one update, whether or not it can be decoded.

        Raises
        ------
        CorruptError
            They are damaged; `byte_offset` is where in the file.
        """
        record = self._scan.records[index]
        try:
            return _update_of(self._source, record)
        except _UnreadableError as error:
            raise _blame(error.fault, index, index, error.fault.byte_offset) from error.fault

    def _path(self, index: int) -> list[int]:
        """Return the entries to decode, oldest first: from a keyframe on, or from behind where the cursor stands."""
        path = [index]
        while not (record := self._scan.records[path[-1]]).entry.is_keyframe:
            try:
                parent = _parent_of(record, self._scan)
            except CorruptError as error:
                raise _blame(error, index, path[-1], record.offset) from error
            if self._standing is not None and parent == self._standing[0]:
                break
            path.append(parent)
        return path[::-1]

    def _decode(self, passed: int, wanted: int, apply: Callable[[Record], Model]) -> Model:
        record = self._scan.records[passed]
        if record.entry.is_keyframe:
            self._start_over()
        try:
            layout = layouts.unpack(record.layout, self.layout)
            model = apply(record).with_layout(layout)
        except _UnreadableError as error:
            raise _blame(error.fault, wanted, passed, error.fault.byte_offset) from error.fault
        except BitstreamError as error:
            raise _blame(error, wanted, passed, _offset_in_file(record.bodies, error.byte_offset)) from error
        except ReferenceMismatchError as error:
            raise _blame(CorruptError(str(error)), wanted, passed, record.offset) from error
        self.layout = layout
        self._standing = passed, model
        return model

    def _apply(self, record: Record) -> Model:
        return self.decoder.decode(_update_of(self._source, record))

    def _apply_over(self, record: Record) -> Model:
        """Do as `_apply` piece by piece, over what the decoder holds, which models handed out before show."""
        start, bodies = _peeked(_bodies_of(self._source, record))
        if is_standard(start):
            return self._apply(record)
        model = self.decoder.decode_over(bodies, record.entry.n_bytes)
        if model.position != record.entry.position:
            raise CorruptError("the update is another than its position says", byte_offset=0)
        return model

    def _start_over(self) -> None:
        self._standing = None
        self.decoder = Decoder(limits=self._limits, threads=self._threads)
        self.layout = None


class _UnreadableError(Exception):
    """A fault whose offset is one in the file, on its way past a decoder: offsets of its faults are in the update."""

    def __init__(self, fault: CorruptError) -> None:
        self.fault = fault
        super().__init__(str(fault))


def _update_of(source: Source, record: Record) -> Update:
    position, parent_chain = record.entry.position, record.parent_chain
    parent = None if parent_chain is None else Position(position.sequence - 1, parent_chain, None)
    return Update(b"".join(_bodies_of(source, record)), position, parent)


def _bodies_of(source: Source, record: Record) -> Iterator[bytes]:
    """Yield the pieces of an update, at least one. Raises _UnreadableError."""
    if not record.bodies:
        what = "its frame" if record.entry.is_lost else "a frame of the update"
        raise _UnreadableError(CorruptError(f"{what} is damaged", byte_offset=record.offset))
    try:
        for body in record.bodies:
            yield read_body(source, body)
    except CorruptError as error:
        raise _UnreadableError(error) from error


def _peeked(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first few bytes, and all pieces, none of which is kept once it was handed out."""
    first = next(pieces)
    return first[:_START_BYTES], chain([first], pieces)


def _parent_of(record: Record, scan: Scan) -> int:
    if record.entry.is_lost or record.parent_chain is None:
        raise CorruptError("its frame is damaged")
    parent = scan.index_of(record.parent_chain)
    if parent is None:
        raise CorruptError("its parent is not in the file")
    if scan.records[parent].entry.position.sequence >= record.entry.position.sequence:
        raise CorruptError("its parent is not older than itself")  # and no chain is a circle
    return parent


def _offset_in_file(bodies: Iterable[Body], offset: int | None) -> int | None:
    """Translate an offset in an update to one in the file."""
    end = None
    for body in bodies:
        if offset is None:
            return body.offset
        if offset < body.n_bytes:
            return body.offset + offset
        offset -= body.n_bytes
        end = body.offset + body.n_bytes
    return end


def _blame(error: BitstreamError, wanted: int, passed: int, byte_offset: int | None) -> BitstreamError:
    """Say of a fault in entry `passed` what it means to one who wanted entry `wanted`."""
    message = f"entry {wanted}: {error.message}"
    if passed != wanted:
        message = f"entry {wanted}, which needs entry {passed}: {error.message}"
    return type(error)(message, byte_offset=byte_offset, unit_index=error.unit_index)

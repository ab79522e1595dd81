"""File -> the entries committed in it, the spans that are damaged, and whether the rest is a write that never ended.

Only headers are read; bodies are seeked over. A scan can go on when the file has grown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from incnnr.errors import CorruptError, TruncatedError, UnsupportedError
from incnnr.stream.entry import Entry, Fields, Record, lost_record, record_of, uint64, unpack_fields
from incnnr.stream.frames import MARK, MIN_FRAME_BYTES, Body, Frame, Kind, Source, read_body, unpack_header

_CHUNK_BYTES = 1 << 20
_ZERO_CHECKSUM = bytes(8)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the file that make no sense."""

    offset: int
    end: int


class Scan:
    """What is known of a stream's content.

    Attributes
    ----------
    records : list of Record
        Every committed entry, in file order; stand-ins for those whose header is lost.
    entries : list of Entry
        The same without what only decoding needs.
    damage : list of Damage
        What had to be skipped.
    committed_end : int
        Offset behind the last commit: where a writer goes on.
    """

    def __init__(self, source: Source) -> None:
        self.records: list[Record] = []
        self.entries: list[Entry] = []
        self.damage: list[Damage] = []
        self.committed_end = 0
        self._source = source
        self._end = 0
        self._barren_size = -1
        self._last_body: Body | None = None
        self._by_chain: dict[int, int] = {}
        self._parts: dict[int, dict[int, Body]] = {}
        self._n_judged = 0

    def advance(self) -> None:
        """Take in every whole frame that is there by now.

        Raises
        ------
        CorruptError
            This is not a stream.
        UnsupportedError
            A later version, or a frame that must not be skipped and is not known.
        """
        size = self._source.size()
        while self._end < size and self._barren_size != size:
            frame = self._next_frame(size)
            if frame is None:
                self._barren_size = size
                self._check_beginning()
            else:
                self._take(frame)

    def finish(self) -> None:
        """Take it that nothing more will come: what follows the last whole frame is a torn write, or damage.

        Raises
        ------
        CorruptError, UnsupportedError
            As `advance`.
        """
        self.advance()
        size = self._source.size()
        if self._end < size and not self._is_torn(size):
            self._add_lost(1, self._end)
            self._skip(self._end, size)

    @property
    def torn_bytes(self) -> int:
        """Bytes behind the last commit."""
        return self._source.size() - self.committed_end

    def is_cut_back(self) -> bool:
        """Whether the file has become shorter than what was read of it."""
        return self._source.size() < self._end

    def index_of(self, chain: int) -> int | None:
        """Index of the entry that leads to that chain."""
        return self._by_chain.get(chain)

    def _next_frame(self, size: int) -> Frame | None:
        """Return the next whole frame, past damage if need be; None where no more follows."""
        try:
            frame = unpack_header(self._source, self._end)
        except TruncatedError:
            start = self._end
        except CorruptError:
            start = self._first_suspect()
        else:
            if self._is_whole(frame, size):
                return frame
            start = self._end
        found = self._search(start + 1, size)
        if found is not None:
            self._skip(start, found.offset)
        return found

    def _first_suspect(self) -> int:
        """Where to search from when no frame begins where one should: bytes may be missing from the body before."""
        body = self._last_body
        return self._end if body is None or _holds(self._source, body) else body.offset

    def _search(self, start: int, size: int) -> Frame | None:
        """Find the next whole frame. A header holds no mark, so that no byte is looked at for two candidates."""
        marks = _marks(self._source, start, size)
        offset = next(marks, None)
        while offset is not None:
            following = next(marks, None)
            try:
                frame = unpack_header(self._source, offset, limit=following)
            except (CorruptError, TruncatedError):
                pass
            else:
                if self._is_whole(frame, size):
                    return frame
            offset = following
        return None

    def _is_whole(self, frame: Frame, size: int) -> bool:
        """Whether all of a frame was written: its checksum comes last, and after a crash the end may be zeros."""
        return frame.end < size or (frame.end == size and not _ends_in_zeros(self._source, size))

    def _is_torn(self, size: int) -> bool:
        try:
            unpack_header(self._source, self._end)
        except TruncatedError:
            return True
        except CorruptError:
            return self._end > 0 and _ends_in_zeros(self._source, size)
        return True

    def _check_beginning(self) -> None:
        if self._end == 0 and not MARK.startswith(self._source.read(0, len(MARK))):
            raise CorruptError("not an incnnr stream", byte_offset=0)

    def _skip(self, start: int, end: int) -> None:
        self.damage.append(Damage(start, end))
        self._end = end

    def _take(self, frame: Frame) -> None:
        self._last_body = frame.body
        try:
            self._take_fields(frame)
        except CorruptError:
            self._skip(frame.offset, frame.end)
        self._end = frame.end

    def _take_fields(self, frame: Frame) -> None:
        if frame.kind == Kind.PART:
            fields = unpack_fields(frame.fields)
            self._parts.setdefault(uint64(fields, "c"), {})[uint64(fields, "a")] = frame.body
        elif frame.kind == Kind.UPDATE:
            self._take_update(frame, unpack_fields(frame.fields))
            self.committed_end = frame.end
        elif not frame.is_optional:
            raise UnsupportedError(f"frames of kind {frame.kind} are not supported", byte_offset=frame.offset)
        elif not self._parts:
            self.committed_end = frame.end

    def _take_update(self, frame: Frame, fields: Fields) -> None:
        record = record_of(fields, len(self.records), frame.offset, self._bodies(frame, fields))
        damage = self.damage[self._n_judged :]
        self._n_judged = len(self.damage)
        if damage:
            self._add_lost_before(record, damage)
            record = replace(record, entry=replace(record.entry, index=len(self.records)))
        self._by_chain.setdefault(record.entry.position.chain, len(self.records))
        self._add(record)

    def _add_lost_before(self, record: Record, damage: list[Damage]) -> None:
        """Add stand-ins for what vanished in the damage before an entry, as many as its sequence and the room tell."""
        n_missing = record.entry.position.sequence - self._next_sequence()
        n_fitting = sum(span.end - span.offset for span in damage) // MIN_FRAME_BYTES
        self._add_lost(min(n_missing, n_fitting), damage[0].offset)
        if record.parent_chain is not None and self.records and self.records[-1].entry.is_lost:
            self._by_chain.setdefault(record.parent_chain, len(self.records) - 1)

    def _bodies(self, frame: Frame, fields: Fields) -> tuple[Body, ...]:
        """Return the pieces of an update in order, or nothing if one is missing."""
        n_parts = uint64(fields, "a") if "a" in fields else 0
        parts = self._parts.pop(uint64(fields, "c"), {})
        if not all(number in parts for number in range(n_parts)):
            return ()
        return (*(parts[number] for number in range(n_parts)), frame.body)

    def _add_lost(self, n_lost: int, offset: int) -> None:
        for _ in range(n_lost):
            self._add(lost_record(len(self.records), offset, self._next_sequence()))

    def _add(self, record: Record) -> None:
        self.records.append(record)
        self.entries.append(record.entry)

    def _next_sequence(self) -> int:
        return self.records[-1].entry.position.sequence + 1 if self.records else 0


def _holds(source: Source, body: Body) -> bool:
    """Whether the checksum of a body holds."""
    try:
        read_body(source, body)
    except CorruptError:
        return False
    return True


def _ends_in_zeros(source: Source, size: int) -> bool:
    n_bytes = len(_ZERO_CHECKSUM)
    return size >= n_bytes and source.read(size - n_bytes, n_bytes) == _ZERO_CHECKSUM


def _marks(source: Source, start: int, end: int) -> Iterator[int]:
    """Yield the offsets of all marks that begin at `start` or later, reading as far as asked for."""
    overlap = len(MARK) - 1
    for offset in range(start, end, _CHUNK_BYTES):
        chunk = source.read(offset, _CHUNK_BYTES + overlap)
        position = chunk.find(MARK)
        while position >= 0:
            yield offset + position
            position = chunk.find(MARK, position + 1)

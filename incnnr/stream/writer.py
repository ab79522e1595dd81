"""Writing a stream: one update per entry, committed as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Self

from incnnr.errors import ClosedError, CorruptError
from incnnr.incremental import Encoder, UpdateChunks
from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.stream import frames, layouts, sink
from incnnr.stream.cursor import Cursor
from incnnr.stream.entry import Entry, Label, entry_of, label, pack_fields, pack_part_fields, unpack_fields
from incnnr.stream.frames import Kind
from incnnr.stream.scan import Scan
from incnnr.stream.sink import FileSink, Sink
from incnnr.stream.source import FileSource
from incnnr.tensors import Layout

MAX_BODY_BYTES = 1 << 26
_SPOOL_BYTES = 1 << 24  # of an update that wait in memory

Options = dict[str, Any]


class StreamWriter:
    """Appends entries to a stream file; made by `incnnr.open`.

    One thread at a time.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    entries : sequence of Entry
        What the file holds by now, oldest first.
    position : Position or None
        What a reader of the whole file stands at; None while it is empty.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> path = Path(tempfile.mkdtemp()) / "run.incnnr"
    >>> with incnnr.stream.open(path, "a") as stream:
    ...     entry = stream.append({"w": np.zeros(3)}, step=500, metadata={"loss": 0.31})
    >>> entry.index, entry.step, entry.is_keyframe, entry.metadata
    (0, 500, True, {'loss': 0.31})
    """

    def __init__(
        self,
        path: Path,
        sink: Sink,
        encoder: Encoder,
        keyframe_every: int,
        *,
        entries: Sequence[Entry] = (),
        layout: Layout | None = None,
    ) -> None:
        self.path = path
        self._sink = sink
        self._encoder = encoder
        self._entries = list(entries)
        self._layout = layout
        self._keyframe_every = keyframe_every
        self._closed_because: str | None = None

    @property
    def entries(self) -> Sequence[Entry]:
        """What the file holds by now, oldest first."""
        return self._entries

    @property
    def position(self) -> Position | None:
        """What a reader of the whole file stands at."""
        return self._entries[-1].position if self._entries else None

    def __len__(self) -> int:
        return len(self._entries)

    def append(
        self,
        weights: Mapping[str, Any],
        *,
        step: int | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        sync: bool = True,
    ) -> Entry:
        """Encode `weights` and commit them as the next entry.

        Parameters
        ----------
        weights : mapping from str to array
            As `Encoder.encode` takes them. Its attribute ``layout``, if it has one, is stored with the entry, so
            that a checkpoint becomes the same file again.
        step : int, optional
            Training step; steps may repeat and go backwards.
        name : str, optional
            Where the weights came from.
        metadata : dict, optional
            String keys; values of None, bool, int, float, str, bytes, and lists, tuples and dicts of these.
        sync : bool
            Whether the entry is on disk on return, power failures included; without it that takes a few seconds.

        Returns
        -------
        Entry
            What was added.

        Raises
        ------
        TypeError, ValueError
            Weights or labels that cannot be stored; nothing has happened.
        OSError
            The entry could not be written, say because the disk is full. The file holds what it held before, and
            the writer has closed itself: reopening resumes. Any error that comes up later than those above does the
            same, an interrupt included.
        ClosedError
            The writer is closed.

        Notes
        -----
        One copy of the model is in memory, what a reader will hold: `weights` is read piece by piece, the copy is
        written over, and what is coded waits in a file beside the stream if it is large.
        """
        return self._append(weights, label(step, name, metadata), sync=sync)

    def copy(self, weights: Mapping[str, Any], entry: Entry, *, sync: bool = True) -> Entry:
        """Encode `weights` and commit them with another entry's step, name, time and metadata.

        Parameters
        ----------
        weights : mapping from str to array
            As for `append`.
        entry : Entry
            Of any stream.
        sync : bool
            As for `append`.

        Returns
        -------
        Entry
            What was added.

        Raises
        ------
        OSError, ClosedError
            As by `append`.
        """
        said = Label(entry.step, entry.name, entry.metadata, entry.time)
        return self._append(weights, said, sync=sync)

    def _append(self, weights: Mapping[str, Any], said: Label, *, sync: bool) -> Entry:
        self._check_open()
        keyframe = is_keyframe_due(self._entries, self._keyframe_every)
        layout = getattr(weights, "layout", None)
        update = self._encoder.encode_over(weights, keyframe=keyframe)
        try:
            with SpooledTemporaryFile(_SPOOL_BYTES, dir=_folder_for_bytes(self.path)) as spool:
                for unit in update:
                    spool.write(unit)
                entry = self._commit(update, spool, layout, said, sync=sync)
        except BaseException as error:
            self._abandon(error)
            raise
        self._entries.append(entry)
        self._layout = layout
        return entry

    def _commit(
        self, update: UpdateChunks, spool: IO[bytes], layout: Layout | None, said: Label, *, sync: bool
    ) -> Entry:
        """Write an update whose bytes were put aside: its frames name where it leads, which its end tells."""
        n_bytes = spool.tell()
        n_parts = max(0, (n_bytes - 1) // MAX_BODY_BYTES)
        packed_layout = layouts.pack(layout, None if update.is_keyframe else self._layout)
        fields = pack_fields(update, said, packed_layout, n_parts)
        entry = entry_of(unpack_fields(fields), len(self._entries), n_bytes)  # as every reader will see it
        spool.seek(0)
        self._sink.commit(_frames_of(update.position, spool, n_parts, fields), sync=sync)
        return entry

    def close(self) -> None:
        """Let the file go for another writer; closing twice is harmless."""
        if self._closed_because is None:
            self._closed_because = "it was closed"
            self._sink.close()

    def _abandon(self, error: BaseException) -> None:
        """Leave the file as it was before the entry that failed. What the encoder held is gone."""
        self._closed_because = f"a write failed ({error!r})"
        self._sink.cut_back()
        self._sink.close()

    def _check_open(self) -> None:
        if self._closed_because is not None:
            raise ClosedError(f"{self.path} is closed: {self._closed_because}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def is_keyframe_due(entries: Sequence[Entry], keyframe_every: int) -> bool:
    """Whether the next entry must be a keyframe.

    It must when there is none yet, when the updates since the last one add up to its bytes, and when the last one
    is `keyframe_every` entries ago.
    """
    update_bytes = 0
    for age, entry in enumerate(reversed(entries), start=1):
        if entry.is_keyframe:
            return update_bytes >= entry.n_bytes or age >= keyframe_every
        update_bytes += entry.n_bytes
    return True


def starting(path: Path, open_sink: Callable[[Path], Sink], keyframe_every: int, options: Options) -> StreamWriter:
    """Write a new stream to what `sink.replacing` or `sink.creating` opens.

    Raises
    ------
    FileExistsError, StateError
        As `open_sink`; nothing is opened if the options are not good.
    """
    encoder = Encoder(require_ack=False, **options)
    return StreamWriter(path, open_sink(path), encoder, keyframe_every)


def appending(path: Path, keyframe_every: int, limits: Limits, options: Options) -> StreamWriter:
    """Go on where a stream ends, creating it if need be; a torn tail is cut off.

    All headers are read, and the bodies that the last entry needs. Older bodies are not: in a long stream that would
    take minutes, and nothing that is appended depends on them.

    Raises
    ------
    StateError
        Somebody is writing to it.
    CorruptError
        It is damaged as far as it was read, or no stream; the file is left as it is.
    """
    if sink.is_pipe(path):
        return starting(path, sink.replacing, keyframe_every, options)
    path = path.resolve()
    file = sink.locked(path)
    try:
        source = FileSource(file)
        scan = Scan(source)
        scan.finish()
        cursor = Cursor(source, scan, limits, options["threads"])
        _refuse_damage(scan)
        encoder = _encoder_at_end(scan, cursor, options)
        if scan.torn_bytes:
            file.truncate(scan.committed_end)
    except BaseException:
        file.close()
        raise
    tail = FileSink(file, scan.committed_end)
    return StreamWriter(path, tail, encoder, keyframe_every, entries=scan.entries, layout=cursor.layout)


def _refuse_damage(scan: Scan) -> None:
    """Refuse what headers alone show to be damaged."""
    for span in scan.damage:
        raise CorruptError("the stream is damaged and takes no more entries", byte_offset=span.offset)
    for record in scan.records:
        if not record.bodies:
            raise CorruptError("a part of an update is missing in the stream", byte_offset=record.offset)


def _encoder_at_end(scan: Scan, cursor: Cursor, options: Options) -> Encoder:
    if not scan.records:
        return Encoder(require_ack=False, **options)
    return Encoder.take_over(cursor.taken_to(len(scan.records) - 1), require_ack=False, **options)


def _folder_for_bytes(path: Path) -> str | None:
    """Where bytes that wait to be written go: to the stream's disk, which must take them anyway."""
    return None if sink.is_pipe(path) else str(path.resolve().parent)


def _frames_of(position: Position, update: IO[bytes], n_parts: int, fields: bytes) -> Iterator[bytes]:
    """Yield an update as frames, the last of which has `fields` and commits it."""
    for number in range(n_parts):
        yield from frames.pack(Kind.PART, pack_part_fields(position, number), update.read(MAX_BODY_BYTES))
    yield from frames.pack(Kind.UPDATE, fields, update.read())

"""Reading a stream: its entries, and the weights of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index as as_index
from pathlib import Path
from types import TracebackType
from typing import Self

from incnnr.errors import ClosedError
from incnnr.incremental import Update
from incnnr.limits import Limits
from incnnr.stream.cursor import Cursor
from incnnr.stream.entry import Entry
from incnnr.stream.scan import Damage, Scan
from incnnr.stream.source import FileSource, source_of
from incnnr.tensors import Model


class StreamReader:
    """The entries committed in a stream file when it was opened; made by `incnnr.open`.

    Opening reads headers only. Iterating decodes every update once; ``stream[i]`` decodes from the newest keyframe
    at or before entry i, or from the entry asked for last where that is closer. A pipe is read to its end first.
    One thread at a time.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    entries : sequence of Entry
        What there is, oldest first: ``entries[i]`` describes ``stream[i]``.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> path = Path(tempfile.mkdtemp()) / "run.incnnr"
    >>> with incnnr.stream.open(path, "w") as stream:
    ...     for step in (10, 20):
    ...         _ = stream.append({"w": np.full(3, step, np.float32)}, step=step)
    >>> with incnnr.stream.open(path) as stream:
    ...     len(stream), stream[-1]["w"].tolist(), stream.at(step=10)["w"].tolist()
    (2, [20.0, 20.0, 20.0], [10.0, 10.0, 10.0])
    """

    def __init__(self, path: str | Path, *, limits: Limits, threads: int | None) -> None:
        self.path = Path(path)
        self._limits = limits
        self._threads = threads
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._use(source_of(self.path))
        try:
            while self._source.grow():
                pass
            self._scan.finish()
        except BaseException:
            self._source.close()
            raise

    def _use(self, source: FileSource) -> None:
        self._source = source
        self._scan = Scan(source)
        self._cursor = self._new_cursor()

    @property
    def entries(self) -> Sequence[Entry]:
        """What there is, oldest first."""
        return self._scan.entries

    @property
    def damage(self) -> Sequence[Damage]:
        """Spans of the file whose frames could not be read; faults in the bodies of updates are found by `verify`."""
        return self._scan.damage

    @property
    def torn_bytes(self) -> int:
        """Bytes at the end that belong to a write that never ended, or has not ended yet."""
        return self._scan.torn_bytes

    def __len__(self) -> int:
        return len(self._scan.records)

    def __getitem__(self, index: int) -> Model:
        """Decode one entry; negative indices count from the end.

        Raises
        ------
        IndexError
            There is no such entry.
        BitstreamError
            The entry or one that it needs is damaged; others can still be read.
        ClosedError
            The stream is closed.
        """
        self._check_open()
        return self._cursor.model(self._checked(index))

    def __iter__(self) -> Iterator[Model]:
        """Decode every entry, oldest first."""
        self._check_open()
        cursor = self._new_cursor()
        for index in range(len(self)):
            self._check_open()
            yield cursor.model(index)

    def at(self, *, step: int) -> Model:
        """Decode the newest entry of that step.

        Raises
        ------
        KeyError
            No entry has that step.
        """
        for entry in reversed(self.entries):
            if entry.step == step and not entry.is_lost:
                return self[entry.index]
        raise KeyError(step)

    def updates(self) -> Iterator[Update]:
        """Yield every update, oldest first; ``bytes`` of it goes over a network."""
        for index in range(len(self)):
            self._check_open()
            yield self._cursor.update(index)

    def update(self, index: int) -> Update:
        """Return one update, as its encoder made it but for the statistics.

        Raises
        ------
        IndexError
            There is no such entry.
        CorruptError
            It is damaged.
        """
        self._check_open()
        return self._cursor.update(self._checked(index))

    def close(self) -> None:
        """Let the file go; models handed out stay valid."""
        self._closed = True
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _new_cursor(self) -> Cursor:
        return Cursor(self._source, self._scan, self._limits, self._threads)

    def _checked(self, index: int) -> int:
        number = as_index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"entry {number} of a stream of {len(self)}")
        return number % len(self)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.path} is closed")

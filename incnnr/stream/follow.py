"""Reading a stream that is still being written, by another process and perhaps on another machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.stream.entry import Entry
from incnnr.stream.reader import StreamReader
from incnnr.stream.source import FileSource, source_of
from incnnr.tensors import Model


class StreamFollower(StreamReader):
    """A stream whose iteration waits for more; made by ``incnnr.open(path, follow=True)``.

    The file need not be there yet. An update that is being written is waited for. When the file is replaced, or cut
    back to an earlier commit, iteration goes on with the first entry of the new file that was not handed out yet.
    Iteration ends when another thread calls `close`, when `stop` returns True, or at the end of a pipe; it raises
    the `BitstreamError` of the first entry that is damaged. `newest` does the same for those who want no history.

    `len`, ``stream[i]``, `at` and `entries` know what iteration has come across so far.

    Parameters
    ----------
    path : str or pathlib.Path
        The file or pipe.
    stop : callable, optional
        Asked before every look at the file; iteration ends when it returns True.
    poll_seconds : float
        Time between two looks.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> path = Path(tempfile.mkdtemp()) / "run.incnnr"
    >>> with incnnr.stream.open(path, "w") as writer, incnnr.stream.open(path, follow=True) as reader:
    ...     models = iter(reader)
    ...     for value in (1.0, 2.0):
    ...         _ = writer.append({"w": np.full(2, value)})
    ...         print(next(models)["w"])
    [1. 1.]
    [2. 2.]
    """

    def __init__(
        self,
        path: str | Path,
        *,
        limits: Limits,
        threads: int | None,
        stop: Callable[[], bool] | None = None,
        poll_seconds: float = 0.2,
    ) -> None:
        self._stop = stop
        self._poll_seconds = poll_seconds
        self._closing = threading.Event()
        self._reading = threading.Lock()
        super().__init__(path, limits=limits, threads=threads)

    def _begin(self) -> None:
        self._use(FileSource(Path(os.devnull).open("rb")))  # noqa: SIM115 -- stands for a file not there yet
        try:
            self._look()
        except BaseException:
            self._source.close()
            raise

    def __iter__(self) -> Iterator[Model]:
        """Decode every entry, oldest first, and then those to come."""
        return self._following(itemgetter(0))

    def newest(self) -> Iterator[Model]:
        """Decode the newest entry, and then of those to come always the newest that is there by then.

        What is passed over is decoded only as far as the entry needs it: from the newest keyframe on, or from the
        entry handed out last. Whether it is sound is not looked at. ``entries[-1]`` is the entry in hand.

        Examples
        --------
        >>> import tempfile, numpy as np, incnnr.stream
        >>> path = Path(tempfile.mkdtemp()) / "run.incnnr"
        >>> with incnnr.stream.open(path, "w") as writer, incnnr.stream.open(path, follow=True) as reader:
        ...     for value in (1.0, 2.0, 3.0):
        ...         _ = writer.append({"w": np.full(2, value)})
        ...     next(reader.newest())["w"]
        array([3., 3.])
        """
        return self._following(itemgetter(-1))

    def _following(self, choose: Callable[[Sequence[int]], int]) -> Iterator[Model]:
        """Decode what `choose` picks from the entries that are waiting, again and again; what is older is let go."""
        self._check_open()
        scan, cursor, seen = self._scan, self._new_cursor(), list[Position]()
        while True:
            with self._reading:
                if self._is_over():
                    return
                self._look()
                if scan is not self._scan:
                    scan, cursor = self._scan, self._new_cursor()
                    del seen[_n_common(seen, scan.entries) :]
                waiting = range(len(seen), len(scan.entries))
                if not waiting:
                    if not self._source.wait(self._closing, self._poll_seconds):
                        return
                    continue
                index = choose(waiting)
                model = cursor.model(index)
            seen += [entry.position for entry in scan.entries[len(seen) : index + 1]]
            yield model

    def close(self) -> None:
        """Let the file go and end all iteration, in this thread or others; an update in hand is finished first."""
        self._closing.set()
        with self._reading:
            super().close()

    def _is_over(self) -> bool:
        return self._closing.is_set() or (self._stop is not None and self._stop())

    def _look(self) -> None:
        """Learn what the file holds by now, and whether it is still the same file."""
        if self._scan.is_cut_back() or not self._source.is_file(self.path):
            self._open_again()
        n_damaged = len(self._scan.damage)
        self._scan.advance()
        if n_damaged < len(self._scan.damage):
            self._use(self._source)  # cut back and grown again between two looks? Then a fresh scan finds no damage
            self._scan.advance()

    def _open_again(self) -> None:
        try:
            source = source_of(self.path)
        except FileNotFoundError:
            return
        self._source.close()
        self._use(source)


def _n_common(seen: Sequence[Position], entries: Sequence[Entry]) -> int:
    """How many of the entries seen a replaced file begins with."""
    n_common = 0
    for position, entry in zip(seen, entries, strict=False):
        if position != entry.position:
            break
        n_common += 1
    return n_common

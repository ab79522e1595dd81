"""Fewer entries: a new stream with some of another's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from incnnr import files
from incnnr.stream.entry import Entry
from incnnr.stream.reader import StreamReader
from incnnr.stream.sink import creating
from incnnr.stream.writer import starting


def thin(
    reader: StreamReader,
    path: str | Path,
    indices: Iterable[int],
    *,
    keyframe_every: int = 500,
    threads: int | None = None,
) -> Iterator[Entry]:
    """Write some entries of a stream to a new stream file, without any loss.

    Parameters
    ----------
    reader : StreamReader
        Where they come from.
    path : str or pathlib.Path
        The new file. It takes the place of an old one in one step once all entries are in it.
    indices : iterable of int
        Which entries, in increasing order.
    keyframe_every : int
        As for `incnnr.open`.
    threads : int, optional
        Threads of the kernels.

    Yields
    ------
    Entry
        Of the new stream, as each is written; the file appears after the last.

    Raises
    ------
    BitstreamError
        An entry, or one that it needs, is damaged; then no file appears.
    OSError
        The file could not be written.

    Notes
    -----
    What an entry decodes to, its step, name, time, metadata and layout stay. Each is coded anew as the exact
    difference to the one before it, so entries of a stream with bounded errors may take more bytes.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> folder = Path(tempfile.mkdtemp())
    >>> with incnnr.stream.open(folder / "run.incnnr", "w") as stream:
    ...     for step in range(5):
    ...         _ = stream.append({"w": np.full(3, step)}, step=step)
    >>> with incnnr.stream.open(folder / "run.incnnr") as stream:
    ...     [entry.step for entry in thin(stream, folder / "thin.incnnr", [0, 2, 4])]
    [0, 2, 4]
    """
    path = Path(path)
    file = files.temporary_beside(path)
    file.close()
    unfinished = Path(file.name)
    try:
        unfinished.unlink()
        chosen = list(indices)
        with starting(unfinished, creating, keyframe_every, {"threads": threads}) as writer:
            for index in chosen:
                yield writer.copy(reader[index], reader.entries[index], sync=index == chosen[-1])
        files.take_place(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise

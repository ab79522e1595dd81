"""Stream files: a sequence of updates that grows at its end and survives crashes.

``protocol/stream.md`` describes the file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, overload

from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.stream import sink
from incnnr.stream.entry import Entry
from incnnr.stream.follow import StreamFollower
from incnnr.stream.reader import StreamReader
from incnnr.stream.thinning import thin
from incnnr.stream.verify import Fault, verify
from incnnr.stream.writer import StreamWriter, appending, starting

__all__ = ["Entry", "Fault", "StreamFollower", "StreamReader", "StreamWriter", "open", "thin", "verify"]


@overload
def open(  # noqa: A001
    path: str | Path,
    mode: Literal["r"] = "r",
    *,
    follow: Literal[False] = False,
    limits: Limits = ...,
    threads: int | None = None,
) -> StreamReader: ...


@overload
def open(  # noqa: A001
    path: str | Path,
    mode: Literal["r"] = "r",
    *,
    follow: Literal[True],
    stop: Callable[[], bool] | None = None,
    poll_seconds: float = 0.2,
    limits: Limits = ...,
    threads: int | None = None,
) -> StreamFollower: ...


@overload
def open(  # noqa: A001
    path: str | Path,
    mode: Literal["w", "x", "a"],
    *,
    keyframe_every: int = 500,
    limits: Limits = ...,
    threads: int | None = None,
    **encoder_options: Any,
) -> StreamWriter: ...


def open(  # noqa: A001 -- the same word as the builtin's, for the same thing
    path: str | Path,
    mode: str = "r",
    *,
    follow: bool = False,
    stop: Callable[[], bool] | None = None,
    poll_seconds: float = 0.2,
    keyframe_every: int = 500,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
    **encoder_options: Any,
) -> StreamReader | StreamWriter:
    """Open a stream file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file. ``/dev/stdin`` and other pipes can be read, ``/dev/stdout`` and other pipes written.
    mode : {"r", "w", "x", "a"}
        As for the builtin `open`: read; write a new file, which takes the place of an old one in one step at the
        first commit; the same, but only where there is none; append, creating the file if need be. A torn tail that
        a crash left is ignored when reading and cut off when appending. Appending reads all headers and what the last
        entry needs, from the newest keyframe on; `verify` also finds damage in older updates.
    follow : bool
        Reading only: iterate over what will be appended, too, or with `StreamFollower.newest` over the newest only.
    stop, poll_seconds
        For following: a callable that ends the iteration by returning True, and the time between two looks.
    keyframe_every : int
        Writing only: at least every so many entries one is a keyframe. There are more where the updates since the
        last one add up to its bytes.
    limits : Limits
        How large what is decoded may be.
    threads : int, optional
        Threads of the kernels.
    **encoder_options
        Writing only: as for `Encoder`.

    Returns
    -------
    StreamReader, StreamFollower or StreamWriter
        All are context managers.

    Raises
    ------
    FileNotFoundError, FileExistsError, OSError
        As the builtin.
    CorruptError
        The file is not a stream, or (appending) is damaged where it was read; it is left as it is.
    UnsupportedError
        It is of a later version.
    StateError
        Somebody else is writing to it.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> path = Path(tempfile.mkdtemp()) / "run.incnnr"
    >>> with incnnr.stream.open(path, "a") as stream:
    ...     for step in range(3):
    ...         entry = stream.append({"w": np.arange(4) + step}, step=step)
    >>> with incnnr.stream.open(path) as stream:
    ...     [model["w"].tolist() for model in stream]
    [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    """
    if mode == "r":
        if encoder_options:
            raise TypeError(f"only an encoder has the option {next(iter(encoder_options))!r}, and mode is 'r'")
        if follow:
            return StreamFollower(path, stop=stop, poll_seconds=poll_seconds, limits=limits, threads=threads)
        return StreamReader(path, limits=limits, threads=threads)
    if mode not in ("w", "x", "a"):
        raise ValueError(f"mode must be 'r', 'w', 'x' or 'a', not {mode!r}")
    if follow:
        raise ValueError("follow=True goes with mode 'r'")
    if keyframe_every < 1:
        raise ValueError(f"keyframe_every must be at least 1, not {keyframe_every}")
    options = {"threads": threads, **encoder_options}
    if mode == "a":
        return appending(Path(path), keyframe_every, limits, options)
    return starting(Path(path), sink.creating if mode == "x" else sink.replacing, keyframe_every, options)

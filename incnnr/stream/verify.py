"""Looking for faults in a stream without stopping at the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from incnnr.errors import BitstreamError, CorruptError
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.stream.reader import StreamReader


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a stream that is not as it was written.

    Attributes
    ----------
    index : int or None
        The entry that cannot be had because of it; None for bytes of the file that are in no frame.
    error : BitstreamError
        What ``stream[index]`` raises; its `byte_offset` is where in the file.
    """

    index: int | None
    error: BitstreamError


def verify(
    path: str | Path,
    *,
    quick: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
) -> Iterator[Fault]:
    """Yield every fault of a stream file; a sound one yields none. A torn tail is no fault.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    quick : bool
        Look at the checksums of all frames only. Otherwise every update is decoded as well, and the digest of its
        weights compared: entries that depend on a damaged one are then reported too.
    limits, threads
        As for `incnnr.open`.

    Raises
    ------
    CorruptError
        The file is no stream.
    OSError
        It cannot be read.
    """
    with StreamReader(path, limits=limits, threads=threads) as stream:
        yield from faults_of(stream, quick=quick)


def faults_of(stream: StreamReader, *, quick: bool = False) -> Iterator[Fault]:
    """Yield every fault of an open stream, as `verify`."""
    look = stream.update if quick else stream.__getitem__
    for index in range(len(stream)):
        try:
            look(index)
        except BitstreamError as error:
            yield Fault(index, error)
    for span in stream.damage:
        n_bytes = span.end - span.offset
        yield Fault(None, CorruptError(f"{n_bytes} bytes belong to no frame that can be read", byte_offset=span.offset))

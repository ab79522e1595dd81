"""Files that are whole or not there: atomic replacement, durable writes and a lock that dies with its owner."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes `path`'s place when the block ends without an error.

    The bytes are on disk before the name changes, so that after a crash `path` is the old file or the new one.
    The temporary file stands beside `path`, its name starts with a dot, and an error removes it.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "weights.bin"
    >>> with replacing(target) as file:
    ...     _ = file.write(b"all of it")
    >>> target.read_bytes()
    b'all of it'
    """
    path = Path(path)
    file = temporary_beside(path)
    try:
        with file:
            yield file
            sync(file)
        take_place(Path(file.name), path)
    except BaseException:
        with suppress(OSError):
            os.unlink(file.name)  # noqa: PTH108 -- file.name is a str
        raise


def temporary_beside(path: Path) -> BinaryIO:
    """Create an empty temporary file in `path`'s folder, readable by whoever may read new files there."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(descriptor, 0o666 & ~umask)
    return open(name, "w+b", opener=lambda *_: descriptor)


def take_place(source: Path, target: Path) -> None:
    """Rename `source` to `target` in one step and make the new name durable."""
    source.replace(target)
    sync_folder(target.parent)


def sync(file: IO[bytes]) -> None:
    """Return once what was written to `file` is on disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return once the names in `folder` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(file: IO[bytes]) -> None:
    """Take the exclusive kernel lock on an open file; it is released when the file closes or the process dies.

    Raises
    ------
    BlockingIOError
        Somebody else holds it.
    """
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

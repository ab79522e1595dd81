"""Where a writer's frames go: a locked file that is whole up to its last commit, whatever happens to a write."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from incnnr import files
from incnnr.errors import StateError


class Sink(Protocol):
    """Takes the frames of one update at a time."""

    def commit(self, frames: Iterable[bytes], *, sync: bool) -> None:
        """Write all of an update, or raise."""

    def cut_back(self) -> None:
        """Undo as far as possible what a commit that raised has written."""

    def close(self) -> None:
        """Let the file go."""


class FileSink:
    """A regular file that only this process writes.

    Parameters
    ----------
    file : binary file
        Locked, not buffered: what a failed write left behind must not surface when the file closes.
    end : int
        Where its last commit ends.
    """

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file = file
        self._end = end

    def commit(self, frames: Iterable[bytes], *, sync: bool) -> None:
        """Write behind the last commit; on disk on return if `sync`."""
        self._end = self._write(frames, sync=sync)

    def _write(self, frames: Iterable[bytes], *, sync: bool) -> int:
        self._file.seek(self._end)
        for data in frames:
            _write_all(self._file, data)
        if sync:
            files.sync(self._file)
        return self._file.tell()

    def cut_back(self) -> None:
        """Cut the file back to the last commit."""
        with suppress(OSError):
            self._file.truncate(self._end)

    def close(self) -> None:
        """Release the lock."""
        self._file.close()


class ReplacingSink(FileSink):
    """A temporary file that takes the place of another with its first commit.

    Parameters
    ----------
    path : pathlib.Path
        What is replaced.
    replaced : binary file
        It, locked.
    """

    def __init__(self, path: Path, replaced: IO[bytes]) -> None:
        super().__init__(_locked_temporary(path), end=0)
        self._path = path
        self._temporary: Path | None = Path(self._file.name)
        self._replaced = replaced

    def commit(self, frames: Iterable[bytes], *, sync: bool) -> None:
        """Write behind the last commit; the first one is always on disk before it takes the old file's place."""
        end = self._write(frames, sync=sync or self._temporary is not None)
        if self._temporary is not None:
            files.take_place(self._temporary, self._path)
            self._temporary = None
        self._end = end

    def cut_back(self) -> None:
        """Cut the file back, unless it has just replaced the old one, which must not be traded for nothing."""
        if self._temporary is None or self._temporary.exists():
            super().cut_back()

    def close(self) -> None:
        """Release both locks; if nothing was committed the old file stays."""
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()
        super().close()
        self._replaced.close()


class PipeSink:
    """Something that takes bytes and neither seeks nor locks."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def commit(self, frames: Iterable[bytes], *, sync: bool) -> None:  # noqa: ARG002 -- there is no disk
        """Write it all."""
        for data in frames:
            _write_all(self._file, data)

    def cut_back(self) -> None:
        """Do nothing: the reader will see a torn tail."""

    def close(self) -> None:
        """Tell the reader that this was all."""
        self._file.close()


def is_pipe(path: Path) -> bool:
    """Whether `path` names something else than a file or a place for one."""
    return path.exists() and not path.is_file()


def creating(path: Path) -> Sink:
    """Create the file.

    Raises
    ------
    FileExistsError
        It is there.
    """
    file = path.open("x+b", buffering=0)
    _lock(file, path)
    files.sync_folder(path.parent)
    return FileSink(file, end=0)


def replacing(path: Path) -> Sink:
    """Take the place of whatever `path` is when there is something to put there.

    Raises
    ------
    StateError
        Somebody is writing to `path`.
    """
    if is_pipe(path):
        return PipeSink(path.open("wb", buffering=0))
    path = path.resolve()
    replaced = locked(path)
    try:
        return ReplacingSink(path, replaced)
    except BaseException:
        replaced.close()
        raise


def locked(path: Path) -> IO[bytes]:
    """Open a file for reading and writing, creating it if need be, and lock it.

    Raises
    ------
    StateError
        Somebody is writing to `path`.
    """
    while True:
        file = open(path, "r+b", buffering=0, opener=_creating)  # noqa: SIM115 -- the sink closes it
        _lock(file, path)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # it was replaced between opening and locking


def _creating(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CREAT, 0o666)


def _locked_temporary(path: Path) -> IO[bytes]:
    with files.temporary_beside(path) as buffered:
        file = Path(buffered.name).open("r+b", buffering=0)  # noqa: SIM115 -- the sink closes it
    _lock(file, path)
    return file


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        files.lock(file)
    except BlockingIOError as error:
        file.close()
        raise StateError(f"{path} is being written by somebody else") from error


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]

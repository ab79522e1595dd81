"""The bytes of a stream, readable anywhere: a file as it is, or a pipe read forward into a temporary file."""

from __future__ import annotations

import os
import select
import tempfile
import threading
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 20


class FileSource:
    """A file that may be growing. Not buffered: what was read before says nothing about what is there now."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def size(self) -> int:
        """Bytes there are by now."""
        return self._file.seek(0, os.SEEK_END)

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Up to `n_bytes` from `offset` on, fewer only where the file ends."""
        n_bytes = min(n_bytes, self.size() - offset)  # a length that lies must not make us allocate
        self._file.seek(offset)
        chunks = []
        while n_bytes > 0 and (chunk := self._file.read(n_bytes)):
            chunks.append(chunk)
            n_bytes -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def grow(self) -> bool:
        """Fetch more, and tell whether there was any; a file brings nothing by itself."""
        return False

    def wait(self, closing: threading.Event, seconds: float) -> bool:
        """Let time pass, until `closing` is set at most; whether there may be more to read ever."""
        closing.wait(seconds)
        return True

    def is_file(self, path: Path) -> bool:
        """Whether these are the bytes that `path` names by now."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class PipeSource(FileSource):
    """What came out of a pipe so far, kept in a temporary file without a name."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(tempfile.TemporaryFile())  # noqa: SIM115 -- closed by close()
        self._pipe = pipe

    def grow(self) -> bool:
        """Wait for the pipe to bring more; False at its end."""
        data = self._pipe.read(_CHUNK_BYTES)
        if not data:
            return False
        self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return True

    def wait(self, closing: threading.Event, seconds: float) -> bool:  # noqa: ARG002 -- cannot wait for two things
        """Wait for the pipe to bring more; False at its end."""
        readable, _, _ = select.select([self._pipe], [], [], seconds)
        return self.grow() if readable else True

    def is_file(self, path: Path) -> bool:  # noqa: ARG002 -- a pipe is never replaced
        """Whether these are the bytes that `path` names by now."""
        return True

    def close(self) -> None:
        """Let the pipe and the temporary file go."""
        self._pipe.close()
        super().close()


def source_of(path: Path) -> FileSource:
    """Open a file or pipe for reading."""
    file = path.open("rb", buffering=0)
    return FileSource(file) if file.seekable() else PipeSource(file)

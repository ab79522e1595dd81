"""What makes a checkpoint the same checkpoint: its content, remembered in the stream it went into.

An entry written by a watcher carries one metadata key of ours, ``watch``::

    {"digest": "c0b0a5...",                           16 hexadecimal digits: the content digest
     "files": [["model.safetensors", 4096, 17...]]}   name, bytes, mtime in nanoseconds, of every file

and its ``name`` is the path relative to the watched folder. Everything a watcher knows is rebuilt from there, so
nothing needs to be written besides the stream and nothing can disagree with it after a crash.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from incnnr import _core
from incnnr.checkpoints import Checkpoint, step_of
from incnnr.stream import Entry, StreamWriter
from incnnr.watch.scan import Candidate, Signature

METADATA_KEY = "watch"
BLOCK_BYTES = 8 << 20

_Stamp = list[object]
"""What ``files`` holds above. It is compared and never taken apart, so that nothing in a stream can upset us."""


def content_digest(path: Path, signature: Signature) -> str:
    """Hash the files of a checkpoint, whatever the checkpoint itself is called.

    XXH64 over, for every file in order: the XXH64 of its relative name, its size in bytes, and the XXH64 of each
    block of 8 MiB, all as little-endian 64-bit integers. Never more than a block is in memory, and nothing is
    memory-mapped: a file cut short meanwhile would kill the process.

    Parameters
    ----------
    path : pathlib.Path
        The checkpoint, a file or a folder.
    signature : tuple of FileStat
        Names the files to read.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    OSError
        A file is gone or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from incnnr.watch.scan import FileStat
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> path.write_bytes(b"content")
    7
    >>> once = content_digest(path, (FileStat("", 0, 7, 0, 0),))
    >>> renamed = path.rename(path.with_name("b.npz"))
    >>> content_digest(renamed, (FileStat("", 0, 7, 0, 0),)) == once
    True
    """
    words: list[int] = []
    for file in signature:
        blocks, n_bytes = _digest_blocks(path / file.name if file.name else path)
        words += [_core.xxh64(os.fsencode(file.name)), n_bytes, *blocks]
    return f"{_core.xxh64(struct.pack(f'<{len(words)}Q', *words)):016x}"


def _digest_blocks(file: Path) -> tuple[list[int], int]:
    digests, n_bytes = [], 0
    block = bytearray(BLOCK_BYTES)
    with file.open("rb", buffering=0) as source:
        while n_read := source.readinto(block):
            digests.append(_core.xxh64(memoryview(block)[:n_read]))
            n_bytes += n_read
    return digests, n_bytes


class Known:
    """The checkpoints that are in a stream: by content, and as they lay in the folder when they were read.

    Parameters
    ----------
    entries : iterable of Entry
        What the stream holds. Entries that no watcher wrote are passed over.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[str, Entry] = {}
        self._stamps: dict[str, _Stamp] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Remember an entry of the stream."""
        remembered = _remembered(entry.metadata)
        if remembered is not None and entry.name is not None:
            digest, self._stamps[entry.name] = remembered
            self._entries.setdefault(digest, entry)

    def entry_of(self, digest: str) -> Entry | None:
        """Return the entry with that content, or None."""
        return self._entries.get(digest)

    def recognizes(self, candidate: Candidate) -> bool:
        """Whether the newest entry of that name was read from files of these sizes and times."""
        return self._stamps.get(candidate.name) == _stamp(candidate.signature)


def append(writer: StreamWriter, checkpoint: Checkpoint, candidate: Candidate, digest: str) -> Entry:
    """Append a checkpoint to a stream, together with what a watcher wants to know of it.

    Raises
    ------
    TypeError, ValueError, OSError
        As `StreamWriter.append`.
    """
    metadata = {METADATA_KEY: {"digest": digest, "files": _stamp(candidate.signature)}}
    return writer.append(checkpoint, step=step_of(candidate.name), name=candidate.name, metadata=metadata)


def _stamp(signature: Signature) -> _Stamp:
    return [[file.name, file.size, file.mtime_ns] for file in signature]


def _remembered(metadata: Mapping[str, object]) -> tuple[str, _Stamp] | None:
    """Digest and stamp out of an entry's metadata, None where somebody else wrote it."""
    match metadata.get(METADATA_KEY):
        case {"digest": str(digest), "files": [*files]}:
            return digest, files
    return None

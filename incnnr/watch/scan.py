"""What a folder holds right now: its candidate checkpoints, each with a signature of the files that make it up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from incnnr.checkpoints import files_of, find, is_checkpoint, step_of


@dataclass(frozen=True, slots=True)
class FileStat:
    """One file of a checkpoint as the file system describes it, symbolic links followed.

    Attributes
    ----------
    name : str
        Path relative to the checkpoint's folder; ``""`` for a checkpoint that is a single file, so that a file
        keeps its identity under every name.
    inode, size, mtime_ns : int
        Inode number, bytes, and nanoseconds since the epoch.
    mode : int
        Permissions: one that could not be read may be readable once they change.
    """

    name: str
    inode: int
    size: int
    mtime_ns: int
    mode: int


Signature = tuple[FileStat, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something in the watched folder that looks like a checkpoint, whole or not.

    Attributes
    ----------
    name : str
        Path relative to the watched folder.
    path : pathlib.Path
        Where it is.
    signature : tuple of FileStat
        Changes whenever its content may have changed; empty while it has no readable files.
    """

    name: str
    path: Path
    signature: Signature

    @property
    def written_ns(self) -> int:
        """When its newest file was written, in nanoseconds since the epoch."""
        return max((file.mtime_ns for file in self.signature), default=0)


def scan(folder: Path, match: Iterable[str] = (), ignore: Iterable[str] = ()) -> list[Candidate]:
    """List the candidate checkpoints directly in `folder`, in the order in which they were made.

    Those whose name tells a step come by step. One without, such as ``last``, comes before the first that was written
    later than it: after the numbered checkpoint that it is a copy of, but before the next.

    Parameters
    ----------
    folder : pathlib.Path
        The watched folder.
    match, ignore : iterables of str
        Glob patterns on relative names: a candidate matches one of `match` (if there is any) and none of `ignore`.

    Raises
    ------
    OSError
        The folder cannot be listed.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.checkpoints
    >>> folder = Path(tempfile.mkdtemp())
    >>> for step in (20, 3):
    ...     incnnr.checkpoints.write(folder / f"step{step}.npz", {"w": np.zeros(2)})
    >>> [candidate.name for candidate in scan(folder, match=["step*"])]
    ['step3.npz', 'step20.npz']
    """
    match, ignore = tuple(match), tuple(ignore)
    wanted = [path for path in find(folder) if _is_wanted(path.name, match, ignore)]
    return _merged([Candidate(path.name, path, signature_of(path)) for path in wanted])


def is_missed(folder: Path, match: Iterable[str] = (), ignore: Iterable[str] = ()) -> bool:
    """Whether `folder` is itself a checkpoint in shards, which no `scan` of it finds.

    Its name is ``.`` for the patterns: whoever asks for others does not miss it.
    """
    try:
        files = files_of(folder)
    except OSError:
        return False
    return _is_wanted(".", tuple(match), tuple(ignore)) and not all(is_checkpoint(file) for file in files)


def signature_of(path: Path) -> Signature:
    """Return the signature of the checkpoint at `path`; files that are missing or unreadable are not in it."""
    try:
        files = files_of(path)
    except OSError:  # an index cut short, a folder just deleted
        return ()
    stats = (_stat(path, file) for file in files)
    return tuple(stat for stat in stats if stat is not None)


def _merged(found: list[Candidate]) -> list[Candidate]:
    merged = [candidate for candidate in found if step_of(candidate.name) is not None]
    for candidate in found:
        if step_of(candidate.name) is None:
            later = (i for i, other in enumerate(merged) if other.written_ns > candidate.written_ns)
            merged.insert(next(later, len(merged)), candidate)
    return merged


def _is_wanted(name: str, match: tuple[str, ...], ignore: tuple[str, ...]) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in ignore):
        return False
    return not match or any(fnmatchcase(name, pattern) for pattern in match)


def _stat(checkpoint: Path, file: Path) -> FileStat | None:
    try:
        status = file.stat()
    except OSError:
        return None
    name = "" if file == checkpoint else file.relative_to(checkpoint).as_posix()
    return FileStat(name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)

"""Is this candidate whole and quiet? Answered by looking at files only, so that it may be asked at any time.

A candidate is ready when all of this holds:

1. `incnnr.checkpoints.is_complete` finds it whole: header and length agree, every shard is there; or it may not be
   read, which only reading it can say, and no waiting changes;
2. with ``ready_marker=``, its marker is there;
3. its signature has not changed for the quiet time. A marker that is at least as new as every file of the
   checkpoint says so better, and the quiet time is skipped; an older one, left behind by the content before,
   only counts together with the quiet time.

The marker of a folder is a file directly in it that matches the pattern (``DONE``). The marker of a single file
stands beside it, matches the pattern and begins with the file's name or stem and a dot: for ``x.safetensors`` and the
pattern ``*.done`` that is ``x.done`` or ``x.safetensors.done``. A pattern with ``{name}`` or ``{stem}`` is filled in
(for folders too) and then names the marker alone: ``{stem}.ok`` or ``done-{name}``; it is looked up beside the
candidate, and for a folder inside it as well.

What nobody can see without a marker is a file rewritten in place, at its old size, by a writer that pauses for longer
than the quiet time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from incnnr.checkpoints import files_of, is_complete
from incnnr.watch.scan import Candidate

NO_MARKER = "its ready marker is not there"
CHANGING = "it changed a moment ago"
INCOMPLETE = "it is not complete"


def reason_to_wait(
    candidate: Candidate, quiet_for: float, quiet_seconds: float, ready_marker: str | None
) -> str | None:
    """Say why `candidate` cannot be read yet, or None when it is ready.

    Parameters
    ----------
    candidate : Candidate
        As scanned just now.
    quiet_for : float
        Seconds for which its signature has been the one it has.
    quiet_seconds : float
        Seconds it takes to trust it.
    ready_marker : str or None
        Glob pattern of the marker file, see the module's description.

    Returns
    -------
    str or None
        A reason that completes the sentence "x is not read yet: ...".
    """
    marked_at = _marked_at(candidate.path, ready_marker) if ready_marker is not None else -1
    if marked_at is None:
        return NO_MARKER
    if not candidate.signature:
        return None if _is_forbidden(candidate.path) else INCOMPLETE
    if quiet_for < quiet_seconds and marked_at < candidate.written_ns:
        return CHANGING
    return None if is_complete(candidate.path) or _is_forbidden(candidate.path) else INCOMPLETE


def _is_forbidden(path: Path) -> bool:
    """Whether files are there and may not be read; their permissions are in the signature."""
    try:
        return any(file.exists() and not os.access(file, os.R_OK) for file in files_of(path))
    except OSError as error:  # CheckpointError is one, and has that of an index as its cause
        return isinstance(error.__cause__, PermissionError)


def _marked_at(path: Path, pattern: str) -> int | None:
    """Modification time in nanoseconds of the newest marker, None without one."""
    times = []
    for marker in _markers(path, pattern):
        try:
            times.append(marker.stat().st_mtime_ns)
        except OSError:
            continue
    return max(times, default=None)


def _markers(path: Path, pattern: str) -> Iterator[Path]:
    filled = pattern.replace("{name}", escape(path.name)).replace("{stem}", escape(path.stem))
    if path.is_dir():
        yield from _matching(path, filled)
    if filled != pattern:
        yield from _matching(path.parent, filled)
    elif not path.is_dir():
        own = (f"{path.name}.", f"{path.stem}.")
        yield from (marker for marker in _matching(path.parent, pattern) if marker.name.startswith(own))


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if fnmatchcase(entry.name, pattern)]
    except OSError:
        return []

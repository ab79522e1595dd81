"""Replacing a whole folder, so that it is the old one or the new one and never lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from incnnr.files import sync_folder


@contextmanager
def replacing_folder(path: Path, *, obsolete: frozenset[str]) -> Iterator[Path]:
    """Give a temporary folder that takes `path`'s place when the block ends without an error.

    Parameters
    ----------
    path : pathlib.Path
        The folder to make or to replace.
    obsolete : frozenset of str
        Names in the old folder that go with it; everything else in it is found in the new one too.

    Notes
    -----
    A folder cannot be renamed over one that has files in it. The old one is renamed aside first, under a name that
    starts with a dot, and deleted last: if the process dies in between, one of the two is complete beside `path`.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "checkpoint-500"
    >>> with replacing_folder(target, obsolete=frozenset()) as folder:
    ...     _ = (folder / "weights").write_bytes(b"all of it")
    >>> [file.name for file in target.iterdir()]
    ['weights']
    """
    path = path.resolve()
    new = _hidden_beside(path, ".tmp")
    try:
        yield new
        if path.is_dir():
            _carry_over(path, new, obsolete)
        sync_folder(new)
        _swap(new, path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _hidden_beside(path: Path, suffix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent))
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    return folder


def _carry_over(old: Path, new: Path, obsolete: frozenset[str]) -> None:
    for entry in old.iterdir():
        target = new / entry.name
        if entry.name in obsolete or target.exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, target, symlinks=True, copy_function=_link)
        else:
            _link(entry, target)


def _link(source: str | Path, target: str | Path) -> None:
    """Both folders hold the file until the old one is deleted; not every file system has hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        sync_folder(path.parent)
        return
    aside = _hidden_beside(path, ".old")
    try:
        path.rename(aside)
        new.rename(path)
    except BaseException:
        if path.exists():
            aside.rmdir()
        else:
            aside.rename(path)
        raise
    sync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)

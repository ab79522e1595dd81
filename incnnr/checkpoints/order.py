"""Which checkpoints stand in a folder, and in which order they were made."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from incnnr.checkpoints.registry import EXTENSIONS, SHARD, is_checkpoint
from incnnr.errors import CheckpointError

_VERSION = re.compile(r"-v[0-9]+$")
_STEP_PATTERNS = (
    re.compile(r"(?<![a-z])(?:steps?|iter|iteration)[-_=]?([0-9]+)"),
    re.compile(r"(?<![a-z])(?:epoch|round)[-_=]?([0-9]+)"),
    re.compile(r"(?<![0-9.])([0-9]+)$"),
    re.compile(r"(?<![a-z])(?:checkpoint|ckpt)[-_=]?([0-9]+)"),
)


def step_of(name: str) -> int | None:
    """Return the training step that a checkpoint's name tells, or None.

    The first of these rules that applies: the last number after ``step``, ``steps``, ``iter`` or ``iteration``; the
    last after ``epoch`` or ``round``; a whole number at the end; the last after ``checkpoint`` or ``ckpt``. Words and
    number may touch or be joined by ``-``, ``_`` or ``=``. A known extension and a version such as ``-v1``, which
    PyTorch Lightning appends when a name is taken, are not looked at. One shard of several has no step.

    Examples
    --------
    >>> step_of("checkpoint-500"), step_of("epoch=3-step=250.ckpt"), step_of("global_r07.safetensors")
    (500, 250, 7)
    >>> step_of("ckpt_0003_step00250.safetensors"), step_of("epoch=2-loss=0.31.ckpt")
    (250, 2)
    >>> step_of("last.ckpt"), step_of("last-v1.ckpt"), step_of("model-00001-of-00003.safetensors")
    (None, None, None)
    """
    path = Path(name.lower())
    stem = path.stem if path.suffix in EXTENSIONS else path.name
    if SHARD.search(stem):
        return None
    stem = _VERSION.sub("", stem)
    for pattern in _STEP_PATTERNS:
        if numbers := pattern.findall(stem):
            return int(numbers[-1])
    return None


def find(folder: str | Path) -> list[Path]:
    """Return the checkpoints that stand directly in a folder, files and folders, oldest first.

    Those whose name tells a step come first, by step, then by name. The others, such as ``last`` and ``best``, follow
    by time of modification, then by name. A subfolder that is a checkpoint is one checkpoint; other subfolders are not
    looked into.

    Raises
    ------
    CheckpointError
        `folder` cannot be listed.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ["step_10.npz", "step_9.npz", "notes.txt", ".step_8.npz"]:
    ...     (folder / name).touch()
    >>> [path.name for path in find(folder)]
    ['step_9.npz', 'step_10.npz']
    """
    folder = Path(folder)
    try:
        paths = [path for path in folder.iterdir() if is_checkpoint(path)]
    except OSError as error:
        raise CheckpointError(folder, error.strerror or str(error)) from error
    ranks = {}
    for path in paths:
        with suppress(FileNotFoundError):  # deleted since it was listed
            ranks[path] = _rank(path)
    return sorted(ranks, key=lambda path: ranks[path])


def _rank(path: Path) -> tuple[bool, int, str]:
    step = step_of(path.name)
    return (step is None, path.stat().st_mtime_ns if step is None else step, path.name)

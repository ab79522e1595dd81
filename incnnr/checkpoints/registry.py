"""Every checkpoint format, and what can be said about a path without knowing which one it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from incnnr.checkpoints import npz, pytorch, safetensors, sharded
from incnnr.checkpoints.checkpoint import Checkpoint, Format
from incnnr.errors import CheckpointError
from incnnr.tensors import Layout, as_array

FILE_FORMATS = (safetensors.FORMAT, npz.FORMAT, pytorch.FORMAT)
FOLDER_FORMAT = sharded.FORMAT
EXTENSIONS = tuple(extension for file_format in FILE_FORMATS for extension in file_format.extensions)

SHARD = re.compile(r"-[0-9]+-of-[0-9]+$")
_NEVER_WEIGHTS = frozenset({"training_args.bin"})


def read(path: str | Path, *, memory_map: bool = True) -> Checkpoint:
    """Read a checkpoint: a safetensors, npz or PyTorch file, or a Hugging Face folder.

    Parameters
    ----------
    path : str or pathlib.Path
        A file whose extension tells the format, or a folder.
    memory_map : bool
        Where the format allows it, tensors are views of the mapped file, read when they are touched. A mapped file must
        not be truncated or overwritten while the checkpoint is in use; False reads everything at once.

    Returns
    -------
    Checkpoint
        A mapping from name to read-only array, with the `layout` that `write` needs to make the same file again.

    Raises
    ------
    CheckpointError
        The file is missing, incomplete, not of its format, holds what cannot be carried (Python objects, quantised or
        sparse tensors), or is a PyTorch file and PyTorch is not installed.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> write(path, {"w": np.arange(3.0)})
    >>> read(path)["w"]
    array([0., 1., 2.])
    """
    path = Path(path)
    with _faults_named(path):
        return _format_of(path).read(path, memory_map=memory_map)


def write(path: str | Path, weights: Mapping[str, object]) -> None:
    """Write a checkpoint, atomically: after an error or a crash `path` is what it was.

    Parameters
    ----------
    path : str or pathlib.Path
        The extension chooses the format. A path without one is a folder, if `weights` came from a folder. A folder that
        is replaced keeps the files in it that were not part of the checkpoint.
    weights : Mapping of str to array
        Anything `incnnr.tensors.as_array` takes. If it has a `layout` of the same format (a Checkpoint has, and so has
        a Model from a stream) and the same tensors, the file is the one that was read: byte for byte for safetensors,
        an equal archive for npz, an equal tree for PyTorch. Otherwise a plain file is written, which holds
        the tensors and nothing else; of tied PyTorch tensors it holds the first.

    Raises
    ------
    CheckpointError
        An unknown extension, a dtype the format does not have, a damaged layout, a folder that is no checkpoint and
        would be replaced, or a failure to write.
    TypeError
        A tensor that is none.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "model.npz"
    >>> write(path, {"w": np.zeros((2, 3), np.float16)})
    >>> read(path)["w"].shape
    (2, 3)
    """
    path = Path(path)
    layout: Layout | None = getattr(weights, "layout", None)
    arrays = {name: as_array(value) for name, value in weights.items()}
    target = _format_for(path, layout)
    with _faults_named(path):
        target.write(path, arrays, layout.rest if layout is not None and layout.format == target.name else None)


def is_checkpoint(path: str | Path) -> bool:
    """Whether there is something at `path` that by its name and kind is a checkpoint; nothing in it is checked.

    Names that start with a dot or ``tmp-`` are somebody's unfinished business, one shard is not a checkpoint, and
    ``training_args.bin`` holds no weights.

    Examples
    --------
    >>> is_checkpoint(".model.safetensors.x1.tmp"), is_checkpoint("nowhere.safetensors")
    (False, False)
    """
    path = Path(path)
    if path.name.startswith((".", "tmp-")) or path.name in _NEVER_WEIGHTS:
        return False
    if path.is_dir():
        return sharded.head_of(path) is not None
    return path.suffix.lower() in EXTENSIONS and not SHARD.search(path.stem) and path.is_file()


def is_complete(path: str | Path) -> bool:
    """Whether a checkpoint looks finished, judged by lengths and end records without reading its tensors.

    For safetensors the header and the file's length agree, for a folder this holds for every shard in its index, for
    npz and PyTorch files the end record of the archive is there. False for anything that is missing or invalid.

    Examples
    --------
    >>> is_complete("nowhere.safetensors")
    False
    """
    path = Path(path)
    try:
        return _format_of(path).is_complete(path)
    except OSError:  # CheckpointError is one
        return False


def files_of(path: str | Path) -> list[Path]:
    """Return every file that makes up a checkpoint, sorted: the path itself, or a folder's index and shards.

    Raises
    ------
    CheckpointError
        A folder that is no checkpoint, or whose index cannot be read.

    Examples
    --------
    >>> [file.name for file in files_of("model.npz")]
    ['model.npz']
    """
    path = Path(path)
    with _faults_named(path):
        return _format_of(path).files_of(path)


def _format_of(path: Path) -> Format:
    return FOLDER_FORMAT if path.is_dir() else _file_format(path)


def _format_for(path: Path, layout: Layout | None) -> Format:
    may_be_folder = path.is_dir() or path.suffix[1:2].isdigit() or not path.suffix  # "llama-3.1" has no extension
    if may_be_folder and layout is not None and layout.format == FOLDER_FORMAT.name:
        return FOLDER_FORMAT
    return _file_format(path)


def _file_format(path: Path) -> Format:
    for file_format in FILE_FORMATS:
        if path.suffix.lower() in file_format.extensions:
            return file_format
    raise CheckpointError(path, f"no checkpoint format has that extension; known are {', '.join(EXTENSIONS)}")


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from error
    except MemoryError as error:
        raise CheckpointError(path, "it does not fit into memory") from error

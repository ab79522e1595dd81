"""A checkpoint that was read, and what a checkpoint format has to provide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from incnnr.tensors import Array, Layout


class Checkpoint(Mapping[str, Array]):
    """The tensors of a checkpoint file or folder: a mapping from name to read-only array, in model order.

    Attributes
    ----------
    path : pathlib.Path
        Where it was read from.
    layout : Layout
        The format, and everything else the files hold; `write` makes the same files from it.
    ignored : tuple of str
        What stands in the folder (or in the archive) beside the tensors and is not carried, sorted.

    Examples
    --------
    >>> import numpy as np
    >>> checkpoint = Checkpoint(Path("a.npz"), {"w": np.zeros(3)}, Layout("npz", b""))
    >>> list(checkpoint), checkpoint.n_bytes
    (['w'], 24)
    """

    def __init__(self, path: Path, tensors: Mapping[str, Array], layout: Layout, ignored: tuple[str, ...] = ()) -> None:
        self._tensors = tensors
        self.path = path
        self.layout = layout
        self.ignored = ignored

    def __getitem__(self, name: str) -> Array:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"<Checkpoint {self.path}: {len(self)} tensors, {self.n_bytes} bytes>"

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(array.nbytes for array in self._tensors.values())


class Read(Protocol):
    """How a format is read."""

    def __call__(self, path: Path, *, memory_map: bool) -> Checkpoint:
        """Read the checkpoint at `path`; any fault of the file is a CheckpointError or another OSError."""


class Write(Protocol):
    """How a format is written."""

    def __call__(self, path: Path, weights: Mapping[str, Array], rest: bytes | None) -> None:
        """Replace what is at `path` atomically; `rest` is a Layout's of the same format, or None for a plain file."""


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint.

    Attributes
    ----------
    name : str
        What `Layout.format` says.
    extensions : tuple of str
        Lower case, dots included, the usual one first; empty for a kind of folder.
    read, write
        See `Read` and `Write`.
    is_complete
        Whether the files look finished, judged without reading the tensors; may raise what `read` raises.
    files_of
        Every file that makes up the checkpoint, sorted, whether it is there or not.
    """

    name: str
    extensions: tuple[str, ...]
    read: Read
    write: Write
    is_complete: Callable[[Path], bool]
    files_of: Callable[[Path], list[Path]] = lambda path: [path]

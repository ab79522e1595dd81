"""PyTorch files: a tree of plain Python values and tensors, read with ``weights_only`` and written with ``torch.save``.

PyTorch is imported only when such a file is read or written. Written files are equal to what was read, value by value:
the same containers, dtypes, shapes, parameters and ties. Strides, devices and memory shared by tensors that only
overlap are not kept: tensors come out contiguous and on the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from incnnr.checkpoints import tree
from incnnr.checkpoints.archive import has_end_record
from incnnr.checkpoints.checkpoint import Checkpoint, Format
from incnnr.errors import CheckpointError
from incnnr.files import replacing
from incnnr.tensors import Array, Layout, as_array, to_torch

NAME = "pytorch"
_REFUSED_GLOBAL = re.compile(r"Unsupported (?:global|class)[: ]+(?:GLOBAL )?(\S+)")


def read(path: Path, *, memory_map: bool) -> Checkpoint:
    """Read the tensors as views of a private mapping or of memory, and the rest of the tree as a skeleton."""
    tensors, skeleton = _flatten(path, _load(path, memory_map=memory_map))
    return Checkpoint(path, tensors, Layout(NAME, skeleton))


def is_complete(path: Path) -> bool:
    """Whether the record that ends a zip archive is there; files older than that format only must not be empty."""
    with path.open("rb") as file:
        start = file.read(2)
    return has_end_record(path) if start == b"PK" else bool(start)


def write(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> None:
    """Write the tree that `rest` describes, or a flat state dict where it does not fit the weights."""
    torch = _torch(path)
    content = _rebuild(path, weights, rest)
    with replacing(path) as file:
        try:
            torch.save(content, file)
        except OSError:
            raise
        except Exception as error:  # what a damaged layout or a full disk becomes inside PyTorch
            raise CheckpointError(path, f"PyTorch cannot write it: {error}") from error


def _torch(path: Path) -> ModuleType:
    try:
        import torch  # noqa: PLC0415 -- an optional dependency
    except ImportError as error:
        raise CheckpointError(path, "PyTorch files need PyTorch: pip install 'incnnr[torch]'") from error
    module: ModuleType = torch
    return module


def _load(path: Path, *, memory_map: bool) -> Any:
    torch = _torch(path)
    with path.open("rb"):  # a file that is missing or not ours to read is the system's error, not a damaged one
        can_map = memory_map and has_end_record(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=can_map)
    except Exception as error:  # a damaged pickle raises anything
        raise CheckpointError(path, _reason(str(error))) from error


def _reason(message: str) -> str:
    """Take one sentence out of PyTorch's paragraphs."""
    if refused := _REFUSED_GLOBAL.search(message):
        return f"it holds a Python object of type {refused[1]}, which weights_only does not load"
    line = message.rpartition("WeightsUnpickler error: ")[2].strip().partition("\n")[0]
    return f"not a readable PyTorch file: {line.partition('. ')[0]}"


def _flatten(path: Path, content: Any) -> tuple[dict[str, Array], bytes]:
    try:
        tensors, skeleton = tree.flatten(content)
        arrays = {name: as_array(tensor) for name, tensor in tensors.items()}
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(path, f"it cannot be carried: {error}") from error
    for array in arrays.values():
        array.flags.writeable = False
    return arrays, skeleton


def _rebuild(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> Any:
    try:
        names, node = ([], None) if rest is None else tree.open_skeleton(rest)
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, f"a damaged PyTorch layout: {error}") from error
    try:
        tensors = to_torch(weights)
    except TypeError as error:
        raise CheckpointError(path, f"PyTorch cannot hold a tensor: {error}") from error
    if rest is None or set(names) != tensors.keys():
        return tensors
    try:
        return tree.rebuild(node, [tensors[name] for name in names])
    except (ValueError, TypeError, LookupError, RuntimeError, AttributeError) as error:
        raise CheckpointError(path, f"a damaged PyTorch layout: {error}") from error


FORMAT = Format(NAME, (".pt", ".pth", ".ckpt", ".bin"), read, write, is_complete)

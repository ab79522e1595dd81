"""Hugging Face folders: an index and its shards, or one safetensors file under its usual name.

Whatever else stands in the folder (configuration, tokenizer, optimizer) is not carried and is listed in
`Checkpoint.ignored`. Where such a folder is replaced by a newer one, those files stay in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgpack

from incnnr.checkpoints import safetensors
from incnnr.checkpoints.checkpoint import Checkpoint, Format
from incnnr.checkpoints.folder import replacing_folder
from incnnr.errors import CheckpointError
from incnnr.files import sync
from incnnr.tensors import Array, Layout

NAME = "safetensors-folder"
_INDEX_SUFFIX = ".index.json"
_SINGLE_FILES = ("model.safetensors", "adapter_model.safetensors", "diffusion_pytorch_model.safetensors")
_HEADS = tuple(name + _INDEX_SUFFIX for name in _SINGLE_FILES) + _SINGLE_FILES


@dataclass(frozen=True)
class _Folder:
    """What a folder holds besides the tensors' values.

    `head` names the index, or the only safetensors file; `index` is the index's bytes, empty without one; `headers`
    maps each safetensors file to its header.
    """

    head: str
    index: bytes
    headers: dict[str, bytes]

    def pack(self) -> bytes:
        packed: bytes = msgpack.packb([self.head, self.index, self.headers])
        return packed


def head_of(folder: Path) -> Path | None:
    """Return the file that makes `folder` a checkpoint: an index before a single file, None if there is neither."""
    return next((folder / name for name in _HEADS if (folder / name).is_file()), None)


def read(path: Path, *, memory_map: bool) -> Checkpoint:
    """Read every shard that the index names, or the single file.

    Raises
    ------
    CheckpointError
        The folder is no checkpoint, a shard is missing or invalid, a tensor stands in two shards, or the index names
        one that its shard does not hold.
    """
    head = _existing_head(path)
    index, weight_map = _read_index(head)
    names = _shard_names(head, weight_map)
    shards = {name: safetensors.read(path / name, memory_map=memory_map) for name in names}
    tensors: dict[str, Array] = {}
    for name, shard in shards.items():
        if twice := tensors.keys() & shard.keys():
            raise CheckpointError(path / name, f"tensor {min(twice)!r} stands in another shard too")
        tensors.update(shard)
    for tensor, name in weight_map.items():
        if tensor not in shards[name]:
            raise CheckpointError(path / name, f"tensor {tensor!r}, which {head.name} names, is not in it")
    layout = _Folder(head.name, index, {name: shard.layout.rest for name, shard in shards.items()})
    ignored = sorted(entry.name for entry in path.iterdir() if entry.name not in {head.name, *names})
    return Checkpoint(path, tensors, Layout(NAME, layout.pack()), tuple(ignored))


def is_complete(path: Path) -> bool:
    """Whether all shards are there and each of them is complete."""
    head = _existing_head(path)
    return all(safetensors.is_complete(file) for file in files_of(path) if file != head or head.name in _SINGLE_FILES)


def files_of(path: Path) -> list[Path]:
    """Return the index and all shards it names, or the single file."""
    head = _existing_head(path)
    _, weight_map = _read_index(head)
    return sorted({head, *(path / name for name in _shard_names(head, weight_map))})


def write(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> None:
    """Write the folder that `rest` describes, or one with a single file where it does not fit the weights.

    Raises
    ------
    CheckpointError
        `path` is there and neither empty nor a checkpoint, or `rest` is damaged.
    """
    obsolete = _obsolete_names(path)
    folder = _fitting(path, weights, rest)
    with replacing_folder(path, obsolete=obsolete) as new:
        for name, header in folder.headers.items():
            with (new / name).open("xb") as file:
                safetensors.write_tensors(file, path / name, weights, header)
                sync(file)
        if folder.index:
            with (new / folder.head).open("xb") as file:
                file.write(folder.index)
                sync(file)


def _existing_head(path: Path) -> Path:
    head = head_of(path)
    if head is None:
        raise CheckpointError(path, f"no checkpoint: a folder without {_HEADS[0]} or {_SINGLE_FILES[0]}")
    return head


def _read_index(head: Path) -> tuple[bytes, dict[str, str]]:
    """Return the index's bytes and which shard each tensor is in; nothing for a single file."""
    if head.name in _SINGLE_FILES:
        return b"", {}
    index = head.read_bytes()
    try:
        weight_map = json.loads(index)["weight_map"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise CheckpointError(head, f"not a valid index of shards: {error!r}") from error
    if type(weight_map) is not dict or not all(_is_file_name(name) for name in weight_map.values()):
        raise CheckpointError(head, "not a valid index of shards: weight_map does not map to safetensors files")
    return index, weight_map


def _shard_names(head: Path, weight_map: Mapping[str, str]) -> list[str]:
    return [head.name] if head.name in _SINGLE_FILES else sorted(set(weight_map.values()))


def _is_file_name(name: object) -> bool:
    """Whether it stays inside the folder, whoever wrote the index."""
    return (
        type(name) is str
        and name.endswith(".safetensors")
        and name[0] != "."
        and not any(sign in name for sign in "/\\\0")
    )


def _obsolete_names(path: Path) -> frozenset[str]:
    """Names of the files of the checkpoint that stands at `path` now."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return frozenset()
    if not path.is_dir() or head_of(path) is None:
        raise CheckpointError(path, "it is there already and is not a checkpoint folder: not replaced")
    with suppress(CheckpointError):
        return frozenset(file.name for file in files_of(path))
    return frozenset(_HEADS)


def _fitting(path: Path, weights: Mapping[str, Array], rest: bytes | None) -> _Folder:
    folder = _Folder(_SINGLE_FILES[0], b"", {}) if rest is None else _unpack(path, rest)
    shards = {name: safetensors.slots_of(path / name, header) for name, header in folder.headers.items()}
    n_tensors = sum(len(slots) for slots in shards.values())
    names = {tensor for slots in shards.values() for tensor in slots}
    if n_tensors == len(names) and names == weights.keys():
        parts = {name: {tensor: weights[tensor] for tensor in slots} for name, slots in shards.items()}
        if all(safetensors.header_for(path, parts[name], header) == header for name, header in folder.headers.items()):
            return folder
    single = folder.head.removesuffix(_INDEX_SUFFIX)
    return _Folder(
        single, b"", {single: safetensors.header_for(path, weights, next(iter(folder.headers.values()), None))}
    )


def _unpack(path: Path, rest: bytes) -> _Folder:
    try:
        head, index, headers = msgpack.unpackb(rest)
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, f"a damaged folder layout: {error}") from error
    if (
        head not in _HEADS
        or type(index) is not bytes
        or type(headers) is not dict
        or not all(_is_file_name(name) and type(header) is bytes for name, header in headers.items())
        or (head in _SINGLE_FILES) != (index == b"")
        or (head in _SINGLE_FILES and list(headers) != [head])
    ):
        raise CheckpointError(path, "a damaged folder layout")
    return _Folder(head, index, headers)


FORMAT = Format(NAME, (), read, write, is_complete, files_of)

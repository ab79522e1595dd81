"""A codec state as bytes, with or without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import msgpack
import numpy as np
import zstandard

from incnnr.coding import Coding, fresh_flag_contexts, history_bytes, means_bytes, xxh64
from incnnr.errors import CorruptError, LimitExceededError, ModelMismatchError, TruncatedError, UnsupportedError
from incnnr.incremental.state import Bytes, CodecState, SliceState, TensorSpec, TensorState, digest_of, model_bytes
from incnnr.incremental.syntax import decompressed, read_spec, spec_fields
from incnnr.nnc.state import Node
from incnnr.position import Position
from incnnr.tensors import as_array, bytes_of, type_of

MAGIC = b"INCNNRS\x03"
_CHECKSUM_BYTES = 8


def pack(state: CodecState, *, with_weights: bool) -> bytes:
    """Write a state: magic with version, zstandard around msgpack, weights as they are, checksum."""
    position = state.position
    head = {
        "position": [position.sequence, position.chain, position.digest],
        "flag_contexts": state.flag_contexts.tobytes(),
        "tensors": [[name, *spec_fields(tensor.spec), _slices(tensor)] for name, tensor in state.tensors.items()],
        "with_weights": with_weights,
        "nodes": [[name, *_node_fields(node)] for name, node in state.nodes.items()],
    }
    packed = zstandard.ZstdCompressor(level=3).compress(msgpack.packb(head))
    weights = [tensor.data.tobytes() for tensor in state.tensors.values()] if with_weights else []
    data = b"".join([MAGIC, len(packed).to_bytes(8, "little"), packed, *weights])
    return data + xxh64(data).to_bytes(_CHECKSUM_BYTES, "little")


def _slices(tensor: TensorState) -> list[list[Any]]:
    def packed(array: Bytes | None) -> bytes | None:
        return None if array is None else array.tobytes()

    return [[s.digest, packed(s.contexts), s.changed, packed(s.history)] for s in tensor.slices]


def _node_fields(node: Node) -> list[Any]:
    history = None if node.history is None else np.packbits(node.history).tobytes()
    names = [node.device_id, node.parameter_id, node.put_node_depth, node.is_named]
    return [*names, node.shape, node.levels.astype("<i4").tobytes(), history]


def unpack(data: bytes | memoryview, weights: Mapping[str, object] | None) -> CodecState:
    """Read what `pack` wrote, with weights from elsewhere if it has none."""
    data = bytes(data)
    head, start = _read_head(data)
    try:
        sequence, chain, digest = map(int, head["position"])
        position = Position(sequence, chain, digest)
        specs = {name: read_spec([dtype, shape, step_size]) for name, dtype, shape, step_size, _ in head["tensors"]}
        slices = {name: _read_slices(specs[name], parts) for name, *_, parts in head["tensors"]}
        flag_contexts = _array(head["flag_contexts"], fresh_flag_contexts().size)
        own_weights = bool(head["with_weights"])
        nodes = {name: _node(fields) for name, *fields in head["nodes"]}
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CorruptError(f"the saved state cannot be read: {error!r}", byte_offset=len(MAGIC)) from None
    if own_weights and weights is not None:
        raise ValueError("the saved state has its own weights")
    arrays = _own_weights(data, start, specs) if own_weights else _given_weights(weights, specs)
    tensors = {name: TensorState(spec, arrays[name], tuple(slices[name])) for name, spec in specs.items()}
    _check_digests(tensors, position.digest)
    return CodecState(position, tensors, flag_contexts, nodes)


def _read_head(data: bytes) -> tuple[dict[str, Any], int]:
    if not data.startswith(MAGIC[:-1]):
        raise CorruptError("not a saved state", byte_offset=0)
    if not data.startswith(MAGIC):
        raise UnsupportedError("a saved state of another version", byte_offset=len(MAGIC) - 1)
    start = len(MAGIC) + 8
    stop = start + int.from_bytes(data[len(MAGIC) : start], "little")
    if stop + _CHECKSUM_BYTES > len(data):
        raise TruncatedError("the saved state is cut short", byte_offset=len(data))
    if xxh64(data[:-_CHECKSUM_BYTES]) != int.from_bytes(data[-_CHECKSUM_BYTES:], "little"):
        raise CorruptError("the saved state is damaged: its checksum does not hold", byte_offset=0)
    try:
        packed = decompressed(data[start:stop], max(1 << 30, 1000 * len(data)), "saved state", {"byte_offset": start})
    except MemoryError:
        raise LimitExceededError("memory ran out", byte_offset=start) from None
    try:
        return dict(msgpack.unpackb(packed)), stop
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise CorruptError(f"the saved state cannot be read: {error}", byte_offset=start) from None
    except MemoryError:
        raise LimitExceededError("memory ran out", byte_offset=start) from None


def _read_slices(spec: TensorSpec, parts: list[list[Any]]) -> list[SliceState]:
    def slice_state(n_elements: int, part: list[Any]) -> SliceState:
        digest, contexts, changed, history = part
        return SliceState(
            int(digest),
            None if contexts is None else _array(contexts, spec.contexts_bytes),
            bool(changed),
            None if history is None else _history(spec, n_elements, history),
        )

    return [slice_state(n, part) for n, part in zip(spec.slice_elements, parts, strict=True)]


def _history(spec: TensorSpec, n_elements: int, data: bytes) -> Bytes:
    if spec.coding is Coding.INTER:
        return _array(data, history_bytes(n_elements))
    one_mean = means_bytes(spec.type.kind, 1, n_elements)
    return _array(data, one_mean * max(1, len(data) // max(1, one_mean)))


def _node(fields: list[Any]) -> Node:
    device_id, parameter_id, put_node_depth, is_named, shape, levels, history = fields
    array = np.frombuffer(levels, "<i4").astype(np.int32)
    seen = None if history is None else np.unpackbits(np.frombuffer(history, np.uint8), count=array.size)
    if prod(shape) != array.size:
        raise ValueError("levels of another shape")
    return Node(int(device_id), int(parameter_id), int(put_node_depth), array, seen, tuple(shape), bool(is_named))


def _array(data: bytes, n_bytes: int) -> Bytes:
    if len(data) != n_bytes:
        raise ValueError(f"{n_bytes} bytes of contexts needed")
    return np.frombuffer(data, np.uint8).copy()


def _own_weights(data: bytes, start: int, specs: Mapping[str, TensorSpec]) -> dict[str, Bytes]:
    if len(data) - _CHECKSUM_BYTES - start != model_bytes(specs):
        raise CorruptError("the saved weights do not fit their table", byte_offset=start)
    arrays = {}
    for name, spec in specs.items():
        arrays[name] = np.frombuffer(data, np.uint8, spec.type.n_bytes, start).copy()
        start += spec.type.n_bytes
    return arrays


def _given_weights(weights: Mapping[str, object] | None, specs: Mapping[str, TensorSpec]) -> dict[str, Bytes]:
    arrays = {}
    for name, spec in specs.items():
        if weights is None or name not in weights:
            raise ModelMismatchError(name, expected=spec.type, actual=None)
        array = as_array(weights[name])
        if type_of(array) != spec.type:
            raise ModelMismatchError(name, expected=spec.type, actual=type_of(array))
        arrays[name] = bytes_of(array).copy()
    return arrays


def _check_digests(tensors: Mapping[str, TensorState], digest: int | None) -> None:
    for name, tensor in tensors.items():
        for ref, known in zip(tensor.spec.slice_bounds, tensor.slices, strict=True):
            if xxh64(tensor.data[ref[0] : ref[1]]) != known.digest:
                raise ModelMismatchError(name, expected="the values that were held", actual="other values")
    if digest_of(tensors) != digest:
        raise CorruptError("the saved state contradicts its own digest", byte_offset=0)

"""From a bitstream of ISO/IEC 15938-17 to the state after it: a pure function of what the decoder holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from incnnr.errors import CorruptError, DivergedError, GapError, UnsupportedError
from incnnr.incremental.declared import check_table
from incnnr.incremental.standard import added, converted, held_array, state_after, type_in_keyframe
from incnnr.incremental.state import CodecState, Outcome, TensorSpec, chain_of
from incnnr.incremental.update import Update
from incnnr.limits import Limits
from incnnr.nnc.bitstream import decode_tensors
from incnnr.nnc.members import DecodedTensor
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.state import IncrementalState
from incnnr.nnc.syntax import Context, DataUnit, ModelParameterSet
from incnnr.tensors import Array

_DECODED_BYTES = 4  # of a weight, whatever its type will be
_TENSOR_BYTES = 1024


def is_keyframe(data: bytes, limits: Limits) -> bool:
    """Whether a bitstream holds weights, and not differences.

    Raises
    ------
    BitstreamError
        It does not say so.
    """
    for unit, _ in parse_with_context(data, Context(limits=limits)):
        if isinstance(unit, ModelParameterSet):
            if unit.nnr_pre_flag:
                raise UnsupportedError(
                    "differences of differences: incnnr.nnc.decode reads them", unit_index=unit.unit_index
                )
            return not unit.mps_parent_signalling_enabled_flag
    raise CorruptError("the bitstream has no model parameter set", byte_offset=len(data))


def check_claim(update: Update, limits: Limits) -> None:
    """Make sure that a bitstream arrived as its position says, and that it is the kind of update that it says.

    Raises
    ------
    BitstreamError
        It did not, or is not.
    """
    position, parent = update.position, update.parent
    parent_chain = parent.chain if parent else None
    if position.digest is None or chain_of(parent_chain, [update.data], position.digest) != position.chain:
        raise CorruptError("the update is damaged: its bytes do not have the hash of its position", byte_offset=0)
    if is_keyframe(update.data, limits) != update.is_keyframe:
        raise CorruptError("the bitstream is a keyframe and its position is not, or the other way round", byte_offset=0)


def parent_of_bare(data: bytes, held: CodecState | None, limits: Limits) -> CodecState | None:
    """Return what a bare bitstream is taken to follow: what is held, or nothing if it is a keyframe.

    Raises
    ------
    GapError
        It holds differences and there is nothing to add them to, or their nodes are below one that never arrived.
    BitstreamError
        It cannot be parsed.
    """
    if is_keyframe(data, limits):
        return None
    if held is None:
        raise GapError("the bitstream holds differences: the decoder holds nothing yet")
    shapes = {name: tensor.spec.type.shape for name, tensor in held.tensors.items()}
    for unit, context in parse_with_context(data, Context(tensor_dimensions=shapes, limits=limits)):
        if isinstance(unit, DataUnit) and unit.put_node_depth > 1 and unit.parent_node_id_present_flag:
            names = unit.topology_elements(context)
            if not held.nodes.keys() & set(names):
                message = f"tensor {names[0]!r} is at depth {unit.put_node_depth}, and nothing above it arrived"
                raise GapError(message, actual=held.position, byte_offset=unit.byte_offset)
    return held


def decode_bitstream(parent: CodecState | None, sequence: int, data: bytes, limits: Limits, threads: int) -> Outcome:
    """Decode a bitstream whose parent is known to fit, or (bare) is about to be compared node by node.

    Raises
    ------
    BitstreamError
        It is damaged, unsupported, or declares too much.
    ReferenceMismatchError
        It follows from other nodes than those of `parent`.
    """
    if parent is None:
        decoded = decode_tensors(data, None, None, limits, threads)
        return state_after(None, sequence, data, _whole(decoded, len(data), limits), {})
    shapes = {name: tensor.spec.type.shape for name, tensor in parent.tensors.items()}
    state = IncrementalState(dict(parent.nodes), shapes)
    allowed = replace(limits, model_bytes=limits.allowed_bytes(len(data), _held_bytes(parent)))
    decoded = decode_tensors(data, state, None, allowed, threads)
    return state_after(parent, sequence, data, _sums(parent, decoded), state.nodes)


def _whole(decoded: Mapping[str, DecodedTensor], n_bytes: int, limits: Limits) -> dict[str, Array]:
    types = {name: type_in_keyframe(tensor.values, tensor.data_format) for name, tensor in decoded.items()}
    check_table(limits, {name: TensorSpec(tensor) for name, tensor in types.items()}, None, n_bytes)
    return {name: converted(tensor.values, types[name]) for name, tensor in decoded.items()}


def _sums(parent: CodecState, decoded: Mapping[str, DecodedTensor]) -> dict[str, Array]:
    results = {}
    for name, tensor in decoded.items():
        held = parent.tensors.get(name)
        if held is None or held.spec.type.shape != tensor.values.shape:
            held_type = held.spec.type if held else "no such tensor"
            message = f"the update changes tensor {name[:80]!r} of shape {list(tensor.values.shape)}"
            raise DivergedError(f"{message}, the decoder holds {held_type}", actual=parent.position)
        results[name] = added(held_array(held), tensor.values)
    return results


def _held_bytes(parent: CodecState) -> int:
    """Count what is held as a decoder of bitstreams does."""
    return sum(
        max(tensor.spec.type.n_bytes, _DECODED_BYTES * tensor.spec.type.n_elements) + _TENSOR_BYTES
        for tensor in parent.tensors.values()
    )

"""Whole bitstreams to weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incnnr.coding.nnc import decode_nnc
from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, ReferenceMismatchError
from incnnr.nnc.members import DecodedTensor, Member, layer_of, members_of, step_size
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.state import IncrementalState, Node
from incnnr.nnc.syntax import (
    Aggregate,
    Context,
    DataUnit,
    ParentNodeIdType,
    PayloadType,
    SyntaxUnit,
)

Levels = NDArray[np.int32]
_MOST_OCTAVES = 127  # of a step that is a float32, not subnormal


def decode(
    data: bytes,
    *,
    state: IncrementalState | None = None,
    tensor_dimensions: Mapping[str, tuple[int, ...]] | None = None,
    max_bytes: int = 1 << 30,
) -> dict[str, NDArray[Any]]:
    """Decode one bitstream of ISO/IEC 15938-17.

    Parameters
    ----------
    data : bytes
        From the start unit on.
    state : IncrementalState, optional
        What earlier bitstreams of the same sender left; advanced in place.
    tensor_dimensions : mapping of str to tuple of int, optional
        Shapes of the base model's tensors, for units that do not carry theirs; those in `state` need not be given.
    max_bytes : int
        Most bytes of weights that the bitstream may declare.

    Returns
    -------
    dict of str to numpy.ndarray
        float32 arrays, int32 for integer tensors, float64 for tensors with a codebook. Of an update bitstream, the
        updates: the caller adds them to the weights; a tensor that is not there has not changed.

    Raises
    ------
    BitstreamError
        `data` is damaged, has what this release does not know, or declares too much.
    ReferenceMismatchError
        An update does not follow from `state`.

    Notes
    -----
    All or nothing: if this raises, `state` is as it was. A parent that is named by a hash is not checked.

    Examples
    --------
    >>> decode(bytes.fromhex("00040201" "0008068100400080"))
    {}
    """
    return {name: tensor.values for name, tensor in decode_tensors(data, state, tensor_dimensions, max_bytes).items()}


def decode_tensors(
    data: bytes,
    state: IncrementalState | None = None,
    tensor_dimensions: Mapping[str, tuple[int, ...]] | None = None,
    max_bytes: int = 1 << 30,
) -> dict[str, DecodedTensor]:
    """Decode a bitstream to values and levels; see `decode`."""
    nodes = dict(state.nodes) if state else {}
    shapes = {**(tensor_dimensions or {}), **{name: node.shape for name, node in nodes.items()}}
    decoded: dict[str, DecodedTensor] = {}
    n_bytes = 0
    for unit, context in _data_units(data, Context(tensor_dimensions=shapes)):
        members = members_of(unit, context)
        n_bytes += sum(4 * prod(member.shape) for member in members)
        if n_bytes > max_bytes:
            raise LimitExceededError(f"more than {max_bytes} bytes of weights", byte_offset=unit.byte_offset)
        _decode_unit(members, unit, context, nodes)
        for member in members:
            decoded[member.name] = member.decoded()
            if unit.nnr_compressed_data_unit_payload_type != PayloadType.RAW_FLOAT:
                nodes[member.name] = member.node(context, nodes.get(member.name))
    if state is not None:
        state.nodes = nodes
    return decoded


def _data_units(data: bytes, context: Context) -> Iterator[tuple[DataUnit, Context]]:
    for unit, unit_context in parse_with_context(data, context):
        for inner in _flattened(unit):
            if isinstance(inner, DataUnit):
                yield inner, unit_context


def _flattened(unit: SyntaxUnit) -> Sequence[SyntaxUnit]:
    return unit.units if isinstance(unit, Aggregate) else [unit]


def _decode_unit(members: list[Member], unit: DataUnit, context: Context, nodes: dict[str, Node]) -> None:
    if unit.nnr_compressed_data_unit_payload_type == PayloadType.RAW_FLOAT:
        members[0].raw = _raw_floats(unit, members[0])
        return
    for member in members:
        _check_parent(member, nodes.get(member.name))
        member.levels = np.empty(prod(member.shape), np.int32)
    try:
        _decode_codeword(members, unit, context, nodes, nncodec_1=False)
    except CorruptError as error:
        if context.general_profile_idc != 0:
            raise _placed(error, unit) from None
        _decode_codeword_of_nncodec_1(members, unit, context, nodes, error)


def _decode_codeword_of_nncodec_1(
    members: list[Member], unit: DataUnit, context: Context, nodes: dict[str, Node], first: CorruptError
) -> None:
    """Edition 1 has two dialects that no header tells apart; a payload ends where it must in only one of them."""
    try:
        _decode_codeword(members, unit, context, nodes, nncodec_1=True)
    except CorruptError:
        raise _placed(first, unit) from None


def _decode_codeword(
    members: list[Member], unit: DataUnit, context: Context, nodes: dict[str, Node], *, nncodec_1: bool
) -> None:
    for member in members:
        member.layer = layer_of(member, context, nodes.get(member.name), nncodec_1=nncodec_1)
    n_used = decode_nnc([member.layer for member in members if member.layer], unit.payload)
    if n_used != len(unit.payload):
        raise CorruptError(f"the codeword has {n_used} bytes, the payload {len(unit.payload)}")
    for member in members:
        if not member.is_integer and member.layer:
            qp = context.quantization_parameter + member.layer.qp_delta
            member.step_size = step_size(qp, context.qp_density)


def _check_parent(member: Member, node: Node | None) -> None:
    unit = member.unit
    if not unit.parent_node_id_present_flag:
        return
    if node is None:
        if unit.temporal_context_modeling_flag:
            raise _mismatch(member, "is not there")
        return
    if unit.parent_node_id_type != ParentNodeIdType.NDU_ID:
        return
    same = (node.device_id, node.parameter_id) == (unit.device_id, unit.parameter_id)
    if not same or unit.put_node_depth != node.put_node_depth + 1 or node.shape != member.shape:
        raise _mismatch(
            member, f"is parameter {node.parameter_id} of device {node.device_id} at depth {node.put_node_depth}"
        )


def _mismatch(member: Member, actual: str) -> ReferenceMismatchError:
    unit = member.unit
    wanted = f"parameter {unit.parameter_id} of device {unit.device_id} at depth {unit.put_node_depth - 1}"
    return ReferenceMismatchError(
        f"tensor {member.name!r} follows {wanted}, which {actual}", expected=None, actual=None
    )


def _raw_floats(unit: DataUnit, member: Member) -> NDArray[np.float32]:
    n = prod(member.shape)
    if len(unit.payload) != 4 * n:
        raise CorruptError(f"{n} floats in {len(unit.payload)} bytes", byte_offset=unit.payload_byte_offset)
    return np.frombuffer(unit.payload, "<f4").astype(np.float32)


def _placed(error: BitstreamError, unit: DataUnit) -> BitstreamError:
    error.byte_offset = unit.payload_byte_offset
    return error

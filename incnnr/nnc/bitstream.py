"""Whole bitstreams to weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incnnr.coding.nnc import NncLayer, decode_nnc
from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, ReferenceMismatchError
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.state import IncrementalState, Node
from incnnr.nnc.syntax import (
    Aggregate,
    Codebook,
    Context,
    DataUnit,
    ParameterTypes,
    ParentNodeIdType,
    PayloadType,
    SyntaxUnit,
)
from incnnr.quantization import step_size_of_qp

Levels = NDArray[np.int32]
_MOST_OCTAVES = 127  # of a step that is a float32, not subnormal


@dataclass(frozen=True, slots=True)
class DecodedTensor:
    """One tensor of a bitstream.

    Attributes
    ----------
    values : numpy.ndarray
        float32; int32 for integer tensors; float64 for codebooks.
    levels : numpy.ndarray of int32, or None
        The integers in the codeword, after the mapping of dependent quantisation; None for raw floats.
    """

    values: NDArray[Any]
    levels: Levels | None


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
        members = _members(unit, context)
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


@dataclass(slots=True)
class _Member:
    """One tensor of a data unit on its way through the codeword."""

    name: str
    shape: tuple[int, ...]
    unit: DataUnit
    codebook: Codebook | None
    is_integer: bool
    levels: Levels = field(default_factory=lambda: np.empty(0, np.int32))
    layer: NncLayer | None = None
    step_size: float = 0.0
    raw: NDArray[np.float32] | None = None

    def decoded(self) -> DecodedTensor:
        if self.raw is not None:
            return DecodedTensor(self.raw.reshape(self.shape), None)
        levels = self.levels.reshape(self.shape)
        if self.is_integer:
            return DecodedTensor(levels.copy(), levels)
        if self.codebook:
            values = np.array(self.codebook.values, np.float64) * self.step_size
            return DecodedTensor(values[levels + self.codebook.zero_offset], levels)
        with np.errstate(over="ignore", under="ignore"):
            return DecodedTensor(levels.astype(np.float32) * np.float32(self.step_size), levels)

    def node(self, context: Context, before: Node | None) -> Node:
        history = before.history if before else None
        if context.mps_parent_signalling_enabled_flag:
            seen = (self.levels != 0).astype(np.uint8)
            history = seen if history is None else history | seen
        unit = self.unit
        return Node(unit.device_id, unit.parameter_id, unit.put_node_depth, self.levels, history, self.shape)


def _decode_unit(members: list[_Member], unit: DataUnit, context: Context, nodes: dict[str, Node]) -> None:
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
    members: list[_Member], unit: DataUnit, context: Context, nodes: dict[str, Node], first: CorruptError
) -> None:
    """Edition 1 has two dialects that no header tells apart; a payload ends where it must in only one of them."""
    try:
        _decode_codeword(members, unit, context, nodes, nncodec_1=True)
    except CorruptError:
        raise _placed(first, unit) from None


def _decode_codeword(
    members: list[_Member], unit: DataUnit, context: Context, nodes: dict[str, Node], *, nncodec_1: bool
) -> None:
    for member in members:
        member.layer = _layer(member, context, nodes.get(member.name), nncodec_1)
    n_used = decode_nnc([member.layer for member in members if member.layer], unit.payload)
    if n_used != len(unit.payload):
        raise CorruptError(f"the codeword has {n_used} bytes, the payload {len(unit.payload)}")
    for member in members:
        if not member.is_integer and member.layer:
            qp = context.quantization_parameter + member.layer.qp_delta
            member.step_size = _step_size(qp, context.qp_density)


def _step_size(qp: int, qp_density: int) -> float:
    if -_MOST_OCTAVES <= qp >> qp_density < _MOST_OCTAVES:
        return step_size_of_qp(qp, qp_density)
    raise CorruptError(f"no float32 is the step size of qp {qp} at density {qp_density}")


def _layer(member: _Member, context: Context, node: Node | None, nncodec_1: bool) -> NncLayer:
    unit, profile_1 = member.unit, context.general_profile_idc == 1
    looks_at_codebook = profile_1 and member.codebook is not None
    history = node.history if node else None
    return NncLayer(
        member.levels,
        member.shape[0] if member.shape else 1,
        prod(member.shape[1:]),
        qp_bits=0 if member.is_integer else 6 + context.qp_density,
        block_size=4 << unit.scan_order if unit.scan_order and len(member.shape) > 1 else 0,
        n_greater_flags=unit.cabac_unary_length_minus1 + 1,
        n_remainder_sets=32 if nncodec_1 else 31,
        codebook_size=len(member.codebook.values) if looks_at_codebook and member.codebook else 0,
        zero_offset=member.codebook.zero_offset if looks_at_codebook and member.codebook else 0,
        has_preamble=profile_1,
        has_parent=bool(unit.parent_node_id_present_flag),
        dependent=bool(unit.dq_flag) and not member.is_integer,
        single_row_resets=nncodec_1,
        base=node.levels if node and unit.temporal_context_modeling_flag else None,
        history=history,
    )


def _members(unit: DataUnit, context: Context) -> list[_Member]:
    """List the tensors of a unit in the order of its codeword."""
    names = unit.topology_elements(context)
    dims = unit.dimensions(context)
    types = ParameterTypes(unit.compressed_parameter_types)
    is_integer = unit.nnr_compressed_data_unit_payload_type == PayloadType.INT
    rows, rank = unit.g_number_of_rows, unit.decomposition_rank
    factors: list[tuple[int, ...]] = [(rows, rank), (rank, prod(dims) // max(rows, 1))]

    def member(name: str, shape: tuple[int, ...], codebook: Codebook | None) -> _Member:
        return _Member(name, shape, unit, codebook, is_integer)

    if unit.nnr_compressed_data_unit_payload_type != PayloadType.BLOCK:
        shape = factors[context.awaits_h] if types & ParameterTypes.DECOMPOSED else dims
        return [member(names[0], shape, unit.codebook)]
    weights = factors if types & ParameterTypes.DECOMPOSED else [dims]
    vectors = _vectors_of_block(types)
    if len(names) != len(weights) + len(vectors):
        raise CorruptError(
            f"a block of {len(weights) + len(vectors)} tensors has {len(names)} names", byte_offset=unit.byte_offset
        )
    named = dict(zip(["W", "H"][: len(weights)] + vectors, names, strict=True))
    ordered = [member(named[v], dims[:1], None) for v in ("LS", "BI", "beta", "gamma", "mean", "var") if v in named]
    codebooks = [unit.codebook, unit.codebook_h]
    return ordered + [member(named[w], s, c) for w, s, c in zip("WH", weights, codebooks, strict=False)]


def _vectors_of_block(types: ParameterTypes) -> list[str]:
    """Name the one-dimensional members of a block, in the order of the topology ids."""
    vectors = ["LS"] if types & ParameterTypes.LOCAL_SCALING else []
    vectors += ["beta", "gamma", "mean", "var"] if types & ParameterTypes.BATCH_NORM else []
    return vectors + (["BI"] if types & ParameterTypes.BIAS else [])


def _check_parent(member: _Member, node: Node | None) -> None:
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


def _mismatch(member: _Member, actual: str) -> ReferenceMismatchError:
    unit = member.unit
    wanted = f"parameter {unit.parameter_id} of device {unit.device_id} at depth {unit.put_node_depth - 1}"
    return ReferenceMismatchError(
        f"tensor {member.name!r} follows {wanted}, which {actual}", expected=None, actual=None
    )


def _raw_floats(unit: DataUnit, member: _Member) -> NDArray[np.float32]:
    n = prod(member.shape)
    if len(unit.payload) != 4 * n:
        raise CorruptError(f"{n} floats in {len(unit.payload)} bytes", byte_offset=unit.payload_byte_offset)
    return np.frombuffer(unit.payload, "<f4").astype(np.float32)


def _placed(error: BitstreamError, unit: DataUnit) -> BitstreamError:
    error.byte_offset = unit.payload_byte_offset
    return error

"""The tensors in the codeword of a data unit: which ones, in which order, and how each is coded."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incnnr.coding.nnc import NncLayer
from incnnr.errors import CorruptError, LimitExceededError
from incnnr.nnc.state import Node
from incnnr.nnc.syntax import Codebook, Context, DataUnit, ParameterTypes, PayloadType
from incnnr.quantization import reconstruct, step_size_of_qp

Levels = NDArray[np.int32]
_MOST_OCTAVES = 127  # of a step that is a finite float32; one that is too small for it is 0
_MOST_WEIGHTS = 1 << 60  # of a tensor, empty dimensions aside, so that numpy can count its bytes
# What a tensor, and a value of a codebook, take beside the weights while a bitstream is decoded.
_TENSOR_BYTES = 1024
_CODEBOOK_VALUE_BYTES = 64


@dataclass(frozen=True, slots=True)
class DecodedTensor:
    """One tensor of a bitstream.

    Attributes
    ----------
    values : numpy.ndarray
        float32; int32 for integer tensors; float64 for codebooks.
    levels : numpy.ndarray of int32, or None
        The integers in the codeword, after the mapping of dependent quantisation; None for raw floats.
    data_format : int or None
        `DecompressedDataFormat` of the tensor before it was coded, where the bitstream says it.
    """

    values: NDArray[Any]
    levels: Levels | None
    data_format: int | None = None


@dataclass(slots=True)
class Member:
    """One tensor of a data unit on its way through the codeword."""

    name: str
    shape: tuple[int, ...]
    unit: DataUnit
    codebook: Codebook | None
    is_integer: bool
    levels: Levels = field(default_factory=lambda: np.empty(0, np.int32))
    layer: NncLayer | None = None
    qp_delta: int = 0
    skipped_rows: NDArray[np.uint8] | None = None
    step_size: float = 0.0
    raw: NDArray[np.float32] | None = None

    @property
    def declared_bytes(self) -> int:
        """What decoding it takes."""
        n_values = len(self.codebook.values) if self.codebook else 0
        return _TENSOR_BYTES + _CODEBOOK_VALUE_BYTES * n_values + (8 if self.codebook else 4) * prod(self.shape)

    @property
    def is_in_codebook(self) -> bool:
        """Whether every level stands for a value; the syntax of levels does not see to it."""
        if not self.codebook or not self.levels.size:
            return True
        first, last = -self.codebook.zero_offset, len(self.codebook.values) - 1 - self.codebook.zero_offset
        return bool(first <= self.levels.min() and self.levels.max() <= last)

    def set_step_size(self, context: Context) -> None:
        """Find the step size of the levels in the codeword.

        Raises
        ------
        CorruptError
            It is no float32.
        """
        if self.is_integer or self.layer is None:
            return
        qp = context.quantization_parameter + self.layer.qp_delta
        if qp >> context.qp_density > _MOST_OCTAVES:
            raise CorruptError(f"no float32 is the step size of qp {qp} at density {context.qp_density}")
        self.step_size = float(np.float32(step_size_of_qp(qp, context.qp_density)))

    def decoded(self) -> DecodedTensor:
        """Make the weights of the levels."""
        has_format = self.unit.nnr_decompressed_data_format_present_flag
        data_format = self.unit.nnr_decompressed_data_format if has_format else None
        if self.raw is not None:
            return DecodedTensor(self.raw.reshape(self.shape), None, data_format)
        levels = self.levels.reshape(self.shape)
        return DecodedTensor(self._values(levels), levels, data_format)

    def _values(self, levels: Levels) -> NDArray[Any]:
        if self.is_integer:
            return levels.copy()
        if self.codebook:
            values = np.array(self.codebook.values, np.float64) * self.step_size
            return np.asarray(values[levels + self.codebook.zero_offset])
        return reconstruct(levels, self.step_size)

    def node(self, before: Node | None) -> Node:
        """Make what the next update of this tensor depends on."""
        history = (self.levels != 0).astype(np.uint8)
        if before and before.history is not None and before.history.size == history.size:
            history |= before.history
        unit, is_named = self.unit, bool(self.unit.node_id_present_flag)
        return Node(unit.device_id, unit.parameter_id, unit.put_node_depth, self.levels, history, self.shape, is_named)


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the matrix that a tensor is scanned as.

    Examples
    --------
    >>> matrix_shape((8, 3, 5)), matrix_shape((7,)), matrix_shape(())
    ((8, 15), (7, 1), (1, 1))
    """
    return (shape[0] if shape else 1), prod(shape[1:])


def block_size_of(scan_order: int, shape: tuple[int, ...]) -> int:
    """Rows and columns of the blocks that a tensor is scanned in; 0 row by row.

    Examples
    --------
    >>> block_size_of(2, (100, 100)), block_size_of(2, (100,))
    (16, 0)
    """
    return 4 << scan_order if scan_order and min(matrix_shape(shape)) > 1 else 0


def members_of(unit: DataUnit, context: Context) -> list[Member]:
    """List the tensors of a unit in the order of its codeword."""
    names = unit.topology_elements(context)
    dims = unit.dimensions(context)
    types = ParameterTypes(unit.compressed_parameter_types)
    kind = unit.nnr_compressed_data_unit_payload_type
    is_integer = kind == PayloadType.INT
    factors = _factors(unit, dims) if types & ParameterTypes.DECOMPOSED else []
    if kind in (PayloadType.FLOAT, PayloadType.BLOCK) and not context.has_quantization_method:
        raise CorruptError("a quantised tensor, and no parameter set has a method of quantisation")

    def member(name: str, shape: tuple[int, ...], codebook: Codebook | None) -> Member:
        return Member(name, shape, unit, codebook, is_integer)

    if kind != PayloadType.BLOCK:
        shape = factors[context.awaits_h] if factors else dims
        return [member(names[0], shape, unit.codebook)]
    if not dims:
        raise CorruptError("a block around a tensor without dimensions")
    weights = factors or [dims]
    vectors = _vectors_of_block(types)
    if len(names) != len(weights) + len(vectors):
        raise CorruptError(f"a block of {len(weights) + len(vectors)} tensors has {len(names)} names")
    named = dict(zip(["W", "H"][: len(weights)] + vectors, names, strict=True))
    ordered = [member(named[v], dims[:1], None) for v in ("LS", "BI", "beta", "gamma", "mean", "var") if v in named]
    codebooks = [unit.codebook, unit.codebook_h]
    return ordered + [member(named[w], s, c) for w, s, c in zip("WH", weights, codebooks, strict=False)]


def _factors(unit: DataUnit, dims: tuple[int, ...]) -> list[tuple[int, ...]]:
    rows, rank = unit.g_number_of_rows, unit.decomposition_rank
    if rows == 0:
        raise CorruptError("a decomposed tensor without rows")
    columns = prod(dims) // rows
    if rows * max(rank, 1) >= _MOST_WEIGHTS or rank * max(columns, 1) >= _MOST_WEIGHTS:
        raise LimitExceededError("factors whose numbers of weights overflow")
    return [(rows, rank), (rank, columns)]


def _vectors_of_block(types: ParameterTypes) -> list[str]:
    """Name the one-dimensional members of a block, in the order of the topology ids."""
    vectors = ["LS"] if types & ParameterTypes.LOCAL_SCALING else []
    vectors += ["beta", "gamma", "mean", "var"] if types & ParameterTypes.BATCH_NORM else []
    return vectors + (["BI"] if types & ParameterTypes.BIAS else [])


def layer_of(member: Member, context: Context, node: Node | None, *, nncodec_1: bool = False) -> NncLayer:
    """Describe a member to the kernels; `node` is what the update before left."""
    unit, profile_1 = member.unit, context.general_profile_idc == 1
    looks_at_codebook = profile_1 and member.codebook is not None
    parent = node if node and node.levels.size == member.levels.size else None
    return NncLayer(
        member.levels.reshape(-1),
        *matrix_shape(member.shape),
        qp_bits=0 if member.is_integer else 6 + context.qp_density,
        qp_delta=member.qp_delta,
        block_size=block_size_of(unit.scan_order, member.shape),
        n_greater_flags=unit.cabac_unary_length_minus1 + 1,
        n_remainder_sets=32 if nncodec_1 else 31,
        codebook_size=len(member.codebook.values) if looks_at_codebook and member.codebook else 0,
        zero_offset=member.codebook.zero_offset if looks_at_codebook and member.codebook else 0,
        has_preamble=profile_1,
        has_parent=bool(unit.parent_node_id_present_flag),
        dependent=bool(unit.dq_flag) and not member.is_integer,
        single_row_resets=nncodec_1,
        temporal=bool(unit.temporal_context_modeling_flag),
        base=parent.levels if parent else None,
        history=parent.history if parent else None,
        row_skip=member.skipped_rows is not None,
        skipped_rows=member.skipped_rows,
    )

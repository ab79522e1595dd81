"""NDU: the header of a data unit; the weights stay as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from math import prod
from typing import Self

from incnnr.errors import CorruptError, UnsupportedError
from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.codebook import Codebook
from incnnr.nnc.syntax.context import Context
from incnnr.nnc.syntax.entry_points import EntryPoint, entry_points
from incnnr.nnc.syntax.topology_ids import TopologyElementsIdsList


class PayloadType(IntEnum):
    """``nnr_compressed_data_unit_payload_type``."""

    INT = 0
    FLOAT = 1
    RAW_FLOAT = 2
    BLOCK = 3


class ParameterTypes(IntFlag):
    """``compressed_parameter_types``: what a block holds besides its weight."""

    DECOMPOSED = 1
    LOCAL_SCALING = 2
    BATCH_NORM = 4
    BIAS = 8


class ParentNodeIdType(IntEnum):
    """``parent_node_id_type``."""

    NDU_ID = 0
    PAYLOAD_SHA256 = 1
    PAYLOAD_SHA512 = 2


class DecompressedDataFormat(IntEnum):
    """``nnr_decompressed_data_format``."""

    INT32 = 0
    FLOAT32 = 1
    INT2 = 2
    INT3 = 3
    INT4 = 4
    INT8 = 5
    INT16 = 6
    INT64 = 7
    FLOAT16 = 8
    FLOAT64 = 9


_DECOMPOSED = int(ParameterTypes.DECOMPOSED)  # asked for often, and flags are slow to ask
_WITH_CODEBOOK = (PayloadType.FLOAT, PayloadType.BLOCK)
_LAST_SCAN_ORDER = 4
_MAX_WEIGHTS = 1 << 60  # so that numpy can count the bytes of the tensor


@dataclass(slots=True, kw_only=True)
class DataUnit(SyntaxUnit):
    """NNR_NDU.

    Attributes
    ----------
    nnr_compressed_data_unit_payload_type : PayloadType
        What the payload is.
    topology_elem_id, topology_elem_id_index : str, int
        The tensor, by name or by place in the reference list, where there is one.
    topology_elements_ids_list : TopologyElementsIdsList
        The tensors, where there are several: the weight (or its two factors), local scaling, the four vectors of
        the batch normalisation, bias.
    device_id, parameter_id, put_node_depth : int
        The node of the parameter update tree (edition 2).
    parent_node_id_type : int
        `ParentNodeIdType`, which says what of the following names the parent.
    codebook, codebook_h : Codebook or None
        Of the weight (or its first factor), and of the second factor.
    nnr_decompressed_data_format : int
        `DecompressedDataFormat`.
    compressed_parameter_types : int
        `ParameterTypes`.
    decomposition_rank, g_number_of_rows : int
        The first factor has shape (`g_number_of_rows`, `decomposition_rank`).
    tensor_dimensions : tuple of int
        Shape of the weight, if the unit carries it; see `dimensions`.
    cabac_unary_length_minus1 : int
        One less than the number of greater-than flags.
    scan_order : int
        0 row by row, 1 to 4 in blocks of 8 to 64.
    entry_points : tuple of EntryPoint
        One for each block row but the first.
    payload : bytes
        The arithmetic codeword, or raw numbers.
    payload_byte_offset : int or None
        Where the payload begins in the bitstream it was read from; not part of what is compared.
    """

    nnr_compressed_data_unit_payload_type: PayloadType = PayloadType.FLOAT
    nnr_multiple_topology_elements_present_flag: int = 0
    nnr_decompressed_data_format_present_flag: int = 0
    input_parameters_present_flag: int = 0
    topology_elements_ids_list: TopologyElementsIdsList = field(default_factory=TopologyElementsIdsList)
    topology_elem_id: str = ""
    topology_elem_id_index: int = 0
    node_id_present_flag: int = 0
    device_id: int = 0
    parameter_id: int = 0
    put_node_depth: int = 0
    parent_node_id_present_flag: int = 0
    parent_node_id_type: int = 0
    temporal_context_modeling_flag: int = 0
    parent_device_id: int = 0
    parent_node_payload_sha256: bytes = b""
    parent_node_payload_sha512: bytes = b""
    codebook_present_flag: int = 0
    codebook: Codebook | None = None
    dq_flag: int = 0
    nnr_decompressed_data_format: int = DecompressedDataFormat.FLOAT32
    tensor_dimensions_flag: int = 0
    cabac_unary_length_flag: int = 0
    compressed_parameter_types: int = 0
    decomposition_rank: int = 0
    g_number_of_rows: int = 0
    tensor_dimensions: tuple[int, ...] = ()
    cabac_unary_length_minus1: int = 9
    codebook_h: Codebook | None = None
    first_tensor_dimension_shift: int = 0
    scan_order: int = 0
    entry_points: tuple[EntryPoint, ...] = ()
    payload: bytes = b""
    payload_byte_offset: int | None = field(default=None, compare=False)

    def syntax(self, c: BitCoder, context: Context) -> Self:
        """Code the header and carry the payload."""
        new = type(self)()
        new._presence(c, self)
        new._elements(c, self, context)
        if context.general_profile_idc == 1:
            new._node(c, self, context)
        new._values(c, self)
        if new.input_parameters_present_flag:
            new._input_parameters(c, self, context)
        new._scan(c, self, context)
        c.byte_alignment()
        new.payload = c.bs(self.payload)
        return new

    def context_after(self, context: Context) -> Context:
        """Remember whether the second factor of a decomposed tensor comes next."""
        awaits_h = self._is_factor() and not context.awaits_h
        return context if awaits_h == context.awaits_h else replace(context, awaits_h=awaits_h)

    def topology_elements(self, context: Context) -> tuple[str, ...]:
        """Name the tensors of the unit.

        Raises
        ------
        CorruptError
            An index is not in the reference list. Without such a list an index stands for itself, in decimal.
        """
        if not context.mps_topology_indexed_reference_flag:
            names = self.topology_elements_ids_list.topology_elem_id_list
            return names if self.nnr_multiple_topology_elements_present_flag else (self.topology_elem_id,)
        indices = self.topology_elements_ids_list.topology_elem_id_index_list
        if not self.nnr_multiple_topology_elements_present_flag:
            indices = (self.topology_elem_id_index,)
        listed = context.topology_elements
        if not listed:
            return tuple(str(index) for index in indices)
        if max(indices) >= len(listed):
            raise CorruptError(f"topology element {max(indices)} is not in the reference list of {len(listed)}")
        return tuple(listed[index] for index in indices)

    def dimensions(self, context: Context) -> tuple[int, ...]:
        """Find the shape of the weight: the unit's own, or the one known from elsewhere.

        Raises
        ------
        UnsupportedError
            Neither is there.
        """
        if self.tensor_dimensions_flag:
            return self.tensor_dimensions
        name = self.topology_elements(context)[0]
        if name not in context.tensor_dimensions:
            message = f"the unit does not carry the shape of tensor {name!r}, and no base model does"
            raise UnsupportedError(message, byte_offset=self.byte_offset)
        return tuple(context.tensor_dimensions[name])

    def _presence(self, c: BitCoder, given: Self) -> None:
        kind = c.u(5, given.nnr_compressed_data_unit_payload_type)
        if kind not in tuple(PayloadType):
            raise c.unsupported(f"nnr_compressed_data_unit_payload_type {kind}")
        self.nnr_compressed_data_unit_payload_type = PayloadType(kind)
        self.nnr_multiple_topology_elements_present_flag = c.u(1, given.nnr_multiple_topology_elements_present_flag)
        self.nnr_decompressed_data_format_present_flag = c.u(1, given.nnr_decompressed_data_format_present_flag)
        self.input_parameters_present_flag = c.u(1, given.input_parameters_present_flag)

    def _elements(self, c: BitCoder, given: Self, context: Context) -> None:
        indexed = context.mps_topology_indexed_reference_flag
        if self.nnr_multiple_topology_elements_present_flag:
            ids = given.topology_elements_ids_list
            self.topology_elements_ids_list = ids.indexed(c) if indexed else ids.named(c)
        elif indexed:
            self.topology_elem_id_index = c.ue(7, given.topology_elem_id_index)
        else:
            self.topology_elem_id = c.st(given.topology_elem_id)

    def _node(self, c: BitCoder, given: Self, context: Context) -> None:
        self.node_id_present_flag = c.u(1, given.node_id_present_flag)
        if self.node_id_present_flag:
            self.device_id = c.ue(1, given.device_id)
            self._parameter(c, given)
        if context.mps_parent_signalling_enabled_flag:
            self.parent_node_id_present_flag = c.u(1, given.parent_node_id_present_flag)
        if self.parent_node_id_present_flag:
            self._parent(c, given)

    def _parameter(self, c: BitCoder, given: Self) -> None:
        self.parameter_id = c.ue(5, given.parameter_id)
        self.put_node_depth = c.ue(4, given.put_node_depth)

    def _parent(self, c: BitCoder, given: Self) -> None:
        self.parent_node_id_type = c.u(2, given.parent_node_id_type)
        self.temporal_context_modeling_flag = c.u(1, given.temporal_context_modeling_flag)
        match self.parent_node_id_type:
            case ParentNodeIdType.NDU_ID:
                self.parent_device_id = c.ue(1, given.parent_device_id)
                if not self.node_id_present_flag:
                    self._parameter(c, given)
            case ParentNodeIdType.PAYLOAD_SHA256:
                self.parent_node_payload_sha256 = c.bits(256, given.parent_node_payload_sha256)
            case ParentNodeIdType.PAYLOAD_SHA512:
                self.parent_node_payload_sha512 = c.bits(512, given.parent_node_payload_sha512)
            case unknown:
                raise c.unsupported(f"parent_node_id_type {unknown}")

    def _values(self, c: BitCoder, given: Self) -> None:
        if self.nnr_compressed_data_unit_payload_type in _WITH_CODEBOOK:
            self.codebook_present_flag = c.u(1, given.codebook_present_flag)
        if self.codebook_present_flag:
            self.codebook = (given.codebook or Codebook()).syntax(c)
        if self.nnr_compressed_data_unit_payload_type != PayloadType.RAW_FLOAT:
            self.dq_flag = c.u(1, given.dq_flag)
        if self.nnr_decompressed_data_format_present_flag:
            self.nnr_decompressed_data_format = c.u(7, given.nnr_decompressed_data_format)

    def _input_parameters(self, c: BitCoder, given: Self, context: Context) -> None:
        block = self.nnr_compressed_data_unit_payload_type == PayloadType.BLOCK
        self.tensor_dimensions_flag = c.u(1, given.tensor_dimensions_flag)
        self.cabac_unary_length_flag = c.u(1, given.cabac_unary_length_flag)
        self.compressed_parameter_types = c.u(4, given.compressed_parameter_types)
        if self._is_decomposed():
            self.decomposition_rank = c.ue(3, given.decomposition_rank)
            self.g_number_of_rows = c.ue(3, given.g_number_of_rows)
        if self.tensor_dimensions_flag:
            self._tensor_dimensions(c, given, context)
        if self.nnr_multiple_topology_elements_present_flag and not block:
            raise c.unsupported("a tensor split over several topology elements")
        if self.cabac_unary_length_flag:
            self.cabac_unary_length_minus1 = c.u(8, given.cabac_unary_length_minus1)
        if block and self._is_decomposed() and self.codebook_present_flag:
            self.codebook_h = (given.codebook_h or Codebook()).syntax(c)

    def _tensor_dimensions(self, c: BitCoder, given: Self, context: Context) -> None:
        count_tensor_dimensions = c.ue(1, len(given.tensor_dimensions))
        if count_tensor_dimensions > context.limits.rank:
            raise c.beyond_limits(f"a tensor of more than {context.limits.rank} dimensions")
        self.tensor_dimensions = c.repeated(
            count_tensor_dimensions, given.tensor_dimensions, 0, lambda size: c.ue(7, size)
        )
        n_weights = prod(max(size, 1) for size in self.tensor_dimensions)
        c.check(n_weights < _MAX_WEIGHTS, "the number of weights overflows")

    def _scan(self, c: BitCoder, given: Self, context: Context) -> None:
        try:
            dimensions = self.dimensions(context)
        except UnsupportedError as error:
            raise c.unsupported(error.message) from error
        if len(dimensions) <= 1:
            return
        if context.general_profile_idc == 1:
            self.first_tensor_dimension_shift = c.ue(1, given.first_tensor_dimension_shift)
        self.scan_order = c.u(4, given.scan_order)
        if self.scan_order > _LAST_SCAN_ORDER:
            raise c.unsupported(f"scan_order {self.scan_order}")
        if self.scan_order:
            block_size = 4 << self.scan_order
            heights = self._heights(dimensions, context)
            count = sum(max(height - 1, 0) // block_size for height in heights)
            self.entry_points = entry_points(c, count, given.entry_points, self.dq_flag)

    def _heights(self, dimensions: tuple[int, ...], context: Context) -> tuple[int, ...]:
        """Rows of the matrices in the payload that are scanned in blocks."""
        if self._is_factor():
            return (self.decomposition_rank if context.awaits_h else self.g_number_of_rows,)
        if self._is_decomposed():
            return (self.g_number_of_rows, self.decomposition_rank)
        return dimensions[:1]

    def _is_decomposed(self) -> bool:
        return bool(self.compressed_parameter_types & _DECOMPOSED)

    def _is_factor(self) -> bool:
        return self._is_decomposed() and self.nnr_compressed_data_unit_payload_type != PayloadType.BLOCK

"""TPL: the topology of the network, or which parts of it are pruned, or a list of its elements."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

from incnnr.errors import CorruptError, LimitExceededError, UnsupportedError
from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.context import Context
from incnnr.nnc.syntax.topology_ids import TopologyElementsIdsList


class StorageFormat(IntEnum):
    """``topology_storage_format``."""

    UNRECOGNIZED = 0
    NNEF = 1
    ONNX = 2
    PYTORCH = 3
    TENSORFLOW = 4
    PRUNING = 5
    REFERENCE_LIST = 6


class CompressionFormat(IntEnum):
    """``topology_compression_format``."""

    RAW = 0
    DEFLATE = 1


class PruningRepresentation(IntEnum):
    """``nnr_rep_type``."""

    BIT_MASK = 0
    DICTIONARY = 1


@dataclass(frozen=True, slots=True)
class BitMask:
    """``bit_mask()``.

    Attributes
    ----------
    count_bits : int
        Number of bits.
    bit_mask_value : bytes
        The bits, the first one in the most significant bit of the first byte; zeros behind the last.
    """

    count_bits: int = 0
    bit_mask_value: bytes = b""

    def syntax(self, c: BitCoder) -> BitMask:
        """Code the mask."""
        n_bits = c.u(32, self.count_bits)
        mask = BitMask(n_bits, c.bits(n_bits, self.bit_mask_value))
        c.byte_alignment()
        return mask


@dataclass(frozen=True, slots=True)
class PrunedElement:
    """What is left of one topology element.

    Attributes
    ----------
    element_id : str
        Its name.
    dim : tuple of int
        Its dimensions after pruning.
    """

    element_id: str = ""
    dim: tuple[int, ...] = ()


@dataclass(slots=True)
class PruningContainer:
    """What was pruned, as a mask or as a dictionary of what is left.

    Attributes
    ----------
    nnr_rep_type : int
        `PruningRepresentation`.
    order_flag : int
        1 for masks in row-major order, 0 for column-major order.
    prune_mask, sparse_mask : BitMask
        There if `prune_flag` (with a mask) and `sparse_flag` are.
    elements : tuple of PrunedElement
        There if `prune_flag` is (with a dictionary).
    """

    nnr_rep_type: int = 0
    prune_flag: int = 0
    order_flag: int = 0
    sparse_flag: int = 0
    prune_mask: BitMask = BitMask()
    elements: tuple[PrunedElement, ...] = ()
    sparse_mask: BitMask = BitMask()

    def syntax(self, c: BitCoder) -> PruningContainer:
        """Code the container."""
        new = PruningContainer()
        new.nnr_rep_type = c.u(2, self.nnr_rep_type)
        new.prune_flag = c.u(1, self.prune_flag)
        new.order_flag = c.u(1, self.order_flag)
        new.sparse_flag = c.u(1, self.sparse_flag)
        c.reserved(3)
        if new.nnr_rep_type not in tuple(PruningRepresentation):
            raise c.unsupported(f"nnr_rep_type {new.nnr_rep_type}")
        if new.prune_flag and new.nnr_rep_type == PruningRepresentation.BIT_MASK:
            new.prune_mask = self.prune_mask.syntax(c)
        elif new.prune_flag:
            new.elements = _dictionary(c, self.elements)
        if new.sparse_flag:
            new.sparse_mask = self.sparse_mask.syntax(c)
        return new


def _dictionary(c: BitCoder, elements: tuple[PrunedElement, ...]) -> tuple[PrunedElement, ...]:
    """Code all names, then all dimensions."""
    count_ids = c.u(8, len(elements))
    names = c.repeated(count_ids, [element.element_id for element in elements], "", c.st)
    shapes = c.repeated(count_ids, [element.dim for element in elements], (), lambda dim: _dimensions(c, dim))
    c.byte_alignment()
    return tuple(map(PrunedElement, names, shapes))


def _dimensions(c: BitCoder, dim: tuple[int, ...]) -> tuple[int, ...]:
    count_dims = c.ue(1, len(dim))
    return c.repeated(count_dims, dim, 0, lambda size: c.ue(7, size))


@dataclass(slots=True, kw_only=True)
class Topology(SyntaxUnit):
    """NNR_TPL.

    Attributes
    ----------
    topology_storage_format : int
        `StorageFormat`; it says which of the following there is.
    topology_compression_format : int
        `CompressionFormat`, of `topology_data`.
    pruning_container : PruningContainer
        For an uncompressed ``PRUNING``.
    topology_elements_ids_list : TopologyElementsIdsList
        For ``REFERENCE_LIST``, which cannot be compressed here.
    topology_data : bytes
        For all else: the file's bytes as carried, to the end of the unit; see `inflated`.
    """

    topology_storage_format: int = 0
    topology_compression_format: int = 0
    pruning_container: PruningContainer | None = None
    topology_elements_ids_list: TopologyElementsIdsList | None = None
    topology_data: bytes = b""

    def syntax(self, c: BitCoder, context: Context) -> Self:  # noqa: ARG002 - the same in both editions
        """Code the unit."""
        new = type(self)()
        new.topology_storage_format = c.u(8, self.topology_storage_format)
        new.topology_compression_format = c.u(8, self.topology_compression_format)
        match new.topology_storage_format, new.topology_compression_format:
            case StorageFormat.PRUNING, CompressionFormat.RAW:
                new.pruning_container = (self.pruning_container or PruningContainer()).syntax(c)
            case StorageFormat.REFERENCE_LIST, CompressionFormat.RAW:
                new.topology_elements_ids_list = (self.topology_elements_ids_list or TopologyElementsIdsList()).named(c)
            case StorageFormat.REFERENCE_LIST, compression:
                raise c.unsupported(f"a reference list of topology_compression_format {compression}")
            case _:
                new.topology_data = c.bs(self.topology_data)
        return new

    def context_after(self, context: Context) -> Context:
        """Keep the names that data units refer to by index."""
        if self.topology_elements_ids_list is None:
            return context
        return replace(context, topology_elements=self.topology_elements_ids_list.topology_elem_id_list)


def inflated(unit: Topology, max_bytes: int) -> bytes:
    """Get the topology file out of a unit.

    Parameters
    ----------
    unit : Topology
        With `topology_data`.
    max_bytes : int
        The most that is inflated.

    Raises
    ------
    CorruptError
        The data is not one deflated file.
    LimitExceededError
        The file is larger than `max_bytes`.
    UnsupportedError
        Compressed in another way.

    Examples
    --------
    >>> inflated(deflated(b"graph" * 9, StorageFormat.ONNX), max_bytes=100)[:10]
    b'graphgraph'
    """
    if unit.topology_compression_format == CompressionFormat.RAW:
        return unit.topology_data
    if unit.topology_compression_format != CompressionFormat.DEFLATE:
        message = f"topology_compression_format {unit.topology_compression_format}"
        raise UnsupportedError(message, byte_offset=unit.byte_offset)
    inflater = zlib.decompressobj()
    try:
        # one more than allowed, as zlib takes a limit of 0 for none
        data = inflater.decompress(unit.topology_data, max_bytes + 1)
    except zlib.error as error:
        raise CorruptError(f"the topology does not inflate: {error}", byte_offset=unit.byte_offset) from error
    if len(data) > max_bytes:
        raise LimitExceededError(f"a topology of more than {max_bytes} bytes", byte_offset=unit.byte_offset)
    # a writer that takes the data for a string ends it with a zero byte
    if not inflater.eof or inflater.unused_data not in (b"", b"\0"):
        raise CorruptError("the topology is not one deflated file", byte_offset=unit.byte_offset)
    return data


def deflated(data: bytes, storage_format: StorageFormat) -> Topology:
    """Make the unit that carries a topology file, compressed."""
    return Topology(
        topology_storage_format=storage_format,
        topology_compression_format=CompressionFormat.DEFLATE,
        topology_data=zlib.compress(data, 9),
    )

"""iso.md section 5: the header of a data unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from protocol.reference.errors import DoesNotFollowError, require
from protocol.reference.iso.bits import Bits
from protocol.reference.iso.codebook import Codebook, read_codebook
from protocol.reference.iso.errors import UnsupportedError
from protocol.reference.iso.parameter_sets import ParameterSet
from protocol.reference.iso.topology import read_indices, read_names

INT, FLOAT, RAW_FLOAT, BLOCK = range(4)
DECOMPOSED, LOCAL_SCALING, BATCH_NORM, BIAS = 1, 2, 4, 8

Shape = tuple[int, ...]


@dataclass
class Node:
    """A place in the tree of updates."""

    device: int
    parameter: int
    depth: int


@dataclass
class Parent:
    """What an update says about the node it changes: the node (type 0) or a hash of its payload (types 1 and 2)."""

    type: int
    temporal_contexts: bool
    node: Node | None = None
    digest: int | None = None


@dataclass
class EntryPoint:
    """Where a block row starts: window and quantiser state there, and bits since the block row before it."""

    value: int
    dq_state: int
    n_bits: int


@dataclass
class DataUnit:
    """The header of one data unit, in the order of its elements."""

    payload_type: int = 0
    names: list[str] = field(default_factory=list)
    node: Node | None = None
    parent: Parent | None = None
    codebook: Codebook | None = None
    dq_flag: bool = False
    decompressed_format: int | None = None
    parameter_types: int = 0
    rank: int = 0
    n_rows_of_g: int = 0
    shape: Shape = ()
    n_flags: int = 10
    codebook_of_h: Codebook | None = None
    first_dimension_shift: int = 0
    scan_order: int = 0
    entry_points: list[EntryPoint] = field(default_factory=list)

    def has(self, parameter_type: int) -> bool:
        return bool(self.parameter_types & parameter_type)


@dataclass
class Surroundings:
    """What a data unit header means depends on."""

    profile: int
    parameters: ParameterSet
    reference_list: list[str]
    shapes: Mapping[str, Shape]
    awaits_h: bool


def read_data_unit(bits: Bits, around: Surroundings) -> DataUnit:
    unit = DataUnit(payload_type=bits.u(5))
    if unit.payload_type > BLOCK:
        raise UnsupportedError(f"payload type {unit.payload_type}")
    several, has_format, has_input = bits.flag(), bits.flag(), bits.flag()
    unit.names = read_references(bits, several, around)
    if around.profile == 1:
        read_update_tree(bits, unit, around.parameters.parent_signalling)
    has_codebook = unit.payload_type in (FLOAT, BLOCK) and bits.flag()
    unit.codebook = read_codebook(bits) if has_codebook else None
    unit.dq_flag = unit.payload_type != RAW_FLOAT and bits.flag()
    unit.decompressed_format = bits.u(7) if has_format else None
    dimensions = read_input_parameters(bits, unit, several) if has_input else None
    unit.shape = shape_of(unit, dimensions, around.shapes)
    if has_codebook and unit.payload_type == BLOCK and unit.has(DECOMPOSED):
        unit.codebook_of_h = read_codebook(bits)
    if len(unit.shape) > 1:
        read_scan(bits, unit, around)
    bits.byte_alignment()
    return unit


def read_references(bits: Bits, several: bool, around: Surroundings) -> list[str]:
    """The names of the tensors; an index stands for a name in the reference list or, without one, for itself."""
    if not around.parameters.indexed_references:
        return read_names(bits) if several else [bits.st()]
    indices = read_indices(bits) if several else [bits.ue(7)]
    known = around.reference_list
    if not known:
        return [str(index) for index in indices]
    require(max(indices) < len(known), "an index that is not in the reference list")
    return [known[index] for index in indices]


def read_update_tree(bits: Bits, unit: DataUnit, parent_signalling: bool) -> None:
    if bits.flag():
        unit.node = Node(bits.ue(1), bits.ue(5), bits.ue(4))
    if not (parent_signalling and bits.flag()):
        return
    unit.parent = Parent(bits.u(2), bits.flag())
    require(unit.parent.type < 3, "an unknown way to name a parent")
    if unit.parent.type > 0:
        unit.parent.digest = bits.u(256 * unit.parent.type)
        return
    device = bits.ue(1)
    if unit.node:
        unit.parent.node = Node(device, unit.node.parameter, unit.node.depth - 1)
    else:
        unit.parent.node = Node(device, bits.ue(5), bits.ue(4))


def read_input_parameters(bits: Bits, unit: DataUnit, several: bool) -> Shape | None:
    has_dimensions, has_n_flags = bits.flag(), bits.flag()
    unit.parameter_types = bits.u(4)
    if unit.has(DECOMPOSED):
        unit.rank, unit.n_rows_of_g = bits.ue(3), bits.ue(3)
    dimensions = None
    if has_dimensions:
        n_dimensions = bits.ue(1)
        dimensions = tuple(bits.ue(7) for _ in range(n_dimensions))
    if several and unit.payload_type != BLOCK:
        raise UnsupportedError("a tensor that is split over several topology elements")
    if has_n_flags:
        unit.n_flags = bits.u(8) + 1
    return dimensions


def shape_of(unit: DataUnit, dimensions: Shape | None, shapes: Mapping[str, Shape]) -> Shape:
    if dimensions is not None:
        return dimensions
    if unit.names[0] not in shapes:
        raise DoesNotFollowError(f"the shape of {unit.names[0]!r} is not in the bitstream and was not given")
    return tuple(shapes[unit.names[0]])


def read_scan(bits: Bits, unit: DataUnit, around: Surroundings) -> None:
    if around.profile == 1:
        unit.first_dimension_shift = bits.ue(1)
    unit.scan_order = bits.u(4)
    require(unit.scan_order <= 4, "an unknown scan order")
    if unit.scan_order == 0:
        return
    n_bits = None
    for _ in range(n_entry_points(unit, around.awaits_h)):
        value = bits.u(8)
        dq_state = bits.u(3) if unit.dq_flag else 0
        n_bits = bits.ue(11) if n_bits is None else n_bits + bits.ie(7)
        unit.entry_points.append(EntryPoint(value, dq_state, n_bits))


def n_entry_points(unit: DataUnit, is_h: bool) -> int:
    """One for each block row but the first, of all matrices of the unit together."""
    heights = [unit.shape[0]]
    if unit.has(DECOMPOSED):
        of_g, of_h = unit.n_rows_of_g, unit.rank
        heights = [of_g, of_h] if unit.payload_type == BLOCK else [of_h if is_h else of_g]
    return sum(max(ceil(height / block_size(unit.scan_order)) - 1, 0) for height in heights)


def block_size(scan_order: int) -> int:
    return 4 << scan_order

"""Which tensors share a data unit, and what its header says before anything is quantised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from incnnr.errors import ModelMismatchError
from incnnr.nnc.blocks import Block
from incnnr.nnc.members import matrix_shape
from incnnr.nnc.parameters import Parameter
from incnnr.nnc.settings import Settings
from incnnr.nnc.state import Node
from incnnr.nnc.syntax import Context, DataUnit, ParameterTypes, PayloadType, TopologyElementsIdsList


@dataclass(frozen=True, slots=True)
class Group:
    """The tensors of one unit.

    Attributes
    ----------
    parameters : tuple of Parameter
        In the order of the topology elements.
    block : Block or None
        None for a single tensor.
    parameter_id : int
        Of the unit's node: the place of its (first) weight in the model.
    nodes : tuple of Node
        What earlier updates left of the tensors; empty before the first.
    """

    parameters: tuple[Parameter, ...]
    block: Block | None
    parameter_id: int
    nodes: tuple[Node, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def factors(self) -> tuple[str, ...]:
        """Name of the weight, or names of its two factors."""
        return self.block.factors if self.block else self.names

    @property
    def payload_type(self) -> PayloadType:
        """What the unit's payload will be."""
        return PayloadType.BLOCK if self.block else self.parameters[0].payload_type

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight."""
        if self.block is None or len(self.factors) == 1:
            return self.parameters[0].shape
        return self.block.dimensions or (self.parameters[0].shape[0], self.parameters[1].shape[1])


def groups_of(parameters: Mapping[str, Parameter], blocks: Sequence[Block], nodes: Mapping[str, Node]) -> list[Group]:
    """Group tensors in model order, each block at the place of its first tensor's.

    Raises
    ------
    ValueError
        The blocks overlap, or name tensors that are not there or do not belong into a block.
    ModelMismatchError
        A tensor has not the shape it had in the update before.
    """
    block_of = _block_of_each(blocks)
    missing = [name for name in block_of if name not in parameters]
    if missing:
        raise ValueError(f"a block names tensor {missing[0]!r}, which is not there")
    ids = _parameter_ids(parameters, nodes)
    groups = []
    for name, parameter in parameters.items():
        block = block_of.get(name)
        if block is None:
            groups.append(_group((parameter,), None, ids[name], nodes))
        elif name == block.names[0]:
            members = tuple(parameters[member] for member in block.names)
            _check_block(block, members)
            groups.append(_group(members, block, ids[name], nodes))
    return groups


def _group(
    parameters: tuple[Parameter, ...], block: Block | None, parameter_id: int, nodes: Mapping[str, Node]
) -> Group:
    known = tuple(nodes[parameter.name] for parameter in parameters if parameter.name in nodes)
    for parameter in parameters:
        node = nodes.get(parameter.name)
        if node is not None and node.shape != parameter.shape:
            raise ModelMismatchError(parameter.name, expected=node.shape, actual=parameter.shape)
    if len({(node.device_id, node.parameter_id, node.put_node_depth) for node in known}) > 1 or (
        known and len(known) < len(parameters)
    ):
        raise ValueError(f"the block of {parameters[0].name!r} has tensors that did not travel together before")
    return Group(parameters, block, parameter_id, known)


def _parameter_ids(names: Iterable[str], nodes: Mapping[str, Node]) -> dict[str, int]:
    """Keep the numbers there are, and give new tensors their place in the model, or the next number if it is taken."""
    taken = {node.parameter_id for node in nodes.values()}
    ids = {}
    for place, name in enumerate(names):
        if name in nodes:
            ids[name] = nodes[name].parameter_id
            continue
        ids[name] = place if place not in taken else max(taken) + 1
        taken.add(ids[name])
    return ids


def _block_of_each(blocks: Sequence[Block]) -> dict[str, Block]:
    block_of: dict[str, Block] = {}
    for block in blocks:
        for name in block.names:
            if name in block_of:
                raise ValueError(f"tensor {name!r} is in two blocks, or twice in one")
            block_of[name] = block
    return block_of


def _check_block(block: Block, members: tuple[Parameter, ...]) -> None:
    n_factors = len(block.factors)
    for member in members:
        if member.payload_type != PayloadType.FLOAT:
            raise ValueError(f"tensor {member.name!r} of a block must be of floats, and quantised")
    if n_factors == 1 and len(members) == 1:
        raise ValueError(f"the block of {members[0].name!r} has no other tensor")
    if n_factors == 2:
        _check_factors(block, *members[:2])
    length = Group(members, block, 0).shape[:1]
    for vector in members[n_factors:]:
        if vector.shape != length:
            raise ModelMismatchError(vector.name, expected=length, actual=vector.shape)


def _check_factors(block: Block, g: Parameter, h: Parameter) -> None:
    if len(g.shape) != 2 or len(h.shape) != 2 or g.shape[1] != h.shape[0]:
        raise ModelMismatchError(
            h.name, expected=f"a matrix with as many rows as {g.name!r} has columns", actual=h.shape
        )
    n_weights = g.shape[0] * h.shape[1]
    if block.dimensions is not None and prod(block.dimensions) != n_weights:
        raise ModelMismatchError(g.name, expected=block.dimensions, actual=(g.shape[0], h.shape[1]))


def header_of(group: Group, settings: Settings, context: Context) -> DataUnit:
    """Say all that a unit says of its tensors before they are quantised."""
    unit = DataUnit(
        nnr_compressed_data_unit_payload_type=group.payload_type,
        input_parameters_present_flag=1,
        tensor_dimensions_flag=1,
        tensor_dimensions=group.shape,
        compressed_parameter_types=_types_of(group.block),
        scan_order=scan_order_of(group, settings),
    )
    _name(unit, group, context)
    data_format = group.parameters[0].data_format
    if data_format is not None:
        unit.nnr_decompressed_data_format_present_flag, unit.nnr_decompressed_data_format = 1, data_format
    if unit.compressed_parameter_types & ParameterTypes.DECOMPOSED:
        unit.g_number_of_rows, unit.decomposition_rank = group.parameters[0].shape
    if context.mps_parent_signalling_enabled_flag:
        _place_node(unit, group, settings)
    return unit


def _types_of(block: Block | None) -> int:
    if block is None:
        return 0
    types = ParameterTypes(0)
    types |= ParameterTypes.DECOMPOSED if len(block.factors) > 1 else 0
    types |= ParameterTypes.LOCAL_SCALING if block.local_scaling is not None else 0
    types |= ParameterTypes.BATCH_NORM if block.batch_norm else 0
    types |= ParameterTypes.BIAS if block.bias is not None else 0
    return types


def scan_order_of(group: Group, settings: Settings) -> int:
    """Say in which order a unit is scanned: in blocks only if all its matrices can be.

    Decoders disagree about the entry points of a matrix with one row or column.
    """
    matrices = group.parameters[: len(group.factors)]
    is_coded = group.payload_type != PayloadType.RAW_FLOAT
    return settings.scan_order if is_coded and all(min(matrix_shape(m.shape)) > 1 for m in matrices) else 0


def _name(unit: DataUnit, group: Group, context: Context) -> None:
    names = group.names
    indices: tuple[int, ...] = ()
    if context.mps_topology_indexed_reference_flag:
        try:
            indices = tuple(context.topology_elements.index(name) for name in names)
        except ValueError:
            raise ValueError(f"not all of {names} are in the topology's reference list") from None
    if len(names) > 1:
        unit.nnr_multiple_topology_elements_present_flag = 1
        unit.topology_elements_ids_list = (
            TopologyElementsIdsList(topology_elem_id_index_list=indices) if indices else TopologyElementsIdsList(names)
        )
    elif indices:
        unit.topology_elem_id_index = indices[0]
    else:
        unit.topology_elem_id = names[0]


def _place_node(unit: DataUnit, group: Group, settings: Settings) -> None:
    """Make the unit a node of the parameter update tree, below the one that its tensors have."""
    unit.node_id_present_flag = 1
    unit.device_id, unit.parameter_id, unit.put_node_depth = settings.device_id, group.parameter_id, 1
    unit.parent_node_id_present_flag = int(group.payload_type != PayloadType.RAW_FLOAT)
    if group.nodes:
        unit.device_id = unit.parent_device_id = group.nodes[0].device_id
        unit.put_node_depth = group.nodes[0].put_node_depth + 1

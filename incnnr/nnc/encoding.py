"""Weights to whole bitstreams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from incnnr.coding import checked_threads
from incnnr.coding.nnc import NncLayer, choose_nnc_tools, encode_nnc
from incnnr.nnc.blocks import Block
from incnnr.nnc.groups import groups_of
from incnnr.nnc.members import Member, layer_of
from incnnr.nnc.parameters import Parameter, parameters_of
from incnnr.nnc.parse import write
from incnnr.nnc.plans import Plan, plans_of
from incnnr.nnc.residuals import residuals_of, updates_after
from incnnr.nnc.settings import CodebookUse, Settings
from incnnr.nnc.state import IncrementalState, Node
from incnnr.nnc.syntax import (
    Context,
    EntryPoint,
    ModelParameterSet,
    QuantizationMethod,
    Start,
    SyntaxUnit,
    Topology,
)
from incnnr.nnc.worth import is_worth_its_bytes
from incnnr.quantization import Knob, warn_of_unmatched


def encode(  # noqa: PLR0913 - one keyword for each choice, as the reference software has them
    tensors: Mapping[str, object],
    *,
    qp: Knob = -32,
    qp_density: int = 2,
    dq: bool = True,
    lambda_scale: float = 0.0,
    scan_order: int = 0,
    opt_qp: bool = False,
    bit_depth: int | None = None,
    codebook: CodebookUse = "never",
    blocks: Sequence[Block] = (),
    topology: Topology | None = None,
    state: IncrementalState | None = None,
    predict: bool = False,
    device_id: int = 0,
    threads: int | None = None,
) -> bytes:
    """Encode tensors as one bitstream of ISO/IEC 15938-17, edition 2.

    Parameters
    ----------
    tensors : mapping of str to array
        numpy arrays (ml_dtypes included) or torch tensors of any shape. Floats become levels of a quantiser, computed
        from their float32 values; integers and booleans are sent exactly and must fit 32 bits.
    qp : int or mapping of pattern to int or None
        Quantisation parameter: the step size is ``2**(qp / 2**qp_density)``, interpolated between powers of two. Of
        shell-style patterns of tensor names the first that matches counts; None, like no match, sends float32 as it is.
        It is raised where levels would not fit 32 bits. A pattern that matches no tensor is a `PatternWarning`, unless
        this is an update.
    qp_density : int
        0 to 7.
    dq : bool
        Dependent quantisation, with a trellis of eight states: a smaller error for as many bits.
    lambda_scale : float
        How much bits weigh against squared error; 0 is for the least error, 1 what is usual. Updates are then without
        tensors that are worth less than their bytes.
    scan_order : int
        0 goes through matrices row by row, 1 to 4 in blocks of 8 to 64 rows and columns, with entry points.
    opt_qp : bool
        Choose the `qp` of each matrix by its share of the model and its spread, beginning at `qp`.
    bit_depth : int, optional
        2 to 31: choose every `qp` so that levels fit that many bits. Vectors get at least 8.
    codebook : {'never', 'auto', 'always'}
        Send the distinct levels of a tensor as a list, and weights as places in it; ``'auto'`` where that is smaller.
    blocks : sequence of Block
        Tensors that share a data unit.
    topology : Topology, optional
        Carried along; if it is a reference list, tensors are named by their place in it.
    state : IncrementalState, optional
        Makes the bitstream an update: `tensors` are differences, those of zeros are left out, and what earlier updates
        left in `state` helps to code them. Advanced in place.
    predict : bool
        Code the differences of updates to those before them, as `incnnr.nnc.residuals` defines: for updates that are
        alike. The receiver finds the sums in ``state.updates``.
    device_id : int
        Who sends an update.
    threads : int, optional
        Default as many as there are cores for this process, at most 4. They do not change the bytes.

    Returns
    -------
    bytes
        From the start unit on.

    Raises
    ------
    TypeError
        A tensor is not of numbers.
    ValueError
        A tensor cannot be said in the standard's syntax, or an option is out of range.
    ModelMismatchError
        A tensor has another shape than before, or does not fit its block.

    Notes
    -----
    All or nothing: if this raises, `state` is as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.nnc import decode
    >>> data = encode({"w": np.linspace(-1, 1, 5), "n": np.arange(3)}, qp=-20)
    >>> decode(data)["n"].tolist(), bool(abs(decode(data)["w"] - np.linspace(-1, 1, 5)).max() < 2**-5)
    ([0, 1, 2], True)
    """
    settings = Settings(qp, qp_density, dq, lambda_scale, scan_order, opt_qp, bit_depth, codebook, predict, device_id)
    if state is None:
        warn_of_unmatched(qp, tensors.keys())
    data, after = encode_bitstream(tensors, settings, blocks, topology, state, checked_threads(threads))
    if state is not None:
        state.nodes, state.shapes, state.updates = after.nodes, after.shapes, after.updates
    return data


def encode_bitstream(
    tensors: Mapping[str, object],
    settings: Settings,
    blocks: Sequence[Block],
    topology: Topology | None,
    state: IncrementalState | None,
    threads: int,
) -> tuple[bytes, IncrementalState]:
    """Encode tensors, as an update if there is a state; return the bitstream, and the state after it. See `encode`."""
    if settings.predict and state is None:
        raise ValueError("only updates can be predicted: give a state")
    updates = state.updates if state else {}
    parameters = parameters_of(residuals_of(tensors, updates) if settings.predict else tensors, settings)
    return encode_parameters(parameters, settings, blocks, topology, state, threads)


def encode_parameters(
    parameters: Mapping[str, Parameter],
    settings: Settings,
    blocks: Sequence[Block],
    topology: Topology | None,
    state: IncrementalState | None,
    threads: int,
) -> tuple[bytes, IncrementalState]:
    """Encode what `parameters_of` makes of tensors; a tensor whose node is not the one before has new levels."""
    before = state or IncrementalState()
    head = _head(parameters, settings, topology, is_update=state is not None)
    context = _context_behind(head)
    plans = plans_of(groups_of(parameters, blocks, before.nodes), settings, context, threads)
    if state is not None:
        plans = [alternatives for alternatives in plans if not alternatives[0].is_zero()]
    _code([plan for alternatives in plans for plan in alternatives], context, before.nodes, threads)
    chosen = [_smallest(alternatives, context) for alternatives in plans]
    if state is not None:
        chosen = [plan for plan in chosen if is_worth_its_bytes(plan, parameters, settings, context)]
    data = write([*head, *(plan.unit for plan in chosen)])
    members = [member for plan in chosen for member in plan.members]
    return data, _state_after(before, members, context)


def _state_after(before: IncrementalState, members: Sequence[Member], context: Context) -> IncrementalState:
    """Advance a state as the decoder of these tensors does; without parent signalling, only say their levels."""
    if not context.mps_parent_signalling_enabled_flag:
        return IncrementalState({m.name: Node(0, 0, 0, m.levels, None, m.shape, is_named=False) for m in members})
    nodes = before.nodes | {member.name: member.node(before.nodes.get(member.name)) for member in members}
    shapes = before.shapes | {member.name: member.shape for member in members}
    if not context.nnr_pre_flag:
        return IncrementalState(nodes, shapes, before.updates)
    for member in members:
        member.set_step_size(context)
    residuals = {member.name: member.decoded() for member in members}
    return IncrementalState(nodes, shapes, before.updates | updates_after(before.updates, residuals))


def _smallest(alternatives: Sequence[Plan], context: Context) -> Plan:
    if len(alternatives) == 1:
        return alternatives[0]
    return min(alternatives, key=lambda plan: len(write([plan.unit], context)))


def _head(
    parameters: Mapping[str, Parameter], settings: Settings, topology: Topology | None, *, is_update: bool
) -> list[SyntaxUnit]:
    indexed = topology is not None and topology.topology_elements_ids_list is not None
    parameter_set = ModelParameterSet(
        topology_carriage_flag=int(topology is not None),
        mps_quantization_method_flags=QuantizationMethod.UNIFORM,
        mps_topology_indexed_reference_flag=int(indexed),
        mps_parent_signalling_enabled_flag=int(is_update),
        nnr_pre_flag=int(settings.predict),
        mps_qp_density=settings.qp_density,
        mps_quantization_parameter=_base_qp([p.qp for p in parameters.values()], settings.qp_density),
    )
    return [Start(), parameter_set, *([topology] if topology is not None else [])]


def _base_qp(qps: Iterable[int], qp_density: int) -> int:
    """Choose what the differences of all units are added to; 0 if they can reach all parameters from there."""
    low, high = min(qps, default=0), max(qps, default=0)
    reach = 1 << (5 + qp_density)
    if -reach <= low and high < reach:
        return 0
    if high - low >= 2 * reach:
        raise ValueError(f"quantisation parameters from {low} to {high} are too far apart for one bitstream")
    return min(low + reach, (1 << 12) - 1)


def _context_behind(units: Iterable[SyntaxUnit]) -> Context:
    context = Context()
    for unit in units:
        context = unit.context_after(context)
    return context


def _code(plans: Sequence[Plan], context: Context, nodes: Mapping[str, Node], threads: int) -> None:
    """Fill in the payloads, and what headers say of them."""
    plans = [plan for plan in plans if plan.members]
    for plan in plans:
        for member in plan.members:
            member.layer = layer_of(member, context, nodes.get(member.name))
    units = [[member.layer for member in plan.members if member.layer] for plan in plans]
    choose_nnc_tools(units, threads)
    for plan, layers, payload in zip(plans, units, encode_nnc(units, threads), strict=True):
        plan.unit.payload = payload
        plan.unit.temporal_context_modeling_flag = int(layers[0].temporal)
        plan.unit.entry_points = tuple(point for layer in layers for point in _entry_points(layer))


def _entry_points(layer: NncLayer) -> list[EntryPoint]:
    return [
        EntryPoint(value, state, n_bits - n_bits_before)
        for (n_bits_before, _, _), (n_bits, value, state) in pairwise(layer.block_rows)
    ]

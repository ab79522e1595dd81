"""From groups of tensors to units with levels, in all the ways worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from incnnr.nnc.codebooks import codebook_of
from incnnr.nnc.groups import Group, header_of, scan_order_of
from incnnr.nnc.members import Levels, Member, block_size_of, matrix_shape, members_of
from incnnr.nnc.parameters import Parameter
from incnnr.nnc.settings import Settings
from incnnr.nnc.syntax import Context, DataUnit, PayloadType
from incnnr.quantization import Quantization, quantize, step_size_of_qp

_MOST_CODEBOOK_VALUES = 1 << 12  # beyond, and below so many weights for each, a codebook is hardly ever smaller
_FEWEST_WEIGHTS_PER_VALUE = 4
_GREATER_FLAGS = 10  # that a unit has if it does not say otherwise
_MANY_GREATER_FLAGS = (
    18  # save one part in a thousand of the bytes where between these shares of the indices are larger
)
_MANY, _MOST = 0.05, 0.6
_SAMPLED_LEVELS = 4096
_SMALL_TENSOR = 16384
_LONGEST_CYCLE = 4  # of states on a run of zeros


@dataclass(slots=True)
class Plan:
    """One way to code a group.

    Attributes
    ----------
    unit : DataUnit
        Its header; the payload is there for raw floats only.
    members : list of Member
        The tensors of its codeword; of raw floats, none.
    """

    unit: DataUnit
    members: list[Member]

    def is_zero(self) -> bool:
        """Whether leaving the unit out of an update says the same."""
        return bool(self.members) and not any(
            member.levels.any() or (member.codebook and member.codebook.values[member.codebook.zero_offset])
            for member in self.members
        )


class _Way(NamedTuple):
    dependent: bool
    with_codebook: bool


def plans_of(groups: Sequence[Group], settings: Settings, context: Context, threads: int) -> list[list[Plan]]:
    """Quantise, and list for each group the ways to code it, at least one."""
    ways = [_ways(group, settings) for group in groups]
    jobs = {
        (parameter.name, way.dependent): quantization_of(
            parameter, scan_order_of(group, settings), settings, dependent=way.dependent
        )
        for group, ways_of_group in zip(groups, ways, strict=True)
        for way in ways_of_group
        for parameter in group.parameters
        if parameter.payload_type == PayloadType.FLOAT
    }
    levels = dict(zip(jobs, quantize(list(jobs.values()), threads), strict=True))
    plans = []
    for group, ways_of_group in zip(groups, ways, strict=True):
        made = [_plan(group, way, levels, settings, context) for way in ways_of_group]
        plans.append([plan for plan in made if plan is not None])
    _add_skipping_plans(groups, plans, settings, threads)
    return plans


def _ways(group: Group, settings: Settings) -> list[_Way]:
    plain = _Way(
        settings.dependent and group.payload_type in (PayloadType.FLOAT, PayloadType.BLOCK), with_codebook=False
    )
    n_weights = min(parameter.values.size for parameter in group.parameters)
    if group.payload_type not in (PayloadType.FLOAT, PayloadType.BLOCK) or not n_weights:
        return [plain]
    with_codebook = _Way(dependent=False, with_codebook=True)
    return {"never": [plain], "auto": [plain, with_codebook], "always": [with_codebook]}[settings.codebook]


def _plan(
    group: Group, way: _Way, levels: Mapping[tuple[str, bool], Levels], settings: Settings, context: Context
) -> Plan | None:
    unit = header_of(group, settings, context)
    if group.payload_type == PayloadType.RAW_FLOAT:
        unit.payload = group.parameters[0].values.astype("<f4").tobytes()
        return Plan(unit, [])
    unit.dq_flag = int(way.dependent)
    of_name = {p.name: _levels_of(p, way, levels) for p in group.parameters}
    if way.with_codebook:
        _list_levels(unit, group, of_name)
        if settings.codebook == "auto" and not _may_pay(unit, group):
            return None
    elif _profits_from_more_flags(of_name[group.names[0]], way):
        unit.cabac_unary_length_flag, unit.cabac_unary_length_minus1 = 1, _MANY_GREATER_FLAGS - 1
    members = members_of(unit, context)
    qps = {parameter.name: parameter.qp - context.quantization_parameter for parameter in group.parameters}
    for member in members:
        member.levels, member.qp_delta = of_name[member.name], qps[member.name]
    return Plan(unit, members)


def _profits_from_more_flags(levels: Levels, way: _Way) -> bool:
    """Whether many indices are beyond the greater flags that a unit has if it does not say how many, and not most.

    A small tensor has too few weights for the contexts of more flags to learn.
    """
    if levels.size < _SMALL_TENSOR:
        return False
    sample = levels[:: max(1, levels.size // _SAMPLED_LEVELS)]
    largest = _GREATER_FLAGS << way.dependent
    share = int(np.count_nonzero((sample > largest) | (sample < -largest))) / sample.size
    return _MANY < share < _MOST


def _levels_of(parameter: Parameter, way: _Way, levels: Mapping[tuple[str, bool], Levels]) -> Levels:
    if parameter.payload_type == PayloadType.INT:
        return parameter.values.astype(np.int32, copy=False)
    return levels[parameter.name, way.dependent]


def _list_levels(unit: DataUnit, group: Group, levels: dict[str, Levels]) -> None:
    """Put the distinct levels of the weight, or of its factors, into the header, and their places in their stead."""
    codebooks = []
    for name in group.factors:
        codebook, levels[name] = codebook_of(levels[name])
        codebooks.append(codebook)
    unit.codebook_present_flag = 1
    unit.codebook, unit.codebook_h = (*codebooks, None)[:2]


def _may_pay(unit: DataUnit, group: Group) -> bool:
    n_weights = min(parameter.values.size for parameter in group.parameters[: len(group.factors)])
    n_values = max(len(codebook.values) for codebook in (unit.codebook, unit.codebook_h) if codebook)
    return n_values <= min(_MOST_CODEBOOK_VALUES, n_weights // _FEWEST_WEIGHTS_PER_VALUE)


def quantization_of(parameter: Parameter, scan_order: int, settings: Settings, *, dependent: bool) -> Quantization:
    """Say how a parameter is quantised."""
    height, width = matrix_shape(parameter.shape)
    return Quantization(
        weights=parameter.values.astype(np.float32, copy=False),
        height=height,
        width=width,
        step_size=step_size_of_qp(parameter.qp, settings.qp_density),
        dependent=dependent,
        block_size=block_size_of(scan_order, parameter.shape),
        lambda_scale=settings.lambda_scale,
        level_range=parameter.level_range,
    )


def _add_skipping_plans(groups: Sequence[Group], plans: list[list[Plan]], settings: Settings, threads: int) -> None:
    """Add ways to skip rows where that leads the trellis along other states than coding their zeros.

    A skipped row advances the state by the width of the matrix in each of its blocks, as decoders do; states repeat
    after 1, 2 or 4 zeros. Elsewhere the coder decides by itself.
    """
    made, jobs = [], []
    for group, alternatives in zip(groups, plans, strict=True):
        parameters = {parameter.name: parameter for parameter in group.parameters}
        for plan in [plan for plan in alternatives if plan.unit.dq_flag]:
            skippable = {member.name: _skippable_rows(member) for member in plan.members}
            rows = {name: flags for name, flags in skippable.items() if flags.any()}
            if rows:
                alternatives.append(_skipping(plan, rows))
                made += [member for member in alternatives[-1].members if member.skipped_rows is not None]
                order = scan_order_of(group, settings)
                plain = {name: quantization_of(parameters[name], order, settings, dependent=True) for name in rows}
                jobs += [replace(plain[name], skipped_rows=flags) for name, flags in rows.items()]
    for member, levels in zip(made, quantize(jobs, threads), strict=True):
        member.levels = levels


def _skippable_rows(member: Member) -> NDArray[np.uint8]:
    """Flag the rows of zeros, in a matrix where skipping them makes a difference to states."""
    (height, width), block_size = matrix_shape(member.shape), block_size_of(member.unit.scan_order, member.shape)
    if not 0 < block_size < width or width % _LONGEST_CYCLE == 0:
        return np.zeros(height, np.uint8)
    rows = member.levels.reshape(height, width)
    return np.array([not row.any() for row in rows], np.uint8)


def _skipping(plan: Plan, rows: Mapping[str, NDArray[np.uint8]]) -> Plan:
    unit = replace(plan.unit)
    return Plan(unit, [replace(member, unit=unit, skipped_rows=rows.get(member.name)) for member in plan.members])

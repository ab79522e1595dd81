"""Whether a unit of an update takes away more error than its bytes are worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from incnnr.nnc.members import Member
from incnnr.nnc.parameters import Parameter
from incnnr.nnc.parse import write
from incnnr.nnc.plans import Plan
from incnnr.nnc.settings import Settings
from incnnr.nnc.syntax import Context, PayloadType
from incnnr.quantization import ordered_sum, price_of_a_bit, step_size_of_qp


def is_worth_its_bytes(plan: Plan, parameters: Mapping[str, Parameter], settings: Settings, context: Context) -> bool:
    """Whether the levels of a unit are better than none, at the rate that they were chosen at."""
    unit, sent = plan.unit, [parameters[member.name] for member in plan.members]
    is_quantised = unit.nnr_compressed_data_unit_payload_type in (PayloadType.FLOAT, PayloadType.BLOCK)
    if not is_quantised or unit.codebook_present_flag or not all(parameter.may_be_left_out for parameter in sent):
        return True
    price = price_of_a_bit(settings.lambda_scale, dependent=bool(unit.dq_flag))
    if not price:
        return True
    gain = sum(_error_taken_away(*pair, settings) for pair in zip(plan.members, sent, strict=True))
    return gain > price * 8 * len(write([unit], context))


def _error_taken_away(member: Member, parameter: Parameter, settings: Settings) -> float:
    """Return by how much less the squared error is than without the levels, in squared steps."""
    scaled = parameter.values.astype(np.float64) / step_size_of_qp(parameter.qp, settings.qp_density)
    levels = member.levels.reshape(-1).astype(np.float64)
    return ordered_sum((2 * scaled - levels) * levels)

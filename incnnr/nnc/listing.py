"""What the units of a bitstream say of themselves, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from incnnr.coding.nnc import leading_bypass
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.syntax import Aggregate, Context, DataUnit, PayloadType, SyntaxUnit
from incnnr.nnc.units import UnitType, read_units


@dataclass(frozen=True, slots=True)
class ListedTensors:
    """The tensors of one data unit.

    Attributes
    ----------
    names : tuple of str
        More than one in a block, the weight first.
    shape : tuple of int, or None
        Of the weight; None where the unit does not carry it.
    payload : str
        Name of the payload type.
    payload_bytes : int
        Bytes behind the header.
    qp : int or None
        Quantisation parameter of the first tensor in the payload; None where nothing is quantised.
    dq : bool
        Dependent quantisation.
    scan_order : int
        0 to 4.
    codebook_size : int or None
        Values of the codebook.
    node : tuple of (int, int, int), or None
        Device, parameter and depth in the parameter update tree.
    temporal : bool
        Coded with contexts of the update before.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...] | None
    payload: str
    payload_bytes: int
    qp: int | None
    dq: bool
    scan_order: int
    codebook_size: int | None
    node: tuple[int, int, int] | None
    temporal: bool

    @property
    def n_weights(self) -> int | None:
        """Elements of the weight, without the vectors of a block."""
        return None if self.shape is None else prod(self.shape)


@dataclass(frozen=True, slots=True)
class ListedUnit:
    """One unit of a bitstream.

    Attributes
    ----------
    index : int
        Its number.
    type : str
        As the standard abbreviates it; a number for types it does not define.
    n_bytes : int
        All of its bytes.
    tensors : tuple of ListedTensors
        One for a data unit, several for an aggregate unit, else none.
    """

    index: int
    type: str
    n_bytes: int
    tensors: tuple[ListedTensors, ...]


def list_units(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[ListedUnit]:
    """List the units of a bitstream; weights are not decoded.

    Raises
    ------
    BitstreamError
        As `incnnr.nnc.parse`; units before the fault have been listed.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.nnc.encoding import encode
    >>> *_, last = list_units(encode({"w": np.ones((2, 3))}, qp=-20))
    >>> last.type, last.n_bytes, last.tensors[0].names, last.tensors[0].shape, last.tensors[0].qp
    ('NDU', 28, ('w',), (2, 3), -20)
    """
    parsed = parse_with_context(data, Context(limits=limits))
    for framed, (unit, context) in zip(read_units(data), parsed, strict=True):
        tensors = tuple(_tensors_of(unit, context))
        yield ListedUnit(framed.index, _name_of(framed.type), len(framed.data), tensors)


def _name_of(unit_type: int) -> str:
    return UnitType(unit_type).name if unit_type <= UnitType.AGG else f"{unit_type}"


def _tensors_of(unit: SyntaxUnit, context: Context) -> Iterator[ListedTensors]:
    for inner in unit.units if isinstance(unit, Aggregate) else [unit]:
        if isinstance(inner, DataUnit):
            yield _listed(inner, context)
        context = inner.context_after(context)


def _listed(unit: DataUnit, context: Context) -> ListedTensors:
    return ListedTensors(
        names=unit.topology_elements(context),
        shape=unit.tensor_dimensions if unit.tensor_dimensions_flag else None,
        payload=PayloadType(unit.nnr_compressed_data_unit_payload_type).name,
        payload_bytes=len(unit.payload),
        qp=_leading_qp(unit, context),
        dq=bool(unit.dq_flag),
        scan_order=unit.scan_order,
        codebook_size=len(unit.codebook.values) if unit.codebook else None,
        node=(unit.device_id, unit.parameter_id, unit.put_node_depth) if unit.node_id_present_flag else None,
        temporal=bool(unit.temporal_context_modeling_flag),
    )


def _leading_qp(unit: DataUnit, context: Context) -> int | None:
    if unit.nnr_compressed_data_unit_payload_type not in (PayloadType.FLOAT, PayloadType.BLOCK):
        return None
    half = 1 << (5 + context.qp_density)
    delta = leading_bypass(unit.payload, 6 + context.qp_density)
    return context.quantization_parameter + (delta ^ half) - half

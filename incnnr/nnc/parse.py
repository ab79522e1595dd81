"""Bitstreams to units and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import TypeVar

from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, TruncatedError, UnsupportedError, located
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.nnc.bitio import BitReader, BitWriter
from incnnr.nnc.syntax import (
    Aggregate,
    Context,
    DataUnit,
    LayerParameterSet,
    ModelParameterSet,
    Quantization,
    Start,
    SyntaxUnit,
    Topology,
    UnknownUnit,
)
from incnnr.nnc.units import Unit, UnitType, pack_unit, read_units

AnyUnit = TypeVar("AnyUnit", bound=SyntaxUnit)

_CLASSES: dict[int, type[SyntaxUnit]] = {
    UnitType.STR: Start,
    UnitType.MPS: ModelParameterSet,
    UnitType.LPS: LayerParameterSet,
    UnitType.TPL: Topology,
    UnitType.QNT: Quantization,
    UnitType.NDU: DataUnit,
    UnitType.AGG: Aggregate,
}
_TYPES = {unit_class: unit_type for unit_type, unit_class in _CLASSES.items()}


def parse(
    data: bytes,
    *,
    tensor_dimensions: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> list[SyntaxUnit]:
    """Read all units of a bitstream; the weights stay coded.

    Parameters
    ----------
    data : bytes
        A bitstream of profile 0 or 1 (editions 1 and 2).
    tensor_dimensions : Mapping of str to tuple of int, optional
        Shapes of the base model's tensors, for data units that do not carry theirs.
    limits : Limits
        How long the lists of a unit may be.

    Returns
    -------
    list of SyntaxUnit
        In order; units of types without a meaning here are `UnknownUnit`.

    Raises
    ------
    TruncatedError
        The bitstream or a unit ends too early.
    CorruptError
        The bitstream contradicts the syntax.
    LimitExceededError
        A unit's lists are too long, or memory ran out.
    UnsupportedError
        It has elements that this release does not know, or needs a shape that is not in `tensor_dimensions`.

    Examples
    --------
    >>> parse(bytes.fromhex("00040201" "0008068100400080"))[1].mps_qp_density
    2
    """
    context = Context(tensor_dimensions=tensor_dimensions or {}, limits=limits)
    return [unit for unit, _ in parse_with_context(data, context)]


def parse_with_context(data: bytes, context: Context) -> Iterator[tuple[SyntaxUnit, Context]]:
    """Read units one by one, each with the context it was read in, as decoding its payload needs it.

    Raises
    ------
    BitstreamError
        As by `parse`; units before the fault have been yielded.
    """
    if not len(data):
        raise TruncatedError("the bitstream has no start unit", byte_offset=0)
    for framed in read_units(data):
        if framed.index == 0 and framed.type != UnitType.STR:
            raise CorruptError("the bitstream does not begin with a start unit", byte_offset=0, unit_index=0)
        with located(framed.byte_offset, framed.index):
            unit = _parse_unit(framed, context)
        yield unit, context
        context = unit.context_after(context)


def write(units: Iterable[SyntaxUnit], context: Context = Context()) -> bytes:  # noqa: B008 - frozen
    """Write units as a bitstream.

    Parameters
    ----------
    units : iterable of SyntaxUnit
        From the start unit on.
    context : Context
        What came before; only needed for shapes that come from a base model.

    Raises
    ------
    ValueError
        A value does not fit its element, or an element has a value though the flags of its unit leave it out.
    UnsupportedError
        A unit has elements that this release does not know.

    Examples
    --------
    >>> write([Start(), ModelParameterSet(topology_carriage_flag=1)]).hex()
    '00040201000606800080'
    """
    packed = []
    for unit in units:
        packed.append(_pack(unit, context))
        context = unit.context_after(context)
    return b"".join(packed)


def _parse_unit(framed: Unit, context: Context) -> SyntaxUnit:
    match framed.type:
        case UnitType.NDU:
            return _parse_data_unit(framed, context)
        case UnitType.AGG:
            return _parse_aggregate(framed, context)
        case known if known in _CLASSES:
            return _read(_CLASSES[known](), framed, context)
        case unknown:
            return _read(UnknownUnit(nnr_unit_type=unknown), framed, context)


def _parse_data_unit(framed: Unit, context: Context) -> DataUnit:
    if not context.mps_seen:
        message = "a data unit comes before the model parameter set"
        raise CorruptError(message, byte_offset=framed.byte_offset, unit_index=framed.index)
    unit = _read(DataUnit(), framed, context)
    unit.payload_byte_offset = _end(framed) - len(unit.payload)
    return unit


def _parse_aggregate(framed: Unit, context: Context) -> Aggregate:
    try:
        unit = _read(Aggregate(), framed, context)
        unit.units = list(_contained(unit, framed, context))
        _check_count(unit)
    except LimitExceededError:
        raise
    except BitstreamError as error:
        message = f"an aggregate unit of an unknown form: {error.message}"
        raise UnsupportedError(message, byte_offset=framed.byte_offset, unit_index=framed.index) from error
    return unit


def _check_count(unit: Aggregate) -> None:
    if len(unit.units) != len(unit.summaries):
        raise CorruptError(f"{len(unit.units)} units where {len(unit.summaries)} are announced")


def _contained(unit: Aggregate, framed: Unit, context: Context) -> Iterator[SyntaxUnit]:
    start = _end(framed) - len(unit.payload)
    for inner in read_units(unit.payload):
        if inner.type == UnitType.AGG:
            raise CorruptError("an aggregate unit holds another one")
        if inner.index >= len(unit.summaries):
            raise CorruptError(f"more than the {len(unit.summaries)} units that are announced")
        contained = _parse_unit(replace(inner, byte_offset=start + inner.byte_offset, index=framed.index), context)
        yield contained
        context = contained.context_after(context)


def _end(framed: Unit) -> int:
    return framed.byte_offset + len(framed.payload)


def _read(blank: AnyUnit, framed: Unit, context: Context) -> AnyUnit:
    most_elements = context.limits.list_elements
    reader = BitReader(bytes(framed.payload), framed.byte_offset, framed.index, most_elements)
    unit = blank.syntax(reader, context)
    reader.end()
    unit.framing, unit.byte_offset, unit.unit_index = framed.framing, framed.byte_offset, framed.index
    return unit


def _pack(unit: SyntaxUnit, context: Context) -> bytes:
    writer = BitWriter()
    written = unit.syntax(writer, context)
    written.framing = unit.framing
    if unit != written:
        raise ValueError(f"{_unlike(unit, written)} has no place, or other content, in this {type(unit).__name__}")
    return pack_unit(_type_of(unit), bytes(writer), unit.framing)


def _unlike(unit: SyntaxUnit, written: SyntaxUnit) -> str:
    compared = [element.name for element in fields(unit) if element.compare]
    return next(name for name in compared if getattr(unit, name) != getattr(written, name))


def _type_of(unit: SyntaxUnit) -> int:
    if not isinstance(unit, UnknownUnit):
        return _TYPES[type(unit)]
    if unit.nnr_unit_type in _CLASSES:
        raise ValueError(f"nnr_unit_type {unit.nnr_unit_type} is not an unknown one")
    return unit.nnr_unit_type

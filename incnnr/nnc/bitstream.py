"""Whole bitstreams to weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incnnr.coding import checked_threads
from incnnr.coding.nnc import NncLayer, decode_nnc
from incnnr.errors import (
    CorruptError,
    DivergedError,
    GapError,
    ReferenceMismatchError,
    StaleUpdateError,
    TruncatedError,
    located,
)
from incnnr.limits import DEFAULT_LIMITS, Declared, Limits
from incnnr.nnc.members import DecodedTensor, Member, layer_of, members_of
from incnnr.nnc.parse import parse_with_context
from incnnr.nnc.residuals import updates_after
from incnnr.nnc.state import IncrementalState, Node
from incnnr.nnc.syntax import (
    Aggregate,
    Context,
    DataUnit,
    ParentNodeIdType,
    PayloadType,
)


def decode(
    data: bytes,
    *,
    state: IncrementalState | None = None,
    tensor_dimensions: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
) -> dict[str, NDArray[Any]]:
    """Decode one bitstream of ISO/IEC 15938-17.

    Parameters
    ----------
    data : bytes
        From the start unit on.
    state : IncrementalState, optional
        What earlier bitstreams of the same sender left; advanced in place.
    tensor_dimensions : mapping of str to tuple of int, optional
        Shapes of the base model's tensors, for units that do not carry theirs; those in `state` need not be given.
    limits : Limits
        What the bitstream may declare.
    threads : int, optional
        Most threads to decode units on; None: as many as there are cores, at most 4.

    Returns
    -------
    dict of str to numpy.ndarray
        float32 arrays, int32 for integer tensors, float64 for tensors with a codebook. Of an update bitstream, the
        updates: the caller adds them to the weights; a tensor that is not there has not changed. Of one with residuals
        (``nnr_pre_flag``) the residuals: if its sender uses them as `incnnr.nnc.residuals` defines, the updates are in
        ``state.updates``.

    Raises
    ------
    BitstreamError
        `data` is damaged, has what this release does not know, or declares too much.
    ReferenceMismatchError
        An update does not follow from `state`: `StaleUpdateError` or `GapError` where depths tell that it is older or
        newer, `DivergedError` where a tensor's device, number or shape is another.

    Notes
    -----
    All or nothing: if this raises, `state` is as it was. A parent that is named by a hash is not checked.

    Examples
    --------
    >>> decode(bytes.fromhex("00040201" "0008068100400080"))
    {}
    """
    decoded = decode_tensors(data, state, tensor_dimensions, limits, threads)
    return {name: tensor.values for name, tensor in decoded.items()}


def decode_tensors(
    data: bytes,
    state: IncrementalState | None = None,
    tensor_dimensions: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    threads: int | None = None,
) -> dict[str, DecodedTensor]:
    """Decode a bitstream to values and levels; see `decode`."""
    before = state or IncrementalState()
    nodes, shapes, updates = dict(before.nodes), dict(before.shapes), dict(before.updates)
    context = Context(tensor_dimensions={**(tensor_dimensions or {}), **before.shapes}, limits=limits)
    decoded: dict[str, DecodedTensor] = {}
    declared = Declared(limits, limits.allowed_bytes(len(data), before.held_bytes))
    for jobs in _independent_jobs(_jobs(data, context, declared)):
        _decode_jobs(jobs, nodes, checked_threads(threads))
        for job in jobs:
            with job.located():
                decoded |= {member.name: member.decoded() for member in job.members}
                shapes |= job.shapes
                if job.is_update:
                    nodes |= {member.name: member.node(nodes.get(member.name)) for member in job.members}
                if job.context.nnr_pre_flag:
                    updates |= updates_after(updates, {member.name: decoded[member.name] for member in job.members})
    if state is not None:
        state.nodes, state.shapes, state.updates = nodes, shapes, updates
    return decoded


def _jobs(data: bytes, context: Context, declared: Declared) -> Iterator[_Job]:
    for unit, unit_context in _data_units(data, context):
        with located(unit.byte_offset, unit.unit_index):
            job = _Job(unit, unit_context, members_of(unit, unit_context))
            for member in job.members:
                declared.add(member.name, member.shape, member.declared_bytes)
        yield job


def _independent_jobs(jobs: Iterable[_Job]) -> Iterator[list[_Job]]:
    """Cut a series of jobs where one may build on what an earlier one leaves: that of a tensor of the same name."""
    independent: list[_Job] = []
    names: set[str] = set()
    for job in jobs:
        added = {member.name for member in job.members}
        if names & added:
            yield independent
            independent, names = [], set()
        independent.append(job)
        names |= added
    yield independent


def _data_units(data: bytes, context: Context) -> Iterator[tuple[DataUnit, Context]]:
    for unit, before in parse_with_context(data, context):
        context = before
        for inner in unit.units if isinstance(unit, Aggregate) else [unit]:
            if isinstance(inner, DataUnit):
                yield inner, context
            context = inner.context_after(context)
    if context.awaits_h:
        raise TruncatedError("a decomposed tensor has no second factor", byte_offset=len(data))


@dataclass(slots=True, eq=False)
class _Job:
    """One data unit to decode."""

    unit: DataUnit
    context: Context
    members: list[Member]

    @property
    def is_raw(self) -> bool:
        return self.unit.nnr_compressed_data_unit_payload_type == PayloadType.RAW_FLOAT

    @property
    def is_update(self) -> bool:
        """Whether it uses and changes the state; raw floats have no levels to keep."""
        return bool(self.context.mps_parent_signalling_enabled_flag) and not self.is_raw

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes as units give them: with a first factor, that of the whole."""
        of_members = {member.name: member.shape for member in self.members}
        return of_members | {self.unit.topology_elements(self.context)[0]: self.unit.dimensions(self.context)}

    def located(self) -> AbstractContextManager[None]:
        return located(self.unit.payload_byte_offset, self.unit.unit_index)

    @property
    def layers(self) -> list[NncLayer]:
        return [member.layer for member in self.members if member.layer]


def _decode_jobs(jobs: list[_Job], nodes: dict[str, Node], threads: int) -> None:
    for job in jobs:
        with job.located():
            _prepare(job, nodes)
    coded = [job for job in jobs if not job.is_raw]
    corrupt = _decode_codewords(coded, nodes, threads, nncodec_1=False)
    # Edition 1 has two dialects that no header tells apart; a payload ends where it must in only one of them.
    edition_1 = [job for job in coded if job in corrupt and job.context.general_profile_idc == 0]
    corrupt = corrupt.difference(edition_1) | _decode_codewords(edition_1, nodes, threads, nncodec_1=True)
    for job in coded:
        with job.located():
            if job in corrupt:
                raise _not_a_codeword(job, nodes)
            for member in job.members:
                member.set_step_size(job.context)


def _prepare(job: _Job, nodes: dict[str, Node]) -> None:
    if job.is_raw:
        job.members[0].raw = _raw_floats(job.unit, job.members[0])
        return
    for member in job.members:
        if job.is_update:
            _check_parent(member, nodes.get(member.name))
        member.levels = np.empty(prod(member.shape), np.int32)


def _decode_codewords(jobs: list[_Job], nodes: dict[str, Node], threads: int, *, nncodec_1: bool) -> set[_Job]:
    """Decode the levels of all jobs; return those whose payload is no codeword."""
    if not jobs:
        return set()
    for job in jobs:
        for member in job.members:
            node = nodes.get(member.name) if job.is_update else None
            member.layer = layer_of(member, job.context, node, nncodec_1=nncodec_1)
    with jobs[0].located():
        n_used = decode_nnc([job.layers for job in jobs], [job.unit.payload for job in jobs], threads)
    return {job for job, n in zip(jobs, n_used, strict=True) if n != len(job.unit.payload) or not _is_sound(job)}


def _is_sound(job: _Job) -> bool:
    return bool(job.unit.payload) and all(member.is_in_codebook for member in job.members)


def _not_a_codeword(job: _Job, nodes: dict[str, Node]) -> CorruptError | ReferenceMismatchError:
    """Say why a payload cannot be decoded: damage, unless the history that it may build on is not there."""
    for member in job.members:
        if job.unit.parent_node_id_present_flag and job.unit.put_node_depth > 1 and member.name not in nodes:
            return _mismatch(GapError, member, "is not there")
    names = ", ".join(repr(member.name) for member in job.members)
    return CorruptError(f"{len(job.unit.payload)} bytes of payload are no codeword of {names}")


def _check_parent(member: Member, node: Node | None) -> None:
    unit = member.unit
    if not unit.parent_node_id_present_flag:
        return
    if node is None:
        if unit.temporal_context_modeling_flag:
            raise _mismatch(GapError, member, "is not there")
        return
    if node.levels.size != prod(member.shape):
        raise _mismatch(DivergedError, member, f"has shape {node.shape}")
    if not (unit.parent_node_id_type == ParentNodeIdType.NDU_ID and unit.node_id_present_flag and node.is_named):
        return
    same = (node.device_id, node.parameter_id) == (unit.device_id, unit.parameter_id)
    n_missing = unit.put_node_depth - (node.put_node_depth + 1)
    if not same or n_missing:
        kind = GapError if n_missing > 0 else StaleUpdateError
        actual = f"is parameter {node.parameter_id} of device {node.device_id} at depth {node.put_node_depth}"
        raise _mismatch(kind if same else DivergedError, member, actual)


def _mismatch(kind: type[ReferenceMismatchError], member: Member, actual: str) -> ReferenceMismatchError:
    unit = member.unit
    wanted = f"parameter {unit.parameter_id} of device {unit.device_id} at depth {unit.put_node_depth - 1}"
    message = f"tensor {member.name!r} follows {wanted}, which {actual}"
    return kind(message, byte_offset=unit.byte_offset)


def _raw_floats(unit: DataUnit, member: Member) -> NDArray[np.float32]:
    n = prod(member.shape)
    if len(unit.payload) != 4 * n:
        raise CorruptError(f"{n} floats in {len(unit.payload)} bytes")
    return np.frombuffer(unit.payload, "<f4").astype(np.float32)

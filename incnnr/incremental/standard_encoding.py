"""From given weights to a bitstream of ISO/IEC 15938-17: a pure function of what the other side holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from incnnr.errors import UnsupportedError
from incnnr.incremental.encoding import Encoded, Units
from incnnr.incremental.given import Given
from incnnr.incremental.standard import state_after
from incnnr.incremental.standard_steps import coarsest_qps
from incnnr.incremental.standard_tensors import SentTensor, differences, whole
from incnnr.incremental.state import Bytes, CodecState, model_bytes, next_sequence
from incnnr.incremental.update import UpdateStats
from incnnr.nnc.encoding import encode_parameters
from incnnr.nnc.members import Levels
from incnnr.nnc.settings import Settings
from incnnr.nnc.state import IncrementalState, Node
from incnnr.nnc.units import read_units
from incnnr.quantization import LOSSLESS, QP_DENSITY, Search
from incnnr.tensors import Array

_FINEST_DENSITY = 7  # has a step within a hundredth of any that is wanted
_FINE_DENSITY = 4  # within a twentieth, in three bits less
_LAMBDA_SCALE = 1.15  # the best one over training series, uplinks and whole models


@dataclass(frozen=True, slots=True)
class _Coded:
    """A bitstream, and what a decoder makes of it."""

    data: bytes
    nodes: Mapping[str, Node]
    results: Mapping[str, Array]
    largest_error: float
    squared_error: float


def encode_bitstream(
    parent: CodecState | None,
    last_sequence: int,
    given: Mapping[str, Given],
    *,
    over: Mapping[str, Bytes],  # noqa: ARG001 -- what is held is needed to the end
    partial: bool,
    threads: int,
) -> Units:
    """Code `given` against `parent`, or as a keyframe where there is none or differences do not say it.

    The update is the one after `parent`, which is unchanged; a keyframe is the one after `last_sequence`. It is coded
    as a whole before this returns.

    Raises
    ------
    UnsupportedError
        No bitstream says the values of a tensor.
    """
    if parent is not None:
        try:
            return _update(parent, last_sequence, differences(parent, given, partial=partial), threads)
        except UnsupportedError:
            kept = {name: Given(held.spec.type, held.data, LOSSLESS) for name, held in parent.tensors.items()}
            given = kept | {**given} if partial else given
    return _update(None, last_sequence, {name: whole(name, tensor) for name, tensor in given.items()}, threads)


def _update(parent: CodecState | None, last_sequence: int, tensors: Mapping[str, SentTensor], threads: int) -> Units:
    coded = _coded(tensors, _settings(tensors.values()), parent.nodes if parent else None, threads)
    nodes = coded.nodes if parent else {}
    outcome = state_after(parent, next_sequence(parent, last_sequence), coded.data, coded.results, nodes)
    state = outcome.state
    n_weights = sum(spec.type.n_elements for spec in state.table.values())
    stats = UpdateStats(
        n_bytes=len(coded.data),
        n_weights=n_weights,
        model_bytes=model_bytes(state.table),
        n_changed=outcome.n_changed,
        largest_error=coded.largest_error,
        rms_error=math.sqrt(coded.squared_error / max(1, n_weights)),
    )
    *units, end = (bytes(unit.data) for unit in read_units(coded.data))
    return _handed_out(units, Encoded(state.position, parent.position if parent else None, stats, state, end))


def _handed_out(units: Iterable[bytes], encoded: Encoded) -> Units:
    yield from units
    return encoded


def _settings(tensors: Iterable[SentTensor]) -> Settings:
    """Choose how to quantise: dependently for the mean error, with steps of almost any size for the largest."""
    tolerances = [tensor.tolerance for tensor in tensors if tensor.tolerance.step_size]
    if any(math.isfinite(tolerance.max_error) for tolerance in tolerances):
        return Settings(qp=None, qp_density=_FINEST_DENSITY, dq=False)
    density = _FINE_DENSITY if any(tolerance.relative_error for tolerance in tolerances) else QP_DENSITY
    weighs_bits = any(tolerance.search is Search.TRELLIS for tolerance in tolerances)
    return Settings(qp=None, qp_density=density, dq=True, lambda_scale=_LAMBDA_SCALE if weighs_bits else 0.0)


def _coded(
    tensors: Mapping[str, SentTensor], settings: Settings, nodes: Mapping[str, Node] | None, threads: int
) -> _Coded:
    """Code tensors, those that miss their tolerance again and finer."""
    found = coarsest_qps(tensors, settings, threads)
    tries = {name: tensor.tries(settings, found.get(name)) for name, tensor in tensors.items()}
    state = None if nodes is None else IncrementalState(dict(nodes))
    while True:
        qps = {name: ways[0] for name, ways in tries.items()}
        parameters = {name: tensor.parameter(name, qps[name]) for name, tensor in tensors.items()}
        data, after = encode_parameters(parameters, settings, (), None, state, threads)
        levels = _levels_sent(nodes or {}, after.nodes)
        results, deviations = {}, {}
        for name, tensor in tensors.items():
            results[name] = tensor.result(qps[name], levels.get(name), settings)
            deviations[name] = tensor.deviation(results[name])
        missed = [name for name, tensor in tensors.items() if not tensor.is_good(deviations[name])]
        if not missed:
            largest = max((deviation.largest for deviation in deviations.values()), default=0.0)
            squared = math.fsum(deviation.squared for deviation in deviations.values())
            return _Coded(data, after.nodes, results, largest, squared)
        if lost := [name for name in missed if len(tries[name]) == 1]:
            raise UnsupportedError(f"tensor {lost[0]!r} cannot be said as exactly as it was asked for, in float32")
        tries |= {name: tries[name][1:] for name in missed}


def _levels_sent(before: Mapping[str, Node], after: Mapping[str, Node]) -> dict[str, Levels]:
    """Return the levels of the units that were written: none is for levels that are all zero."""
    return {name: node.levels for name, node in after.items() if node is not before.get(name)}

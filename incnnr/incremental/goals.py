"""What is asked of a whole update, made into what is asked of each tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from incnnr import coding
from incnnr.incremental.given import Given
from incnnr.incremental.state import Bytes, TensorState
from incnnr.quantization import LOSSLESS, Knob, Search, Tolerance, choice

_OCTAVE = coding.SCALES_PER_OCTAVE
_FINEST, _COARSEST = -40 * _OCTAVE, 120 * _OCTAVE  # 2**-40 and 2**120 times the step of scale 0
_CLOSE = 0.99
_LEAST_PART, _MOST_PART = 1e-5, 0.99  # of a difference that may be lost


def at_scale(given: Mapping[str, Given], scale: int) -> dict[str, Given]:
    """Let what is not exact have steps of one scale."""
    return _with_goals(given, lambda _, tensor: replace(tensor.tolerance, scale=scale))


def _with_goals(given: Mapping[str, Given], goal: Callable[[str, Given], Tolerance]) -> dict[str, Given]:
    """Let what is not exact have other tolerances."""
    return {
        name: replace(tensor, tolerance=goal(name, tensor)) if tensor.tolerance.step_size else tensor
        for name, tensor in given.items()
    }


class _Trial(NamedTuple):
    """What an update takes with steps of one scale."""

    scale: int
    n_bytes: int


def scale_within(n_bytes_at: Callable[[int], int], most_bytes: int, guess: int) -> int:
    """Find the scale whose update is largest within `most_bytes`, or nearly so.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> scale_within(lambda scale: 1000 - scale // 100, 995, guess=0) in range(500, 1600)
    True
    """
    fits, over = _bracket(n_bytes_at, most_bytes, guess)
    while over is not None and fits.scale - over.scale > 1 and fits.n_bytes < _CLOSE * most_bytes:
        scale = _between(fits, over, most_bytes)
        trial = _Trial(scale, n_bytes_at(scale))
        fits, over = (trial, over) if trial.n_bytes <= most_bytes else (fits, trial)
    return fits.scale


def _bracket(n_bytes_at: Callable[[int], int], most_bytes: int, guess: int) -> tuple[_Trial, _Trial | None]:
    """Find a scale that fits and, unless the finest does, a finer one that does not."""
    fits, over = None, None
    scale, stride = min(max(guess, _FINEST), _COARSEST), _OCTAVE // 2
    while fits is None or over is None:
        trial = _Trial(scale, n_bytes_at(scale))
        if trial.n_bytes <= most_bytes:
            fits = trial
            if scale == _FINEST:
                break
            scale = max(scale - stride, _FINEST)
        else:
            over = trial
            if scale == _COARSEST:
                raise ValueError(f"an update takes at least {trial.n_bytes} bytes, more than target_bytes={most_bytes}")
            scale = min(scale + stride, _COARSEST)
        stride *= 2
    return fits, over


def _between(fits: _Trial, over: _Trial, most_bytes: int) -> int:
    """Interpolate towards a little under the target, away from both ends."""
    width = fits.scale - over.scale
    part = (over.n_bytes - 0.996 * most_bytes) / max(1, over.n_bytes - fits.n_bytes)
    return over.scale + min(max(int(width * part), width // 8, 1), width - max(width // 8, 1))


def likely_scale(given: Mapping[str, Given], held: Mapping[str, TensorState], most_bytes: int) -> int:
    """Guess the scale of an update of `most_bytes`: every bit for each weight halves the step."""
    energy, n_weights = 0.0, 1
    for name, tensor in given.items():
        if tensor.tolerance.step_size:
            before = held[name].data if name in held and held[name].spec.type == tensor.type else None
            energy += coding.squared_distance(tensor.type.kind, tensor.data, before)
            n_weights += tensor.type.n_elements
    mantissa, exponent = math.frexp(math.sqrt(energy / n_weights))
    return int(_OCTAVE * (exponent + 2 * mantissa - 8 * most_bytes / n_weights))


def first_keyframe(given: Mapping[str, Given], keyframe_error: Knob, search: Search) -> dict[str, Given]:
    """Keep what a knob about differences lets change exactly, or to a part of the weights themselves."""

    def goal(name: str, _: Given) -> Tolerance:
        error = choice(keyframe_error, name)
        return LOSSLESS if error is None else Tolerance(1.0, relative_error=float(error), search=search)

    return _with_goals(given, goal)


def as_close_as(update: Mapping[str, TensorState], given: Mapping[str, Given]) -> dict[str, Given]:
    """Ask a keyframe for the errors that an update would have had."""
    return _with_goals(given, lambda name, tensor: _as_close(tensor, update[name].data))


def _as_close(tensor: Given, result: Bytes) -> Tolerance:
    kind = tensor.type.kind
    energy, lost = (coding.squared_distance(kind, tensor.data, other) for other in (None, result))
    part = math.sqrt(lost / energy) if energy > 0 and math.isfinite(energy) else 0.0
    if not part >= _LEAST_PART:
        return LOSSLESS
    return replace(tensor.tolerance, relative_error=min(part, _MOST_PART), scale=0)

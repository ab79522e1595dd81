"""Slices as levels of a quantizer: round trips of everything that floats can be, and bytes that no encoder sends."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from incnnr import _core
from incnnr.coding import Coding, contexts_bytes, fresh_slice_contexts, means_bytes
from incnnr.quantization import Search
from incnnr.tensors import Kind
from tests.weights import exact, random_array

DTYPES = {
    Kind.FLOAT16: np.float16,
    Kind.BFLOAT16: ml_dtypes.bfloat16,
    Kind.FLOAT32: np.float32,
    Kind.FLOAT64: np.float64,
}
SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1e38, -1e38, 6e4, 1e-45, 1e-7]
STEP = 2.0**-8


def as_bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Side:
    """What one side remembers of a slice."""

    def __init__(self, kind, n_elements, n_means=2, width=16, contexts=None, means=None):
        self.kind, self.n_elements, self.n_means, self.width = kind, n_elements, n_means, width
        fresh = fresh_slice_contexts(kind, Coding.QUANTIZED)
        self.contexts = fresh if contexts is None else contexts.copy()
        n_bytes = means_bytes(kind, n_means, n_elements)
        self.means = np.zeros(n_bytes, np.uint8) if means is None else means.copy()
        self.held = None

    def segment(self, **given):
        self.result = np.zeros(self.n_elements * np.dtype(DTYPES[self.kind]).itemsize, np.uint8)
        given = {"step_size": STEP} | given
        return _core.Segment(
            self.kind,
            Coding.QUANTIZED,
            self.n_elements,
            result=self.result,
            reference=self.held,
            contexts=self.contexts,
            history=self.means if self.n_means else None,
            width=self.width,
            n_means=self.n_means,
            **given,
        )

    def encode(self, source, **goal):
        (codeword,) = _core.encode([[self.segment(source=as_bytes(source), **goal)]], 1)
        self.held = self.result
        return codeword

    def decode(self, codeword, **goal):
        _core.decode([[self.segment(**goal)]], [codeword], 1)
        self.held = self.result
        return self.held.view(DTYPES[self.kind])

    def everything(self):
        return self.held.tobytes(), self.contexts.tobytes(), self.means.tobytes()


def round_trips(kind, series, step_size=STEP, sides=None, **goal):
    """Encode and decode a series; both sides hold the same after each update. Return what they held."""
    options = {"n_means": goal.pop("n_means", 2), "width": goal.pop("width", 16)}
    sender, receiver = sides or [Side(kind, series[0].size, **options) for _ in range(2)]
    results = []
    for source in series:
        codeword = sender.encode(source, step_size=step_size, **goal)
        results.append(receiver.decode(codeword, step_size=step_size))
        assert sender.everything() == receiver.everything()
    return results


def moving(kind, n_elements, n_steps=4, seed=1):
    rng = np.random.default_rng([kind, seed])
    at, step = rng.normal(0, 0.1, n_elements), rng.normal(0, 0.05, n_elements)
    with np.errstate(over="ignore"):
        return [(at + i * step + rng.normal(0, 0.005, n_elements)).astype(DTYPES[kind]) for i in range(n_steps)]


@np.errstate(invalid="ignore")
def distance(got, wanted):
    error = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    return error[np.isfinite(wanted.astype(np.float64))].max(initial=0)


@pytest.mark.parametrize("n_means", range(3))
@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("kind", DTYPES)
def test_both_sides_hold_the_same_after_every_update(kind, search, n_means):
    series = moving(kind, 700)
    for got, wanted in zip(round_trips(kind, series, search=search, n_means=n_means), series, strict=True):
        assert 0 < distance(got, wanted) < 4 * STEP
    for relative_error in (1e-3, 0.3):
        held = np.zeros(700)
        for got, wanted in zip(
            round_trips(kind, series, search=search, n_means=n_means, relative_error=relative_error),
            series,
            strict=True,
        ):
            lost, moved = (wanted.astype(np.float64) - x.astype(np.float64) for x in (got, held))
            assert np.square(lost).sum() <= relative_error**2 * np.square(moved).sum()
            held = got


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("kind", DTYPES)
def test_a_bound_holds_for_every_bit_pattern_and_what_has_no_level_is_exact(kind, search):
    rng = np.random.default_rng(2)
    series = [random_array(rng, DTYPES[kind], (500,)).copy() for _ in range(3)]
    with np.errstate(over="ignore", invalid="ignore"):
        for source in series:
            source[: len(SPECIAL)] = np.array(SPECIAL).astype(source.dtype)
    for got, wanted in zip(round_trips(kind, series, search=search, max_error=2 * STEP), series, strict=True):
        assert distance(got, wanted) <= 2 * STEP
        bits = f"u{wanted.dtype.itemsize}"
        special = wanted.view(bits) == np.array(-0.0, wanted.dtype).view(bits)
        with np.errstate(invalid="ignore"):
            special |= ~np.isfinite(wanted.astype(np.float64))
        assert exact({"w": got[special]}) == exact({"w": wanted[special]})


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("period", [7, 90])
def test_signs_that_are_alike_at_a_distance_cost_less(search, period):
    rng = np.random.default_rng(3)
    size = np.abs(rng.normal(0, 4 * STEP, 9000)).astype(np.float32)
    alike = np.resize(rng.choice(np.array([-1, 1], np.float32), period), size.size)
    side, other = (Side(Kind.FLOAT32, size.size, width=1000) for _ in range(2))
    n_alike = len(side.encode(size * alike, search=search))
    n_any = len(other.encode(size * rng.permuted(alike), search=search))
    assert n_any - n_alike > 0.45 * size.size / 8  # of a bit for each, learning included


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize(
    ("n_elements", "width"),
    [(0, 1), (1, 1), (1, 0), (1, 2**48), (2, 1), (3, 2), (65, 1), (65, 64), (65, 65), (65, 66), (2049, 700)],
)
def test_slices_of_any_size_and_width_come_back(kind, search, n_elements, width):
    series = moving(kind, n_elements)
    for got, wanted in zip(round_trips(kind, series, search=search, width=width), series, strict=True):
        assert distance(got, wanted) < 4 * STEP


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("kind", [Kind.FLOAT32, Kind.FLOAT64])
def test_levels_of_any_width_come_back(kind, search):
    rng = np.random.default_rng(4)
    exponents = rng.integers(0, 23, 1000)
    levels = np.where(rng.random(1000) < 0.5, -1, 1) * rng.integers(1 << exponents, 2 << exponents)
    levels[:8] = (1 << 23) - 1, 1 - (1 << 23), 1 << 23, -(1 << 23), (1 << 23) + 1, 1 << 24, 1 << 30, -(1 << 40)
    source = levels.astype(DTYPES[kind])
    (got,) = round_trips(kind, [source], step_size=1.0, search=search, n_means=0, max_error=1.0)
    assert distance(got, source) <= 1


@pytest.mark.parametrize("kind", DTYPES)
def test_levels_are_multiples_of_the_scaled_step(kind):
    source = moving(kind, 400, n_steps=1)[0]
    for scale, multiplier in [(0, 1), (1024, 2), (-1024, 0.5), (512, 1.5), (-1, 2047 / 2048)]:
        (got,) = round_trips(kind, [source], step_size=0.25, n_means=0, scale=scale, search=Search.TRELLIS)
        steps = np.rint(got.astype(np.float64) / (0.25 * multiplier))
        real = np.float64 if kind is Kind.FLOAT64 else np.float32
        assert ((steps.astype(real) * real(0.25 * multiplier)).astype(got.dtype) == got).all()


@pytest.mark.parametrize("kind", DTYPES)
def test_steps_beyond_the_type_lose_nothing_but_bytes(kind):
    series = moving(kind, 50)
    for step_size, scale in [(1e-30, -131072), (1e30, 131072), (STEP, 131073), (STEP, 2**31 - 1), (STEP, -(2**31))]:
        for got, wanted in zip(round_trips(kind, series, step_size, scale=scale, max_error=1e-9), series, strict=True):
            assert distance(got, wanted) <= 1e-9


@pytest.mark.parametrize("kind", DTYPES)
def test_relative_errors_beyond_all_measure_come_back(kind):
    series = moving(kind, 50)
    for relative_error in (1e-200, 5e-324, 1e-9, 1e9, 1e300):
        round_trips(kind, series, relative_error=relative_error, search=Search.TRELLIS)


# What no encoder sends


def decoded(side, codeword, **goal):
    """Whether a codeword is taken; that it may be wrong is for digests to find out."""
    try:
        side.decode(codeword, **goal)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("kind", DTYPES)
def test_codewords_that_are_cut_or_damaged_are_taken_or_refused(kind):
    first, second = moving(kind, 60, n_steps=2)
    sender = Side(kind, 60)
    sender.encode(first, max_error=1e-2)
    held, contexts, means = sender.held.copy(), sender.contexts.copy(), sender.means.copy()
    codeword = sender.encode(second, search=Search.TRELLIS)
    flips = (
        codeword[:i] + bytes([codeword[i] ^ 1 << bit]) + codeword[i + 1 :]
        for i, bit in itertools.product(range(len(codeword)), range(8))
    )
    outcomes = set()
    for damaged in itertools.chain((codeword[:n] for n in range(len(codeword))), flips):
        side = Side(kind, 60, contexts=contexts, means=means)
        side.held = held
        outcomes.add(decoded(side, damaged))
    assert outcomes == {True, False}


@pytest.mark.parametrize("kind", DTYPES)
def test_any_bytes_under_any_state_are_taken_or_refused(kind):
    """Steps, means, scales and contexts as saved states may have them, and codewords of any bits."""
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(400):
        contexts = rng.integers(0, 256, contexts_bytes(kind, Coding.QUANTIZED), np.uint8)
        means = rng.integers(0, 256, means_bytes(kind, 2, 30), np.uint8)
        side = Side(kind, 30, width=int(rng.integers(1, 40)), contexts=contexts, means=means)
        side.held = as_bytes(random_array(rng, DTYPES[kind], (30,)))
        step_size = float(rng.choice([5e-324, 1e-45, 1e-38, 1e-3, 1.0, 1e38, 1e300, 1.7e308]))
        outcomes.add(decoded(side, b"\0" + rng.bytes(int(rng.integers(0, 40))), step_size=step_size))
    assert outcomes == {True, False}


@pytest.mark.parametrize("search", Search)
@pytest.mark.parametrize("kind", DTYPES)
def test_encoders_go_on_from_any_state(kind, search):
    rng = np.random.default_rng(6)
    for _ in range(10):
        contexts = rng.integers(0, 256, contexts_bytes(kind, Coding.QUANTIZED), np.uint8)
        means = rng.integers(0, 256, means_bytes(kind, 2, 200), np.uint8)
        sides = [Side(kind, 200, contexts=contexts, means=means) for _ in range(2)]
        series = moving(kind, 200)
        for got, wanted in zip(
            round_trips(kind, series, sides=sides, search=search, max_error=0.1), series, strict=True
        ):
            assert distance(got, wanted) <= 0.1


def test_kinds_without_levels_and_means_that_are_missing_are_refused():
    arrays = {"result": np.empty(4, np.uint8), "contexts": fresh_slice_contexts(Kind.FLOAT32, Coding.QUANTIZED)}
    for kind in set(Kind) - set(DTYPES):
        with pytest.raises(ValueError, match="levels"):
            _core.Segment(kind, Coding.QUANTIZED, 4, **arrays)
    with pytest.raises(ValueError, match="means"):
        _core.Segment(Kind.FLOAT32, Coding.QUANTIZED, 1, **arrays, n_means=1)

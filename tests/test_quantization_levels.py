"""Levels of the native quantisers: what the decoder returns, and how near it comes to the weights."""

from __future__ import annotations

import numpy as np
import pytest

from incnnr.coding.nnc import NncLayer, decode_nnc, encode_nnc
from incnnr.quantization import Quantization, quantize, smallest_qp, step_size_of_qp

STEPS = ((0, 2), (7, 5), (1, 3), (6, 4), (2, 0), (5, 7), (3, 1), (4, 6))


def quantized(weights, *, step=1.0, threads=1, **options):
    job = Quantization(np.ascontiguousarray(weights).reshape(-1), *weights.shape, step_size=step, **options)
    return quantize([job], threads)[0].reshape(weights.shape)


def decoded(levels, **options):
    """What a decoder makes of the codeword of these levels; an encoder refuses those the trellis does not have."""
    [coded] = encode_nnc([[NncLayer(levels.reshape(-1), *levels.shape, **options)]], 1)
    result = np.empty(levels.size, np.int32)
    assert decode_nnc([[NncLayer(result, *levels.shape, **options)]], [coded], 1) == [len(coded)]
    return result.reshape(levels.shape)


def squared_error(weights, levels, step=1.0):
    return float(((weights.astype(np.float64) - levels * float(np.float32(step))) ** 2).sum())


def least_squared_error(scaled):
    """The Viterbi algorithm over the eight states, in double precision, without any cuts."""
    costs = np.array([0.0] + 7 * [np.inf])
    for x in np.abs(scaled):
        arriving = np.full(8, np.inf)
        for state in range(8):
            for k in range(max(0, int(x) // 2 - 2), int(x) // 2 + 4):
                level = 2 * k - (state & 1) if k else 0
                target = STEPS[state][k & 1]
                arriving[target] = min(arriving[target], costs[state] + (x - level) ** 2)
        costs = arriving
    return costs.min()


@pytest.mark.parametrize("spread", [0.05, 0.4, 1.5, 40.0])
def test_dependent_levels_have_the_least_error_of_all(spread):
    weights = np.random.default_rng(1).laplace(0, spread, (30, 40)).astype(np.float32)
    assert squared_error(weights, quantized(weights, dependent=True)) == pytest.approx(
        least_squared_error(weights.reshape(-1))
    )


def test_cutting_a_long_tensor_costs_almost_nothing():
    """Weights of one piece, many times over: on its own it has the least error, and the same bound holds for each."""
    piece = np.random.default_rng(2).laplace(0, 3, 5000).astype(np.float32)
    weights = np.tile(piece, (60, 1))
    whole = squared_error(weights, quantized(weights, dependent=True))
    assert whole <= 60 * least_squared_error(piece) * 1.001


def test_uniform_levels_are_rounded_half_away_from_zero_in_float32():
    rng = np.random.default_rng(3)
    ties = np.arange(-40, 40, dtype=np.float32) * np.float32(0.25)
    weights = np.concatenate([ties, rng.laplace(0, 1000, 4000).astype(np.float32)]).reshape(-1, 60)
    for step in (0.5, step_size_of_qp(-7), 3e-4):
        scaled = weights * (np.float32(1) / np.float32(step))
        expected = np.sign(scaled) * np.floor(np.abs(scaled.astype(np.float64)) + 0.5)
        assert (quantized(weights, step=step, dependent=False) == expected).all()


def random_matrix(rng):
    height, width = (int(n) for n in rng.integers(1, 100, 2))
    weights = rng.laplace(0, 10 ** rng.uniform(-2, 5), (height, width)).astype(np.float32)
    skipped = (rng.random(height) < 0.3).astype(np.uint8) if rng.random() < 0.6 else None
    return weights, skipped, int(rng.choice([0, 8, 16, 32, 64]))


@pytest.mark.parametrize("lambda_scale", [0.0, 0.6])
@pytest.mark.parametrize("dependent", [True, False])
def test_a_decoder_returns_the_levels_for_any_shape_scan_and_skipped_rows(dependent, lambda_scale):
    rng = np.random.default_rng(4)
    for _ in range(60):
        weights, skipped, block_size = random_matrix(rng)
        options = {"dependent": dependent, "block_size": block_size, "skipped_rows": skipped}
        levels = quantized(weights, lambda_scale=lambda_scale, **options)
        has_rows = skipped is not None and min(weights.shape) > 1
        assert not (levels[skipped == 1].any() if skipped is not None else False)
        assert (decoded(levels, row_skip=has_rows, **options) == levels).all()


@pytest.mark.parametrize("block_size", [0, 8, 64])
@pytest.mark.parametrize("lambda_scale", [0.0, 1.0])
def test_the_pieces_of_a_long_tensor_fit_together(lambda_scale, block_size):
    """Also where rows are skipped and their zeros, in matrices of odd width, lead the states about."""
    rng = np.random.default_rng(7)
    weights = rng.laplace(0, 2, (600, 301)).astype(np.float32)
    skipped = (np.arange(600) % 7 < 3).astype(np.uint8)
    options = {"dependent": True, "block_size": block_size, "skipped_rows": skipped}
    levels = quantized(weights, lambda_scale=lambda_scale, **options)
    assert (decoded(levels, row_skip=True, **options) == levels).all()
    kept = skipped == 0
    assert np.sqrt(np.mean((levels - weights)[kept] ** 2)) < (0.6 if lambda_scale else 0.5)


def test_dependent_error_is_below_uniform_error_at_twice_the_step():
    """Which takes about as many bits."""
    rng = np.random.default_rng(5)
    for spread in (0.3, 1.0, 4.0, 300.0):
        weights = rng.laplace(0, spread, (50, 70)).astype(np.float32)
        for block_size in (0, 16):
            dependent = squared_error(weights, quantized(weights, dependent=True, block_size=block_size))
            uniform = squared_error(weights, quantized(weights, step=2.0, dependent=False), 2.0)
            assert dependent < uniform


@pytest.mark.parametrize("lambda_scale", [0.0, 1.0])
@pytest.mark.parametrize("dependent", [True, False])
def test_the_number_of_threads_changes_nothing(dependent, lambda_scale):
    rng = np.random.default_rng(6)
    jobs = [
        Quantization(
            rng.laplace(0, 2, 500 * width).astype(np.float32),
            height=500,
            width=width,
            step_size=1.0,
            dependent=dependent,
            lambda_scale=lambda_scale,
        )
        for width in range(1, 500, 70)
    ]
    results = [np.concatenate(quantize(jobs, threads)) for threads in (1, 2, 5)]
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


@pytest.mark.parametrize("dependent", [True, False])
def test_a_weight_that_is_not_finite_is_an_error(dependent):
    weights = np.ones((3, 4), np.float32)
    for bad in (np.nan, np.inf, -np.inf, 3e38):
        weights[2, 1] = bad
        with pytest.raises(ValueError, match="32 bits"):
            quantized(weights, step=2.0**-20, dependent=dependent)


@pytest.mark.parametrize("lambda_scale", [0.0, 1.0])
@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("largest", [1.0, 1.7, 3.3e38, 1.2e-20])
def test_the_smallest_parameter_of_a_tensor_leaves_room_for_its_levels(dependent, lambda_scale, largest):
    weights = np.float32([[largest, -largest, largest / 3], [0, -largest / 2, largest]])
    for density in (0, 2, 7):
        step = step_size_of_qp(smallest_qp(float(weights.max()), density), density)
        levels = quantized(weights, step=step, dependent=dependent, lambda_scale=lambda_scale)
        assert (np.abs(levels * step - weights) <= 4 * step + 1e-7 * largest).all()


@pytest.mark.parametrize(
    "options",
    [
        {"step_size": 0.0},
        {"step_size": np.nan},
        {"step_size": 1e-39},
        {"step_size": 1e38},
        {"block_size": 65},
        {"lambda_scale": -1.0},
        {"lambda_scale": np.nan},
        {"n_greater_flags": 0},
        {"skipped_rows": np.zeros(3, np.uint8)},
        {"width": 4},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(options):
    good = {"height": 2, "width": 3, "step_size": 1.0, "dependent": True}
    with pytest.raises(ValueError, match=r"range|size"):
        quantize([Quantization(np.zeros(6, np.float32), **good | options)], 1)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (1, 7), (7, 1), (2, 3)])
def test_small_and_empty_matrices_are_quantized(shape):
    weights = np.full(shape, 3.0, np.float32)
    for lambda_scale in (0.0, 0.1):
        for dependent in (False, True):
            for block_size in (0, 8):
                options = {"dependent": dependent, "block_size": block_size}
                levels = quantized(weights, lambda_scale=lambda_scale, **options)
                assert (decoded(levels, **options) == levels).all()
                assert np.abs(levels - weights).max(initial=0) <= (2 if dependent else 0)

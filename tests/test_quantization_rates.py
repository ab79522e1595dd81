"""Quantisers that weigh bits against error: what they save, and what they must not change."""

from __future__ import annotations

import numpy as np
import pytest

from incnnr.coding.nnc import NncLayer, encode_nnc
from incnnr.quantization import Quantization, quantize

SPREADS = [0.5, 0.8, 3.0, 50.0]


def laplace(spread, n=40_000):
    return np.random.default_rng(1).laplace(0, spread, n).astype(np.float32)


def coded(weights, *, step=1.0, dependent=True, lambda_scale=0.0, n_greater_flags=11, **options):
    """Bytes of the codeword, and the squared error."""
    layer = {"height": weights.size // 100, "width": 100, "dependent": dependent, "n_greater_flags": n_greater_flags}
    [levels] = quantize([Quantization(weights, **layer, step_size=step, lambda_scale=lambda_scale, **options)], 1)
    row_skip = "skipped_rows" in options
    [data] = encode_nnc([[NncLayer(levels, **layer, **options, row_skip=row_skip)]], 1)
    return len(data), float(((levels * np.float32(step) - weights).astype(np.float64) ** 2).sum())


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("dependent", [True, False])
def test_a_larger_lambda_takes_fewer_bytes_and_leaves_more_error(dependent, spread):
    outcomes = [coded(laplace(spread), dependent=dependent, lambda_scale=x) for x in (0.0, 1.0, 3.0)]
    sizes, errors = zip(*outcomes, strict=True)
    assert sizes[0] > sizes[1] > sizes[2]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("dependent", [True, False])
def test_a_vanishing_lambda_gives_the_least_error(dependent, spread):
    weights = laplace(spread)
    _, least = coded(weights, dependent=dependent)
    _, error = coded(weights, dependent=dependent, lambda_scale=1e-9)
    assert error == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("spread", SPREADS[:3])
@pytest.mark.parametrize("dependent", [True, False])
def test_weighing_bits_beats_a_wider_step(dependent, spread):
    """At no more bytes, least-error quantisation has the larger error."""
    weights = laplace(spread)
    n_bytes, error = coded(weights, dependent=dependent, lambda_scale=0.6)
    others = [coded(weights, dependent=dependent, step=1 + i / 50) for i in range(200)]
    assert error < min(other for size, other in others if size <= n_bytes)


def test_a_sparse_update_becomes_zeros_where_bits_are_dear():
    weights = laplace(0.05)
    n_bytes, error = coded(weights, lambda_scale=1.0)
    assert n_bytes < 100
    assert error == pytest.approx(float((weights.astype(np.float64) ** 2).sum()), rel=0.02)


def test_prices_follow_weights_that_change_along_the_tensor():
    """Halves with very different weights take little more when quantised as one tensor than each on its own."""
    halves = laplace(0.3), laplace(20.0)
    together = coded(np.concatenate(halves), lambda_scale=1.0)
    apart = [coded(half, lambda_scale=1.0) for half in halves]
    assert together[0] < 1.01 * sum(size for size, _ in apart)
    assert together[1] < 1.02 * sum(error for _, error in apart)


@pytest.mark.parametrize("block_size", [0, 8, 64])
def test_skipping_rows_of_zeros_saves_both_bytes_and_error(block_size):
    weights = laplace(1.0)
    skipped = (np.arange(400) % 3 == 0).astype(np.uint8)
    weights.reshape(400, 100)[skipped == 1] = 0
    n_bytes, error = coded(weights, lambda_scale=0.5, block_size=block_size, skipped_rows=skipped)
    whole_bytes, whole_error = coded(weights, lambda_scale=0.5, block_size=block_size)
    assert n_bytes < whole_bytes
    assert error < whole_error


@pytest.mark.parametrize("n_greater_flags", [1, 2, 11, 60, 256])
def test_any_number_of_greater_flags_is_priced(n_greater_flags):
    for dependent in (True, False):
        size, error = coded(laplace(30.0), dependent=dependent, lambda_scale=1.0, n_greater_flags=n_greater_flags)
        plain_size, plain_error = coded(laplace(30.0), dependent=dependent, n_greater_flags=n_greater_flags)
        assert size < plain_size
        assert error < 1.25 * plain_error

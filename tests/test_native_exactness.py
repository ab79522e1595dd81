"""Exact round trips of pairs of bit patterns; `tests.bench.exact_pairs` takes many more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from incnnr.tensors import Kind
from tests import pairs


@pytest.mark.parametrize("mode", pairs.DILUTIONS)
@pytest.mark.parametrize("kind", pairs.FLOATS)
def test_pairs_with_nans_and_negative_zeros_are_exact_in_every_mode(kind, mode):
    rng = np.random.default_rng([kind, pairs.DILUTIONS[mode]])
    counts, n_faults = Counter(), 0
    for found, faults in pairs.check(rng, kind, 120_000, mode, size=60_000):
        counts, n_faults = counts + found, n_faults + faults
    assert n_faults == 0
    assert counts["pairs"] >= 120_000
    assert min(counts["NaN"], counts["negative_zero"]) >= 2 * len(pairs.special_patterns(kind))


def test_what_does_not_come_back_is_counted(monkeypatch):
    monkeypatch.setattr(pairs._core, "decode", lambda *_: None)
    (counts, n_faults), *_ = pairs.check(np.random.default_rng(0), Kind.BFLOAT16, 1000, "plain")
    assert n_faults > 0.9 * counts["pairs"]  # all but zeros

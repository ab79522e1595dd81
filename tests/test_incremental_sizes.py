"""What an update costs when little or nothing changed."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from incnnr import Decoder, Encoder
from tests.weights import bit_neighbours, exact


def model_of_many_tensors(rng):
    shape = (512, 512)
    return {f"layers.{i}.weight": rng.normal(0, 0.02, shape).astype(ml_dtypes.bfloat16) for i in range(60)}


@pytest.mark.parametrize("n_updates_before", [0, 1, 5])
def test_an_update_of_nothing_or_of_one_weight_is_tiny(n_updates_before):
    rng = np.random.default_rng(1)
    weights = model_of_many_tensors(rng)
    encoder, decoder = Encoder(base=weights), Decoder(base=weights)
    for _ in range(n_updates_before):
        weights = {name: bit_neighbours(rng, a, 0.02) for name, a in weights.items()}
        decoder.decode(encoder.encode(weights))
    nothing = encoder.encode(weights)
    assert len(bytes(nothing)) <= 40
    assert exact(decoder.decode(nothing)) == exact(weights)
    one = weights["layers.31.weight"].copy()
    one[200, 300] += ml_dtypes.bfloat16(1)
    update = encoder.encode({**weights, "layers.31.weight": one})
    assert len(bytes(update)) <= 80
    assert update.stats.n_changed == 1
    assert decoder.decode(update).changed == {"layers.31.weight"}


def test_contexts_carried_over_updates_save_bytes():
    rng = np.random.default_rng(2)
    weights = {f"w{i}": rng.normal(0, 0.02, (64, 64)).astype(ml_dtypes.bfloat16) for i in range(20)}
    carried, n_carried, n_reset = Encoder(base=weights), 0, 0
    for _ in range(6):
        changed = {name: bit_neighbours(rng, a, 0.02) for name, a in weights.items()}
        n_carried += len(bytes(carried.encode(changed)))
        n_reset += len(bytes(Encoder(base=weights).encode(changed)))
        weights = changed
    assert n_carried < 0.97 * n_reset

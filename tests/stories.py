"""Random histories of a small model, told by encoders as short series of updates."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

import incnnr
from tests.weights import ALL_DTYPES, FLOATS, bit_neighbours, random_array

SHAPES = [(), (1,), (0,), (2, 0, 3), (7,), (3, 5), (40,), (2, 3, 4, 1), (90,)]
NAMES = ["conv.weight", "fc/bias", "Ω", "", "a" * 300, "b", "B", "π.weight", "m.0", "m.10", "m.2"]
OPTIONS = [
    {},
    {"effort": "small"},
    {"max_error": 1e-3},
    {"max_error": 0.25},
    {"qp": -8},
    {"qp": -33},
    {"max_error": {"*bias": None, "m.*": 1e-2, "*": 0.1}},
    {"qp": {"*weight": -20, "Ω": None, "*": -3}},
    {"qp": -20, "effort": "fast", "prediction_memory": 1},
    {"max_error": 1e-2, "prediction_memory": 0},
    {"relative_error": 0.2},
    {"relative_error": {"*weight": 0.5, "m.*": 0.05, "*": 0.01}, "effort": "small"},
]


@dataclass(frozen=True)
class Story:
    """Updates as bytes, in order; ``base`` is what both sides hold before them, if anything."""

    base: dict[str, np.ndarray] | None
    updates: list[bytes]


def told(seed, n_updates=8):
    """One story: everything an encoder can be asked for may happen in it."""
    rng = np.random.default_rng(seed)
    weights = {name: some_array(rng) for name in some_names(rng)}
    base = dict(weights) if rng.random() < 0.3 else None
    options = OPTIONS[rng.integers(len(OPTIONS))]
    encoder = incnnr.Encoder(base=base, require_ack=True, **options)
    decoder = incnnr.Decoder(base=base)
    updates = []
    for _ in range(n_updates):
        weights = next_weights(rng, weights)
        if rng.random() < 0.1:
            encoder.encode({"w": np.ones(3)})
            encoder.rollback()
        if rng.random() < 0.15 and encoder.position:
            encoder = incnnr.Encoder.resume(decoder, require_ack=True, **OPTIONS[rng.integers(len(OPTIONS))])
        update = next_update(rng, encoder, weights)
        encoder.acknowledge(update.position)
        decoder.decode(update)
        weights = dict(decoder.model) if rng.random() < 0.2 else weights
        updates.append(bytes(update))
    return Story(base, updates)


def next_update(rng, encoder, weights):
    chance = rng.random()
    if chance < 0.1:
        return encoder.encode(weights, keyframe=True)
    if chance < 0.35 and encoder.position:
        return encoder.encode({name: w for name, w in weights.items() if rng.random() < 0.5}, partial=True)
    return encoder.encode(weights)


def some_names(rng):
    return [str(name) for name in rng.permutation(NAMES)[: rng.integers(0, 6)]]


def some_array(rng):
    """Every bit pattern of any dtype, or numbers as networks have them."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    if rng.random() < 0.5:
        return random_array(rng, ALL_DTYPES[rng.integers(len(ALL_DTYPES))], shape)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = rng.normal(0, 10.0 ** rng.integers(-3, 6), shape)
        wide = np.float64 if rng.random() < 0.5 else ml_dtypes.bfloat16
        return np.asarray(numbers).astype(wide).astype(FLOATS[rng.integers(len(FLOATS))])


def next_weights(rng, weights):
    """Most tensors stay or move a little; some are replaced, appear or vanish."""
    after = {}
    for name, array in weights.items():
        chance = rng.random()
        if chance < 0.85:
            after[name] = moved(rng, array)
        elif chance < 0.95:
            after[name] = some_array(rng)
    for name in some_names(rng)[:1]:
        after.setdefault(name, some_array(rng))
    return after


def moved(rng, array):
    chance = rng.random()
    if chance < 0.3:
        return array
    if chance < 0.6:
        return bit_neighbours(rng, array, share=10.0 ** -rng.integers(0, 3))
    if array.dtype.newbyteorder("=") not in [np.dtype(d) for d in FLOATS]:
        return random_array(rng, array.dtype, array.shape)
    with np.errstate(all="ignore"):
        numbers = array.astype(np.float64)
        factors = 1 + rng.normal(0, 10.0 ** rng.integers(-6, 1), array.shape)
        noise = rng.normal(0, 10.0 ** rng.integers(-4, 2), array.shape)
        after = np.asarray(numbers * factors + noise).astype(array.dtype)
    planted = rng.random(array.shape) < 0.03
    return np.where(planted, random_array(rng, array.dtype, array.shape), after).astype(array.dtype)

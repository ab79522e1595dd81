"""Codewords of the standard: what is encoded is decoded, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from incnnr.coding.nnc import NncLayer, decode_nnc, encode_nnc
from tests.dependent import dependent_levels


def random_layer(rng):
    """Arguments of a layer over all that a codeword may hold, and the levels in it."""
    height, width = (int(n) for n in rng.integers(1, 90, 2))
    n = height * width
    codebook = int(rng.integers(1, 40)) if rng.random() < 0.2 else 0
    zero = int(rng.integers(codebook)) if codebook else 0
    numbers = np.round(rng.laplace(0, 10 ** rng.uniform(-1.5, 4), n)).astype(np.int32)
    if codebook:
        numbers = np.clip(numbers, -zero, codebook - 1 - zero)
    skipped = (rng.random(height) < 0.3).astype(np.uint8)
    numbers.reshape(height, width)[skipped == 1] = 0
    has_rows = height > 1 and width > 1 and codebook != 1
    given = {
        "qp_bits": int(rng.integers(6, 10)),
        "block_size": int(rng.choice([0, 8, 16, 32, 64])),
        "n_greater_flags": int(rng.choice([1, 2, 10, 11, 40])),
        "codebook_size": codebook,
        "zero_offset": zero,
        "has_parent": bool(rng.integers(2)),
        "dependent": not codebook and bool(rng.integers(2)),
        "base": np.round(rng.laplace(0, 1, n)).astype(np.int32) if rng.integers(2) else None,
        "history": rng.integers(0, 2, n).astype(np.uint8) if rng.integers(2) else None,
        "temporal": bool(rng.integers(2)),
    }
    sent = {
        "qp_delta": int(rng.integers(-32, 32)),
        "history_contexts": has_rows and given["has_parent"] and bool(rng.integers(2)),
        "row_skip": has_rows and bool(rng.integers(2)),
        "skipped_rows": skipped,
        "state_sets": rng.integers(0, 9, 53 + 4 * given["n_greater_flags"] + 37).tolist(),
    }
    if given["dependent"]:
        skips = skipped if sent["row_skip"] else np.zeros_like(skipped)
        numbers = dependent_levels(numbers, height, width, given["block_size"], skips)
    return numbers, height, width, given, sent


def random_units(seed, n_units):
    """Units of one to three random layers: their levels, what a decoder is told of them, and what is sent."""
    rng = np.random.default_rng(seed)
    return [[random_layer(rng) for _ in range(rng.integers(1, 4))] for _ in range(n_units)]


def layers_to_encode(units):
    return [[NncLayer(levels, h, w, **given, **sent) for levels, h, w, given, sent in unit] for unit in units]


def layers_to_decode(units):
    return [
        [(out := np.full_like(levels, 99), NncLayer(out, h, w, **given)) for levels, h, w, given, _ in unit]
        for unit in units
    ]


@pytest.mark.parametrize("seed", range(12))
def test_random_units_decode_to_their_levels_and_tools_on_any_number_of_threads(seed):
    units = random_units(seed, 10)
    encoded = layers_to_encode(units)
    coded = encode_nnc(encoded, threads=1)
    assert encode_nnc(layers_to_encode(units), threads=3) == coded
    for threads in (1, 2, 5):
        decoded = layers_to_decode(units)
        n_used = decode_nnc([[layer for _, layer in unit] for unit in decoded], coded, threads)
        assert n_used == [len(codeword) for codeword in coded]
        for unit, ours, theirs in zip(units, encoded, decoded, strict=True):
            for (levels, _, _, _, sent), encoder, (out, decoder) in zip(unit, ours, theirs, strict=True):
                np.testing.assert_array_equal(out, levels)
                assert decoder.qp_delta == sent["qp_delta"]
                assert decoder.history_contexts == sent["history_contexts"]
                assert decoder.row_skip == sent["row_skip"]
                expected = sent["skipped_rows"] if sent["row_skip"] else None
                np.testing.assert_equal(decoder.skipped_rows, expected)
                assert decoder.block_rows == encoder.block_rows
                assert decoder.state_sets == encoder.state_sets


@pytest.mark.parametrize(
    ("levels", "layer"),
    [
        ([1, 0, 1, 1], {"row_skip": True, "skipped_rows": np.array([1, 0], np.uint8)}),
        ([0, 0, 3, 0], {"codebook_size": 5, "zero_offset": 2}),
        ([1, 0, 0, 0], {"dependent": True}),
    ],
    ids=["skipped row", "codebook", "dependent quantiser"],
)
def test_levels_that_a_decoder_could_not_give_back_are_refused(levels, layer):
    with pytest.raises(ValueError, match="cannot be coded"):
        encode_nnc([[NncLayer(np.array(levels, np.int32), 2, 2, **layer)]], threads=1)


def test_a_codeword_that_is_none_is_told_apart_from_the_others():
    units = random_units(3, 3)
    coded = encode_nnc(layers_to_encode(units), threads=2)
    n_used = decode_nnc(
        [[layer for _, layer in unit] for unit in layers_to_decode(units)],
        [coded[0], coded[1][:1], coded[2]],
        threads=2,
    )
    assert n_used == [len(coded[0]), 0, len(coded[2])]

"""Codewords of the standard: what is encoded is decoded, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from incnnr.coding.nnc import NncLayer, choose_nnc_tools, decode_nnc, encode_nnc
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


def chosen(units, threads=1):
    """The units' layers with tools chosen for them; only rows that are fixed are given."""
    layers = [[NncLayer(levels, h, w, **given, **rows_of(sent)) for levels, h, w, given, sent in u] for u in units]
    choose_nnc_tools(layers, threads)
    return layers


def rows_of(sent):
    return {name: sent[name] for name in ("row_skip", "skipped_rows")}


@pytest.mark.parametrize("seed", range(20, 26))
def test_chosen_tools_are_decodable_and_do_not_depend_on_threads(seed):
    units = random_units(seed, 10)
    layers = chosen(units)
    coded = encode_nnc(layers, threads=2)
    assert encode_nnc(chosen(units, threads=3), threads=1) == coded
    for unit, tools, codeword in zip(units, layers, coded, strict=True):
        assert len({layer.temporal for layer in tools}) == 1
        outs = [np.empty_like(levels) for levels, *_ in unit]
        again = [
            NncLayer(out, h, w, **given | {"temporal": layer.temporal})
            for out, layer, (_, h, w, given, _) in zip(outs, tools, unit, strict=True)
        ]
        assert decode_nnc([again], [codeword], threads=1) == [len(codeword)]
        for out, (levels, *_) in zip(outs, unit, strict=True):
            np.testing.assert_array_equal(out, levels)


def laplace_layers():
    """Small and large layers of one kind of weights each, and where to read on."""
    rng = np.random.default_rng(4)
    for n_rows, scale, block in [(3, 0.2, 0), (40, 0.5, 0), (40, 6, 8), (700, 0.1, 0), (700, 2, 0), (700, 0.4, 16)]:
        spread = scale * rng.uniform(0.5, 1.5, (n_rows, 1))
        levels = np.round(rng.laplace(0, spread, (n_rows, 100))).astype(np.int32)
        yield pytest.param(levels, block, id=f"{n_rows} rows, scale {scale}, blocks of {block}")


@pytest.mark.parametrize(("levels", "block"), list(laplace_layers()))
def test_chosen_tools_never_cost_more_bytes_than_none(levels, block):
    plain, tools = (NncLayer(levels.ravel(), *levels.shape, block_size=block) for _ in range(2))
    choose_nnc_tools([[tools]], threads=1)
    without, chosen_bytes = (len(codeword) for codeword in encode_nnc([[plain], [tools]], threads=1))
    assert chosen_bytes <= without


def test_rows_of_zeros_are_skipped_where_there_are_many():
    levels = np.random.default_rng(5).integers(-3, 4, (60, 50), np.int32)
    levels[::2] = 0
    layer = NncLayer(levels.ravel(), 60, 50)
    choose_nnc_tools([[layer]], threads=1)
    assert layer.row_skip
    np.testing.assert_array_equal(layer.skipped_rows, np.arange(60) % 2 == 0)


def test_rows_stay_as_given_where_skipping_them_changes_what_levels_mean():
    layer = NncLayer(np.zeros(3000, np.int32), 60, 50, dependent=True, block_size=8)
    choose_nnc_tools([[layer]], threads=1)
    assert not layer.row_skip


def test_an_update_that_looks_like_the_one_before_uses_its_levels():
    rng = np.random.default_rng(6)
    base = np.where(rng.random(6000) < 0.05, rng.integers(-9, 10, 6000), 0).astype(np.int32)
    levels = np.where(base != 0, np.round(base + rng.normal(0, 1, 6000)), 0).astype(np.int32)
    for tool, given in (("temporal", {"base": base}), ("history_contexts", {"history": (base != 0).astype(np.uint8)})):
        plain, tools = (NncLayer(levels, 60, 100, has_parent=True, **given) for _ in range(2))
        choose_nnc_tools([[tools]], threads=1)
        assert getattr(tools, tool)
        without, with_tool = encode_nnc([[plain], [tools]], threads=1)
        assert len(with_tool) < 0.8 * len(without)


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("block_size", [0, 8])
@pytest.mark.parametrize("known", ["nothing", "a base of zeros", "some history"])
def test_long_runs_of_zeros_come_back(dependent, block_size, known):
    rng = np.random.default_rng(7)
    numbers = np.where(rng.random(60_000) < 0.002, rng.integers(-3, 4, 60_000), 0).astype(np.int32)
    numbers[20_000:] = 0
    levels = dependent_levels(numbers, 200, 300, block_size, np.zeros(200, np.uint8)) if dependent else numbers
    told = {
        "nothing": {},
        "a base of zeros": {"has_parent": True, "temporal": True, "base": np.zeros(60_000, np.int32)},
        "some history": {"has_parent": True, "history": (np.arange(60_000) % 300 == 0).astype(np.uint8)},
    }[known] | {"dependent": dependent, "block_size": block_size}
    layer = NncLayer(levels, 200, 300, history_contexts=known == "some history", **told)
    coded = encode_nnc([[layer]], threads=1)
    out = np.full_like(levels, 7)
    decoder = NncLayer(out, 200, 300, **told)
    assert decode_nnc([[decoder]], coded, threads=1) == [len(coded[0])]
    np.testing.assert_array_equal(out, levels)
    assert decoder.block_rows == layer.block_rows

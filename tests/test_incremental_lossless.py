from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incnnr import Decoder, Encoder
from tests.weights import ALL_DTYPES, bit_neighbours, exact, random_array, trained


def assert_series_is_exact(series, **options):
    encoder, decoder = Encoder(**options), Decoder()
    for weights in series:
        model = decoder.decode(bytes(encoder.encode(weights)))
        assert exact(model) == exact(weights)
        assert encoder.position == decoder.position == model.position
        assert encoder.position.digest == decoder.position.digest


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_every_dtype_comes_back_exactly(dtype):
    rng = np.random.default_rng(1)
    first = random_array(rng, dtype, (17, 5))
    assert_series_is_exact(
        {"t": a} for a in [first, bit_neighbours(rng, first), first, random_array(rng, dtype, (17, 5))]
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=str)
def test_all_patterns_of_a_16_bit_float_follow_all_others(dtype):
    patterns = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    series = [{"t": np.roll(patterns, shift)} for shift in (0, 1, 0x7FFF, 0x8000, 12345)]
    assert_series_is_exact(series)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint64], ids=str)
def test_extremes_of_wide_dtypes_follow_each_other(dtype):
    bits = np.iinfo(np.uint64).max >> np.arange(64, dtype=np.uint64)
    words = np.concatenate([bits, ~bits, bits + np.uint64(1), np.array([0, 1 << 63], np.uint64)])
    if np.dtype(dtype).itemsize == 4:
        words = words.astype(np.uint32)
    values = words.view(dtype)
    assert_series_is_exact({"t": np.roll(values, shift)} for shift in range(len(values)))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 1, 1, 1), (5,), (2, 3, 4)], ids=str)
def test_every_shape_comes_back(shape):
    rng = np.random.default_rng(2)
    assert_series_is_exact({"t": rng.normal(size=shape).astype(np.float32)} for _ in range(3))


def test_an_empty_model_is_a_model():
    assert_series_is_exact([{}, {}, {"t": np.ones(2)}, {}])


def test_layout_in_memory_does_not_matter():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(6, 8)).astype(np.float32)
    assert_series_is_exact([{"t": a.T}, {"t": a.T[::2]}, {"t": np.asfortranarray(a)}, {"t": a[::-1, ::-2]}])
    swapped, plain = Encoder().encode({"t": a[:, ::2]}), Encoder().encode({"t": a[:, ::2].copy()})
    assert bytes(swapped) == bytes(plain)


def test_tensors_may_appear_vanish_and_change_shape_or_dtype():
    one, two = np.ones((2, 3), np.float32), np.arange(6, dtype=np.float32)
    series = [
        {"a": one, "b": two},
        {"a": one, "c": two, "b": two},
        {"c": two},
        {"c": two.reshape(3, 2)},
        {"c": two.astype(np.float16), "a": two},
        {"a": two.astype(np.int64), "c": two.astype(np.float16)},
        {"größe": one, "": two},
    ]
    assert_series_is_exact(series)


def test_model_order_is_the_keyframes_and_new_tensors_come_last():
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode({"b": np.ones(1), "a": np.ones(1)}))
    model = decoder.decode(encoder.encode({"a": np.ones(1), "c": np.ones(1), "b": np.zeros(1)}))
    assert list(model) == ["b", "a", "c"]
    assert model.changed == {"b", "c"}


def test_tensors_of_several_slices_are_coded_slice_by_slice():
    rng = np.random.default_rng(4)
    first = {"big": rng.normal(size=(1 << 21) + 5).astype(np.float16), "small": np.ones(7, np.float16)}
    second = {name: a.copy() for name, a in first.items()}
    second["big"][-1] += 1
    third = {name: a.copy() for name, a in second.items()}
    third["big"][1 << 20] += 1
    assert_series_is_exact([first, second, third, third, first])


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_bytes_do_not_depend_on_the_number_of_threads(threads):
    rng = np.random.default_rng(5)
    series = list(trained(rng, 3, {f"w{i}": (300_000 + i,) for i in range(6)}, np.float16, 1e-4))
    single, several = Encoder(threads=1), Encoder(threads=threads)
    decoder = Decoder(threads=threads)
    for weights in series:
        update = several.encode(weights)
        assert bytes(single.encode(weights)) == bytes(update)
        assert exact(decoder.decode(update)) == exact(weights)


def test_the_caller_may_overwrite_arrays_once_encode_returns():
    weights = {"t": np.zeros(1000, np.float32)}
    encoder, decoder = Encoder(), Decoder()
    for value in (1, 2, 3):
        weights["t"][:] = value
        update = encoder.encode(weights)
        weights["t"][:] = -1
        assert (decoder.decode(update)["t"] == value).all()


def test_earlier_models_stay_valid_and_read_only():
    encoder, decoder = Encoder(), Decoder()
    models = [decoder.decode(encoder.encode({"t": np.full(9, i)})) for i in range(4)]
    assert [int(m["t"][0]) for m in models] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        models[0]["t"][0] = 5


def test_a_partial_update_leaves_other_tensors_alone():
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode({"a": np.ones(3), "b": np.ones(2)}))
    model = decoder.decode(encoder.encode({"b": np.zeros(2), "c": np.ones(1)}, partial=True))
    assert exact(model) == exact({"a": np.ones(3), "b": np.zeros(2), "c": np.ones(1)})
    with pytest.raises(ValueError, match="partial"):
        encoder.encode({}, keyframe=True, partial=True)


def test_incompressible_weights_hardly_grow():
    rng = np.random.default_rng(6)
    for dtype in (np.float32, np.float16, np.uint8, np.int64, np.float64):
        weights = [{"t": random_array(rng, dtype, 200_000)} for _ in range(2)]
        encoder = Encoder()
        for w in weights:
            assert len(bytes(encoder.encode(w))) <= 1.02 * w["t"].nbytes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=str)
def test_floats_made_from_bfloat16_cost_no_more_than_bfloat16(dtype):
    rng = np.random.default_rng(7)
    half = rng.normal(0, 0.02, size=100_000).astype(ml_dtypes.bfloat16)
    made = half.astype(dtype)
    made[::1000] += dtype(1e-3) / dtype(3)  # and a few that were not
    assert len(bytes(Encoder().encode({"t": made}))) <= 1.03 * len(bytes(Encoder().encode({"t": half})))


def test_what_is_not_an_array_of_numbers_is_a_type_error_and_changes_nothing():
    encoder = Encoder(base={"t": np.ones(2)})
    before = encoder.position
    for bad in ({"t": np.array([object()])}, {3: np.ones(2)}, {"t": np.zeros(2, [("a", "f4"), ("b", "f4")])}):
        with pytest.raises(TypeError):
            encoder.encode(bad)
    assert encoder.position == before


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c.weight"]),
            st.tuples(st.sampled_from(ALL_DTYPES[:18]), st.lists(st.integers(0, 5), max_size=4), st.integers(0, 2**32)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_series_of_models_comes_back(models):
    series = [
        {
            name: random_array(np.random.default_rng(seed), dtype, tuple(shape))
            for name, (dtype, shape, seed) in m.items()
        }
        for m in models
    ]
    assert_series_is_exact(series)

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from incnnr import Decoder, Encoder, nnc
from incnnr.errors import PatternWarning
from tests.weights import FLOATS, exact, random_array, trained

SPECIAL = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45, 6e4, 1.0]


@np.errstate(invalid="ignore")
def largest_error(model, weights):
    errors = [0.0]
    for name, given in weights.items():
        finite = np.isfinite(given.astype(np.float64))
        errors.append(np.abs(model[name].astype(np.float64) - given.astype(np.float64))[finite].max(initial=0.0))
    return max(errors)


@np.errstate(invalid="ignore")
def assert_special_values_are_exact(model, weights):
    for name, given in weights.items():
        words = f"u{given.dtype.itemsize}"
        special = ~np.isfinite(given.astype(np.float64)) | ((given == 0) & np.signbit(given.astype(np.float64)))
        assert (model[name].view(words)[special] == given.view(words)[special]).all()


def with_special_values(rng, weights):
    planted = {}
    for name, array in weights.items():
        flat = array.copy().reshape(-1)
        at = rng.permutation(flat.size)[: len(SPECIAL)]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            flat[at] = np.array(SPECIAL[: len(at)]).astype(array.dtype)
        planted[name] = flat.reshape(array.shape)
    return planted


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_error_holds_for_every_weight_of_every_update(dtype, scale):
    rng = np.random.default_rng(1)
    encoder, decoder = Encoder(max_error=1e-3), Decoder()
    for weights in trained(rng, 12, dtype=np.float64):
        scaled = {name: (w * scale).astype(dtype) for name, w in weights.items()}
        planted = with_special_values(rng, scaled)
        update = encoder.encode(planted)
        model = decoder.decode(update)
        assert largest_error(model, planted) <= 1e-3
        assert update.stats.largest_error == largest_error(model, planted)
        assert_special_values_are_exact(model, planted)
        assert encoder.position == decoder.position


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_max_error_holds_for_arbitrary_bit_patterns(dtype):
    rng = np.random.default_rng(2)
    encoder, decoder = Encoder(max_error=0.01), Decoder()
    for _ in range(4):
        weights = {"t": random_array(rng, dtype, (3000,))}
        model = decoder.decode(encoder.encode(weights))
        assert largest_error(model, weights) <= 0.01
        assert_special_values_are_exact(model, weights)


@pytest.mark.parametrize("max_error", [1e-300, 1e-30, 1e-9, 0.3, 1e20])
def test_extreme_bounds_hold_too(max_error):
    rng = np.random.default_rng(3)
    encoder, decoder = Encoder(max_error=max_error), Decoder()
    for weights in trained(rng, 3):
        assert largest_error(decoder.decode(encoder.encode(weights)), weights) <= max_error


@pytest.mark.parametrize("options", [{"qp": -24}, {"qp": -24, "effort": "fast"}, {"max_error": 2**-6}], ids=str)
def test_the_error_does_not_grow_with_the_number_of_updates(options):
    rng = np.random.default_rng(4)
    encoder, decoder = Encoder(**options), Decoder()
    step, errors = 2**-6, []
    for weights in trained(rng, 60, rate=step):
        update = encoder.encode(weights)
        assert update.stats.largest_error == largest_error(decoder.decode(update), weights) <= 3 * step
        errors.append(update.stats.rms_error)
    assert max(errors[30:]) < 1.1 * np.mean(errors[1:10])


def test_weights_that_rest_cost_nothing_after_the_first_update():
    rng = np.random.default_rng(5)
    weights = next(iter(trained(rng, 1)))
    encoder = Encoder(max_error=1e-2)
    encoder.encode(weights)
    assert len(bytes(encoder.encode(weights))) < 40


def test_lossy_updates_are_smaller_than_lossless_ones():
    rng = np.random.default_rng(6)
    series = list(trained(rng, 4))
    lossless, lossy = Encoder(), Encoder(max_error=1e-3)
    for weights in series:
        exact_bytes, bounded_bytes = len(bytes(lossless.encode(weights))), len(bytes(lossy.encode(weights)))
    assert bounded_bytes < exact_bytes / 4


def test_integers_and_8_bit_floats_stay_exact():
    rng = np.random.default_rng(7)
    encoder, decoder = Encoder(max_error=1.0), Decoder()
    for _ in range(3):
        weights = {
            "i": rng.integers(-9, 9, 50),
            "b": rng.integers(0, 2, 50).astype(bool),
            "e": random_array(rng, ml_dtypes.float8_e4m3fn, (50,)),
        }
        assert exact(decoder.decode(encoder.encode(weights))) == exact(weights)


def test_patterns_choose_the_knob_of_each_tensor():
    rng = np.random.default_rng(8)
    encoder, decoder = Encoder(max_error={"*.bias": None, "fc.*": 1e-4, "*": 1e-2}), Decoder()
    for weights in trained(rng, 3):
        model = decoder.decode(encoder.encode(weights))
        assert exact({"b": model["fc.bias"]}) == exact({"b": weights["fc.bias"]})
        assert largest_error({"fc.weight": model["fc.weight"]}, {"fc.weight": weights["fc.weight"]}) <= 1e-4
        assert (
            1e-4 < largest_error({"conv.weight": model["conv.weight"]}, {"conv.weight": weights["conv.weight"]}) <= 1e-2
        )


def test_a_resumed_encoder_may_use_another_knob():
    rng = np.random.default_rng(9)
    series = list(trained(rng, 4))
    decoder = Decoder()
    for options, weights in zip([{}, {"max_error": 1e-2}, {"qp": -40}, {}], series, strict=True):
        encoder = Encoder.resume(decoder, **options) if decoder.position else Encoder(**options)
        model = decoder.decode(encoder.encode(weights))
    assert exact(model) == exact(series[-1])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_error": 0}, ValueError),
        ({"max_error": -1.0}, ValueError),
        ({"max_error": float("nan")}, ValueError),
        ({"max_error": "1e-3"}, TypeError),
        ({"qp": 1.5}, TypeError),
        ({"qp": 10**6}, ValueError),
        ({"qp": -32, "max_error": 1e-3}, ValueError),
        ({"max_error": {"*": 0.0}}, ValueError),
        ({"threads": 0}, ValueError),
    ],
)
def test_impossible_options_are_refused(options, error):
    with pytest.raises(error):
        Encoder(**options)


def test_a_pattern_that_matches_no_tensor_is_a_warning_of_the_first_whole_checkpoint(recwarn):
    weights = {"fc.bias": np.ones(3), "fc.weight": np.ones((3, 3))}
    encoder = Encoder(base=weights, max_error={"*.bais": None, "conv.*": 1e-3, "fc.*": 1e-2, "*": 1e-4})
    encoder.encode({"fc.bias": np.zeros(3)}, partial=True)
    assert not recwarn.list
    for _ in range(2):
        encoder.encode(weights)
    assert [str(warning.message) for warning in recwarn] == [
        f"pattern {pattern!r} matches no tensor" for pattern in ("*.bais", "conv.*")
    ]
    assert all(warning.category is PatternWarning for warning in recwarn)


def test_a_warning_that_is_made_an_error_leaves_the_encoder_where_it_was():
    weights = {"fc.bias": np.ones(3)}
    encoder = Encoder(qp={"*.bais": -20, "*": None})
    for _ in range(2):
        with pytest.raises(PatternWarning):
            encoder.encode(weights)
        assert encoder.position is None


def test_a_bitstream_of_its_own_warns_of_patterns_too():
    with pytest.warns(PatternWarning, match="conv"):
        nnc.encode({"w": np.ones(3)}, qp={"conv.*": None, "*": -20})

"""Updates applied into the caller's arrays, and what a model says of the last update."""

from __future__ import annotations

import copy

import ml_dtypes
import numpy as np
import pytest

import incnnr
from incnnr.errors import CorruptError, LimitExceededError, ModelMismatchError, ReferenceMismatchError, StaleUpdateError
from incnnr.incremental.state import chain_of
from incnnr.incremental.syntax import Begin, End
from incnnr.nnc.units import pack_unit, read_units
from tests.weights import ALL_DTYPES, bit_neighbours, exact, random_array, trained

NATIVE = [dtype for dtype in ALL_DTYPES if dtype.byteorder != ">"]
MODES = [{}, {"effort": "small"}, {"max_error": 1e-3}, {"profile": "iso", "qp": -30}]


def own(weights):
    """Writable copies of arrays."""
    return {name: np.array(array, order="C") for name, array in weights.items()}


def changed_elements(before, after):
    """What `Model.changes` should yield: names to indices and values, compared bit by bit."""
    found = {}
    for name, array in after.items():
        words = [
            np.ascontiguousarray(a).view(np.uint8).reshape(a.size, a.itemsize)
            for a in map(np.atleast_1d, (before[name], array))
        ]
        at = np.flatnonzero((words[0] != words[1]).any(axis=1))
        if at.size:
            found[name] = at.tolist(), array.reshape(-1)[at].tobytes()
    return found


def told_changes(model):
    return {name: (at.tolist(), values.tobytes()) for name, at, values in model.changes() if at.size}


def large_pair(seed=0, share=0.01):
    """Two bf16 models; one tensor has three slices, of which the last and the first change, one does not change."""
    rng = np.random.default_rng(seed)
    shapes = {"big": (5, 1 << 19), "still": (300, 7), "small": (1000,)}
    before = {name: rng.normal(0, 0.02, shape).astype(ml_dtypes.bfloat16) for name, shape in shapes.items()}
    after = {name: array.copy() for name, array in before.items()}
    for part in (after["big"][:2], after["big"][4:], after["small"]):
        part[...] = bit_neighbours(rng, part, share)
    return before, after


@pytest.mark.parametrize("options", MODES, ids=str)
def test_updates_end_up_in_the_arrays_that_the_caller_gave(options):
    series = list(trained(np.random.default_rng(1), 5))
    encoder, decoder, plain = incnnr.Encoder(**options), incnnr.Decoder(), incnnr.Decoder()
    keyframe = encoder.encode(series[0])
    arrays = own(plain.decode(keyframe))
    decoder.decode(keyframe)
    for weights in series[1:]:
        update = encoder.encode(weights)
        model = decoder.decode(update, into=arrays)
        assert exact(arrays) == exact(model) == exact(plain.decode(update))
        assert all(np.shares_memory(model[name], arrays[name]) for name in arrays)
        assert decoder.position == plain.position


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_every_dtype_is_patched_exactly(dtype):
    rng = np.random.default_rng(2)
    before = {
        "w": random_array(rng, dtype, (30, 7)),
        "b": random_array(rng, dtype, (0, 3)),
        "s": random_array(rng, dtype, ()),
    }
    after = {name: bit_neighbours(rng, array, 0.3) for name, array in before.items()}
    encoder, decoder, arrays = incnnr.Encoder(base=before), incnnr.Decoder(base=before), own(before)
    model = decoder.decode(encoder.encode(after), into=arrays)
    assert exact(arrays) == exact(after)
    assert told_changes(model) == changed_elements(before, after)


def test_a_keyframe_goes_into_arrays_of_any_content():
    weights = next(trained(np.random.default_rng(3), 1))
    arrays = {name: np.full_like(array, np.nan) for name, array in weights.items()}
    decoder = incnnr.Decoder()
    decoder.decode(incnnr.Encoder().encode(weights), into=arrays)
    assert exact(arrays) == exact(weights)


def test_slices_that_do_not_change_are_not_touched():
    before, after = large_pair()
    arrays = own(before)
    encoder, decoder = incnnr.Encoder(base=before), incnnr.Decoder(base=before)
    decoder.decode(encoder.encode(before), into=arrays)
    arrays["big"][2, 5] = arrays["still"][0, 0] = 7
    decoder.decode(encoder.encode(after), into=arrays)
    assert arrays["big"][2, 5] == arrays["still"][0, 0] == 7
    assert arrays["big"][[0, 1, 4]].tobytes() == after["big"][[0, 1, 4]].tobytes()


def test_the_decoder_keeps_no_copy_of_lent_arrays():
    before, after = large_pair()
    arrays = own(before)
    decoder = incnnr.Decoder(base=before)
    model = decoder.decode(incnnr.Encoder(base=before).encode(after), into=arrays)
    for name, array in decoder.model.items():
        assert array.ctypes.data == arrays[name].ctypes.data == model[name].ctypes.data


def test_models_from_before_the_arrays_were_lent_stay_valid():
    series = list(trained(np.random.default_rng(4), 3))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    first = decoder.decode(encoder.encode(series[0]))
    arrays = own(first)
    second = decoder.decode(encoder.encode(series[1]), into=arrays)
    decoder.decode(encoder.encode(series[2]), into=arrays)
    assert exact(first) == exact(series[0])
    assert exact(second) == exact(series[2])


def test_forks_and_resumed_encoders_do_not_share_lent_arrays():
    series = list(trained(np.random.default_rng(5), 4))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    arrays = own(decoder.decode(encoder.encode(series[0])))
    decoder.decode(encoder.encode(series[1]), into=arrays)
    fork, resumed = decoder.fork(), incnnr.Encoder.resume(decoder)
    third = encoder.encode(series[2])
    decoder.decode(third, into=arrays)
    assert exact(fork.model) == exact(series[1])
    assert exact(fork.decode(resumed.encode(series[3]))) == exact(series[3])


def test_decoding_without_arrays_goes_on_from_lent_ones():
    series = list(trained(np.random.default_rng(6), 4))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    arrays = own(decoder.decode(encoder.encode(series[0])))
    decoder.decode(encoder.encode(series[1]), into=arrays)
    model = decoder.decode(encoder.encode(series[2]))
    assert exact(arrays) == exact(series[1])
    assert exact(model) == exact(series[2])
    with pytest.raises(ModelMismatchError, match="values that the decoder holds"):
        decoder.decode(encoder.encode(series[3]), into=arrays)


def with_another_digest(update):
    """The same update, which says that something else comes of it, with a chain that holds."""
    *units, last = read_units(bytes(update))
    kept = [bytes(unit.data) for unit in units]
    digest = End.read(last).digest ^ 1
    return b"".join([*kept, End(digest, chain_of(Begin.read(units[1]).parent_chain, kept, digest)).pack()])


def damaged_behind(update, rng):
    """The same update with one bit of its last DATA unit flipped, and a chain that holds all the same."""
    *units, last = read_units(bytes(update))
    kept = [bytearray(unit.data) for unit in units]
    kept[-1][int(rng.integers(8, len(kept[-1])))] ^= 1 << int(rng.integers(8))
    digest = End.read(last).digest
    return b"".join([*kept, End(digest, chain_of(Begin.read(units[1]).parent_chain, kept, digest)).pack()])


@pytest.mark.parametrize("options", MODES[:3], ids=str)
def test_the_arrays_are_put_back_whatever_is_wrong_with_the_payload(options):
    series = list(trained(np.random.default_rng(8), 2, rate=3e-3))
    rng = np.random.default_rng(9)
    encoder, decoder = incnnr.Encoder(**options), incnnr.Decoder()
    arrays = own(decoder.decode(encoder.encode(series[0])))
    before = own(arrays)
    update = encoder.encode(series[1])
    for _ in range(60):
        with pytest.raises(incnnr.errors.BitstreamError):
            decoder.decode(damaged_behind(update, rng), into=arrays)
        assert exact(arrays) == exact(before)
    assert exact(decoder.decode(update, into=arrays)) == exact(arrays) != exact(before)


@pytest.mark.parametrize("keyframe", [False, True])
@pytest.mark.parametrize("options", MODES[:3], ids=str)
def test_the_arrays_are_put_back_if_the_digest_is_another(options, keyframe):
    before, after = large_pair(share=0.05)
    arrays = own(before)
    encoder, decoder = incnnr.Encoder(base=before, **options), incnnr.Decoder(base=before)
    update = encoder.encode(after, keyframe=keyframe)
    position = decoder.position
    with pytest.raises(CorruptError, match="not those the update was made from"):
        decoder.decode(with_another_digest(update), into=arrays)
    assert exact(arrays) == exact(before)
    assert decoder.position == position
    decoder.decode(update, into=arrays)
    assert exact(arrays) == exact(decoder.model)


def test_the_arrays_are_put_back_if_a_later_unit_is_corrupt():
    before, after = large_pair(share=0.05)
    arrays, decoder = own(before), incnnr.Decoder(base=before)
    *units, end = incnnr.Encoder(base=before).encode_chunks(after)
    damaged = [*units, pack_unit(63, b"?"), end]
    with pytest.raises(incnnr.errors.UnsupportedError):
        decoder.decode_chunks(damaged, into=arrays)
    assert exact(arrays) == exact(before)
    assert exact(decoder.decode(b"".join([*units, end]), into=arrays)) == exact(after)


def test_arrays_that_somebody_wrote_to_are_noticed_and_left_as_they_are():
    before, after = large_pair()
    arrays, decoder, encoder = own(before), incnnr.Decoder(base=before), incnnr.Encoder(base=before)
    decoder.decode(encoder.encode(before), into=arrays)
    arrays["big"][0, :50] = 3
    altered = copy.deepcopy(arrays)
    update = encoder.encode(after)
    with pytest.raises(ReferenceMismatchError, match="'big' does not hold what the decoder left") as caught:
        decoder.decode(update, into=arrays)
    assert caught.value.expected == decoder.position == update.parent
    assert exact(arrays) == exact(altered)
    arrays["big"][0, :50] = before["big"][0, :50]
    assert exact(decoder.decode(update, into=arrays)) == exact(after)


def test_arrays_with_other_values_than_the_decoder_holds_are_refused():
    before, after = large_pair()
    arrays, decoder = own(before), incnnr.Decoder(base=before)
    arrays["still"][3, 3] = 1
    with pytest.raises(ModelMismatchError, match="still"):
        decoder.decode(incnnr.Encoder(base=before).encode(after), into=arrays)


@pytest.mark.parametrize(
    ("after", "name"),
    [
        ({"w": np.ones(3), "b": np.ones(2), "new": np.ones(1)}, "new"),
        ({"w": np.ones(3)}, "b"),
        ({"w": np.ones(4), "b": np.ones(2)}, "w"),
        ({"w": np.ones(3, np.float32), "b": np.ones(2)}, "w"),
    ],
    ids=["added", "removed", "reshaped", "retyped"],
)
def test_an_update_of_the_table_does_not_go_into_arrays(after, name):
    before = {"w": np.zeros(3), "b": np.zeros(2)}
    arrays, decoder, encoder = own(before), incnnr.Decoder(base=before), incnnr.Encoder(base=before)
    update = encoder.encode(after)
    with pytest.raises(ModelMismatchError) as caught:
        decoder.decode(update, into=arrays)
    assert caught.value.name == name
    assert exact(arrays) == exact(before)
    assert exact(decoder.decode(update)) == exact(after)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"w": read_only(np.zeros((2, 3)))}, ValueError, "not writable"),
        ({"w": np.zeros((3, 2)).T}, ValueError, "in C order"),
        ({"w": np.zeros((2, 3), ">f8")}, ValueError, "little-endian"),
        ({"w": [[0.0] * 3] * 2}, TypeError, "neither a numpy array nor a torch tensor"),
        ({}, ModelMismatchError, "got None"),
        ({"w": np.zeros((2, 3)), "b": np.zeros(1)}, ModelMismatchError, "expected None"),
        ({"w": np.zeros((3, 2))}, ModelMismatchError, "float64"),
    ],
    ids=["read-only", "transposed", "big-endian", "list", "missing", "too many", "shape"],
)
def test_arrays_that_cannot_be_written_into_are_refused_at_once(arrays, error, message):
    decoder = incnnr.Decoder(base={"w": np.zeros((2, 3))})
    update = incnnr.Encoder(base={"w": np.zeros((2, 3))}).encode({"w": np.ones((2, 3))})
    with pytest.raises(error, match=message):
        decoder.decode(update, into=arrays)
    assert decoder.position == update.parent


def test_arrays_that_share_memory_are_refused():
    weights = {"a": np.zeros(4), "b": np.zeros(4)}
    memory = np.zeros(6)
    with pytest.raises(ValueError, match="'a' and 'b' share memory"):
        incnnr.Decoder(base=weights).decode(
            incnnr.Encoder(base=weights).encode(weights), into={"a": memory[:4], "b": memory[2:]}
        )


def test_a_refused_update_leaves_the_arrays_alone():
    before, after = large_pair()
    arrays, decoder, encoder = own(before), incnnr.Decoder(base=before), incnnr.Encoder(base=before)
    update = encoder.encode(after)
    decoder.decode(update, into=arrays)
    with pytest.raises(StaleUpdateError):
        decoder.decode(update, into=arrays)
    assert exact(arrays) == exact(after)


@pytest.mark.parametrize("options", MODES, ids=str)
def test_changes_are_the_elements_whose_bits_differ(options):
    series = list(trained(np.random.default_rng(7), 4, dtype=np.float32))
    encoder, decoder = incnnr.Encoder(**options), incnnr.Decoder()
    before = decoder.decode(encoder.encode(series[0]))
    for weights in series[1:]:
        model = decoder.decode(encoder.encode(weights))
        assert told_changes(model) == changed_elements(before, model)
        assert model.stats.n_changed == sum(len(at) for at, _ in told_changes(model).values())
        before = model


def test_changes_of_large_tensors_are_in_order():
    before, after = large_pair()
    model = incnnr.Decoder(base=before).decode(incnnr.Encoder(base=before).encode(after))
    assert [name for name, _, _ in model.changes()] == ["big", "small"]
    assert told_changes(model) == changed_elements(before, after)
    assert all(at.dtype == np.int64 and values.dtype == ml_dtypes.bfloat16 for _, at, values in model.changes())


def test_all_elements_of_a_new_tensor_are_changes():
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    model = decoder.decode(encoder.encode({"w": np.zeros((2, 2)), "none": np.zeros(0)}))
    assert {name: at.tolist() for name, at, _ in model.changes()} == {"w": [0, 1, 2, 3], "none": []}
    model = decoder.decode(encoder.encode({"w": np.zeros((2, 2)), "none": np.zeros(0), "new": np.ones(2)}))
    assert {name: at.tolist() for name, at, _ in model.changes()} == {"new": [0, 1]}
    assert list(decoder.model.changes()) == []


def test_a_sparse_patch_of_the_changes_is_the_model():
    before, after = large_pair()
    arrays = own(before)
    for name, at, values in incnnr.Decoder(base=before).decode(incnnr.Encoder(base=before).encode(after)).changes():
        arrays[name].reshape(-1)[at] = values
    assert exact(arrays) == exact(after)


def test_an_update_without_change_has_no_changes():
    weights = {"w": np.ones(5)}
    model = incnnr.Decoder(base=weights).decode(incnnr.Encoder(base=weights).encode(weights))
    assert list(model.changes()) == []


def test_what_is_beyond_the_limits_leaves_the_arrays_alone():
    weights = {"w": np.zeros(1000)}
    arrays = own(weights)
    with pytest.raises(LimitExceededError):
        incnnr.Decoder(limits=incnnr.Limits(model_bytes=100)).decode(
            incnnr.Encoder().encode({"w": np.ones(1000)}), into=arrays
        )
    assert exact(arrays) == exact(weights)

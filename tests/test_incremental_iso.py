"""Profile ``iso``: every update is a bitstream of ISO/IEC 15938-17."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import incnnr
from incnnr import Decoder, Encoder, IncnnrError, Limits, Update, nnc
from incnnr.errors import (
    BitstreamError,
    CorruptError,
    DivergedError,
    GapError,
    LimitExceededError,
    StaleUpdateError,
    UnsupportedError,
)
from incnnr.nnc.syntax import DataUnit, ModelParameterSet, PayloadType
from incnnr.testing import LossyChannel, replay
from tests.nnc_vectors import SERIES, bytes_of, shapes_of
from tests.weights import FLOATS, INTEGERS, exact, trained

SHAPES = {"conv.weight": (8, 3, 3, 3), "fc.weight": (40, 50), "fc.bias": (40,), "scale": ()}
CARRIED = {
    "float16": "float16",
    "float32": "float32",
    "float64": "float64",
    "bfloat16": "float32",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
}


def iso(**options):
    knob = {} if {"qp", "max_error", "relative_error"} & options.keys() else {"qp": -32}
    return Encoder(profile="iso", **knob, **options)


def series(n_steps=5, seed=0, dtype=np.float32, rate=1e-2):
    return list(trained(np.random.default_rng(seed), n_steps, SHAPES, dtype, rate))


def largest_error(model, weights):
    return max(np.abs(np.subtract(model[n], w, dtype=np.float64)).max(initial=0) for n, w in weights.items())


def is_keyframe(data, shapes=None):
    units = nnc.parse(data, tensor_dimensions=shapes)
    return not next(u for u in units if isinstance(u, ModelParameterSet)).mps_parent_signalling_enabled_flag


def names_in(data):
    return [unit.topology_elem_id for unit in nnc.parse(data) if isinstance(unit, DataUnit)]


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("options", [{"qp": -32}, {"max_error": 1e-3}], ids=str)
def test_a_chain_follows_the_weights_and_no_error_adds_up(options, dtype):
    encoder, decoder = iso(**options), Decoder()
    bound = options.get("max_error", 2**-5)  # of a weight that is not worth its bits, some steps
    for number, weights in enumerate(series(8, dtype=dtype)):
        update = encoder.encode(weights)
        model = decoder.decode(update)
        assert update.is_keyframe == is_keyframe(update.data) == (number == 0)
        assert largest_error(model, weights) == update.stats.largest_error <= bound + (dtype == np.float16) * 2**-11
        assert {a.dtype.name for a in model.values()} == {CARRIED[np.dtype(dtype).name]}
        assert encoder.position == decoder.position == update.position


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda d: np.dtype(d).name)
def test_integers_are_exact(dtype):
    rng, encoder, decoder = np.random.default_rng(1), iso(), Decoder()
    low, high = (
        (0, 2) if dtype == np.bool_ else (max(np.iinfo(dtype).min, -(2**31)), min(np.iinfo(dtype).max, 2**31 - 1))
    )
    for _ in range(4):
        weights = {
            "n": rng.integers(low, high, 30, endpoint=dtype != np.bool_).astype(dtype),
            "last": np.array(high - 1, dtype),
        }
        model = decoder.decode(encoder.encode(weights))
        assert all((model[name] == weights[name]).all() for name in weights)
        assert model["n"].dtype.name == CARRIED.get(np.dtype(dtype).name, "int32")


def test_integers_that_move_by_more_than_32_bits_make_a_keyframe():
    encoder, decoder = iso(), Decoder()
    for value in (-(2**31), 2**31 - 1, 5):
        update = encoder.encode({"n": np.int64(value)})
        assert decoder.decode(update)["n"] == value
        assert update.is_keyframe == (value != 5) or value == 5


@pytest.mark.parametrize(
    "value",
    [
        np.int64(2**31),
        np.uint32(2**32 - 1),
        np.complex64(1),
        np.array("text"),
        np.array([1e300]),
        np.array(3, ml_dtypes.int4),
    ],
    ids=str,
)
def test_what_no_bitstream_says_is_refused_and_nothing_has_happened(value):
    encoder, decoder = iso(), Decoder()
    decoder.decode(encoder.encode({"w": np.ones(3, np.float32)}))
    with pytest.raises(UnsupportedError):
        encoder.encode({"w": np.ones(3, np.float32), "new": value})
    assert encoder.position == decoder.position
    assert decoder.decode(encoder.encode({"w": np.zeros(3, np.float32)}))["w"].tolist() == [0, 0, 0]


def test_exact_doubles_are_sent_if_float32_says_them():
    encoder = iso(qp={"*": None})
    assert Decoder().decode(encoder.encode({"w": np.array([0.5, -0.0, np.nan])}))["w"].dtype == np.float64
    with pytest.raises(UnsupportedError, match="'w'"):
        encoder.encode({"w": np.array([0.1, 0, 0])})


def test_the_profile_needs_a_knob_and_a_name_that_exists():
    with pytest.raises(ValueError, match="needs max_error, relative_error or qp"):
        Encoder(profile="iso")
    with pytest.raises(ValueError, match="profile is"):
        Encoder(profile="nnr", qp=-32)


def test_tensors_that_stay_are_left_out_and_an_update_of_nothing_has_12_bytes():
    encoder, decoder = iso(), Decoder()
    weights = series(1)[0]
    decoder.decode(encoder.encode(weights))
    held = {name: array.copy() for name, array in decoder.model.items()}
    update = encoder.encode(held)
    model = decoder.decode(update)
    assert (len(update.data), names_in(update.data), model.changed, update.stats.n_changed) == (12, [], frozenset(), 0)
    held["fc.bias"] = held["fc.bias"] + 1
    update = encoder.encode(held)
    assert names_in(update.data) == ["fc.bias"]
    model = decoder.decode(update)
    assert model.changed == {"fc.bias"}
    assert (model.stats.n_changed, update.stats.n_changed) == (40, 40)


def special(dtype):
    finite = np.array([0.0, -0.0, 1.0, -1.5, 1e-7, 6e-8, 2.0**-14, 300.25, -65504.0, 1e-3], np.float32).astype(dtype)
    return {
        "finite": finite,
        "infinite": np.array([np.inf, -np.inf, np.nan, 1.0, -0.0], dtype),
        "empty": np.zeros((0, 3), dtype),
    }


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("max_error", [10.0, 1e-2, 1e-4, 1e-9, 1e-30])
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_no_weight_leaves_its_bound_whatever_it_is(dtype, max_error, base):
    rng = np.random.default_rng(2)
    weights = special(dtype) | {"w": rng.normal(0, 1, (20, 30)).astype(np.float16).astype(dtype)}
    known = {"base": {name: np.zeros_like(array) for name, array in weights.items()}} if base else {}
    encoder, decoder = iso(max_error=max_error, **known), Decoder(**known)
    for _ in range(3):
        update = encoder.encode(weights)
        model = decoder.decode(update)
        for name, array in weights.items():
            wanted, got = np.asarray(array, np.float64), np.asarray(model[name], np.float64)
            finite = np.isfinite(wanted)
            assert np.array_equal(got[~finite], wanted[~finite], equal_nan=True)
            assert (np.abs(got[finite] - wanted[finite]) <= max_error).all()
        weights["w"] = (weights["w"].astype(np.float32) + rng.normal(0, 0.1, (20, 30))).astype(np.float16).astype(dtype)


def test_a_weight_that_becomes_infinite_makes_a_keyframe_and_one_that_stays_so_does_not():
    weights = {"mask": np.array([0, -np.inf], np.float32), "w": np.ones(3, np.float32)}
    encoder, decoder = iso(), Decoder()
    kinds = []
    for change in (
        {},
        {"w": np.float32([1, 2, 3])},
        {"w": np.float32([1, 2, np.inf])},
        {"w": np.float32([1, 3, np.inf])},
    ):
        weights |= change
        update = encoder.encode(weights)
        kinds.append(update.is_keyframe)
        assert exact(decoder.decode(update)) == exact(weights)
    assert kinds == [True, False, True, False]


def test_an_exact_tensor_moves_by_a_difference_where_float32_has_one_and_else_makes_a_keyframe():
    encoder, decoder = iso(qp={"exact": None, "*": -20}), Decoder()
    w = np.zeros(3, np.float32)
    cases = [([1, 2], True), ([1.5, 3], False), ([1e-9, 3], True), ([-0.0, 3], True), ([0.0, 3], True), ([1, 3], False)]
    for values, as_keyframe in cases:
        weights = {"exact": np.float32(values), "w": w}
        update = encoder.encode(weights)
        assert update.is_keyframe == as_keyframe, values
        assert exact(decoder.decode(update)) == exact(weights)


@pytest.mark.parametrize(
    "change",
    [{"new": np.ones(2, np.float32)}, {"w": np.ones((3, 1), np.float32)}, {"w": np.ones(3, np.float16)}, {"b": None}],
    ids=["added", "reshaped", "another dtype", "removed"],
)
def test_another_set_of_tensors_makes_a_keyframe(change):
    encoder, decoder = iso(), Decoder()
    weights = {"w": np.ones(3, np.float32), "b": np.ones(2, np.float32)}
    decoder.decode(encoder.encode(weights))
    weights = {name: array for name, array in (weights | change).items() if array is not None}
    update = encoder.encode(weights)
    assert update.is_keyframe
    assert exact(decoder.decode(update)) == exact(weights)


def test_tensors_that_a_partial_update_does_not_name_stay_as_they_are():
    encoder, decoder = iso(), Decoder()
    first, second, _ = series(3)
    before = exact(decoder.decode(encoder.encode(first)))
    update = encoder.encode({"fc.bias": second["fc.bias"]}, partial=True)
    after = exact(decoder.decode(update))
    assert not update.is_keyframe
    assert {name for name in SHAPES if after[name] != before[name]} == {"fc.bias"}
    update = encoder.encode({"new": np.ones(3, np.float32)}, partial=True)
    model = decoder.decode(update)
    assert update.is_keyframe
    assert list(model) == [*SHAPES, "new"]
    assert exact({name: model[name] for name in SHAPES}) == after


def test_with_a_base_tensors_keep_their_types_and_no_keyframe_is_sent():
    rng = np.random.default_rng(3)
    base = {
        "bf16": rng.normal(0, 1, (9, 4)).astype(ml_dtypes.bfloat16),
        "fp8": rng.normal(0, 1, 20).astype(ml_dtypes.float8_e4m3fn),
        "big": rng.normal(0, 1, 5).astype(">f4"),
        "flag": np.array([True, False, True]),
        "n": np.uint64(2**64 - 3),
        "text": np.array(["a", "b"]),
    }
    encoder, decoder = iso(qp=-32, base=base), Decoder(base=base)
    weights = dict(base, flag=np.array([False, False, True]), n=np.uint64(2**64 - 1))
    for _ in range(3):
        weights["bf16"] = (weights["bf16"] + rng.normal(0, 0.1, (9, 4))).astype(ml_dtypes.bfloat16)
        weights["fp8"] = (weights["fp8"].astype(np.float32) + rng.normal(0, 0.1, 20)).astype(ml_dtypes.float8_e4m3fn)
        weights["big"] = (weights["big"] + 0.5).astype(">f4")
        update = encoder.encode(weights)
        model = decoder.decode(update)
        assert not update.is_keyframe
        assert {name: a.dtype for name, a in model.items()} == {name: a.dtype for name, a in base.items()}
        assert exact({n: model[n] for n in ("fp8", "flag", "n", "text")}) == exact(
            {n: weights[n] for n in ("fp8", "flag", "n", "text")}
        )
        assert np.abs(model["bf16"].astype(np.float64) - weights["bf16"].astype(np.float64)).max() <= 2**-6


@pytest.mark.parametrize("options", [{"qp": -32}, {"max_error": 1e-3}, {"qp": {"*.bias": None, "*": -30}}], ids=str)
def test_any_decoder_of_the_standard_reads_the_chain_and_adds_up_to_the_same_weights(options):
    encoder, decoder = iso(**options), Decoder()
    state, sums = nnc.IncrementalState(), {}
    for number, weights in enumerate(series(6, seed=4)):
        update = encoder.encode(weights, keyframe=number == 3)
        model = decoder.decode(update)
        if update.is_keyframe:
            state, sums = nnc.IncrementalState(), nnc.decode(update.data)
        else:
            sums = {
                n: sums[n] + d
                for n, d in (dict.fromkeys(sums, np.float32(0)) | nnc.decode(update.data, state=state)).items()
            }
        assert exact(sums) == exact(model)


def test_contexts_of_the_chain_are_used_and_are_part_of_the_state():
    rng = np.random.default_rng(5)
    steady = np.where(rng.random((200, 50)) < 0.1, rng.normal(0, 0.1, (200, 50)), 0)
    encoder, decoder = iso(), Decoder()
    for step in range(5):
        decoder.decode(encoder.encode({"w": (step * steady).astype(np.float32)}))
    weights = {"w": (5 * steady).astype(np.float32)}
    without_past = Encoder.resume(Decoder(base=decoder.model), profile="iso", qp=-32)
    n_bytes = {len(e.encode(weights).data) for e in (encoder, Encoder.resume(decoder, profile="iso", qp=-32))}
    assert len(n_bytes) == 1
    assert n_bytes.pop() < len(without_past.encode(weights).data)


def test_a_saved_state_a_fork_and_a_resumed_encoder_go_on_in_mid_chain():
    encoder, decoder = iso(), Decoder()
    first, second, third, fourth, fifth = series(5, seed=6)
    for weights in (first, second, third):
        decoder.decode(encoder.encode(weights))
    fork, restored = decoder.fork(), Decoder.from_bytes(decoder.to_bytes())
    bare = Decoder.from_bytes(decoder.to_bytes(weights=False), decoder.model)
    resumed = Encoder.resume(Decoder.from_bytes(decoder.to_bytes()), profile="iso", qp=-32)
    for weights in (fourth, fifth):
        update = encoder.encode(weights)
        assert resumed.encode(weights) == update
        models = [exact(d.decode(update)) for d in (decoder, fork, restored, bare)]
        assert all(model == models[0] for model in models)
    assert nnc.parse(update.data)[2].put_node_depth == 4


def test_profiles_can_take_turns_on_one_state():
    decoder, encoder = Decoder(), iso()
    for number, weights in enumerate(series(9, seed=7)):
        update = encoder.encode(weights)
        model = decoder.decode(update)
        assert update.is_keyframe == (number == 0)
        options = {"profile": "iso", "qp": -32} if number % 4 in (2, 3) else {"max_error": 1e-3}
        encoder = Encoder.resume(decoder.fork(), **options)
        restored = Decoder.from_bytes(decoder.to_bytes())
        assert exact(restored.model) == exact(model)
        decoder = restored


def test_an_update_that_was_not_acknowledged_is_replaced():
    encoder, decoder = iso(qp=-32, require_ack=True), Decoder()
    first, second, third = series(3)
    update = encoder.encode(first)
    decoder.decode(update)
    encoder.acknowledge(update.position)
    lost = encoder.encode(second)
    update = encoder.encode(third)
    assert lost.position.sequence == update.position.sequence == 1
    assert largest_error(decoder.decode(update), third) <= 2**-7
    with pytest.raises(DivergedError):
        decoder.decode(lost)
    keyframe = encoder.encode({"other": np.ones(2, np.float32)})
    assert keyframe.position.sequence == 2
    assert list(decoder.decode(keyframe)) == ["other"]


def chain(n_updates, **options):
    encoder = iso(**options)
    return [encoder.encode(weights) for weights in series(n_updates, seed=8)]


def test_updates_out_of_order_are_told_apart():
    first, second, third, fourth = chain(4)
    decoder = Decoder()
    with pytest.raises(GapError):
        decoder.decode(second)
    decoder.decode(first)
    decoder.decode(second)
    for update, error in ((first, StaleUpdateError), (second, StaleUpdateError), (fourth, GapError)):
        with pytest.raises(error) as caught:
            decoder.decode(update)
        assert caught.value.actual == decoder.position
    with pytest.raises(DivergedError):
        other = chain(3, qp=-20)
        decoder.decode(other[2])
    decoder.decode(third)


def test_bare_bitstreams_are_compared_by_their_nodes():
    first, second, third, fourth = (bytes(update) for update in chain(4))
    decoder = Decoder()
    with pytest.raises(GapError):
        decoder.decode(second)
    decoder.decode(first)
    with pytest.raises(GapError):
        decoder.decode(third)
    decoder.decode(second)
    for data, error in ((second, StaleUpdateError), (fourth, GapError)):
        with pytest.raises(error):
            decoder.decode(data)
    model = decoder.decode(third)
    assert model.position == chain(4)[2].position
    assert model.position.digest == chain(4)[2].position.digest
    assert decoder.decode(first).position.sequence == 3


def test_a_bare_bitstream_of_other_tensors_is_refused():
    encoder = iso(base={"w": np.zeros(3, np.float32)})
    data = bytes(encoder.encode({"w": np.ones(3, np.float32)}))
    for held in ({"v": np.zeros(3, np.float32)}, {"w": np.zeros(4, np.float32)}):
        with pytest.raises(DivergedError, match="'w'"):
            Decoder(base=held).decode(data)
    with pytest.raises(CorruptError, match="cannot be added"):
        Decoder(base={"w": np.zeros(3, np.int32)}).decode(data)


def test_an_integer_that_leaves_its_range_is_refused():
    data = bytes(iso(base={"n": np.int64([0])}).encode({"n": np.int64([200])}))
    for dtype in (np.int8, np.bool_):
        with pytest.raises(CorruptError, match="does not fit"):
            Decoder(base={"n": np.array([0], dtype)}).decode(data)


def test_a_bare_bitstream_does_not_say_where_it_leads():
    with pytest.raises(UnsupportedError, match="where it leads"):
        Update.from_bytes(chain(1)[0].data)


def test_an_update_of_ours_under_the_name_of_the_standard_is_corrupt():
    data = bytearray(Encoder().encode({"w": np.ones(3)}).data)
    data[3] = 1
    with pytest.raises(CorruptError):
        Decoder().decode(data)


@pytest.mark.parametrize("options", [{"qp": -32}, {"max_error": 1e-3}], ids=str)
def test_every_cut_and_every_flipped_bit_of_an_update_is_noticed(options):
    shapes = {"w": (6, 7), "b": (5,), "s": ()}
    encoder, decoder = iso(**options), Decoder()
    for weights in trained(np.random.default_rng(9), 3, shapes, np.float32, 1e-1):
        update, before = encoder.encode(weights), decoder.position
        damaged = [update.data[:cut] for cut in range(len(update.data))]
        for bit in range(8 * len(update.data)):
            flipped = bytearray(update.data)
            flipped[bit // 8] ^= 1 << bit % 8
            damaged.append(bytes(flipped))
        for data in damaged:
            with pytest.raises(BitstreamError):
                decoder.decode(Update(data, update.position, update.parent))
            assert decoder.position == before
        decoder.decode(update)


def test_a_damaged_bare_bitstream_gives_a_typed_error_or_a_model_of_the_same_shapes():
    encoder, decoder = iso(), Decoder()
    for weights in trained(np.random.default_rng(10), 3, {"w": (6, 7), "b": (5,)}, np.float32, 1e-1):
        data = encoder.encode(weights).data
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            fork = decoder.fork()
            try:
                fork.decode(flipped)
            except IncnnrError:
                assert fork.position == decoder.position
        decoder.decode(data)


def test_a_position_that_contradicts_its_bitstream_is_refused():
    keyframe, update = chain(2)
    decoder = Decoder()
    with pytest.raises(CorruptError):
        decoder.decode(Update(keyframe.data, update.position, update.parent))
    decoder.decode(keyframe)
    with pytest.raises(CorruptError):
        decoder.decode(Update(update.data, update.position, None))
    with pytest.raises(CorruptError):
        decoder.decode(Update(update.data, incnnr.Position(1, update.position.chain, None), update.parent))
    decoder.decode(update)


def test_limits_hold_for_bitstreams():
    keyframe, update = chain(2)
    with pytest.raises(LimitExceededError):
        Decoder(limits=Limits(model_bytes=1000)).decode(keyframe)
    with pytest.raises(LimitExceededError):
        Decoder(limits=Limits(tensors=3)).decode(keyframe)
    decoder = Decoder(limits=Limits(tensors=4))
    decoder.decode(keyframe)
    decoder.decode(update)


def test_replay_through_a_lossy_channel_never_gives_a_wrong_model():
    encoder = iso()
    updates = [encoder.encode(w, keyframe=i % 4 == 0) for i, w in enumerate(series(60, seed=11))]
    decoder = Decoder()
    right = [exact(decoder.decode(update)) for update in updates]
    channel = LossyChannel(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.05, seed=1)
    deliveries = list(replay(updates, channel))
    arrived = [d for d in deliveries if d.model is not None]
    assert {event.fate for event in channel.log} == {"drop", "duplicate", "reorder", "corrupt"}
    assert len(arrived) > 20
    assert all(exact(d.model) == right[d.index] for d in arrived)
    kinds = {type(d.error) for d in deliveries if d.error}
    assert {CorruptError, GapError, StaleUpdateError} <= kinds


def test_threads_do_not_change_the_bytes():
    one, two = iso(qp=-32, threads=1), iso(qp=-32, threads=2)
    for weights in series(4):
        assert one.encode(weights) == two.encode(weights)


def test_a_stream_of_bitstreams_is_written_read_continued_and_verified(tmp_path):
    path, weights = tmp_path / "run.incnnr", series(12, seed=12)
    for part in (weights[:5], weights[5:]):
        with incnnr.open(path, "a", profile="iso", max_error=1e-3, keyframe_every=4) as writer:
            for step_weights in part:
                writer.append(step_weights)
    with incnnr.open(path) as reader:
        assert [entry.is_keyframe for entry in reader.entries].count(True) >= 3
        assert all(largest_error(model, w) <= 1e-3 for model, w in zip(reader, weights, strict=True))
        assert largest_error(reader[6], weights[6]) <= 1e-3
        assert all(nnc.parse(bytes(update)) for update in reader.updates())
        assert [d.error for d in replay(reader.updates())] == [None] * 12
    assert list(incnnr.stream.verify(path)) == []


def test_damage_in_a_stream_of_bitstreams_is_found(tmp_path):
    path = tmp_path / "run.incnnr"
    with incnnr.open(path, "w", profile="iso", qp=-32, keyframe_every=3) as writer:
        for weights in series(6):
            writer.append(weights)
    with incnnr.open(path) as reader:
        update = bytes(reader.update(1))
    data = bytearray(path.read_bytes())
    data[data.index(update) + len(update) // 2] ^= 1
    path.write_bytes(data)
    assert [fault.index for fault in incnnr.stream.verify(path)] == [1, 2]


def test_raw_floats_are_sent_only_where_nothing_else_says_the_weights():
    encoder = iso(qp={"exact": None, "*": -32})
    data = encoder.encode(
        {"exact": np.ones(2, np.float32), "nan": np.float32([np.nan]), "w": np.ones(2, np.float32)}
    ).data
    kinds = [u.nnr_compressed_data_unit_payload_type for u in nnc.parse(data) if isinstance(u, DataUnit)]
    assert kinds == [PayloadType.RAW_FLOAT, PayloadType.RAW_FLOAT, PayloadType.FLOAT]


def test_the_callers_arrays_may_be_overwritten():
    encoder, decoder = iso(qp={"raw": None, "*": -32}), Decoder()
    weights = {"raw": np.ones(3, np.float32), "w": np.ones(3, np.float32), "n": np.ones(3, np.int32)}
    for value in (2, 3):
        decoder.decode(encoder.encode(weights))
        for array in weights.values():
            array[:] = value
    assert exact(decoder.decode(encoder.encode(weights))) == exact(weights)


CHAINS = [
    name for name, members in SERIES.items() if name.startswith("seq_") and "seq_pre" not in name and len(members) > 1
]


@pytest.mark.parametrize("name", CHAINS)
def test_bare_chains_of_the_reference_software_are_added_up(name):
    """All numbers are small here: sums in float32 are as good as exact."""
    state, changes = nnc.IncrementalState(), []
    for member in SERIES[name]:
        shapes = shapes_of(member, state.nodes)
        changes.append(nnc.decode(bytes_of(member), state=state, tensor_dimensions=shapes))
    zeros = {
        n: np.zeros(d.shape, np.int32 if d.dtype.kind == "i" else np.float32) for c in changes for n, d in c.items()
    }
    decoder, sums = Decoder(base=zeros), zeros
    for member, differences in zip(SERIES[name], changes, strict=True):
        data = bytes_of(member)
        whole = is_keyframe(data, {n: array.shape for n, array in zeros.items()})
        model = decoder.decode(data)
        sums = {n: differences.get(n, 0) + (0 if whole else total) for n, total in sums.items()}
        assert all(np.allclose(model[n], total, rtol=0, atol=1e-5) for n, total in sums.items())


def share_lost(decoded, given, held):
    """Return the rms error of a tensor by the rms of what there was to say."""
    given, held = np.asarray(given, np.float64), np.asarray(held, np.float64)
    return np.sqrt(np.mean((decoded - given) ** 2) / np.mean((given - held) ** 2))


@pytest.mark.parametrize("effort", ["fast", "default"])
@pytest.mark.parametrize("relative_error", [0.01, 0.1, 0.5])
def test_of_every_tensor_at_most_the_relative_error_is_lost_and_not_much_less(relative_error, effort):
    encoder, decoder = iso(relative_error=relative_error, effort=effort), Decoder()
    held = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for weights in series(4):
        model = decoder.decode(encoder.encode(weights))
        shares = {name: share_lost(model[name], array, held[name]) for name, array in weights.items()}
        assert max(shares.values()) <= relative_error
        assert shares["fc.weight"] > 0.9 * relative_error
        held = dict(model)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_a_relative_error_holds_in_every_float_type(dtype):
    first, second = series(2, dtype=dtype, rate=0.1)
    model = Decoder(base=first).decode(iso(base=first, relative_error=0.2).encode(second))
    for name, array in second.items():
        assert share_lost(model[name].astype(np.float64), array, first[name]) <= 0.2


def test_a_relative_error_can_be_asked_for_by_pattern():
    first, second = series(2)
    model = Decoder(base=first).decode(iso(base=first, relative_error={"fc.*": 0.3}).encode(second))
    assert share_lost(model["fc.weight"], second["fc.weight"], first["fc.weight"]) > 0.2
    assert exact(model)["conv.weight"] == exact(second)["conv.weight"]


def test_what_is_not_worth_its_bytes_stays_until_it_adds_up():
    rng = np.random.default_rng(5)
    large, small = rng.normal(0, 0.05, (40, 50)).astype(np.float32), np.full(5, 0.004, np.float32)
    encoder, decoder = (side(base={"w": large * 0, "b": small * 0}) for side in (iso, Decoder))
    models = [decoder.decode(encoder.encode({"w": large * n, "b": small * n})) for n in range(1, 20)]
    assert not models[0]["b"].any()
    assert largest_error({"b": models[-1]["b"]}, {"b": small * 19}) < 0.03


def test_weighing_bits_takes_fewer_of_them_for_the_same_error():
    rng = np.random.default_rng(6)
    held = {"w": np.zeros((200, 100), np.float32)}
    given = {"w": rng.laplace(0, 0.003, (200, 100)).astype(np.float32)}
    weighed, plain = iso(base=held, qp=-34).encode(given), iso(base=held, qp=-32, effort="fast").encode(given)
    assert len(weighed.data) < 0.99 * len(plain.data)
    assert weighed.stats.rms_error < plain.stats.rms_error


def test_the_stats_tell_the_error_of_the_whole_update():
    first, second = series(2)
    update = iso(base=first).encode(second)
    model = Decoder(base=first).decode(update)
    squares = sum(np.square(model[name] - array.astype(np.float64)).sum() for name, array in second.items())
    assert update.stats.rms_error == pytest.approx(np.sqrt(squares / update.stats.n_weights))


def test_a_number_of_bytes_cannot_be_asked_for():
    with pytest.raises(ValueError, match="target_bytes"):
        Encoder(profile="iso", target_bytes=1000)

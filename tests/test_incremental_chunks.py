"""Updates that are coded and decoded unit by unit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import incnnr
from incnnr import limits
from incnnr.errors import (
    CorruptError,
    DivergedError,
    GapError,
    LimitExceededError,
    StaleUpdateError,
    StateError,
    TruncatedError,
)
from incnnr.incremental import encoding
from tests.weights import exact, trained

MODES = [{}, {"effort": "small"}, {"max_error": 1e-3}, {"profile": "iso", "qp": -45}]


def cut(data, n_bytes):
    return [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """Units that hold little, so that small models have many."""
    monkeypatch.setattr(encoding, "UNIT_BYTES", 2000)


@pytest.mark.parametrize("options", MODES, ids=str)
def test_joined_chunks_are_the_update(options):
    series = list(trained(np.random.default_rng(1), 4))
    whole, chunked = incnnr.Encoder(**options), incnnr.Encoder(**options)
    for weights in series:
        update, chunks = whole.encode(weights), chunked.encode_chunks(weights)
        parts = list(chunks)
        assert len(parts) > 3
        assert b"".join(parts) == bytes(update)
        assert (chunks.position, chunks.parent, chunks.stats) == (update.position, update.parent, update.stats)
        assert chunked.position == update.position


@pytest.mark.parametrize("n_bytes", [1, 7, 1000, 10**9])
@pytest.mark.parametrize("options", MODES, ids=str)
def test_an_update_may_be_cut_anywhere(options, n_bytes):
    series = list(trained(np.random.default_rng(2), 3))
    encoder, decoder = incnnr.Encoder(**options), incnnr.Decoder()
    plain = incnnr.Decoder()
    for weights in series:
        update = encoder.encode(weights)
        model, expected = decoder.decode_chunks(cut(bytes(update), n_bytes)), plain.decode(bytes(update))
        assert exact(model) == exact(expected)
        assert model.position == expected.position
        assert model.stats == expected.stats


def test_each_unit_is_coded_when_it_is_asked_for():
    weights = {str(i): np.arange(200.0) for i in range(10)}
    taken = []

    def passed_on(chunks):
        for chunk in chunks:
            taken.append(chunk)
            yield chunk

    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    model = decoder.decode_chunks(passed_on(encoder.encode_chunks(weights)))
    assert len(taken) == 14
    assert exact(model) == exact(weights)


def test_the_encoder_moves_on_with_the_last_unit_and_not_before():
    weights = next(trained(np.random.default_rng(3), 1))
    encoder = incnnr.Encoder()
    chunks = encoder.encode_chunks(weights)
    n_units = len(list(incnnr.Encoder().encode_chunks(weights)))
    for _ in range(n_units - 1):
        next(chunks)
        assert encoder.position is None
    with pytest.raises(StateError, match="not coded to its end"):
        chunks.position  # noqa: B018
    next(chunks)
    assert encoder.position == chunks.position
    assert list(chunks) == []


def test_an_iteration_that_stops_early_leaves_the_encoder_where_it_was():
    series = list(trained(np.random.default_rng(4), 2))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    decoder.decode(encoder.encode(series[0]))
    next(encoder.encode_chunks(series[1]))
    assert encoder.position == decoder.position
    assert exact(decoder.decode(encoder.encode(series[1]))) == exact(series[1])


def test_an_update_that_was_overtaken_is_not_finished():
    series = list(trained(np.random.default_rng(5), 2))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    late = encoder.encode_chunks(series[0])
    next(late)
    decoder.decode(encoder.encode(series[1]))
    with pytest.raises(StateError, match="used for something else"):
        list(late)
    assert encoder.position == decoder.position


def test_chunks_wait_for_their_acknowledgement():
    series = list(trained(np.random.default_rng(6), 2))
    encoder = incnnr.Encoder(require_ack=True)
    chunks = encoder.encode_chunks(series[0])
    decoder = incnnr.Decoder()
    decoder.decode_chunks(chunks)
    assert encoder.position is None
    encoder.acknowledge(chunks.position)
    assert encoder.position == decoder.position


def test_what_cannot_be_encoded_is_refused_at_once():
    with pytest.raises(TypeError):
        incnnr.Encoder().encode_chunks({"w": np.array([object()])})
    with pytest.raises(ValueError, match="cannot be partial"):
        incnnr.Encoder().encode_chunks({}, keyframe=True, partial=True)


@pytest.mark.parametrize("options", MODES[:3], ids=str)
def test_a_cut_or_damaged_update_leaves_the_decoder_where_it_was(options):
    series = list(trained(np.random.default_rng(7), 2))
    encoder, decoder = incnnr.Encoder(**options), incnnr.Decoder()
    first = decoder.decode(encoder.encode(series[0]))
    held = exact(first)
    data = bytes(encoder.encode(series[1]))
    rng = np.random.default_rng(8)
    for stop in rng.integers(0, len(data), 40).tolist():
        with pytest.raises(TruncatedError):
            decoder.decode_chunks(cut(data[:stop], 300))
    for at in rng.integers(0, len(data), 60).tolist():
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        with pytest.raises((incnnr.errors.BitstreamError, incnnr.errors.ReferenceMismatchError)):
            decoder.decode_chunks(cut(bytes(damaged), 300))
    assert exact(decoder.model) == held
    with pytest.raises(CorruptError, match="behind the end"):
        decoder.decode_chunks([data, b"\0"])
    assert decoder.decode_chunks([data]).position == encoder.position


def test_what_the_chunks_raise_is_passed_on_and_nothing_has_happened():
    series = list(trained(np.random.default_rng(9), 2))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    arrays = {name: array.copy() for name, array in decoder.decode(encoder.encode(series[0])).items()}

    def lost(chunks):
        yield from list(chunks)[:-1]
        raise ConnectionError

    update = list(encoder.encode_chunks(series[1]))
    with pytest.raises(ConnectionError):
        decoder.decode_chunks(lost(update), into=arrays)
    assert exact(arrays) == exact(series[0])
    decoder.decode_chunks(update, into=arrays)
    assert exact(arrays) == exact(series[1])


def test_updates_that_do_not_follow_are_refused_as_whole_ones_are():
    series = list(trained(np.random.default_rng(10), 4))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    updates = [bytes(encoder.encode(weights)) for weights in series]
    foreign = incnnr.Encoder(base=series[1])
    with pytest.raises(GapError):
        decoder.decode_chunks([updates[1]])
    decoder.decode_chunks([updates[0]])
    with pytest.raises(StaleUpdateError):
        decoder.decode_chunks(cut(updates[0], 50))
    with pytest.raises(GapError):
        decoder.decode_chunks(cut(updates[2], 50))
    with pytest.raises(DivergedError):
        decoder.decode_chunks([bytes(foreign.encode(series[2]))])
    with pytest.raises(TruncatedError):
        decoder.decode_chunks([updates[2][:-1]])
    assert exact(decoder.decode_chunks([updates[1]])) == exact(series[1])


def test_few_bytes_do_not_make_a_decoder_write_much():
    weights = {"w": np.zeros(1 << 20, np.float64)}
    data = b"".join(incnnr.Encoder().encode_chunks(weights))
    few = incnnr.Limits(model_bytes=1 << 20)
    with pytest.raises(LimitExceededError):
        incnnr.Decoder(limits=few).decode_chunks(cut(data, 100))


@pytest.mark.parametrize("options", MODES, ids=str)
def test_writing_over_what_is_held_gives_the_same_bytes(options):
    series = list(trained(np.random.default_rng(11), 5))
    plain, over = incnnr.Encoder(**options), incnnr.Encoder(**options)
    for i, weights in enumerate(series):
        update = plain.encode(weights, keyframe=i == 3)
        chunks = over.encode_over(weights, keyframe=i == 3)
        assert b"".join(chunks) == bytes(update)
        assert over.position == update.position


def test_writing_over_follows_tensors_that_come_go_and_change():
    rng = np.random.default_rng(12)
    tables = [
        {"a": (30, 4), "b": (7,)},
        {"a": (30, 4), "c": (3, 3)},
        {"c": (3, 3), "a": (4, 30)},
        {"a": (4, 30), "b": (7,)},
    ]
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    for table in tables:
        weights = {name: rng.normal(size=shape).astype(ml_dtypes.bfloat16) for name, shape in table.items()}
        assert exact(decoder.decode_chunks(encoder.encode_over(weights))) == exact(weights)


def test_an_encoder_that_stopped_writing_over_starts_again_with_a_keyframe():
    series = list(trained(np.random.default_rng(13), 3))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    decoder.decode_chunks(encoder.encode_over(series[0]))
    next(encoder.encode_over(series[1]))
    assert encoder.position is None
    chunks = encoder.encode_over(series[2])
    assert exact(decoder.decode_chunks(chunks)) == exact(series[2])
    assert chunks.is_keyframe


def test_writing_over_leaves_the_arrays_of_a_decoder_alone():
    series = list(trained(np.random.default_rng(14), 4))
    first, decoder = incnnr.Encoder(), incnnr.Decoder()
    model = decoder.decode(first.encode(series[0]))
    encoder = incnnr.Encoder.resume(decoder)
    updates = [b"".join(encoder.encode_over(weights)) for weights in series[1:]]
    assert exact(model) == exact(decoder.model) == exact(series[0])
    for update, weights in zip(updates, series[1:], strict=True):
        assert exact(decoder.decode(update)) == exact(weights)


def test_an_encoder_that_takes_over_leaves_the_decoder_empty():
    series = list(trained(np.random.default_rng(15), 3))
    decoder, follower = incnnr.Decoder(), incnnr.Decoder()
    keyframe = incnnr.Encoder().encode(series[0])
    decoder.decode(keyframe)
    follower.decode(keyframe)
    encoder = incnnr.Encoder.take_over(decoder)
    assert decoder.position is None
    for weights in series[1:]:
        assert exact(follower.decode_chunks(encoder.encode_over(weights))) == exact(weights)


def test_an_encoder_that_waits_for_acknowledgements_does_not_write_over():
    with pytest.raises(StateError, match="acknowledge"):
        incnnr.Encoder(require_ack=True).encode_over({"w": np.ones(1)})


def decoded_over(decoder, update):
    return decoder.decode_over(cut(bytes(update), 700), len(bytes(update)))


@pytest.mark.parametrize("options", [*MODES[:3], {"qp": -20}], ids=str)
def test_decoding_over_what_is_held_gives_the_same_model(options):
    encoder, plain, over = incnnr.Encoder(**options), incnnr.Decoder(), incnnr.Decoder()
    for i, weights in enumerate(trained(np.random.default_rng(16), 5)):
        update = encoder.encode(weights, keyframe=i == 3)
        expected, model = plain.decode(update), decoded_over(over, update)
        assert exact(model) == exact(expected)
        assert (model.position, model.changed, model.stats) == (expected.position, expected.changed, expected.stats)
    assert over.to_bytes() == plain.to_bytes()


def test_decoding_over_writes_into_the_arrays_that_are_there():
    series = list(trained(np.random.default_rng(17), 3))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    models = [decoded_over(decoder, encoder.encode(weights)) for weights in series]
    assert exact(models[0]) == exact(models[2]) == exact(series[2])
    assert not any(array.flags.writeable for array in models[2].values())


def test_decoding_over_follows_tensors_that_come_go_and_change():
    rng = np.random.default_rng(18)
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    for table in ({"a": "f4", "b": "f2"}, {"a": "f4", "c": "i8"}, {"c": "i4", "a": "f4"}, {"b": "f2", "c": "i4"}):
        weights = {name: rng.integers(0, 99, 300).astype(dtype) for name, dtype in table.items()}
        assert exact(decoded_over(decoder, encoder.encode(weights))) == exact(weights)


def test_an_exact_update_is_decoded_over_a_bitstream_of_the_standard():
    series = list(trained(np.random.default_rng(19), 3))
    decoder = incnnr.Decoder()
    decoder.decode(incnnr.Encoder(profile="iso", qp=-30).encode(series[0]))
    encoder = incnnr.Encoder.resume(decoder)
    for weights in series[1:]:
        assert exact(decoded_over(decoder, encoder.encode(weights))) == exact(weights)


def test_decoding_over_leaves_the_arrays_of_the_caller_alone():
    series = list(trained(np.random.default_rng(20), 3))
    encoder, decoder = incnnr.Encoder(base=series[0]), incnnr.Decoder(base=series[0])
    arrays = {name: array.copy() for name, array in series[0].items()}
    decoder.decode(encoder.encode(series[1]), into=arrays)
    model = decoded_over(decoder, encoder.encode(series[2]))
    assert exact(arrays) == exact(series[1])
    assert exact(model) == exact(series[2])


def test_a_decoder_that_could_not_decode_over_takes_a_keyframe_next():
    series = list(trained(np.random.default_rng(21), 3))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    decoder.decode(encoder.encode(series[0]))
    update = bytes(encoder.encode(series[1]))
    with pytest.raises(CorruptError):
        decoder.decode_over([update[:-40], bytes([update[-40] ^ 1]), update[-39:]], len(update))
    assert decoder.position is None
    assert exact(decoded_over(decoder, encoder.encode(series[2], keyframe=True))) == exact(series[2])


def test_an_update_that_does_not_follow_is_refused_before_anything_is_written_over():
    series = list(trained(np.random.default_rng(22), 3))
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    updates = [encoder.encode(weights) for weights in series]
    model = decoder.decode(updates[0])
    with pytest.raises(GapError):
        decoded_over(decoder, updates[2])
    assert exact(model) == exact(decoder.model) == exact(series[0])


def test_an_update_decoded_over_may_declare_what_all_its_bytes_allow(monkeypatch):
    monkeypatch.setattr(limits, "_ALWAYS_ALLOWED", 0)
    weights = {"a": np.zeros(1 << 18), "b": np.random.default_rng(23).random(400)}
    update = bytes(incnnr.Encoder().encode(weights))
    with pytest.raises(LimitExceededError):
        incnnr.Decoder().decode_chunks(cut(update, 100))
    assert exact(incnnr.Decoder().decode_over(cut(update, 100), len(update))) == exact(weights)
    with pytest.raises(LimitExceededError):
        incnnr.Decoder(limits=incnnr.Limits(model_bytes=1 << 20)).decode_over([update], len(update))

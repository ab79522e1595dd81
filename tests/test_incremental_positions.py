from __future__ import annotations

import numpy as np
import pytest
import xxhash

from incnnr import Decoder, Encoder, Update
from incnnr.errors import BitstreamError, DivergedError, GapError, LimitExceededError, StaleUpdateError, StateError
from incnnr.incremental.snapshot import MAGIC
from tests.weights import exact, trained


@pytest.fixture
def series():
    return list(trained(np.random.default_rng(1), 8))


def encoded(encoder, series):
    return [encoder.encode(weights) for weights in series]


def test_the_first_update_is_keyframe_0_and_others_name_their_parent(series):
    updates = encoded(Encoder(), series[:3])
    assert [u.position.sequence for u in updates] == [0, 1, 2]
    assert [u.is_keyframe for u in updates] == [True, False, False]
    assert updates[0].parent is None
    assert updates[2].parent == updates[1].position


def test_an_update_read_from_bytes_knows_its_place(series):
    for update in encoded(Encoder(), series[:3]):
        read = Update.from_bytes(bytes(update))
        assert (read.position, read.parent, read.is_keyframe) == (update.position, update.parent, update.is_keyframe)
        assert read.position.digest == update.position.digest


def test_an_update_is_shown_without_its_bytes(series):
    assert len(repr(Encoder().encode(series[0]))) < 500


def test_a_repeated_or_older_update_is_stale_and_leaves_the_decoder_alone(series):
    updates = encoded(Encoder(), series[:4])
    decoder = Decoder()
    for update in updates:
        decoder.decode(update)
    for update in updates:
        with pytest.raises(StaleUpdateError):
            decoder.decode(update)
    assert decoder.position == updates[-1].position
    assert exact(decoder.model) == exact(series[3])


def test_an_update_that_is_too_new_is_a_gap(series):
    updates = encoded(Encoder(), series[:4])
    decoder = Decoder()
    with pytest.raises(GapError) as no_keyframe:
        decoder.decode(updates[1])
    assert no_keyframe.value.actual is None
    decoder.decode(updates[0])
    with pytest.raises(GapError) as missing:
        decoder.decode(updates[2])
    assert missing.value.expected == updates[1].position
    assert missing.value.actual == updates[0].position
    for update in updates[1:]:
        model = decoder.decode(update)
    assert exact(model) == exact(series[3])


def test_an_update_from_another_past_has_diverged(series):
    one, other = Encoder(), Encoder()
    decoder = Decoder()
    decoder.decode(one.encode(series[0]))
    other.encode(series[1])
    with pytest.raises(DivergedError):
        decoder.decode(other.encode(series[2]))
    assert exact(decoder.decode(one.encode(series[3]))) == exact(series[3])


def test_the_same_number_with_another_content_has_diverged(series):
    encoder, decoder = Encoder(require_ack=True), Decoder()
    first = encoder.encode(series[0])
    encoder.acknowledge(first.position)
    decoder.decode(first)
    decoder.decode(encoder.encode(series[1]))
    with pytest.raises(DivergedError):
        decoder.decode(encoder.encode(series[2]))


def test_a_keyframe_is_taken_by_whoever_missed_updates(series):
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode(series[0]))
    encoded(encoder, series[1:4])
    model = decoder.decode(encoder.encode(series[4], keyframe=True))
    assert exact(model) == exact(series[4])
    assert model.stats.missed == 3
    assert exact(decoder.decode(encoder.encode(series[5]))) == exact(series[5])


def test_an_older_keyframe_is_taken_only_after_reset(series):
    encoder, decoder = Encoder(), Decoder()
    old = encoder.encode(series[0])
    decoder.decode(old)
    decoder.decode(encoder.encode(series[1]))
    with pytest.raises(StaleUpdateError):
        decoder.decode(old)
    decoder.reset()
    assert exact(decoder.model) == exact(series[1])
    assert exact(decoder.decode(old)) == exact(series[0])
    with pytest.raises(StaleUpdateError):
        decoder.decode(old)


def test_a_shared_base_needs_no_keyframe(series):
    encoder, decoder = Encoder(base=series[0]), Decoder(base=series[0])
    assert encoder.position == decoder.position
    assert encoder.position.sequence == 0
    update = encoder.encode(series[1])
    assert not update.is_keyframe
    assert exact(decoder.decode(update)) == exact(series[1])


def test_the_order_of_a_base_does_not_matter(series):
    backwards = dict(reversed(series[0].items()))
    encoder, decoder = Encoder(base=series[0]), Decoder(base=backwards)
    assert exact(decoder.decode(encoder.encode(series[1]))) == exact(series[1])


def test_whoever_joins_late_learns_how_much_came_before(series):
    encoder, decoder = Encoder(), Decoder()
    encoded(encoder, series[:5])
    assert decoder.decode(encoder.encode(series[5], keyframe=True)).stats.missed == 5


def test_another_base_is_another_past(series):
    decoder = Decoder(base=series[1])
    with pytest.raises(DivergedError):
        decoder.decode(Encoder(base=series[0]).encode(series[2]))


def test_a_base_is_not_affected_by_what_the_caller_does_with_it(series):
    base = {name: a.copy() for name, a in series[0].items()}
    encoder, decoder = Encoder(base=base), Decoder(base=series[0])
    base["fc.weight"][:] = 0
    assert exact(decoder.decode(encoder.encode(series[1]))) == exact(series[1])


def test_without_acknowledgement_the_next_update_replaces_the_pending_one(series):
    encoder, decoder = Encoder(require_ack=True), Decoder()
    lost = encoder.encode(series[0])
    kept = encoder.encode(series[1])
    assert encoder.position is None
    with pytest.raises(StateError):
        encoder.acknowledge(lost.position)
    decoder.decode(kept)
    encoder.acknowledge(kept.position)
    assert encoder.position == decoder.position
    encoder.encode(series[2])
    encoder.rollback()
    with pytest.raises(StateError):
        encoder.acknowledge(kept.position)
    assert exact(decoder.decode(encoder.encode(series[3]))) == exact(series[3])


def test_after_a_lost_acknowledgement_a_keyframe_is_taken(series):
    encoder, decoder = Encoder(require_ack=True), Decoder()
    decoder.decode(encoder.encode(series[0]))
    decoder.decode(encoder.encode(series[1]))
    assert exact(decoder.model) == exact(series[1])
    second = encoder.encode(series[2])
    encoder.acknowledge(second.position)
    with pytest.raises(GapError):
        Decoder().decode(encoder.encode(series[3]))
    decoder.decode(second)
    decoder.decode(encoder.encode(series[4]))
    with pytest.raises(DivergedError):
        decoder.decode(encoder.encode(series[5]))
    keyframe = encoder.encode(series[6], keyframe=True)
    assert exact(decoder.decode(keyframe)) == exact(series[6])


def test_a_keyframe_with_the_held_number_from_another_past_has_diverged(series):
    decoder = Decoder()
    decoder.decode(Encoder().encode(series[0]))
    with pytest.raises(DivergedError):
        decoder.decode(Encoder().encode(series[1]))


def test_an_encoder_resumes_from_whatever_a_decoder_holds(series):
    encoder, decoder, other = Encoder(), Decoder(), Decoder()
    for update in encoded(encoder, series[:3]):
        decoder.decode(update)
        other.decode(update)
    resumed = Encoder.resume(decoder)
    update = resumed.encode(series[3])
    assert bytes(update) == bytes(encoder.encode(series[3]))
    assert exact(other.decode(update)) == exact(series[3])
    with pytest.raises(TypeError):
        Encoder.resume(decoder, base=series[0])


def test_a_fork_goes_its_own_way(series):
    encoder, decoder = Encoder(), Decoder()
    decoder.decode(encoder.encode(series[0]))
    fork = decoder.fork()
    fork.decode(encoder.encode(series[1]))
    assert exact(decoder.model) == exact(series[0])
    assert exact(fork.model) == exact(series[1])


@pytest.mark.parametrize("options", [{}, {"max_error": 1e-3}])
def test_a_saved_decoder_continues_exactly(series, options):
    encoder, decoder = Encoder(**options), Decoder()
    for update in encoded(encoder, series[:3]):
        model = decoder.decode(update)
    whole = Decoder.from_bytes(decoder.to_bytes())
    bare = decoder.to_bytes(weights=False)
    without = Decoder.from_bytes(bare, model)
    assert len(bare) < len(decoder.to_bytes())
    update = encoder.encode(series[3])
    expected = exact(decoder.decode(update))
    assert exact(whole.decode(update)) == exact(without.decode(update)) == expected
    assert bytes(Encoder.resume(whole, **options).encode(series[4])) == bytes(encoder.encode(series[4]))


def test_a_state_without_weights_takes_only_the_right_ones(series):
    decoder = Decoder(base=series[0])
    bare = decoder.to_bytes(weights=False)
    with pytest.raises(ValueError, match=r"conv\.weight"):
        Decoder.from_bytes(bare)
    with pytest.raises(ValueError, match="held"):
        Decoder.from_bytes(bare, series[1])
    with pytest.raises(ValueError, match="float64"):
        Decoder.from_bytes(bare, {name: a.astype(np.float64) for name, a in series[0].items()})


def test_there_is_nothing_to_save_before_the_first_keyframe():
    with pytest.raises(StateError):
        Decoder().to_bytes()


def test_a_saved_state_that_claims_terabytes_is_beyond_the_limits():
    frame = bytes.fromhex("28b52ffde0") + (1 << 40).to_bytes(8, "little")  # zstandard, content size in 8 bytes
    data = MAGIC + len(frame).to_bytes(8, "little") + frame
    with pytest.raises(LimitExceededError):
        Decoder.from_bytes(data + xxhash.xxh64_intdigest(data).to_bytes(8, "little"))


def test_every_damaged_state_is_refused():
    decoder = Decoder(base={"w": np.arange(5.0)})
    data = decoder.to_bytes()
    for cut in range(len(data)):
        with pytest.raises(BitstreamError):
            Decoder.from_bytes(data[:cut])
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 0x10
        with pytest.raises(BitstreamError):
            Decoder.from_bytes(bytes(damaged))

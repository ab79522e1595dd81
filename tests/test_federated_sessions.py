"""Rounds of federated learning over bytes: what arrives, what is missed, and what is refused."""

from __future__ import annotations

import random

import ml_dtypes
import numpy as np
import pytest

from incnnr import Decoder, Encoder
from incnnr.errors import (
    DivergedError,
    GapError,
    IncnnrError,
    ModelMismatchError,
    PatternWarning,
    ReferenceMismatchError,
    StaleUpdateError,
)
from incnnr.federated import Broadcast, Collector, Downlink, Memory, Receiver, Reply, Uplink
from incnnr.position import Position
from tests.weights import exact, trained


def models(n_steps=6, seed=1, rate=1e-2):
    return list(trained(np.random.default_rng(seed), n_steps, rate=rate))


def locally_trained(model, seed):
    rng = np.random.default_rng(seed)
    return {name: (w + rng.normal(0, 0.02, w.shape)).astype(w.dtype) for name, w in model.items()}


def test_a_lossless_session_brings_every_bit_both_ways():
    downlink, receiver, uplink = Downlink(), Receiver(), Uplink()
    collector = Collector(downlink)
    for step, weights in enumerate(models()):
        downlink.broadcast(weights)
        received = receiver.receive(downlink.message(receiver.position))
        assert exact(received) == exact(weights)
        local = locally_trained(received, step)
        assert exact(collector.collect("a", uplink.encode(receiver, local))) == exact(local)


def test_all_clients_that_hold_the_same_are_sent_the_same_bytes():
    downlink = Downlink(max_error=1e-3)
    first, second = Receiver(), Receiver()
    for weights in models():
        downlink.broadcast(weights)
        messages = [downlink.message(r.position) for r in (first, second)]
        assert messages[0] is messages[1]
        assert exact(first.receive(messages[0])) == exact(second.receive(messages[1]))


def test_a_client_that_missed_rounds_gets_the_updates_it_missed_and_nothing_else():
    downlink, receiver = Downlink(), Receiver()
    series = models()
    downlink.broadcast(series[0])
    receiver.receive(downlink.message(None))
    for weights in series[1:4]:
        downlink.broadcast(weights)
    message = downlink.message(receiver.position)
    assert list(Broadcast.read(message).updates) == [bytes(u) for u in downlink.updates[1:]]
    assert exact(receiver.receive(message)) == exact(series[3])


def test_a_newcomer_and_one_from_before_the_newest_keyframe_get_that_and_what_follows():
    downlink, early, late = Downlink(keyframe_every=3), Receiver(), Receiver()
    series = models()
    downlink.broadcast(series[0])
    early.receive(downlink.message(None))
    for weights in series[1:5]:
        downlink.broadcast(weights)
    for receiver in (early, late):
        message = downlink.message(receiver.position)
        assert len(Broadcast.read(message).updates) == 2
        assert exact(receiver.receive(message)) == exact(series[4])


def test_a_message_that_arrives_twice_changes_nothing():
    downlink, receiver = Downlink(), Receiver()
    downlink.broadcast(models()[0])
    message = downlink.message(None)
    assert exact(receiver.receive(message)) == exact(receiver.receive(message))


def test_a_client_whose_last_reply_was_lost_skips_what_it_holds_already():
    downlink, receiver = Downlink(), Receiver()
    for weights in models():
        downlink.broadcast(weights)
        assert exact(receiver.receive(downlink.message(None))) == exact(weights)


def test_a_late_message_is_refused_and_the_receiver_stays_where_it_is():
    downlink, receiver = Downlink(), Receiver()
    series = models()
    downlink.broadcast(series[0])
    late = downlink.message(None)
    receiver.receive(late)
    downlink.broadcast(series[1])
    receiver.receive(downlink.message(receiver.position))
    position = receiver.position
    with pytest.raises(StaleUpdateError):
        receiver.receive(late)
    assert receiver.position == position


def test_a_restarted_client_asks_for_what_it_needs_and_gets_it():
    downlink, receiver = Downlink(), Receiver()
    collector = Collector(downlink)
    series = models()
    downlink.broadcast(series[0])
    receiver.receive(downlink.message(None))
    downlink.broadcast(series[1])
    message, restarted = downlink.message(receiver.position), Receiver()
    with pytest.raises(GapError):
        restarted.receive(message)
    with pytest.raises(GapError) as caught:
        collector.collect("a", restarted.request())
    assert exact(restarted.receive(downlink.message(caught.value.actual))) == exact(series[1])


def test_clients_follow_a_restarted_server_once_they_have_said_where_they_are():
    old, receiver = Downlink(), Receiver()
    for weights in models():
        old.broadcast(weights)
        receiver.receive(old.message(receiver.position))
    new = Downlink()
    new.broadcast(models(seed=2)[0])
    with pytest.raises(StaleUpdateError):
        receiver.receive(new.message(None))
    held = Reply.read(receiver.request()).held
    assert exact(receiver.receive(new.message(held))) == exact(models(seed=2)[0])


def test_a_message_of_another_chain_of_the_same_length_is_refused():
    ours, theirs, receiver = Downlink(), Downlink(), Receiver()
    for downlink, seed in ((ours, 1), (theirs, 2)):
        downlink.broadcast(models(seed=seed)[0])
    receiver.receive(ours.message(None))
    with pytest.raises(DivergedError):
        receiver.receive(theirs.message(None))


def test_receivers_go_on_from_where_they_were_saved():
    downlink, receiver = Downlink(), Receiver()
    for weights in models():
        downlink.broadcast(weights)
        receiver = Receiver.from_bytes(receiver.to_bytes())
        assert exact(receiver.receive(downlink.message(receiver.position))) == exact(weights)


def test_the_error_of_the_downlink_does_not_come_back_in_the_replies():
    downlink, receiver, uplink = Downlink(max_error=0.05), Receiver(), Uplink()
    collector = Collector(downlink)
    weights = models()[0]
    downlink.broadcast({name: np.zeros_like(w) for name, w in weights.items()})
    receiver.receive(downlink.message(None))
    downlink.broadcast(weights)
    received = receiver.receive(downlink.message(receiver.position))
    assert exact(received) != exact(weights)
    collected = collector.collect("a", uplink.encode(receiver, received))
    assert exact(collected) == exact(weights)


def test_encoding_a_reply_changes_neither_the_receiver_nor_the_uplink():
    downlink, receiver, uplink = Downlink(), Receiver(), Uplink(max_error=1e-3)
    downlink.broadcast(models()[0])
    model = receiver.receive(downlink.message(None))
    local = locally_trained(model, 1)
    position = receiver.position
    assert uplink.encode(receiver, local) == uplink.encode(receiver, local)
    assert receiver.position == position


def test_a_counter_that_averaging_made_a_float_may_come_back_as_an_integer():
    downlink, receiver, uplink = Downlink(), Receiver(), Uplink(max_error=1e-3)
    downlink.broadcast({"n": np.array(12.0)})
    receiver.receive(downlink.message(None))
    collected = Collector(downlink).collect("a", uplink.encode(receiver, {"n": np.array(13)}))
    assert abs(collected["n"] - 13.0) <= 1e-3


def test_half_precision_models_are_put_together_in_their_own_dtype():
    downlink, receiver, uplink = Downlink(max_error=0.01), Receiver(), Uplink(max_error=0.01)
    weights = {"w": np.linspace(-1, 1, 50).astype(ml_dtypes.bfloat16), "i": np.arange(5)}
    downlink.broadcast(weights)
    receiver.receive(downlink.message(None))
    local = {"w": (weights["w"] + ml_dtypes.bfloat16(0.5)), "i": np.arange(5) + 3}
    collected = Collector(downlink).collect("a", uplink.encode(receiver, local))
    assert collected["w"].dtype == ml_dtypes.bfloat16
    assert np.abs(collected["w"].astype(float) - local["w"].astype(float)).max() < 0.03
    assert exact({"i": collected["i"]}) == exact({"i": local["i"]})


def test_options_that_sessions_have_no_use_for_are_refused_at_once():
    for end in (Downlink, Uplink):
        with pytest.raises(TypeError, match="not for sessions"):
            end(profile="iso", qp=-32)
        with pytest.raises(TypeError):
            end(quality=3)


def session(seed=3, **options):
    downlink, receiver = Downlink(), Receiver()
    downlink.broadcast(models(seed=seed)[0])
    model = receiver.receive(downlink.message(None))
    return downlink, receiver, Uplink(**options), Collector(downlink), model


def test_a_second_reply_to_a_model_is_refused_and_so_is_a_reply_to_an_old_one():
    downlink, receiver, uplink, collector, model = session(max_error=1e-3)
    reply = uplink.encode(receiver, locally_trained(model, 1))
    collector.collect("a", reply)
    with pytest.raises(StaleUpdateError):
        collector.collect("a", reply)
    for weights in models()[1:4]:
        downlink.broadcast(weights)
    with pytest.raises(StaleUpdateError):
        collector.collect("b", reply)


def test_a_reply_of_another_chain_is_refused():
    _, receiver, uplink, _, model = session(seed=3)
    _, _, _, collector, _ = session(seed=4)
    with pytest.raises(DivergedError):
        collector.collect("a", uplink.encode(receiver, locally_trained(model, 1)))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", [{}, {"max_error": 1e-3}])
def test_weights_that_are_not_finite_are_refused_and_the_round_goes_on(poison, options):
    _, receiver, uplink, collector, model = session(**options)
    bad = locally_trained(model, 1)
    bad["fc.weight"][3, 4] = poison
    reply = uplink.encode(receiver, bad)
    with pytest.raises(ModelMismatchError, match="finite"):
        collector.collect("a", reply)
    good = uplink.encode(receiver, locally_trained(model, 2))
    assert collector.collect("a", good).keys() == model.keys()


def test_an_infinity_of_the_global_model_itself_may_stay():
    downlink, receiver, uplink = Downlink(), Receiver(), Uplink(max_error=1e-3)
    downlink.broadcast({"mask": np.array([-np.inf, 0.0, 1.0], np.float32)})
    receiver.receive(downlink.message(None))
    reply = uplink.encode(receiver, {"mask": np.array([-np.inf, 0.0, 2.0], np.float32)})
    collected = Collector(downlink).collect("a", reply)
    assert collected["mask"][0] == -np.inf
    assert abs(collected["mask"][2] - 2) <= 1e-3


def other_tensors(model):
    yield {name: w for name, w in model.items() if name != "scale"}
    yield {**model, "more": np.zeros(3)}
    yield {**model, "scale": np.zeros(2, np.float32)}
    yield {**model, "scale": np.array("text")}


def test_an_uplink_does_not_code_other_tensors_than_it_received():
    _, receiver, uplink, _, model = session()
    for weights in other_tensors(model):
        with pytest.raises(ModelMismatchError):
            uplink.encode(receiver, weights)


def test_a_client_cannot_change_the_tensors_of_the_model():
    _, receiver, _, collector, model = session()
    for weights in other_tensors(model):
        update = Encoder.resume(receiver.decoder).encode(weights)
        with pytest.raises(ModelMismatchError):
            collector.collect("a", Reply(receiver.position, bytes(update)).pack())


def test_a_client_cannot_send_a_keyframe():
    _, receiver, _, collector, model = session()
    update = Encoder.resume(receiver.decoder).encode(model, keyframe=True)
    with pytest.raises(IncnnrError, match="keyframe"):
        collector.collect("a", Reply(receiver.position, bytes(update)).pack())


def test_an_update_that_follows_something_else_than_it_says_is_refused():
    _, receiver, _, collector, _ = session()
    _, _, _, _, foreign = session(seed=5)
    update = Encoder(base=foreign).encode(locally_trained(foreign, 1))
    with pytest.raises(DivergedError):
        collector.collect("a", Reply(receiver.position, bytes(update)).pack())


def test_a_bomb_is_refused_before_it_is_allocated():
    _, receiver, _, collector, model = session()
    bomb = {**model, "bomb": np.zeros(1 << 28, np.uint8)}
    update = Encoder.resume(receiver.decoder).encode(bomb)
    assert len(update.data) < 10_000
    with pytest.raises(IncnnrError, match="declared"):
        collector.collect("a", Reply(receiver.position, bytes(update)).pack())


def test_damaged_messages_give_typed_errors_and_change_nothing():
    downlink, receiver, uplink, collector, model = session(max_error=1e-3)
    reply = uplink.encode(receiver, locally_trained(model, 1))
    downlink.broadcast(locally_trained(model, 2))
    message, position = downlink.message(receiver.position), receiver.position
    rng = np.random.default_rng(7)
    for data, take in ((reply, lambda d: collector.collect("a", d)), (message, receiver.receive)):
        for length in rng.integers(0, len(data), 40):
            with pytest.raises(IncnnrError):
                take(data[:length])
        for at in rng.integers(0, len(data), 200):
            damaged = bytearray(data)
            damaged[at] ^= 1 << rng.integers(8)
            with pytest.raises(IncnnrError):
                take(bytes(damaged))
    assert receiver.position == position
    collector.collect("a", reply)


def test_a_reply_is_no_broadcast_and_a_broadcast_no_reply():
    downlink, receiver, _, collector, _ = session()
    with pytest.raises(IncnnrError):
        receiver.receive(receiver.request())
    with pytest.raises(IncnnrError):
        collector.collect("a", downlink.message(None))


def test_what_a_server_keeps_does_not_grow_with_the_positions_that_clients_make_up():
    downlink, receiver, *_ = session()
    lost = Reply.read(receiver.request()).held
    assert downlink.message(lost) is downlink.message(lost)
    made_up = Decoder(base={"w": np.zeros(3)}).position
    assert downlink.message(made_up) is not downlink.message(made_up)


def steady_drift(n_rounds, acknowledged_by, **memory):
    """What a server gathers of a client that wants the same small change in every round."""
    downlink, receiver, uplink = Downlink(), Receiver(), Uplink(max_error=0.3)
    collector, kept = Collector(downlink), Memory(**memory)
    gathered = np.zeros(8, np.float32)
    for _ in range(n_rounds):
        downlink.broadcast({"w": gathered})
        model = receiver.receive(downlink.message(receiver.position))
        local = {"w": model["w"] + np.float32(0.1)}
        reply, kept = uplink.encode_with_memory(receiver, local, kept, acknowledged_by(collector))
        gathered = collector.collect("a", reply)["w"]
    return gathered


def test_what_replies_leave_out_adds_up_until_it_arrives():
    arrived = steady_drift(12, lambda collector: collector.acknowledged("a"), max_age=10)
    assert np.abs(arrived - 1.2).max() <= 0.3
    forgotten = steady_drift(12, lambda _: None, max_age=10)
    assert not forgotten.any()


def test_what_a_lost_reply_left_out_is_forgotten_and_so_is_what_is_too_old():
    held, reply = Position(5, 1, None), Position(6, 2, None)
    weights, nothing = {"w": np.ones(3, np.float32)}, {"w": np.zeros(3, np.float32)}
    memory = Memory(max_age=2).after(reply, weights, nothing)
    assert memory.added_to(weights, held, reply)["w"].tolist() == [2, 2, 2]
    assert memory.added_to(weights, held, None) is weights
    assert memory.added_to(weights, held, Position(6, 3, None)) is weights
    assert memory.added_to(weights, Position(8, 9, None), reply) is weights


def test_a_memory_takes_a_byte_for_each_weight_and_comes_back_as_it_was_saved():
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(50, 200)).astype(np.float32), "n": np.arange(3)}
    memory = Memory(max_age=4).after(Position(1, 2, None), weights, {"w": np.zeros((50, 200)), "n": np.arange(3)})
    saved = memory.to_bytes()
    assert len(saved) < 10_000 + 100
    again = Memory.from_bytes(saved)
    held = Position(0, 1, None)
    assert exact(again.added_to(weights, held, again.reply)) == exact(memory.added_to(weights, held, memory.reply))
    for damaged in (saved[:-1], saved[:3], b"", saved[:40] + b"x" + saved[41:]):
        with pytest.raises(IncnnrError):
            Memory.from_bytes(damaged)


def test_a_memory_holds_no_nans_and_makes_none():
    bad = {"w": np.array([np.nan, np.inf, 3e38, 1.0], np.float32)}
    memory = Memory(max_age=4).after(Position(1, 2, None), bad, {"w": np.array([0, 0, -3e38, 0], np.float32)})
    assert np.isfinite(
        memory.added_to({"w": np.full(4, 3e38, np.float32)}, Position(0, 1, None), memory.reply)["w"]
    ).all()


def test_the_first_model_is_lossy_where_updates_are_relative_unless_it_is_to_be_exact():
    weights = models()[0]
    sizes = {}
    for keyframe_error in (0.05, None):
        asked = {} if keyframe_error else {"keyframe_error": None}
        downlink, receiver = Downlink(relative_error=0.5, **asked), Receiver()
        downlink.broadcast(weights)
        message = downlink.message(None)
        sizes[keyframe_error] = len(message)
        received = receiver.receive(message)
        error = np.linalg.norm(received["fc.weight"] - weights["fc.weight"]) / np.linalg.norm(weights["fc.weight"])
        assert error <= (keyframe_error or 0)
    assert sizes[0.05] < sizes[None] / 3


def lossy_rounds(n_clients, n_rounds, lost, **options):
    """A fifth of the clients takes part in a round, and messages get lost; all digests are checked."""
    luck = random.Random(3)
    downlink, uplink = Downlink(**options), Uplink(**options)
    collector = Collector(downlink)
    receivers, known = [Receiver() for _ in range(n_clients)], [None] * n_clients
    goal, weights = models()[0], {name: np.zeros_like(w) for name, w in models()[0].items()}
    for server_round in range(n_rounds):
        if server_round == n_rounds // 2:
            receivers[0] = receivers[1] = Receiver()
        position = downlink.broadcast(weights)
        gathered = []
        for i in luck.sample(range(n_clients), n_clients // 5):
            try:
                if luck.random() < lost:
                    continue
                model = receivers[i].receive(downlink.message(known[i]))
            except ReferenceMismatchError:
                known[i] = Reply.read(receivers[i].request()).held
                model = receivers[i].receive(downlink.message(known[i]))
            assert model.position == position
            assert model.position.digest == downlink.reference(position).position.digest
            local = {name: w + (goal[name] - w) / 2 for name, w in model.items()}
            reply = uplink.encode(receivers[i], local)
            if luck.random() >= lost:
                gathered.append(collector.collect(i, reply))
                known[i] = Reply.read(reply).held
        if gathered:
            weights = {name: np.mean([g[name] for g in gathered], axis=0, dtype=np.float32) for name in weights}
    return max(float(np.abs(w - goal[name]).max()) for name, w in weights.items())


@pytest.mark.parametrize("options", [{}, {"max_error": 1e-3}, {"relative_error": 0.3}])
def test_fifty_clients_learn_though_messages_are_lost_and_some_restart(options):
    assert lossy_rounds(50, 30, 0.1, **options) < 0.01


def test_a_pattern_that_matches_no_tensor_is_a_warning_once():
    options = {"max_error": {"*.bais": None, "*": 1e-3}}
    downlink, receiver, uplink = Downlink(**options), Receiver(), Uplink(**options)
    with pytest.warns(PatternWarning):
        downlink.broadcast(models()[0])
    model = receiver.receive(downlink.message(None))
    with pytest.warns(PatternWarning):
        uplink.encode(receiver, model)
    downlink.broadcast(models()[1])
    uplink.encode(receiver, model)


@pytest.mark.parametrize("effort", ["default", "fast"])
@pytest.mark.parametrize("relative_error", [0.5, 0.7])
def test_what_arrives_of_coarse_replies_is_about_right_on_average(relative_error, effort):
    downlink, receiver = Downlink(), Receiver()
    uplink, collector = Uplink(relative_error=relative_error, effort=effort), Collector(downlink)
    downlink.broadcast({"w": np.zeros((80, 100), np.float32)})
    model = receiver.receive(downlink.message(None))
    rng = np.random.default_rng(4)
    for drawn in (rng.normal(size=(80, 100)), rng.laplace(size=(80, 100)), rng.standard_t(3, (80, 100))):
        wanted = drawn.astype(np.float32) / 100
        client = str(wanted[0, 0])
        arrived = collector.collect(client, uplink.encode(receiver, {"w": model["w"] + wanted}))["w"]
        assert np.vdot(arrived, wanted) == pytest.approx(np.vdot(wanted, wanted), rel=0.25)

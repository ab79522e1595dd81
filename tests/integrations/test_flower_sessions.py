"""Flower strategies and main loops over a compressed grid, with all nodes in this process."""

from __future__ import annotations

import random

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, fixedclipping_mod
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
)

from incnnr.federated import telemetry
from incnnr.federated.flower import ClientMod, CompressedGrid
from tests.integrations.flower_nodes import (
    N_NODES,
    Nodes,
    distance,
    initial_arrays,
    learning_app,
    mean_target,
    question,
    target,
)

PRECISE = {"relative_error": 0.05}


def nodes_with(*inner_mods, n=N_NODES, **kwargs):
    return Nodes([learning_app([ClientMod(**PRECISE)], inner_mods) for _ in range(n)], **kwargs)


def answers(grid, messages):
    """Replies in the order of the nodes."""
    return sorted(grid.send_and_receive(messages), key=lambda reply: reply.metadata.src_node_id)


def final_loss(nodes, result):
    return distance({name: array.numpy() for name, array in result.arrays.items()}, mean_target(nodes.apps))


def run(strategy, grid, n_rounds=8):
    return strategy.start(grid=grid, initial_arrays=initial_arrays(), num_rounds=n_rounds, timeout=20)


@pytest.mark.parametrize(
    "strategy",
    [
        lambda: FedAvg(min_available_nodes=N_NODES),
        lambda: FedAdam(min_available_nodes=N_NODES, eta=0.1),
        lambda: DifferentialPrivacyServerSideFixedClipping(FedAvg(min_available_nodes=N_NODES), 1e-9, 100.0, N_NODES),
    ],
    ids=["FedAvg", "FedAdam", "server-side DP"],
)
def test_a_strategy_learns_what_it_learns_without_compression(strategy):
    plain = Nodes([learning_app([]) for _ in range(N_NODES)])
    expected = final_loss(plain, run(strategy(), plain))
    nodes = nodes_with()
    result = run(strategy(), CompressedGrid(nodes, **PRECISE))
    assert final_loss(nodes, result) == pytest.approx(expected, abs=0.02)
    assert len(result.evaluate_metrics_clientapp) == 8
    assert sum(nodes.down) < sum(plain.down) / 4
    assert sum(nodes.up) < sum(plain.up) / 4


def test_clipping_and_noise_of_the_clients_come_before_coding():
    nodes = nodes_with(fixedclipping_mod)
    strategy = DifferentialPrivacyClientSideFixedClipping(FedAvg(min_available_nodes=N_NODES), 1e-9, 100.0, N_NODES)
    result = run(strategy, CompressedGrid(nodes, **PRECISE))
    assert final_loss(nodes, result) < 0.05
    noisy = nodes_with(LocalDpMod(100.0, 1e-6, 1.0, 0.1))
    result = run(FedAvg(min_available_nodes=N_NODES), CompressedGrid(noisy, **PRECISE))
    assert final_loss(noisy, result) < 0.05


def test_a_main_loop_of_its_own_pushes_and_pulls_as_before():
    nodes = nodes_with()
    grid = CompressedGrid(nodes, **PRECISE)
    arrays = initial_arrays()
    for _ in range(8):
        waiting = set(grid.push_messages([question(node_id, arrays) for node_id in grid.get_node_ids()]))
        models = []
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.remove(reply.metadata.reply_to_message_id)
                models.append(reply.content["arrays"])
        arrays = ArrayRecord(
            {k: type(a)(np.asarray(np.mean([m[k].numpy() for m in models], axis=0))) for k, a in arrays.items()}
        )
    assert distance({k: a.numpy() for k, a in arrays.items()}, mean_target(nodes.apps)) < 0.03


def test_rounds_of_evaluation_alone_send_the_model_once():
    nodes = nodes_with()
    grid = CompressedGrid(nodes)
    arrays = initial_arrays()
    losses = []
    for _ in range(3):
        replies = answers(grid, [question(i, arrays, "evaluate") for i in nodes.apps])
        losses.append([reply.content["metrics"]["loss"] for reply in replies])
    assert losses[0] == losses[1] == losses[2]
    assert max(nodes.down[N_NODES:]) < 100


def test_training_twice_on_the_same_model_gives_two_replies():
    nodes = nodes_with()
    grid = CompressedGrid(nodes)
    for _ in range(2):
        replies = answers(grid, [question(i, initial_arrays()) for i in nodes.apps])
        assert [reply.has_error() for reply in replies] == [False] * N_NODES


def test_all_nodes_of_a_round_are_sent_the_same_blob_and_the_strategys_records_stay_as_they_are():
    sent = []
    nodes = nodes_with()
    push = nodes._pushed
    nodes._pushed = lambda message: (sent.append(message.content), push(message))[1]
    shared = RecordDict({"arrays": initial_arrays(), "config": ConfigRecord({"lr": 0.1})})
    before = {name: array.data for name, array in shared["arrays"].items()}
    CompressedGrid(nodes).send_and_receive([Message(shared, i, "train") for i in nodes.apps])
    assert {name: array.data for name, array in shared["arrays"].items()} == before
    blobs = [content["arrays"]["incnnr"] for content in sent]
    assert {blob.data for blob in blobs} == {blobs[0].data}
    assert {blob.stype for blob in blobs} == {"incnnr"}
    assert all(content["config"]["lr"] == 0.1 for content in sent)


def test_lost_messages_and_restarted_nodes_cost_replies_and_nothing_else():
    luck = random.Random(5)
    nodes = nodes_with(n=10, is_lost=lambda: luck.random() < 0.1)
    grid = CompressedGrid(nodes, **PRECISE)
    strategy = FedAvg(min_available_nodes=10, fraction_train=0.5)
    arrays = initial_arrays()
    for server_round in range(1, 21):
        if server_round == 10:
            for node_id in (101, 102):
                nodes.contexts[node_id].state.clear()
        messages = list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))
        replies = list(grid.send_and_receive(messages, timeout=0.05))
        assert not any(reply.has_error() for reply in replies)
        arrays = strategy.aggregate_train(server_round, replies)[0] or arrays
    assert distance({k: a.numpy() for k, a in arrays.items()}, mean_target(nodes.apps)) < 0.2


def test_a_restarted_node_is_sent_what_it_misses_within_the_round():
    nodes = nodes_with()
    grid = CompressedGrid(nodes, **PRECISE)
    run(FedAvg(min_available_nodes=N_NODES), grid, n_rounds=3)
    nodes.contexts[102].state.clear()
    messages = [question(node_id, initial_arrays(seed=1)) for node_id in nodes.apps]
    replies = list(grid.send_and_receive(messages))
    assert [reply.has_error() for reply in replies] == [False] * N_NODES
    assert {r.metadata.reply_to_message_id for r in replies} == {m.metadata.message_id for m in messages}


def test_a_node_without_the_mod_gets_plain_arrays_and_so_does_one_that_is_told_to_by_a_plain_server():
    nodes = Nodes([learning_app([ClientMod(**PRECISE)]), learning_app([])])
    result = run(FedAvg(min_available_nodes=2), CompressedGrid(nodes, **PRECISE))
    assert final_loss(nodes, result) < 0.03
    with_mod = nodes_with()
    assert final_loss(with_mod, run(FedAvg(min_available_nodes=N_NODES), with_mod)) < 0.01


def spoiled(change):
    """A mod between the codec and the network: it changes what a node sends."""

    def mod(message, context, call_next):
        reply = call_next(message, context)
        if "incnnr" in reply.content.array_records.get("arrays", {}):
            change(reply.content["arrays"]["incnnr"])
        return reply

    return mod


def test_garbage_nans_and_replays_of_one_node_become_errors_and_the_round_goes_on():
    kept = []

    def garbage(array):
        array.data = b"\x00" * 50

    def replayed(array):
        kept.append(array.data)
        array.data = kept[0]

    poisoned = ClientApp(mods=[ClientMod()])

    @poisoned.train()
    def train(message, _context):
        nans = {name: type(a)(np.full_like(a.numpy(), np.nan)) for name, a in message.content["arrays"].items()}
        metrics = MetricRecord({"num-examples": 10, "loss": 1.0})
        return Message(RecordDict({"arrays": ArrayRecord(nans), "metrics": metrics}), reply_to=message)

    mod = ClientMod(**PRECISE)
    nodes = Nodes(
        [learning_app([spoiled(garbage), mod]), learning_app([spoiled(replayed), mod]), poisoned, learning_app([mod])]
    )
    grid = CompressedGrid(nodes, **PRECISE)
    reasons = []
    for seed in range(2):
        replies = answers(grid, [question(i, initial_arrays(seed)) for i in nodes.apps])
        reasons.append([reply.error.reason.split(":")[0] if reply.has_error() else "" for reply in replies])
    assert reasons[0] == ["CorruptError", "", "ModelMismatchError", ""]
    assert reasons[1] == ["CorruptError", "StaleUpdateError", "ModelMismatchError", ""]


def test_a_failing_app_changes_no_state_and_its_error_arrives():
    app = ClientApp(mods=[ClientMod()])

    @app.train()
    def train(_message, _context):
        raise RuntimeError("out of luck")

    nodes = Nodes([app, learning_app([ClientMod()])])
    grid = CompressedGrid(nodes)
    for seed in range(2):
        replies = answers(grid, [question(i, initial_arrays(seed)) for i in nodes.apps])
        assert "out of luck" in replies[0].error.reason
        assert not replies[1].has_error()
    assert not nodes.contexts[101].state


def test_several_array_records_travel_together():
    seen = []
    app = ClientApp(mods=[ClientMod(**PRECISE)])

    @app.train()
    def train(message, _context):
        seen.append({k: {n: a.numpy() for n, a in r.items()} for k, r in message.content.array_records.items()})
        return Message(message.content, reply_to=message)

    nodes = Nodes([app])
    content = RecordDict({"model": initial_arrays(0), "control/variates": initial_arrays(1)})
    (reply,) = CompressedGrid(nodes).send_and_receive([Message(content, 101, "train")])
    for name in ("model", "control/variates"):
        assert list(reply.content[name]) == list(content[name]) == list(seen[0][name])
        for key, array in content[name].items():
            np.testing.assert_array_equal(reply.content[name][key].numpy(), array.numpy())


def test_under_secure_aggregation_only_the_downlink_is_coded(caplog):
    nodes = nodes_with(n=1)
    message = question(101, initial_arrays())
    message.content["secaggplus_configs"] = ConfigRecord({"stage": "setup"})
    (reply,) = CompressedGrid(nodes).send_and_receive([message])
    assert nodes.up[0] > 2000
    assert reply.content["arrays"].keys() == initial_arrays().keys()
    assert "secure aggregation" in caplog.text


def test_the_state_of_a_client_is_the_model_what_a_reply_left_out_and_what_coding_taught():
    nodes = Nodes([learning_app([ClientMod(memory_age=10)]) for _ in range(N_NODES)])
    run(FedAvg(min_available_nodes=N_NODES), CompressedGrid(nodes))
    (record,) = nodes.contexts[101].state.values()
    n_weights = sum(np.prod(a.shape, dtype=int) for a in target(101).values())
    assert len(record["receiver"]) + len(record["memory"]) < 5 * n_weights + 5000


def test_options_that_say_nothing_of_precision_leave_the_default():
    sizes = []
    for options in ({}, {"threads": 1}, {"relative_error": None}):
        nodes = Nodes([learning_app([ClientMod(**options)])])
        grid = CompressedGrid(nodes, **options)
        for seed in range(2):
            answers(grid, [question(101, initial_arrays(seed))])
        sizes.append((sum(nodes.down), sum(nodes.up)))
    assert sizes[0] == sizes[1]
    assert sizes[2][0] > 3 * sizes[0][0]
    assert sizes[2][1] > 2 * sizes[0][1]


def test_the_grid_tells_what_each_model_took():
    nodes = nodes_with()
    grid = CompressedGrid(nodes, **PRECISE)
    run(FedAvg(min_available_nodes=N_NODES), grid, n_rounds=3)
    nodes.contexts[103].state.clear()
    answers(grid, [question(i, initial_arrays(seed=7)) for i in nodes.apps])
    rounds = grid.rounds
    assert [r.round for r in rounds] == [0, 1, 2, 3, 4]
    assert [r.resyncs for r in rounds] == [0, 0, 0, 0, 1]
    assert sum(r.down_bytes for r in rounds) == sum(nodes.down)
    assert sum(r.up_bytes for r in rounds) == sum(nodes.up)
    assert all(0 < r.distortion <= 0.05 for r in rounds[1:])
    assert all(r.encode_seconds > 0 for r in rounds)


def test_error_feedback_of_the_clients_is_kept_between_rounds_and_used():
    losses = []
    for memory_age in (None, 5):
        mods = [ClientMod(memory_age=memory_age, max_error=0.4)]
        nodes = Nodes([learning_app(mods) for _ in range(N_NODES)])
        grid = CompressedGrid(nodes, **PRECISE)
        losses.append(final_loss(nodes, run(FedAvg(min_available_nodes=N_NODES), grid)))
    assert losses[1] < losses[0]
    (record,) = nodes.contexts[101].state.values()
    n_weights = sum(int(np.prod(array.shape)) for array in target(101).values())
    assert n_weights <= len(record["memory"]) < n_weights + 200


def test_rounds_can_be_drawn(tmp_path):
    nodes = nodes_with()
    grid = CompressedGrid(nodes)
    run(FedAvg(min_available_nodes=N_NODES), grid, n_rounds=2)
    telemetry.draw(grid.rounds, tmp_path / "rounds.png")
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert len(telemetry.table(grid.rounds).splitlines()) == 4

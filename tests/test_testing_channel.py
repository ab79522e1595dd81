"""The lossy channel does what its log says, and no decoder behind it ever holds a wrong model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incnnr import stream
from incnnr.errors import GapError
from incnnr.incremental import Encoder
from incnnr.testing import Delivery, LossyChannel, Packet, replay

PACKETS = [f"packet {number:04}".encode() for number in range(2000)]
chances = st.floats(0, 0.25)


def fates(channel: LossyChannel) -> dict[str, set[int]]:
    """Numbers of the packets that met each fate."""
    return {
        fate: {event.index for event in channel.log if event.fate == fate}
        for fate in ("drop", "duplicate", "reorder", "corrupt")
    }


@given(drop=chances, duplicate=chances, reorder=chances, corrupt=chances, seed=st.integers(0, 2**32))
def test_the_log_accounts_for_every_packet(
    drop: float, duplicate: float, reorder: float, corrupt: float, seed: int
) -> None:
    channel = LossyChannel(drop=drop, duplicate=duplicate, reorder=reorder, corrupt=corrupt, seed=seed)
    sent = PACKETS[:100]
    arrived = list(channel(sent))
    log = fates(channel)
    counts = Counter(packet.origin for packet in arrived if isinstance(packet, Packet))
    assert counts == {index: 1 + (index in log["duplicate"]) for index in range(100) if index not in log["drop"]}
    changed = {packet.origin for packet in arrived if isinstance(packet, Packet) and packet != sent[packet.origin]}
    assert changed == log["corrupt"]
    latest, late = -1, set()
    for packet in arrived:
        assert isinstance(packet, Packet)
        late |= {packet.origin} if packet.origin < latest else set()
        latest = max(latest, packet.origin)
    assert late == log["reorder"]


def test_each_fate_comes_about_as_often_as_asked_for() -> None:
    channel = LossyChannel(drop=0.05, duplicate=0.1, reorder=0.15, corrupt=0.2, seed=1)
    list(channel(PACKETS))
    counts = {fate: len(indices) / len(PACKETS) for fate, indices in fates(channel).items()}
    assert counts == pytest.approx({"drop": 0.05, "duplicate": 0.1, "reorder": 0.15, "corrupt": 0.2}, abs=0.02)


def test_a_channel_without_faults_changes_nothing() -> None:
    channel = LossyChannel()
    assert list(channel(PACKETS)) == PACKETS
    assert channel.log == []


def test_equal_seeds_give_equal_channels_and_every_call_begins_anew() -> None:
    options = {"drop": 0.1, "duplicate": 0.1, "reorder": 0.1, "corrupt": 0.1}
    channel = LossyChannel(**options, seed=5)
    first, log = list(channel(PACKETS)), channel.log
    assert (list(channel(PACKETS)), channel.log) == (first, log)
    assert list(LossyChannel(**options, seed=5)(PACKETS)) == first
    assert list(LossyChannel(**options, seed=6)(PACKETS)) != first


@pytest.mark.parametrize("options", [{"drop": -0.1}, {"drop": 1.1}, {"drop": 0.6, "corrupt": 0.6}])
def test_impossible_probabilities_are_value_errors(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        LossyChannel(**options)


def test_an_empty_packet_cannot_be_corrupted() -> None:
    channel = LossyChannel(corrupt=1.0)
    assert list(channel([b"", b"x"])).count(b"") >= 1
    assert [event.index for event in channel.log] == [1]


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    w = rng.standard_normal(64).astype(np.float32)
    w[: seed % 64] += seed
    return {"w": w, "step": np.array(seed)}


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path: Path = tmp_path_factory.mktemp("replay") / "run.incnnr"
    with stream.open(path, "w", keyframe_every=20) as writer:
        for seed in range(60):
            writer.append(weights(seed), sync=False)
    with stream.open(path) as reader:
        return list(reader.updates())


def is_exact(delivery: Delivery, index: int) -> bool:
    assert delivery.model is not None
    expected = weights(index)
    return all(np.array_equal(delivery.model[name], expected[name]) for name in expected)


def test_without_a_channel_everything_arrives(updates: list[bytes]) -> None:
    deliveries = list(replay(updates))
    assert [delivery.index for delivery in deliveries] == list(range(60))
    assert all(is_exact(delivery, index) for index, delivery in enumerate(deliveries))


@pytest.mark.parametrize("seed", range(60))
def test_behind_a_lossy_channel_every_model_is_exact_and_every_loss_is_noticed(updates: list[bytes], seed: int) -> None:
    channel = LossyChannel(drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.05, seed=seed)
    deliveries = list(replay(updates, channel))
    log = fates(channel)
    assert len(deliveries) == 60 - len(log["drop"]) + len(log["duplicate"])
    accepted, missed = [], 0
    for delivery in deliveries:
        assert (delivery.model is None) != (delivery.error is None)
        assert delivery.index is not None
        if delivery.model is not None:
            assert is_exact(delivery, delivery.index)
            accepted.append(delivery.index)
            missed += delivery.model.stats.missed
    assert accepted == sorted(set(accepted) - log["drop"] - log["corrupt"])
    assert missed == accepted[-1] + 1 - len(accepted), "what was passed over is counted"


def test_a_dropped_update_shows_as_a_gap_until_the_next_keyframe(updates: list[bytes]) -> None:
    deliveries = list(replay(updates[:45], lambda packets: (p for p in packets if p.origin != 7)))  # type: ignore[attr-defined]
    refused = [delivery.index for delivery in deliveries if isinstance(delivery.error, GapError)]
    first_keyframe_after = next(d.index for d in deliveries if d.index is not None and d.index > 7 and d.model)
    assert refused == list(range(8, first_keyframe_after))
    assert refused
    resumed = next(delivery for delivery in deliveries if delivery.index == first_keyframe_after)
    assert resumed.model is not None
    assert resumed.model.stats.missed == first_keyframe_after - 7


def test_a_channel_that_makes_new_bytes_leaves_the_index_unknown() -> None:
    encoder = Encoder()
    sent = [encoder.encode(weights(seed)) for seed in range(2)]
    deliveries = list(replay(sent, lambda packets: (bytes(bytearray(packet)) for packet in packets)))
    assert [delivery.index for delivery in deliveries] == [None, None]
    assert is_exact(deliveries[1], 1)


def test_an_error_that_is_not_about_updates_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(replay([b"x"], lambda packets: (bytes(1 // 0) for _ in packets)))

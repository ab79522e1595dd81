"""Replays a stream of updates through many lossy channels and checks every delivery against what must come of it.

By hand (a minute)::

    python -m tests.bench.replay_loss [--seeds 1000] [--updates 100] [--keyframe-every 20]

Each channel drops, repeats, reorders and corrupts 5 % of the updates each; a last keyframe comes through. A sound
packet must become the exact model, or be refused with the error that follows from what the decoder holds; a corrupted
one must be refused, or change nothing but the chain, so that the decoder diverges. A drop counts as shown by a
GapError of a later update that needs it, or among `stats.missed` of a keyframe. Prints the counts, and the first
faults; exits 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np

import incnnr
from incnnr.testing import Delivery, LossyChannel, Packet, replay
from tests.bench import series

FATE = 0.05


class Stream:
    """Updates, and the models they were made from."""

    def __init__(self, n_updates: int, keyframe_every: int) -> None:
        rng, encoder = np.random.default_rng(1), incnnr.Encoder()
        weights = {"fc.weight": rng.standard_normal((20, 30), np.float32), "scale": np.ones(4, ml_dtypes.bfloat16)}
        self.updates, self.originals = [], []
        for index in range(n_updates + 1):
            is_keyframe = index == n_updates or index % keyframe_every == 0
            self.updates.append(encoder.encode(weights, keyframe=is_keyframe))
            self.originals.append(series.exact(weights))
            moved = rng.random((20, 30)) < 0.1
            weights = {**weights, "fc.weight": weights["fc.weight"] * np.where(moved, np.float32(1.01), np.float32(1))}


class Wire:
    """A lossy channel that remembers what came out of it; the last packet goes around it."""

    def __init__(self, channel: LossyChannel) -> None:
        self.channel, self.sent, self.arrived = channel, [], []

    def __call__(self, packets: Iterable[bytes]) -> Iterator[bytes]:
        self.sent = list(packets)
        for packet in self.channel(self.sent[:-1]):
            self.arrived.append(packet)
            yield packet
        self.arrived.append(self.sent[-1])
        yield self.sent[-1]

    def is_sound(self, packet: Packet) -> bool:
        return packet == self.sent[packet.origin]

    def observed(self) -> Counter[str]:
        """Count fates by what arrived alone."""
        order = [packet.origin for packet in self.arrived]
        latest = np.maximum.accumulate(order)
        return Counter(
            drop=len(set(range(len(self.sent))) - set(order)),
            duplicate=len(order) - len(set(order)),
            reorder=len({index for index, top in zip(order, latest, strict=True) if index < top}),
            corrupt=sum(not self.is_sound(packet) for packet in self.arrived),
        )


@dataclass
class Held:
    """What a decoder holds: the number of an update, and whether it is the sender's to the bit."""

    index: int = -1
    is_sound: bool = True

    def expects(self, index: int, is_keyframe: bool) -> str:
        """Say what must come of a sound update."""
        if is_keyframe:
            return "model" if index > self.index else "StaleUpdateError"
        if self.index < 0 or index > self.index + 1:
            return "GapError"
        if index == self.index + 1:
            return "model" if self.is_sound else "DivergedError"
        return "StaleUpdateError" if self.is_sound or index < self.index else "DivergedError"


def outcome(delivery: Delivery, stream: Stream) -> str:
    """Name what became of a packet."""
    model, index = delivery.model, delivery.index
    if model is None:
        return type(delivery.error).__name__
    if series.exact(model) != stream.originals[index]:
        return "FAULT: wrong weights"
    if model.position == stream.updates[index].position:
        return "model"
    return "exact, other chain" if model.position.sequence == index else "FAULT: exact, wrong sequence"


class Check:
    """Follows the decoder behind one channel, delivery by delivery."""

    def __init__(self, stream: Stream, wire: Wire) -> None:
        self.counts, self.faults = Counter(sent=len(stream.updates)), []
        self.held = Held()
        self._shown: set[int] = set()
        self._stream, self._wire = stream, wire

    def take(self, delivery: Delivery) -> None:
        got, index = outcome(delivery, self._stream), delivery.index
        is_sound = self._wire.is_sound(self._wire.arrived[-1])
        self.counts[f"{'sound' if is_sound else 'corrupt'}: {got}"] += 1
        must = self.held.expects(index, self._stream.updates[index].is_keyframe)
        if (got != must) if is_sound else (got == "model" or "FAULT" in got):
            self.faults.append(f"update {index}, sound: {is_sound}, at {self.held}: {got}")
        if got == "GapError" and is_sound:
            self._shown |= set(range(self.held.index + 1, index))
        if delivery.model is not None:
            self._advance(delivery.model, is_sound)

    def _advance(self, model: incnnr.Model, is_sound: bool) -> None:
        index, missed = model.position.sequence, model.stats.missed
        if self.held.index >= 0 and missed != index - self.held.index - 1:
            self.faults.append(f"update {index} at {self.held}: missed {missed}")
        self._shown |= set(range(index - missed, index))
        self.counts["missed"] += missed
        self.held = Held(index, is_sound)

    def end(self) -> None:
        log, observed = self._wire.channel.log, self._wire.observed()
        logged = Counter(event.fate for event in log)
        if logged != +observed:
            self.faults.append(f"the log says {dict(logged)}, what arrived says {dict(observed)}")
        unseen = {event.index for event in log if event.fate == "drop"} - self._shown
        self.faults += [f"nothing showed that update {index} was dropped" for index in sorted(unseen)]
        if self.held != Held(len(self._stream.updates) - 1):
            self.faults.append(f"the last keyframe did not get the decoder going again: {self.held}")
        self.counts += Counter(arrived=len(self._wire.arrived)) + logged


def run(stream: Stream, seed: int) -> tuple[Counter[str], list[str]]:
    """Send the stream through one channel; return counts and faults."""
    wire = Wire(LossyChannel(drop=FATE, duplicate=FATE, reorder=FATE, corrupt=FATE, seed=seed))
    check = Check(stream, wire)
    for delivery in replay(stream.updates, wire):
        check.take(delivery)
    check.end()
    return check.counts, [f"seed {seed}: {fault}" for fault in check.faults]


def main() -> None:
    parser = argparse.ArgumentParser(description="Lossy channels, and a check of every delivery.")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--keyframe-every", type=int, default=20)
    arguments = parser.parse_args()
    stream, total, faults = Stream(arguments.updates, arguments.keyframe_every), Counter(), []
    for seed in range(arguments.seeds):
        counts, found = run(stream, seed)
        total += counts
        faults += found
    print(*faults[:20], sep="\n", end="\n" if faults else "")
    series.print_table(f"{arguments.seeds} channels, {len(faults)} faults", ("", "count"), sorted(total.items()))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

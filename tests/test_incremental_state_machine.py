"""One encoder, several decoders, and a network between them that loses, repeats and reorders."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from incnnr import Decoder, Encoder, IncnnrError
from incnnr.errors import DivergedError, GapError, StaleUpdateError
from tests.weights import exact, random_array

NAMES = ["a", "b", "c"]
DTYPES = [np.float32, np.float16, np.int16, np.uint8]


class LossyReplication(RuleBasedStateMachine):
    updates = Bundle("updates")

    @initialize()
    def start(self):
        self.encoder = Encoder(require_ack=True)
        self.decoders = [Decoder(), Decoder(), Decoder()]
        self.weights = {}
        self.sent = []  # (update, weights), in order
        self.alike = {}  # position -> weights
        self.rng = np.random.default_rng(0)

    @rule(
        target=updates,
        name=st.sampled_from(NAMES),
        dtype=st.sampled_from(DTYPES),
        n=st.integers(0, 9),
        keyframe=st.booleans(),
    )
    def encode(self, name, dtype, n, keyframe):
        self.weights = {**self.weights, name: random_array(self.rng, dtype, (n,))}
        update = self.encoder.encode(self.weights, keyframe=keyframe)
        self.encoder.acknowledge(update.position)
        self.alike[update.position] = exact(self.weights)
        self.sent.append(update)
        return update

    @rule(name=st.sampled_from(NAMES))
    def forget_a_tensor(self, name):
        self.weights = {k: v for k, v in self.weights.items() if k != name}

    @rule(which=st.integers(0, 2), update=updates)
    def deliver(self, which, update):
        decoder = self.decoders[which]
        before = decoder.position
        follows = (
            update.parent == before if update.parent else before is None or update.position.sequence > before.sequence
        )
        try:
            model = decoder.decode(bytes(update))
        except (StaleUpdateError, GapError, DivergedError):
            assert not follows
            assert decoder.position == before
        else:
            assert follows
            assert exact(model) == self.alike[update.position]

    @rule(which=st.integers(0, 2), update=updates, at=st.integers(0, 10**6), bit=st.integers(0, 7))
    def deliver_damaged(self, which, update, at, bit):
        decoder = self.decoders[which]
        before = decoder.position
        data = bytearray(bytes(update))
        data[at % len(data)] ^= 1 << bit
        try:
            model = decoder.decode(data)
        except IncnnrError:
            assert decoder.position == before
        else:
            assert exact(model) == self.alike[update.position]

    @rule(which=st.integers(0, 2))
    def restart_from_saved_state(self, which):
        if self.decoders[which].position is not None:
            self.decoders[which] = Decoder.from_bytes(self.decoders[which].to_bytes())

    @rule(which=st.integers(0, 2))
    def join_late(self, which):
        self.decoders[which] = Decoder()

    @rule(which=st.integers(0, 2))
    def resume_the_encoder_from_a_decoder(self, which):
        decoder = self.decoders[which]
        if decoder.position is not None and decoder.position == self.encoder.position:
            self.encoder = Encoder.resume(decoder, require_ack=True)

    @rule()
    def lose_an_update_before_it_is_acknowledged(self):
        self.encoder.encode(self.weights)
        self.encoder.rollback()

    @invariant()
    def every_decoder_holds_what_was_encoded_at_its_position(self):
        for decoder in getattr(self, "decoders", []):
            if decoder.position in self.alike:
                assert exact(decoder.model) == self.alike[decoder.position]


TestLossyReplication = LossyReplication.TestCase
TestLossyReplication.settings = settings(max_examples=60, stateful_step_count=40)

"""Exact differences to a reference: every kind, every way a chunk is coded, and what they cost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from incnnr import Decoder, Encoder, _core
from incnnr.coding import ELEMENT_BYTES, Coding, fresh_history, fresh_slice_contexts
from incnnr.tensors import Kind
from tests.weights import bit_neighbours, exact


class Side:
    """What an encoder or a decoder remembers of one slice."""

    def __init__(self, kind, n_elements, *, with_history):
        self.kind = kind
        self.arrays = {"contexts": fresh_slice_contexts(kind, Coding.INTER)}
        if with_history:
            self.arrays["history"] = fresh_history(n_elements)

    def segment(self, reference, result, source=None):
        n = result.size // ELEMENT_BYTES[self.kind]
        given = {} if source is None else {"source": source}
        return _core.Segment(self.kind, Coding.INTER, n, reference=reference, result=result, **given, **self.arrays)


def coded_sizes(kind, series, *, with_history=False):
    """Code each array of bytes against the one before, check what comes back, and return the sizes."""
    n = series[0].size // ELEMENT_BYTES[kind]
    ours, theirs = (Side(kind, n, with_history=with_history) for _ in range(2))
    sizes = []
    for reference, source in pairwise(series):
        results = [np.empty_like(source) for _ in range(2)]
        sent, received = ours.segment(reference, results[0], source), theirs.segment(reference, results[1])
        (codeword,) = _core.encode([[sent]], 1)
        _core.decode([[received]], [codeword], 1)
        assert np.array_equal(results[0], source)
        assert np.array_equal(results[1], source)
        assert (sent.digest, sent.n_changed) == (received.digest, received.n_changed)
        assert all(np.array_equal(ours.arrays[name], theirs.arrays[name]) for name in ours.arrays)
        sizes.append(len(codeword))
    return sizes


def noise(rng, kind, n):
    return np.frombuffer(rng.bytes(n * ELEMENT_BYTES[kind]), np.uint8)


def changed_here_and_there(rng, kind, array, share):
    at = rng.random(array.size // ELEMENT_BYTES[kind]) < share
    return np.where(np.repeat(at, ELEMENT_BYTES[kind]), noise(rng, kind, at.size), array)


@pytest.mark.parametrize("with_history", [False, True])
@pytest.mark.parametrize("kind", Kind)
def test_sparse_dense_and_random_changes_of_any_bits_are_exact(kind, with_history):
    rng = np.random.default_rng(kind)
    for n in (1, 31, 2047, 5000):
        series = [noise(rng, kind, n)]
        for share in (0.001, 0.02, 0.02, 0.07, 0.3, 0.0, 1.0, 0.02):
            series.append(changed_here_and_there(rng, kind, series[-1], share))
        coded_sizes(kind, series, with_history=with_history)


@pytest.mark.parametrize("kind", [Kind.FLOAT8_E4M3, Kind.FLOAT8_E5M2, Kind.INT8, Kind.UINT8])
def test_all_pairs_of_bytes_are_exact(kind):
    first, second = (np.ascontiguousarray(a.ravel()) for a in np.indices((256, 256), np.uint8))
    coded_sizes(kind, [first, second, first], with_history=True)


@pytest.mark.parametrize("kind", [Kind.FLOAT16, Kind.BFLOAT16])
def test_pairs_of_all_patterns_of_sixteen_bits_are_exact(kind):
    rng = np.random.default_rng(1)
    patterns = np.arange(65536, dtype=np.uint16)
    series = [patterns, rng.permutation(patterns), patterns ^ 0x8000, patterns + np.uint16(1), patterns]
    coded_sizes(kind, [words.view(np.uint8) for words in series])


@pytest.mark.parametrize("kind", Kind)
def test_what_cannot_be_compressed_hardly_grows(kind):
    rng = np.random.default_rng(2)
    series = [noise(rng, kind, 20_000) for _ in range(3)]
    assert max(coded_sizes(kind, series)) <= 1.005 * series[0].size


def test_independent_changes_cost_little_more_than_their_entropy():
    rng = np.random.default_rng(3)
    p, n = 0.02, 1 << 18
    words = rng.normal(0, 0.02, n).astype(np.float32).view(np.uint32) >> 16
    series = [words.astype(np.uint16)]
    for _ in range(3):
        step = np.where(rng.random(n) < p, rng.choice([-1, 1], n), 0)
        series.append((series[-1] + step).astype(np.uint16))
    entropy = n * (-p * np.log2(p) - (1 - p) * np.log2(1 - p) + p) / 8
    assert coded_sizes(Kind.BFLOAT16, [a.view(np.uint8) for a in series])[-1] <= 1.02 * entropy


def test_a_decoder_may_write_over_its_reference():
    rng = np.random.default_rng(4)
    for share in (0.02, 0.4, 1.0):
        before = noise(rng, Kind.BFLOAT16, 5000)
        after = changed_here_and_there(rng, Kind.BFLOAT16, before, share)
        ours, theirs = (Side(Kind.BFLOAT16, 5000, with_history=True) for _ in range(2))
        (codeword,) = _core.encode([[ours.segment(before, np.empty_like(after), after)]], 1)
        held = before.copy()
        _core.decode([[theirs.segment(held, held)]], [codeword], 1)
        assert np.array_equal(held, after)
        assert np.array_equal(ours.arrays["history"], theirs.arrays["history"])


def to_and_fro(n_updates):
    """Weights at a rounding boundary change back soon after they changed."""
    rng = np.random.default_rng(5)
    weights, flipped = rng.integers(0, 65536, 40_000, np.uint16), np.zeros(40_000, bool)
    for _ in range(n_updates):
        yield {"w": weights ^ flipped}
        flipped = np.where(flipped, rng.random(flipped.size) < 0.5, rng.random(flipped.size) < 0.02)


def test_small_effort_learns_from_what_each_weight_did_before():
    sizes = {}
    for effort in ("default", "small"):
        encoder, decoder = Encoder(effort=effort), Decoder()
        sizes[effort] = 0
        for number, weights in enumerate(to_and_fro(8)):
            update = encoder.encode(weights)
            assert exact(decoder.decode(update)) == exact(weights)
            sizes[effort] += len(bytes(update)) if number > 0 else 0
    assert sizes["small"] < 0.9 * sizes["default"]


def test_a_history_survives_saving_and_a_change_of_effort():
    rng = np.random.default_rng(6)
    weights = {"w": rng.normal(0, 0.02, (70, 90)).astype(np.float16)}
    encoder, decoder = Encoder(effort="small"), Decoder()
    for effort in ("small", "small", "default", "small", "small"):
        decoder.decode(encoder.encode(weights))
        decoder = Decoder.from_bytes(decoder.to_bytes())
        encoder = Encoder.resume(decoder, effort=effort)
        weights = {"w": bit_neighbours(rng, weights["w"])}
    assert exact(decoder.decode(encoder.encode(weights))) == exact(weights)


def test_an_unknown_effort_is_refused():
    with pytest.raises(ValueError, match="effort"):
        Encoder(effort="none")
    with pytest.raises(ValueError, match="effort"):
        Encoder(profile="iso", qp=-20, effort="small")

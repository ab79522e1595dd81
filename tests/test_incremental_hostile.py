from __future__ import annotations

import ml_dtypes
import msgpack
import numpy as np
import pytest
import zstandard

from incnnr import Decoder, Encoder, IncnnrError, Limits, Update
from incnnr.coding import Coding, contexts_bytes, history_bytes
from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, TruncatedError, UnsupportedError
from incnnr.incremental.state import chain_of
from incnnr.incremental.syntax import START, Begin, Data, End, pack_varint
from incnnr.nnc.units import UnitType, pack_unit
from incnnr.tensors import Kind
from tests.crafted import resealed
from tests.weights import exact, trained

SHAPES = {"w": (6, 7), "b": (5,), "s": ()}


def small_series(options, dtype):
    encoder = Encoder(**options)
    series = list(trained(np.random.default_rng(1), 3, SHAPES, dtype, 1e-2))
    series[2]["new"] = np.arange(4)
    return [bytes(encoder.encode(weights)) for weights in series]


CASES = [({}, np.float32), ({}, np.float16), ({"max_error": 1e-3}, np.float32), ({"qp": -20}, np.float64)]
CASES += [({"relative_error": 0.2}, np.float32), ({"qp": -26, "effort": "fast"}, ml_dtypes.bfloat16)]


@pytest.mark.parametrize(("options", "dtype"), CASES)
def test_a_truncated_update_leaves_the_decoder_alone(options, dtype):
    decoder = Decoder()
    for data in small_series(options, dtype):
        before = decoder.position
        for cut in range(len(data)):
            with pytest.raises(BitstreamError):
                decoder.decode(data[:cut])
            assert decoder.position == before
        decoder.decode(data)


@pytest.mark.parametrize(("options", "dtype"), CASES)
def test_every_flipped_bit_is_noticed(options, dtype):
    decoder = Decoder()
    for data in small_series(options, dtype):
        before = decoder.position
        for bit in range(8 * len(data)):
            with pytest.raises(BitstreamError):
                decoder.decode(flipped(data, bit))
            assert decoder.position == before
        decoder.decode(data)


@pytest.mark.parametrize(("options", "dtype"), CASES)
def test_a_bit_flipped_by_someone_who_repairs_the_hash_gives_a_typed_error_or_the_named_weights(options, dtype):
    decoder = Decoder()
    for data in small_series(options, dtype):
        right = exact(decoder.fork().decode(data))
        for bit in range(8 * (len(data) - 19)):
            fork = decoder.fork()
            try:
                model = fork.decode(resealed(flipped(data, bit)))
            except IncnnrError:
                assert fork.position == decoder.position
            else:
                assert exact(model) == right
        decoder.decode(data)


def flipped(data, bit):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_random_bytes_are_refused():
    rng = np.random.default_rng(2)
    decoder = Decoder(base={"w": np.zeros(3)})
    for n_bytes in range(200):
        with pytest.raises(BitstreamError):
            decoder.decode(rng.bytes(n_bytes))
        with pytest.raises(BitstreamError):
            decoder.decode(START + rng.bytes(n_bytes))


def keyframe(table, *units):
    packed = zstandard.compress(msgpack.packb(table))
    return sealed(pack_unit(UnitType.TABLE, packed), *units)


def sealed(*units, begin=None):
    """A keyframe that arrived whole, whatever its units are."""
    units = [START, begin or Begin(0, None).pack(), *units]
    return b"".join([*units, End(0, chain_of(None, units, 0)).pack()])


@pytest.mark.parametrize(
    "table",
    [
        [[], [], [["w", "float32", [1 << 46], 0.0]]],
        [[], [], [["w", "float32", [1 << 20, 0, 1 << 20], 0.0], ["v", "float64", [1 << 31], 0.0]]],
        [[], [], [["w", "<U99999999", [1 << 40], 0.0]]],
        [[], [], [["w", "float32", [1] * 33, 0.0]]],
        [[], [], [["n" * 5000, "float32", [1], 0.0]]],
    ],
)
def test_a_table_that_declares_too_much_is_refused_before_anything_is_allocated(table):
    with pytest.raises(LimitExceededError):
        Decoder().decode(keyframe(table))


@pytest.mark.parametrize(
    "table",
    [
        [[0], [], []],
        [[], [[0, "float32", [1], 0.0]], []],
        [[], [], [["w", "float32", [1], 0.0], ["w", "float32", [1], 0.0]]],
        [[], [], [["w", "O", [1], 0.0]]],
        [[], [], [["w", "<f4", [1], 0.0]]],
        [[], [], [["w", "float32", [0, 1 << 62], 0.0]]],
        [[0, 0], [], []],
        [[], [], [["w", "float32", [-1], 0.0]]],
        [[], [], [["w", "float32", [1.5], 0.0]]],
        [[], [], [["w", "float32", "1", 0.0]]],
        [[], [], [["w", "float32", [1], -1.0]]],
        [[], [], [["w", "float32", [1], float("nan")]]],
        [[], [], [["w", "int32", [1], 0.5]]],
        [[], [], [["w", "float32", [1]]]],
        [[], [], [[b"w", "float32", [1], 0.0]]],
        [[], []],
        {"removed": []},
        7,
    ],
)
def test_a_table_that_makes_no_sense_is_corrupt(table):
    with pytest.raises(CorruptError) as caught:
        Decoder().decode(keyframe(table))
    assert caught.value.byte_offset is not None
    assert caught.value.unit_index == 2


def test_a_table_that_unpacks_to_gigabytes_is_refused():
    bomb = zstandard.compress(bytes(1 << 28), level=19)
    with pytest.raises(BitstreamError):
        Decoder().decode(sealed(pack_unit(UnitType.TABLE, bomb)))


def test_slices_that_are_missing_or_too_many_are_corrupt():
    table = [[], [], [["w", "uint8", [3], 0.0]]]
    for units in ([], [Data(2, b"", [b"abc"]).pack()], [Data(1, b"", []).pack()], [Data(1, b"", [b"a", b"b"]).pack()]):
        with pytest.raises(CorruptError):
            Decoder().decode(keyframe(table, *units))
    with pytest.raises(CorruptError):
        Decoder().decode(keyframe(table, pack_unit(UnitType.DATA, pack_varint(1) + b"\xff" * 12)))


def test_other_versions_profiles_and_units_are_unsupported():
    data = bytearray(Encoder().encode({"w": np.ones(3)}).data)
    for at, value in ((3, 2), (7, 1), (8, 0x80)):
        changed = bytearray(data)
        changed[at] = value
        with pytest.raises(UnsupportedError):
            Decoder().decode(changed)
    with pytest.raises(UnsupportedError):
        Decoder().decode(sealed(pack_unit(60, b"")))


def test_bytes_behind_the_end_are_refused():
    data = bytes(Encoder().encode({"w": np.ones(3)}))
    with pytest.raises(CorruptError):
        Decoder().decode(data + b"\0")
    with pytest.raises(CorruptError):
        Update.from_bytes(data + data)
    with pytest.raises(TruncatedError):
        Update.from_bytes(data[:-19])


def test_limits_bound_the_model_its_tensors_names_and_dimensions():
    weights = {"weight": np.ones((2, 3), np.float32), "b": np.ones(1, np.float32)}
    data = bytes(Encoder().encode(weights))
    n_bytes = 28 + 2 * (contexts_bytes(Kind.FLOAT32, Coding.INTER) + history_bytes(0))
    assert len(Decoder(limits=Limits(model_bytes=n_bytes, tensors=2, rank=2, name_bytes=6)).decode(data)) == 2
    for limits in (Limits(model_bytes=n_bytes - 1), Limits(tensors=1), Limits(rank=1), Limits(name_bytes=5)):
        decoder = Decoder(limits=limits)
        with pytest.raises(LimitExceededError):
            decoder.decode(data)
        assert decoder.position is None


def test_a_hundred_thousand_tiny_tensors_cannot_claim_gigabytes():
    table = [[], [], [[str(i), "float16", [1], 0.5] for i in range(100_000)]]
    with pytest.raises(LimitExceededError):
        Decoder().decode(keyframe(table, Data(100_000, b"", [b""]).pack()))


def test_more_codewords_than_slices_are_refused_without_reading_them_all():
    table = [[], [], [["w", "uint8", [3], 0.0]]]
    with pytest.raises(CorruptError, match="more codewords"):
        Decoder().decode(keyframe(table, pack_unit(UnitType.DATA, pack_varint(1) + bytes(1 << 22))))


def test_a_model_may_grow_as_training_state_does():
    encoder, decoder = Encoder(), Decoder()
    weights = {"w": np.zeros(1 << 20)}
    decoder.decode(encoder.encode(weights))
    for name in ("exp_avg", "exp_avg_sq", "more"):
        weights[name] = np.zeros(1 << 20)
        assert exact(decoder.decode(encoder.encode(weights))) == exact(weights)

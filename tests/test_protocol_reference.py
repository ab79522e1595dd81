"""The plain decoder of protocol/reference, written from the pages, and the native one must agree on everything."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import xxhash

import incnnr
from incnnr.errors import BitstreamError, DivergedError, GapError, StaleUpdateError
from incnnr.quantization import representable_step
from incnnr.tensors import TensorType, type_of
from protocol.reference.errors import DoesNotFollowError, MalformedError
from protocol.reference.state import state_of_base
from protocol.reference.units import read_units
from protocol.reference.update import decode, result
from protocol.reference.xxh64 import xxh64
from tests import crafted
from tests.crafted import BEGIN, DATA, END, STR, TABLE, begin, data, table, unit
from tests.stories import told
from tests.weights import ALL_DTYPES, bit_neighbours, exact, random_array

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
OTHERS = ["bool", "float8_e4m3", "float8_e5m2", ">i4", "<c8"]
FLOATS = ["float16", "bfloat16", "float32", "float64", ">f4"]
STEPS = [0.0, 1e-3, 1.0, 0.3, 1e30, 1e38, 4e38, 1e-40, 1e-46, 1e-320, 1e300, 5e-324]


def as_reference(weights):
    """Name -> dtype as the table names it, shape, bytes."""
    types = {name: type_of(np.asarray(array)) for name, array in weights.items()}
    return {name: (types[name].dtype, types[name].shape, np.asarray(weights[name]).tobytes()) for name in weights}


def base_state(base):
    return None if base is None else state_of_base(as_reference(base))


def assert_same(decoder, state):
    """Tensors in the same order with the same dtypes, shapes and bytes; the same position and digest."""
    assert list(state.weights().items()) == list(as_reference(decoder.model).items())
    at, position = state.position, decoder.position
    assert (at.sequence, at.chain, at.digest) == (position.sequence, position.chain, position.digest)


def decode_with_both(base, updates):
    decoder, state = incnnr.Decoder(base=base), base_state(base)
    for update in updates:
        decoder.decode(update)
        state = decode(state, update)
        assert_same(decoder, state)
    return len(updates)


@pytest.mark.filterwarnings("ignore::incnnr.errors.PatternWarning")  # patterns and names of stories are drawn apart
@pytest.mark.parametrize("block", range(8))
def test_both_decoders_agree_after_every_update_of_random_stories(block):
    stories = [told(seed) for seed in range(20 * block, 20 * block + 20)]
    assert sum(decode_with_both(story.base, story.updates) for story in stories) == 160


@pytest.mark.filterwarnings("ignore::incnnr.errors.PatternWarning")  # patterns and names of stories are drawn apart
def test_the_stories_have_everything_in_them():
    updates = [(story, read_units(update)) for story in map(told, range(40)) for update in story.updates]
    begins = [units.begin for _, units in updates]
    assert {begin.is_keyframe for begin in begins if begin.sequence > 0} == {True, False}
    assert {story.base is None for story, _ in updates} == {True, False}
    assert {units.table is None for _, units in updates} == {True, False}


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_both_decoders_agree_on_every_dtype_without_and_with_a_reference(dtype):
    rng = np.random.default_rng(5)
    weights = {str(shape): random_array(rng, dtype, shape) for shape in [(), (3, 0), (7, 5), (60,)]}
    encoder, updates = incnnr.Encoder(), []
    for _ in range(3):
        updates.append(bytes(encoder.encode(weights)))
        weights = {name: bit_neighbours(rng, array) for name, array in weights.items()}
    decode_with_both(None, updates)


@pytest.mark.parametrize("dtype", [">c8", ">c16", ">U3", ">M8[us]", ">m8[3h]", ">f2", ">f8", ">u2", "S4", "V3", "<f4"])
def test_both_decoders_agree_on_type_strings_of_either_byte_order(dtype):
    rng = np.random.default_rng(6)
    words = np.array(["aβ", "", "xyz"]) if "U" in dtype else random_array(rng, dtype, (3,))
    weights = {"w": words.astype(dtype)}
    encoder = incnnr.Encoder()
    decode_with_both(None, [bytes(encoder.encode(weights)), bytes(encoder.encode({"w": weights["w"][::-1]}))])


def test_both_decoders_agree_where_slices_are_cut_and_packed():
    """The last slice of a and all of b fill a codeword exactly, so that c begins another."""
    base = {"a": np.zeros(2**20 + 3, np.bool_), "b": np.zeros(2**20 - 3, np.uint8), "c": np.zeros(1, np.int8)}
    later = {name: array.copy() for name, array in base.items()}
    later["a"][-1] = later["c"][0] = True
    latest = {name: array.copy() for name, array in later.items()}
    latest["a"][-1] = latest["c"][0] = False
    latest["b"][[7, -1]] = 200, 3
    encoder = incnnr.Encoder(base=base)
    assert decode_with_both(base, [bytes(encoder.encode(weights)) for weights in (later, latest)]) == 2


def test_both_decoders_agree_on_the_flags_of_many_slices():
    rng = np.random.default_rng(7)
    weights = {str(number): np.zeros(1, np.uint16) for number in range(60)}
    encoder, updates = incnnr.Encoder(base=weights), []
    for _ in range(12):
        names = [name for name in weights if rng.random() < 0.3 + 0.6 * (int(name) > 30)]
        changes = {name: rng.integers(9, size=1, dtype=np.uint16) for name in names}
        updates.append(bytes(encoder.encode(changes, partial=True)))
    decode_with_both(weights, updates)


def test_the_hash_is_xxh64():
    rng = np.random.default_rng(0)
    for n_bytes in [*range(100), 1000]:
        for seed in (0, 1, 2**64 - 1):
            message = rng.bytes(n_bytes)
            assert xxh64(message, seed) == xxhash.xxh64(message, seed=seed).intdigest()


# What encoders do not send


def with_its_digest(state, update):
    """The same update, END naming the digest of what it decodes to."""
    units = read_units(update)
    digest = result(state, units).position.digest
    return crafted.sealed(units.before_end, units.begin.parent_chain, digest)


def random_update(rng, state, rows):
    """An update around the longest random codeword that is used up."""
    is_keyframe = state is None
    remembered = {"flags": int(is_keyframe) | 2 * int(rng.integers(2)) | 4 * int(rng.integers(3))}
    parent = (0,) if is_keyframe else (state.position.sequence + 1, state.position.chain)
    position = begin(*parent, **remembered)
    flags = b"" if is_keyframe else crafted.some_codeword(rng, rng.integers(0, 2))
    for n_bytes in range(rng.integers(0, 60), -1, -1):
        codeword = crafted.some_codeword(rng, n_bytes)
        for codewords in ([flags, codeword], [flags]):
            payloads = [data(len(rows), codewords)]
            update = crafted.update(position, table(added=rows) if is_keyframe else None, payloads)
            try:
                return with_its_digest(state, update)
            except MalformedError:
                continue
    return None


@pytest.mark.parametrize("seed", range(8))
def test_both_decoders_agree_on_codewords_of_any_bytes(seed):
    rng = np.random.default_rng(seed)
    n_compared = 0
    for _ in range(25):
        dtype, step = rng.choice(FLOATS), float(rng.choice(STEPS))
        step = representable_step(step, TensorType(str(dtype), ()))
        rows = [["x", str(rng.choice(INTEGERS + OTHERS)), [int(rng.integers(9))], 0.0]]
        rows += [["y", str(dtype), [int(rng.integers(9))], step]]
        decoder, state = incnnr.Decoder(), None
        for _ in range(4):
            update = random_update(rng, state, rows)
            if update is None:
                break
            decoder.decode(update)
            state = decode(state, update)
            assert_same(decoder, state)
            n_compared += 1
    assert n_compared > 50


def whole(*units):
    return crafted.sealed(units, None, 0)


def keyframe(rows, **options):
    return crafted.update(begin(0, **options), table(added=rows), [data(len(rows), [b"", b""])])


ROW = ["w", "uint8", [3], 0.0]
FIRST = [unit(STR, b"\xf1"), unit(BEGIN, begin(0))]
ADD, CODED = unit(TABLE, table(added=[ROW])), unit(DATA, data(1, [b"", b""]))
NO_SLICE = unit(DATA, data(0, [b""]))
ODD_KEYFRAMES = {
    "plain": keyframe([ROW]),
    "long form of the size": whole(FIRST[0], unit(BEGIN, begin(0), long_size=True), ADD, CODED),
    "a counter": whole(FIRST[0], unit(BEGIN, begin(0), counter=7), ADD, CODED),
    "units without slices": whole(*FIRST, ADD, NO_SLICE, CODED, NO_SLICE),
    "no tensors": crafted.update(begin(0)),
    "with history": keyframe([ROW], flags=3),
    "with means": keyframe([["w", "float32", [3], 0.5]], flags=9),
    "a high sequence": crafted.update(begin(2**64 - 1), table(added=[ROW]), [data(1, [b"", b""])]),
    "zeros behind a codeword": crafted.update(begin(0), table(added=[ROW]), [data(1, [b"", bytes(5)])]),
    "a codeword of eight bytes for no flags": crafted.update(
        begin(0), table(added=[ROW]), [data(1, [b"\x01" * 8, b""])]
    ),
    "a nameless tensor": keyframe([["", "uint8", [3], 0.0]]),
    "an empty tensor": crafted.update(begin(0), table(added=[["w", "uint8", [2, 0], 0.0]])),
    "a step of -0.0": keyframe([["w", "float32", [3], -0.0]]),
    "a step for a type string": keyframe([["w", ">f2", [3], 0.5]]),
    "another dtype of ml_dtypes": keyframe([["w", "int4", [3], 0.0]]),
}
WRONG_KEYFRAMES = {
    "version 2": keyframe([ROW], version=2),
    "three means": keyframe([ROW], flags=13),
    "unknown flags": keyframe([ROW], flags=17),
    "long form of the first size": whole(unit(STR, b"\xf1", long_size=True), FIRST[1], ADD, CODED),
    "another profile": whole(unit(STR, b"\xf0"), FIRST[1], ADD, CODED),
    "BEGIN too long": crafted.update(begin(0) + b"x", table(added=[ROW]), [data(1, [b"", b""])]),
    "DATA before TABLE": whole(*FIRST, CODED, ADD),
    "two tables": whole(*FIRST, ADD, ADD, CODED),
    "no END": b"".join([*FIRST, ADD, CODED]),
    "bytes behind END": whole(*FIRST, ADD, CODED) + b"\0",
    "an unknown unit": whole(*FIRST, ADD, unit(36, b""), CODED),
    "an end that is too long": b"".join([*FIRST, ADD, CODED, unit(END, bytes(17))]),
    "a new slice that is not coded": whole(*FIRST, ADD),
    "too many slices": crafted.update(begin(0), table(added=[ROW]), [data(2, [b"", b""])]),
    "no codeword for the flags": crafted.update(begin(0), None, [b"\0"]),
    "a codeword of nine bytes for no flags": crafted.update(begin(0), table(added=[ROW]), [data(1, [b"\1" * 9, b""])]),
    "bytes behind the table": crafted.update(begin(0), table(added=[ROW]) + b"z", [data(1, [b"", b""])]),
    "a table of one place": crafted.update(begin(0), table(removed=[0])),
    "a name twice": keyframe([ROW, ROW]),
    "an unknown dtype": keyframe([["w", "half", [3], 0.0]]),
    "a step for integers": keyframe([["w", "int8", [3], 0.5]]),
    "a negative step": keyframe([["w", "float32", [3], -0.5]]),
    "an infinite step": keyframe([["w", "float32", [3], np.inf]]),
    "a step that is no float": keyframe([["w", "float32", [3], 1]]),
    "a step that is no float32": keyframe([["w", "float32", [3], 0.1]]),
    "a shape beyond all arrays": keyframe([["w", "uint8", [0, 2**62], 0.0]]),
    "no bulk": whole(*FIRST, ADD, unit(DATA, b"\1\0\0")),
    "a bulk that is too long": whole(*FIRST, ADD, unit(DATA, b"\1\0\2\2\1")),
    "a bulk that nobody reads": whole(*FIRST, ADD, unit(DATA, b"\1\0\2\1\1")),
    "a negative size": keyframe([["w", "uint8", [-3], 0.0]]),
}


@pytest.mark.parametrize("odd", ODD_KEYFRAMES)
def test_both_decoders_take_keyframes_that_are_unusual_and_right(odd):
    update = with_its_digest(None, ODD_KEYFRAMES[odd])
    decode_with_both(None, [update])


@pytest.mark.parametrize("wrong", WRONG_KEYFRAMES)
def test_both_decoders_refuse_keyframes_that_are_wrong(wrong):
    with pytest.raises(MalformedError):
        result(None, read_units(WRONG_KEYFRAMES[wrong]))
    with pytest.raises(BitstreamError) as caught:
        incnnr.Decoder().decode(WRONG_KEYFRAMES[wrong])
    assert "made from" not in str(caught.value), "the fault is found before the digest"
    assert "damaged" not in str(caught.value), "the update is whole"


BASE = {"a": np.arange(3, dtype=np.uint8), "b": np.arange(4, dtype=np.float32), "c": np.ones(2, ml_dtypes.bfloat16)}
TABLES = {
    "nothing": ({}, []),
    "removed": ({"removed": [1]}, []),
    "all removed, not in order": ({"removed": [2, 0, 1]}, []),
    "the same again": ({"altered": [[0, "uint8", [3], 0.0]]}, []),
    "another step": ({"altered": [[1, "float32", [4], 0.5]]}, [data(3, [b"\xff", b"\x9c\x11"])]),
    "another step, unreached": ({"altered": [[1, "float32", [4], 0.5]]}, []),
    "another type": ({"altered": [[0, "int8", [3], 0.0]]}, [data(1, [b"", b"\x9c\x11"])]),
    "another shape": ({"altered": [[1, "float32", [2, 2], 0.0]]}, [data(2, [b"", b"\x77\x11"])]),
    "another order": ({"altered": [[2, "int8", [0], 0.0], [1, "float16", [0], 0.5]]}, []),
    "in other places": ({"removed": [0], "added": [["d", "int8", [1], 0.0]]}, [data(3, [b"\x80", b"\x7f\x11"])]),
    "removed and back": ({"removed": [0], "added": [["a", "uint8", [3], 0.0]]}, [data(3, [b"\xff", b"\x4f\x11"])]),
    "removed and back, unreached": ({"removed": [0], "added": [["a", "uint8", [3], 0.0]]}, []),
    "two units": ({}, [data(1, [b"\xff", b"\x4f\x11"]), data(2, [b"\xc0", b"\x4f\x12"])]),
}


@pytest.mark.parametrize("change", TABLES)
def test_both_decoders_change_the_table_alike(change):
    changes, payloads = TABLES[change]
    state = base_state(BASE)
    first = crafted.update(begin(1, state.position.chain), table(**changes) if changes else None, payloads)
    first = with_its_digest(state, first)
    state = decode(state, first)
    second = with_its_digest(state, crafted.update(begin(2, state.position.chain), None, []))
    decode_with_both(BASE, [first, second])


# Positions


def outcome(decode_it, *args):
    """How a decoder took an update, in the words of state.md."""
    try:
        decode_it(*args)
    except DoesNotFollowError as error:
        return str(error)
    except StaleUpdateError:
        return "stale"
    except GapError:
        return "gap"
    except DivergedError:
        return "diverged"
    return "taken"


def chain_of_updates(offset):
    encoder = incnnr.Encoder()
    weights = [{"w": np.full(3, offset + step, np.int16)} for step in range(5)]
    return [bytes(encoder.encode(w, keyframe=step == 3)) for step, w in enumerate(weights)]


def test_both_decoders_take_and_refuse_the_same_updates_at_every_position():
    one, other = chain_of_updates(0), chain_of_updates(10)
    seen = set()
    for n_before in range(6):
        decoder, state = incnnr.Decoder(), None
        for update in one[:n_before]:
            decoder.decode(update)
            state = decode(state, update)
        for update in one + other:
            native = outcome(decoder.fork().decode, update)
            assert outcome(decode, state, update) == native
            seen.add(native)
    assert seen == {"taken", "stale", "gap", "diverged"}


def test_a_reset_decoder_takes_any_keyframe_and_so_does_the_reference():
    updates = chain_of_updates(0)
    decoder, state = incnnr.Decoder(), None
    for update in updates:
        decoder.decode(update)
        state = decode(state, update)
    decoder.reset()
    decoder.decode(updates[0])
    assert_same(decoder, decode(state, updates[0], any_keyframe=True))
    assert exact(decoder.model) == exact({"w": np.zeros(3, np.int16)})

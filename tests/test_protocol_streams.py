"""The plain reader of stream files in protocol/reference must find in a file what `incnnr.open` finds in it."""

from __future__ import annotations

import numpy as np
import pytest

import incnnr
from incnnr.errors import BitstreamError
from incnnr.stream import writer as writing
from incnnr.stream.frames import MARK, OPTIONAL, Kind, pack
from incnnr.tensors import Layout, type_of
from protocol.reference import stream as reference
from protocol.reference.errors import MalformedError
from protocol.reference.frames import Damage, scan

LAYOUTS = [None, Layout("safetensors", b""), Layout("x", b"abc" * 20), Layout("Ω", b"xyz" + MARK + b"abc" * 20)]
METADATA = [None, {"loss": 0.5}, {"m": MARK * 3, "l": [1, None, {"a": True}], "": -1}]
NAMES = [None, "epoch-1", "Ω/b", "not UTF-8 \udcff"]


class Weights(dict):
    layout = None


def changed(rng, weights):
    after = Weights({name: array.copy() for name, array in weights.items()})
    after["w"][rng.integers(30)] += 1
    after.layout = LAYOUTS[rng.integers(len(LAYOUTS))] if rng.random() < 0.5 else weights.layout
    return after


def write_stream(rng, path, monkeypatch):
    """A few entries with everything that an entry may have; in half of the streams updates come in pieces."""
    monkeypatch.setattr(writing, "MAX_BODY_BYTES", 60 if rng.random() < 0.5 else 2**26)
    weights = Weights(w=rng.normal(0, 1, 30).astype(np.float32), n=np.arange(3))
    options = {"qp": -8} if rng.random() < 0.5 else {}
    with incnnr.open(path, "w", keyframe_every=int(rng.integers(2, 6)), **options) as stream:
        for _ in range(rng.integers(1, 8)):
            weights = changed(rng, weights)
            step = int(rng.integers(-(2**63), 2**63)) if rng.random() < 0.5 else None
            name, metadata = NAMES[rng.integers(len(NAMES))], METADATA[rng.integers(len(METADATA))]
            stream.append(weights, step=step, name=name, metadata=metadata, sync=False)


def damaged(rng, data):
    """One to three faults of any sort."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, n = int(rng.integers(max(len(data), 1))), int(rng.integers(1, 60))
        fault = rng.integers(6)
        if fault == 0:
            data[at : at + 1] = bytes(byte ^ 1 << int(rng.integers(8)) for byte in data[at : at + 1])
        elif fault == 1:
            del data[at : at + n]
        elif fault == 2:
            data[at:at] = rng.bytes(n)
        elif fault == 3:
            del data[at:]
        elif fault == 4:
            data += bytes(n)
        else:
            data[at : at + 5 * n] = bytes(len(data[at : at + 5 * n]))
    return bytes(data)


def native_entry(stream, index):
    """Weights, layout and what is known about an entry; None for one that cannot be had."""
    try:
        model, entry = stream[index], stream.entries[index]
    except BitstreamError:
        return None
    weights = {name: (type_of(array).dtype, array.shape, array.tobytes()) for name, array in model.items()}
    layout = model.layout and (model.layout.format, model.layout.rest)
    position = (entry.position.sequence, entry.position.chain, entry.position.digest)
    labels = (entry.step, entry.name, entry.time, entry.metadata, entry.is_keyframe, entry.n_bytes)
    return list(weights.items()), layout, position, labels


def reference_entry(stream, index):
    try:
        state, layout = stream.state(index), stream.layout(index)
    except MalformedError:
        return None
    entry = stream.entries[index]
    fields, at = entry.fields, state.position
    labels = (fields.get("s"), fields.get("n"), fields["t"], fields.get("m", {}))
    labels += (entry.parent_chain is None, len(entry.update()))
    layout = layout and (layout.format, layout.data)
    return list(state.weights().items()), layout, (at.sequence, at.chain, at.digest), labels


def seen_natively(path):
    """Everything a file holds; None if it is no stream."""
    try:
        stream = incnnr.open(path)
    except BitstreamError:
        return None
    with stream:
        entries = [native_entry(stream, index) for index in range(len(stream))]
        lost = [entry.is_lost for entry in stream.entries]
        damage = [(span.offset, span.end) for span in stream.damage]
        ends_in_damage = bool(damage) and damage[-1][1] == path.stat().st_size
        return entries, lost, damage, None if ends_in_damage else path.stat().st_size - stream.torn_bytes


def seen_by_reference(path):
    data = path.read_bytes()
    try:
        stream, found = reference.read(data), scan(data)
    except MalformedError:
        return None
    entries = [reference_entry(stream, index) for index in range(len(stream.entries))]
    lost = [entry is None for entry in stream.entries]
    damage = [(item.begin, item.end) for item in found.items if isinstance(item, Damage)]
    return entries, lost, damage, None if found.ends_in_damage else stream.committed_end


@pytest.mark.parametrize("seed", range(20))
def test_both_readers_find_the_same_in_a_sound_stream(tmp_path, monkeypatch, seed):
    path = tmp_path / "run.incnnr"
    write_stream(np.random.default_rng(seed), path, monkeypatch)
    entries, _, damage, committed_end = found = seen_natively(path)
    assert seen_by_reference(path) == found
    assert None not in entries
    assert (damage, committed_end) == ([], path.stat().st_size)


@pytest.mark.parametrize("seed", range(20))
def test_both_readers_find_the_same_in_a_damaged_stream(tmp_path, monkeypatch, seed):
    rng = np.random.default_rng([seed, 1])
    path = tmp_path / "run.incnnr"
    write_stream(rng, path, monkeypatch)
    sound = path.read_bytes()
    for _ in range(6):
        path.write_bytes(damaged(rng, sound))
        assert seen_by_reference(path) == seen_natively(path)


def test_both_readers_find_the_same_in_every_prefix(tmp_path, monkeypatch):
    path = tmp_path / "run.incnnr"
    write_stream(np.random.default_rng(8), path, monkeypatch)
    sound = path.read_bytes()
    for n_bytes in range(0, len(sound), 7):
        path.write_bytes(sound[:n_bytes])
        assert seen_by_reference(path) == seen_natively(path)


def test_both_readers_pass_over_optional_frames_and_stop_at_others(tmp_path, monkeypatch):
    path = tmp_path / "run.incnnr"
    write_stream(np.random.default_rng(9), path, monkeypatch)
    sound = path.read_bytes()
    optional = b"".join(pack(OPTIONAL | 99, b"not msgpack \xc1", b"from the future"))
    path.write_bytes(optional + sound + optional + optional)
    assert seen_by_reference(path) == seen_natively(path) is not None
    path.write_bytes(sound + b"".join(pack(99, b"", b"")))
    assert seen_by_reference(path) is seen_natively(path) is None


def test_both_readers_take_wrong_fields_for_damage(tmp_path, monkeypatch):
    path = tmp_path / "run.incnnr"
    write_stream(np.random.default_rng(10), path, monkeypatch)
    sound = path.read_bytes()
    for fields in (b"", b"\xc1", b"\x90", b"\x81\xa1q\xff", b"\x81\xa1c\x01"):
        for kind in (Kind.PART, Kind.UPDATE):
            path.write_bytes(sound + b"".join(pack(kind, fields, b"x")) + sound)
            assert seen_by_reference(path)[0] == seen_natively(path)[0]


def test_both_readers_follow_several_chains_in_one_file(tmp_path, monkeypatch):
    path = tmp_path / "run.incnnr"
    streams = []
    for seed in (11, 12, 13):
        write_stream(np.random.default_rng(seed), path, monkeypatch)
        streams.append(path.read_bytes())
    path.write_bytes(b"".join(streams))
    assert seen_by_reference(path) == seen_natively(path)
    assert None not in seen_natively(path)[0]

"""Streams that nothing happens to: what goes in comes out, in every mode."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from enum import IntEnum, StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incnnr import stream
from incnnr.errors import ClosedError, CorruptError
from incnnr.incremental import Decoder
from incnnr.stream import writer as writing
from incnnr.stream.frames import MARK
from incnnr.tensors import Layout


def weights(seed: int) -> dict[str, np.ndarray]:
    """Weights of which few change from one seed to the next."""
    a = np.random.default_rng(0).standard_normal(300).astype(np.float32)
    a[:seed] += 1
    return {"a": a, "b": np.arange(4) + seed}


def same(model: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return list(model) == list(expected) and all(np.array_equal(model[name], expected[name]) for name in expected)


class Step(IntEnum):
    FIRST = 1


class Name(StrEnum):
    LAST = "last"


class Checkpoint(dict[str, Any]):
    def __init__(self, arrays: Mapping[str, Any], layout: Layout | None) -> None:
        super().__init__(arrays)
        self.layout = layout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.incnnr"


def write(path: Path, seeds: range, mode: Any = "a", **options: Any) -> None:
    with stream.open(path, mode, **options) as writer:
        for seed in seeds:
            writer.append(weights(seed), step=10 * seed)


def test_entries_come_back_in_whatever_order_they_are_asked_for(path: Path) -> None:
    write(path, range(8), keyframe_every=3)
    with stream.open(path) as reader:
        assert len(reader) == 8
        for index in (7, 0, 3, 4, 2, -1, -8, 5, 5):
            assert same(reader[index], weights(index % 8))
        assert [same(model, weights(seed)) for seed, model in enumerate(reader)] == [True] * 8


def test_iterating_decodes_every_update_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, range(8), keyframe_every=5)
    decoded = []
    decode = Decoder.decode
    monkeypatch.setattr(Decoder, "decode", lambda self, update: decoded.append(1) or decode(self, update))
    with stream.open(path) as reader:
        assert len(list(reader)) == 8
        assert len(decoded) == 8
        assert same(reader[6], weights(6))
        assert same(reader[7], weights(7))
        assert len(decoded) == 11, "entry 7 goes on from entry 6"


def test_models_stay_valid_when_the_reader_goes_on(path: Path) -> None:
    write(path, range(4))
    with stream.open(path) as reader:
        models = list(reader)
    assert all(same(model, weights(seed)) for seed, model in enumerate(models))


def test_at_finds_the_newest_entry_of_a_step(path: Path) -> None:
    with stream.open(path, "w") as writer:
        for seed, step in enumerate((5, 6, 5, 7, None)):
            writer.append(weights(seed), step=step)
    with stream.open(path) as reader:
        assert same(reader.at(step=5), weights(2))
        with pytest.raises(KeyError):
            reader.at(step=8)


@pytest.mark.parametrize("index", [3, -4, 10**30])
def test_an_index_outside_is_an_index_error(path: Path, index: int) -> None:
    write(path, range(3))
    with stream.open(path) as reader, pytest.raises(IndexError):
        reader[index]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(metadata=st.dictionaries(st.text(), plain, max_size=4), step=st.integers(-(2**63), 2**63 - 1))
def test_labels_come_back(tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any], step: int) -> None:
    path = tmp_path_factory.mktemp("labels") / "run.incnnr"
    with stream.open(path, "w") as writer:
        entry = writer.append(weights(0), step=step, name="odd \udcff name", metadata=metadata)
    with stream.open(path) as reader:
        assert list(reader.entries) == [entry]
    assert (entry.metadata, entry.step, entry.name) == (metadata, step, "odd \udcff name")


@pytest.mark.parametrize(("step", "name"), [(Step.FIRST, np.str_("a")), (np.int8(3), Name.LAST), (None, None)])
def test_labels_come_back_as_plain_values(path: Path, step: Any, name: Any) -> None:
    with stream.open(path, "w") as writer:
        entry = writer.append(weights(0), step=step, name=name)
    assert (entry.step, entry.name) == (step, name)
    assert {type(entry.step), type(entry.name)} <= {int, str, type(None)}
    with stream.open(path) as reader:
        assert list(reader.entries) == [entry]


def test_entries_say_how_large_the_model_is_and_how_much_of_it_changed(path: Path) -> None:
    series = [{"a": np.zeros(500, np.float16)}, {"a": np.zeros(500, np.float16)}, {"b": np.ones(10), "c": np.ones(5)}]
    series[1]["a"][[3, 70]] = 1
    for arrays in (*series, {}):
        with stream.open(path, "a") as writer:
            last = writer.append(arrays)
    with stream.open(path) as reader:
        entries = reader.entries
    assert [entry.n_weights for entry in entries] == [500, 500, 15, 0]
    assert [entry.model_bytes for entry in entries] == [1000, 1000, 120, 0]
    assert [entry.n_changed for entry in entries] == [500, 2, 15, 0]
    assert entries[1].bits_per_weight == 8 * entries[1].n_bytes / 500
    assert entries[1].ratio == 1000 / entries[1].n_bytes
    assert (last, last.bits_per_weight, last.ratio) == (entries[3], None, None)


def test_metadata_is_detached_from_the_callers_dict(path: Path) -> None:
    said = {"losses": [1.0]}
    with stream.open(path, "w") as writer:
        writer.append(weights(0), metadata=said)
        said["losses"].append(2.0)
        assert writer.entries[0].metadata == {"losses": [1.0]}


@pytest.mark.parametrize(
    "labels",
    [
        {"metadata": {"x": object()}},
        {"metadata": {"x": {1, 2}}},
        {"metadata": {"x": 2**64}},
        {"metadata": {"x": np.float32(1)}},
        {"metadata": {1: "x"}},
        {"metadata": {"x": {(1, 2): 3}}},
        {"metadata": [("x", 1)]},
        {"metadata": {"x": "\ud800"}},
        {"step": 1.5},
        {"step": True},
        {"step": "7"},
        {"name": b"x"},
    ],
)
def test_what_cannot_be_a_label_is_refused_before_anything_happens(path: Path, labels: dict[str, Any]) -> None:
    write(path, range(2))
    before = path.read_bytes()
    with stream.open(path, "a") as writer:
        with pytest.raises(TypeError):
            writer.append(weights(2), **labels)
        assert path.read_bytes() == before
        assert writer.append(weights(2)).index == 2


def test_weights_that_cannot_be_coded_leave_the_writer_open_and_the_file_as_it_was(path: Path) -> None:
    write(path, range(2))
    before = path.read_bytes()
    with stream.open(path, "a") as writer:
        with pytest.raises(TypeError):
            writer.append({"w": np.array([object()])})
        assert path.read_bytes() == before
        writer.append(weights(2))
    with stream.open(path) as reader:
        assert same(reader[2], weights(2))


def test_reopening_many_times_writes_the_same_entries_as_writing_at_once(tmp_path: Path) -> None:
    write(tmp_path / "once", range(12), keyframe_every=5)
    for seed in range(12):
        write(tmp_path / "often", range(seed, seed + 1), keyframe_every=5)
    with stream.open(tmp_path / "once") as once, stream.open(tmp_path / "often") as often:
        assert [entry.is_keyframe for entry in once.entries] == [entry.is_keyframe for entry in often.entries]
        assert [entry.position for entry in once.entries] == [entry.position for entry in often.entries]
        assert all(same(model, weights(seed)) for seed, model in enumerate(often))


def test_a_keyframe_comes_when_the_updates_add_up_to_the_last_one(path: Path) -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal(300)
    with stream.open(path, "w") as writer:
        for _ in range(40):
            w[rng.integers(300, size=60)] += 1e-3
            writer.append({"w": w})
        entries = list(writer.entries)
    keyframes = [entry.index for entry in entries if entry.is_keyframe]
    assert 3 < len(keyframes) < 20
    for first, following in pairwise(keyframes):
        updates = [entry.n_bytes for entry in entries[first + 1 : following]]
        assert sum(updates[:-1]) < entries[first].n_bytes <= sum(updates)


def test_a_keyframe_comes_at_least_every_so_many_entries(path: Path) -> None:
    with stream.open(path, "w", keyframe_every=4) as writer:
        keyframes = [writer.append({"w": np.arange(1000.0)}).is_keyframe for _ in range(10)]
    assert [index for index, is_keyframe in enumerate(keyframes) if is_keyframe] == [0, 4, 8]


@pytest.mark.parametrize("options", [{"keyframe_every": 0}, {"follow": True}])
def test_impossible_options_for_writing_are_value_errors(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        stream.open(path, "w", **options)
    assert not path.exists()


def test_an_encoder_option_is_refused_when_reading(path: Path) -> None:
    write(path, range(1))
    with pytest.raises(TypeError, match="max_error"):
        stream.open(path, max_error=1e-3)  # type: ignore[call-overload]


def test_an_unknown_mode_is_a_value_error(path: Path) -> None:
    with pytest.raises(ValueError, match="mode"):
        stream.open(path, "rb")  # type: ignore[call-overload]


def test_reading_what_is_not_there_is_file_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        stream.open(path)


def test_an_exclusive_writer_refuses_a_file_that_is_there(path: Path) -> None:
    write(path, range(2), mode="x")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        stream.open(path, "x")
    assert path.read_bytes() == before


def test_a_replacing_writer_leaves_the_old_stream_until_its_first_commit(path: Path) -> None:
    write(path, range(3))
    with stream.open(path, "w") as writer:
        with stream.open(path) as reader:
            assert len(reader) == 3
        writer.append(weights(9))
        with stream.open(path) as reader:
            assert len(reader) == 1
            assert same(reader[0], weights(9))
        writer.append(weights(10))
    with stream.open(path) as reader:
        assert len(reader) == 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_replacing_writer_that_commits_nothing_changes_nothing(path: Path) -> None:
    write(path, range(3))
    before = path.read_bytes()
    with stream.open(path, "w"):
        pass
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_replacing_writer_follows_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(tmp_path / "link", range(1), mode="w")
    assert (tmp_path / "link").is_symlink()
    with stream.open(tmp_path / "target") as reader:
        assert len(reader) == 1


def test_an_empty_file_is_an_empty_stream(path: Path) -> None:
    path.touch()
    with stream.open(path) as reader:
        assert len(reader) == 0
        assert list(reader) == []
    with stream.open(path, "a") as writer:
        assert (len(writer), writer.position) == (0, None)


def test_a_long_update_is_split_and_comes_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_BODY_BYTES", 100)
    write(path, range(5), keyframe_every=3)
    assert path.read_bytes().count(MARK) > 10
    with stream.open(path) as reader:
        assert [same(model, weights(seed)) for seed, model in enumerate(reader)] == [True] * 5
        assert [entry.n_bytes for entry in reader.entries] == [len(update.data) for update in reader.updates()]


def layouts_written() -> Iterator[Layout | None]:
    header = b'{"a":{"dtype":"F32","shape":[50]},"__metadata__":{"step":"%d"}}' * 20
    yield Layout("safetensors", header % ((0,) * 20))
    yield Layout("safetensors", header % ((0,) * 20))
    yield Layout("safetensors", header % ((1,) * 20))
    yield None
    yield Layout("npz", b"")
    yield Layout("safetensors", header % ((1,) * 20))


@pytest.mark.parametrize("keyframe_every", [1, 2, 3, 100])
def test_layouts_come_back_with_the_weights(path: Path, keyframe_every: int) -> None:
    expected = list(layouts_written())
    for seed, layout in enumerate(expected):
        with stream.open(path, "a", keyframe_every=keyframe_every) as writer:
            writer.append(Checkpoint(weights(seed), layout))
    with stream.open(path) as reader:
        assert [model.layout for model in reader] == expected
        assert [reader[index].layout for index in (5, 1, 4, 3, 0, 2)] == [expected[i] for i in (5, 1, 4, 3, 0, 2)]


def test_an_unchanged_layout_costs_nothing_worth_mentioning(tmp_path: Path) -> None:
    layout = Layout("safetensors", np.random.default_rng(0).bytes(5000))
    for name, what in (("with", layout), ("without", None)):
        with stream.open(tmp_path / name, "w") as writer:
            writer.append(Checkpoint(weights(0), what))
            for _ in range(10):
                writer.append(Checkpoint(weights(0), what))
    assert (tmp_path / "with").stat().st_size - (tmp_path / "without").stat().st_size < 5000 + 100


def test_a_small_update_costs_little_more_in_the_file(path: Path) -> None:
    with stream.open(path, "w") as writer:
        writer.append(weights(0), step=1000, name="checkpoint-1000")
        before = path.stat().st_size
        entry = writer.append(weights(0), step=2000, name="checkpoint-2000")
    assert path.stat().st_size - before - entry.n_bytes < 130


def frames_of(data: bytes) -> list[bytes]:
    return [MARK + rest for rest in data.split(MARK)[1:]]


def test_frames_may_stand_anywhere_because_chains_are_found_by_parent(path: Path) -> None:
    write(path, range(5))
    path.write_bytes(b"".join(reversed(frames_of(path.read_bytes()))))
    with stream.open(path) as reader:
        assert [same(model, weights(4 - index)) for index, model in enumerate(reader)] == [True] * 5


def test_a_keyframe_and_what_follows_is_a_stream_of_its_own(path: Path) -> None:
    with stream.open(path, "w", keyframe_every=3) as writer:
        for seed in range(5):
            writer.append(Checkpoint(weights(seed), Layout("npz", b"the same")))
    path.write_bytes(b"".join(frames_of(path.read_bytes())[3:]))
    with stream.open(path) as reader:
        assert [same(model, weights(3 + index)) for index, model in enumerate(reader)] == [True] * 2
        assert [model.layout for model in reader] == [Layout("npz", b"the same")] * 2


def test_an_entry_whose_parent_is_missing_says_so(path: Path) -> None:
    write(path, range(3))
    path.write_bytes(b"".join(frames_of(path.read_bytes())[i] for i in (0, 2)))
    with stream.open(path) as reader:
        assert same(reader[0], weights(0))
        with pytest.raises(CorruptError, match="entry 1: its parent"):
            reader[1]


def test_a_stream_is_read_from_a_pipe(path: Path) -> None:
    write(path, range(4))
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as pipe:
        pipe.write(path.read_bytes())
    with stream.open(f"/dev/fd/{read_end}") as reader:
        os.close(read_end)
        assert [same(model, weights(seed)) for seed, model in enumerate(reader)] == [True] * 4
        assert same(reader[1], weights(1))


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_stream_is_written_to_a_pipe(tmp_path: Path, mode: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    thread = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    thread.start()
    write(pipe, range(3), mode=mode)
    thread.join(timeout=30)
    (tmp_path / "file").write_bytes(received[0])
    with stream.open(tmp_path / "file") as reader:
        assert [same(model, weights(seed)) for seed, model in enumerate(reader)] == [True] * 3


def test_a_lossy_stream_resumes_from_what_readers_hold(path: Path) -> None:
    for seed in range(6):
        with stream.open(path, "a", max_error=1e-3) as writer:
            writer.append(weights(seed))
    with stream.open(path) as reader:
        for seed, model in enumerate(reader):
            assert np.abs(model["a"].astype(np.float64) - weights(seed)["a"]).max() <= 1e-3


def test_a_closed_stream_says_so(path: Path) -> None:
    with stream.open(path, "w") as writer:
        writer.append(weights(0))
    writer.close()
    with pytest.raises(ClosedError):
        writer.append(weights(1))
    with stream.open(path) as reader:
        iterator = iter(reader)
    reader.close()
    for use in (lambda: reader[0], lambda: next(iterator), lambda: list(reader), lambda: next(reader.updates())):
        with pytest.raises(ClosedError):
            use()

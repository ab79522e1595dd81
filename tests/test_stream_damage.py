"""Streams that something happened to: torn writes, flipped bits, missing bytes, and files that are no streams."""

from __future__ import annotations

from bisect import bisect
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from incnnr import stream
from incnnr.errors import BitstreamError, CorruptError
from incnnr.stream import cursor
from incnnr.stream import writer as writing
from incnnr.stream.frames import MARK, OPTIONAL, Kind, pack, read_body

N_ENTRIES = 10
KEYFRAMES = (0, 4, 8)


def weights(seed: int) -> dict[str, np.ndarray]:
    a = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    a[:seed] += 1
    return {"a": a}


def same(model: object, seed: int) -> bool:
    return bool(np.array_equal(model["a"], weights(seed)["a"]))  # type: ignore[index]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "run.incnnr"
    with stream.open(path, "w", keyframe_every=4) as writer:
        for seed in range(N_ENTRIES):
            writer.append(weights(seed), step=seed, metadata={"loss": 0.5})
        assert tuple(entry.index for entry in writer.entries if entry.is_keyframe) == KEYFRAMES
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.incnnr"


def starts(data: bytes) -> list[int]:
    """Offsets of the frames of a sound stream, and its end."""
    found = [0]
    while (offset := data.find(MARK, found[-1] + 1)) > 0:
        found.append(offset)
    return [*found, len(data)]


def needed(index: int) -> range:
    """Entries that must be sound for this one to be had."""
    return range(max(keyframe for keyframe in KEYFRAMES if keyframe <= index), index + 1)


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


def outcomes(path: Path) -> list[BitstreamError | None]:
    """Decode every entry; the right weights or an error."""
    results: list[BitstreamError | None] = []
    with stream.open(path) as reader:
        for index in range(len(reader)):
            try:
                assert same(reader[index], index)
                results.append(None)
            except BitstreamError as error:
                results.append(error)
    return results


def test_every_prefix_opens_as_its_committed_entries(sound: bytes, path: Path) -> None:
    ends = starts(sound)[1:]
    for n_bytes in range(len(sound) + 1):
        path.write_bytes(sound[:n_bytes])
        n_committed = sum(end <= n_bytes for end in ends)
        with stream.open(path) as reader:
            assert len(reader) == n_committed
            assert (list(reader.damage), reader.torn_bytes) == ([], n_bytes - max([0, *ends][n_committed], 0))
            if n_committed:
                assert same(reader[-1], n_committed - 1)


def test_a_torn_tail_is_cut_back_to_the_last_commit(sound: bytes, path: Path) -> None:
    ends = starts(sound)
    for n_bytes in (1, 7, 8, 30, ends[1] - 1, ends[3] + 5, ends[4] - 8, ends[-1] - 1):
        path.write_bytes(sound[:n_bytes])
        n_committed = sum(end <= n_bytes for end in ends[1:])
        with stream.open(path, "a", keyframe_every=4) as writer:
            assert path.stat().st_size == ends[n_committed]
            assert len(writer) == n_committed
            writer.append(weights(n_committed))
        assert outcomes(path) == [None] * (n_committed + 1)


def test_pieces_of_an_update_without_its_last_are_a_torn_tail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_BODY_BYTES", 50)
    with stream.open(path, "w") as writer:
        for seed in range(3):
            writer.append(weights(seed))
    data = path.read_bytes()
    with stream.open(path) as reader:
        n_frames = [-(-entry.n_bytes // 50) for entry in reader.entries]
    frames = starts(data)
    assert len(frames) == sum(n_frames) + 1
    assert n_frames[0] > 3
    for n in range(n_frames[0]):
        path.write_bytes(data[: frames[n]])
        with stream.open(path) as reader:
            assert (len(reader), reader.torn_bytes) == (0, frames[n])
    with stream.open(path, "a"):
        assert path.stat().st_size == 0


def test_reopening_names_the_piece_of_an_update_that_is_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_BODY_BYTES", 50)
    with stream.open(path, "w") as writer:
        for seed in range(2):
            writer.append(weights(seed))
    data = path.read_bytes()
    bounds = starts(data)
    for start, end in pairwise(bounds):
        path.write_bytes(flipped(data, end - 9))
        with pytest.raises(CorruptError, match="entry 1") as caught:
            stream.open(path, "a")
        assert start < caught.value.byte_offset < end
    path.write_bytes(data)
    with stream.open(path, "a") as writer:
        assert writer.append(weights(2)).index == 2


def test_zeros_that_a_power_failure_left_at_the_end_are_a_torn_tail(sound: bytes, path: Path) -> None:
    ends = starts(sound)
    for n_whole in (3, ends[3] - ends[2], 20):
        path.write_bytes(sound[: ends[2] + n_whole] + bytes(ends[3] - ends[2]))
        with stream.open(path, "a") as writer:
            assert len(writer) in (2, 3)
    path.write_bytes(sound[: ends[3] - 8] + bytes(8))
    with stream.open(path, "a") as writer:
        assert len(writer) == 2
        assert path.stat().st_size == ends[2]


def test_a_flipped_bit_costs_only_the_entries_that_need_it(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    for index in range(N_ENTRIES):
        for offset in (bounds[index] + 3, bounds[index] + 15, bounds[index] + 40, bounds[index + 1] - 20):
            path.write_bytes(flipped(sound, offset))
            for entry, error in enumerate(outcomes(path)):
                assert (error is not None) == (index in needed(entry))
                if error is not None:
                    assert isinstance(error, CorruptError)
                    assert str(error).startswith(f"entry {entry}")
                    assert (f"needs entry {index}" in str(error)) == (entry != index)
                    assert error.byte_offset is not None
                    assert bounds[index] <= error.byte_offset < bounds[index + 1]


def test_random_flips_give_the_right_weights_or_a_typed_error(sound: bytes, path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(sound)
        for offset in rng.integers(len(sound), size=rng.integers(1, 4)):
            data[offset] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        assert any(outcomes(path)), "a flip is always noticed somewhere"


def test_missing_bytes_cost_the_entries_they_were_in(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    path.write_bytes(sound[: bounds[2] - 30] + sound[bounds[2] + 10 :])
    assert [error is None for error in outcomes(path)] == [index == 0 or index >= 4 for index in range(N_ENTRIES)]


def test_a_missing_piece_of_a_body_does_not_hide_the_frame_behind_it(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    path.write_bytes(sound[: bounds[2] - 30] + sound[bounds[2] :])
    with stream.open(path) as reader:
        assert len(reader) == N_ENTRIES
        assert reader.entries[2].step == 2
        assert same(reader[8], 8)


def test_a_lost_header_leaves_a_place_that_says_so(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    path.write_bytes(sound[: bounds[5]] + bytes(bounds[7] - bounds[5]) + sound[bounds[7] :])
    with stream.open(path) as reader:
        assert [entry.index for entry in reader.entries if entry.is_lost] == [5, 6]
        assert [entry.step for entry in reader.entries] == [0, 1, 2, 3, 4, None, None, 7, 8, 9]
        with pytest.raises(CorruptError, match="entry 6") as caught:
            reader[6]
        assert caught.value.byte_offset == bounds[5]
        assert same(reader.at(step=9), 9)


def test_iteration_stops_at_the_damaged_entry_with_its_error(sound: bytes, path: Path) -> None:
    path.write_bytes(flipped(sound, starts(sound)[3] - 10))
    with stream.open(path) as reader:
        models = iter(reader)
        assert [same(next(models), seed) for seed in range(2)] == [True, True]
        with pytest.raises(CorruptError, match="entry 2"):
            next(models)


def test_nothing_is_appended_to_a_damaged_stream(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    newest = KEYFRAMES[-1]
    in_headers = [start + at for start in bounds[:-1] for at in (3, 15, 40)]
    in_bodies = [end - at for end in bounds[newest + 1 :] for at in (1, 10, 20)]
    for offset in in_headers + in_bodies:
        damaged = flipped(sound, offset)
        path.write_bytes(damaged)
        with pytest.raises(CorruptError):
            stream.open(path, "a")
        assert path.read_bytes() == damaged


def test_damage_in_an_older_body_stops_no_appending_and_is_still_reported(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    for index in range(KEYFRAMES[-1]):
        path.write_bytes(flipped(sound, bounds[index + 1] - 10))
        with stream.open(path, "a") as writer:
            writer.append(weights(N_ENTRIES))
        lost = [entry for entry in range(N_ENTRIES) if index in needed(entry)]
        assert [fault.index for fault in stream.verify(path)] == lost
        assert [entry for entry, error in enumerate(outcomes(path)) if error is not None] == lost


def test_appending_reads_no_body_before_the_newest_keyframe(
    sound: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(sound)
    offsets: list[int] = []
    monkeypatch.setattr(
        cursor, "read_body", lambda source, body: offsets.append(body.offset) or read_body(source, body)
    )
    with stream.open(path, "a") as writer:
        writer.append(weights(N_ENTRIES))
    bounds = starts(sound)
    assert [bisect(bounds, offset) - 1 for offset in offsets] == [8, 9]


def test_nothing_is_appended_behind_an_update_that_lost_a_part(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_BODY_BYTES", 50)
    with stream.open(path, "w", keyframe_every=1) as writer:
        for seed in range(2):
            writer.append(weights(seed))
    data = path.read_bytes()
    second = starts(data)[1:3]
    path.write_bytes(data[: second[0]] + data[second[1] :])
    with pytest.raises(CorruptError, match="part of an update is missing"):
        stream.open(path, "a")
    assert outcomes(path)[1] is None


def test_a_damaged_stream_can_be_replaced(sound: bytes, path: Path) -> None:
    path.write_bytes(flipped(sound, 3))
    with stream.open(path, "w") as writer:
        writer.append(weights(0))
    assert outcomes(path) == [None]


@pytest.mark.parametrize("content", [b"x", b"hello, world\n" * 100, bytes(5000), b"PK\x03\x04" + bytes(50)])
def test_a_file_that_is_no_stream_is_neither_read_nor_appended_to(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for mode in ("r", "a"):
        with pytest.raises(CorruptError, match="not an incnnr stream"):
            stream.open(path, mode)  # type: ignore[call-overload]
    assert path.read_bytes() == content


def test_a_stream_kept_inside_a_stream_does_not_pass_for_entries_after_damage(sound: bytes, path: Path) -> None:
    with stream.open(path, "w") as writer:
        writer.append(weights(0))
        writer.append(weights(1), metadata={"another stream": sound})
        writer.append(weights(2))
    data = path.read_bytes()
    frames = starts(data)
    assert len(frames) == 4
    path.write_bytes(flipped(data, frames[1] + 3))
    with stream.open(path) as reader:
        assert [entry.is_lost for entry in reader.entries] == [False, True, False]
    path.write_bytes(data[: frames[2] - 5])
    with stream.open(path, "a") as writer:
        assert len(writer) == 1


def test_unknown_optional_frames_between_entries_are_passed_over(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    foreign = b"".join(pack(OPTIONAL | 99, b"", b"from the future")) + b"".join(pack(Kind.FILE, b"", b"notes"))
    path.write_bytes(sound[: bounds[2]] + foreign + sound[bounds[2] :] + foreign)
    with stream.open(path, "a") as writer:
        writer.append(weights(N_ENTRIES))
    assert outcomes(path) == [None] * (N_ENTRIES + 1)
    assert path.read_bytes().count(b"notes") == 2


def test_verify_finds_nothing_in_a_sound_stream_torn_or_not(sound: bytes, path: Path) -> None:
    for data in (sound, sound[:-3]):
        path.write_bytes(data)
        assert list(stream.verify(path)) == []
        assert list(stream.verify(path, quick=True)) == []


def test_verify_lists_what_is_damaged_and_what_depends_on_it(sound: bytes, path: Path) -> None:
    path.write_bytes(flipped(sound, starts(sound)[6] - 10))
    quick = list(stream.verify(path, quick=True))
    full = list(stream.verify(path))
    assert [fault.index for fault in quick] == [5]
    assert [fault.index for fault in full] == [5, 6, 7]
    assert quick[0].error.byte_offset == full[2].error.byte_offset


def test_verify_lists_spans_that_belong_to_no_frame(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    path.write_bytes(sound[: bounds[4]] + b"garbage" + sound[bounds[4] :])
    faults = list(stream.verify(path))
    assert [(fault.index, fault.error.byte_offset) for fault in faults] == [(None, bounds[4])]
    assert outcomes(path) == [None] * N_ENTRIES


def test_an_update_under_another_entrys_header_is_refused(sound: bytes, path: Path) -> None:
    bounds = starts(sound)
    with stream.open(path, "w") as writer:
        writer.append({"a": weights(0)["a"] + 1})
    other = path.read_bytes()
    body, header_of_first = other, sound[: bounds[1]]
    assert len(body) > 100
    with stream.open(path) as reader:
        stolen = reader.update(0)
    from incnnr.stream.frames import unpack_header
    from incnnr.stream.source import FileSource

    path.write_bytes(header_of_first)
    with path.open("rb") as file:
        fields = unpack_header(FileSource(file), 0).fields
    path.write_bytes(b"".join(pack(Kind.UPDATE, fields, bytes(stolen))))
    with stream.open(path) as reader, pytest.raises(CorruptError, match="entry 0: the update is another"):
        reader[0]
    with pytest.raises(CorruptError, match="entry 0: the update is another"):
        stream.open(path, "a")

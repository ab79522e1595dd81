"""Readers that wait for more while somebody writes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from incnnr import stream
from incnnr.errors import ClosedError, CorruptError
from incnnr.incremental import Decoder
from incnnr.stream.frames import MARK

SECONDS = 30


def weights(seed: int) -> dict[str, np.ndarray]:
    return {"w": np.arange(20) + seed}


class Following:
    """A follower in a thread of its own; what it sees can be waited for."""

    def __init__(self, path: Path, iterate: Callable[[stream.StreamFollower], Any] = iter, **options: Any) -> None:
        self.iterate = iterate
        self.reader = stream.open(path, follow=True, poll_seconds=0.01, **options)
        self.seen: queue.Queue[int | BaseException | None] = queue.Queue()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for model in self.iterate(self.reader):
                self.seen.put(int(model["w"][0]))
            self.seen.put(None)
        except BaseException as error:
            self.seen.put(error)

    def next(self) -> int | BaseException | None:
        return self.seen.get(timeout=SECONDS)

    def close(self) -> None:
        self.reader.close()
        self.thread.join(timeout=SECONDS)
        assert not self.thread.is_alive()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.incnnr"


@pytest.fixture
def follow() -> Iterator[Callable[..., Following]]:
    followers: list[Following] = []

    def start(path: Path, **options: Any) -> Following:
        followers.append(Following(path, **options))
        return followers[-1]

    yield start
    for follower in followers:
        follower.close()


def write(path: Path, seeds: range, mode: Any = "a") -> None:
    with stream.open(path, mode) as writer:
        for seed in seeds:
            writer.append(weights(seed))


def test_a_follower_sees_what_is_there_and_what_is_appended(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(3))
    follower = follow(path)
    assert [follower.next() for _ in range(3)] == [0, 1, 2]
    for seed in range(3, 6):
        write(path, range(seed, seed + 1))
        assert follower.next() == seed


def test_a_follower_waits_for_a_file_that_is_not_there_yet(path: Path, follow: Callable[..., Following]) -> None:
    follower = follow(path)
    write(path, range(2), mode="w")
    assert [follower.next(), follower.next()] == [0, 1]


def test_a_follower_goes_over_to_the_file_that_replaces_its_own(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(2))
    follower = follow(path)
    assert [follower.next(), follower.next()] == [0, 1]
    write(path, range(10, 12), mode="w")
    assert [follower.next(), follower.next()] == [10, 11]


def test_a_follower_does_not_repeat_what_a_replaced_file_begins_with(
    path: Path, tmp_path: Path, follow: Callable[..., Following]
) -> None:
    write(path, range(2))
    (tmp_path / "copy").write_bytes(path.read_bytes())
    write(tmp_path / "copy", range(5, 6))
    follower = follow(path)
    assert [follower.next(), follower.next()] == [0, 1]
    (tmp_path / "copy").replace(path)
    assert follower.next() == 5


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sequences of the updates decoded so far."""
    sequences: list[int] = []
    decode = Decoder.decode

    def noting(self: Decoder, update: Any) -> Any:
        sequences.append(update.position.sequence)
        return decode(self, update)

    monkeypatch.setattr(Decoder, "decode", noting)
    return sequences


def test_the_newest_entry_costs_only_the_updates_it_needs(path: Path, decoded: list[int]) -> None:
    with stream.open(path, "w", keyframe_every=5) as writer, stream.open(path, follow=True) as reader:
        models = reader.newest()
        for n_entries, needed in ((8, [5, 6, 7]), (10, [8, 9]), (13, [10, 11, 12]), (14, [13])):
            while len(writer) < n_entries:
                writer.append({"w": np.append(len(writer), np.arange(1000) ** 2)})
            assert int(next(models)["w"][0]) == n_entries - 1
            assert decoded == needed
            assert reader.entries[-1].index == n_entries - 1
            decoded.clear()


def test_damage_in_what_the_newest_entry_does_not_need_is_passed_over(path: Path) -> None:
    with stream.open(path, "w", keyframe_every=3) as writer:
        for seed in range(5):
            writer.append(weights(seed))
    data = bytearray(path.read_bytes())
    data[data.index(MARK, 1) - 10] ^= 1
    path.write_bytes(data)
    with stream.open(path, follow=True) as reader:
        assert int(next(reader.newest())["w"][0]) == 4
    with stream.open(path, follow=True) as reader, pytest.raises(CorruptError, match="entry 0"):
        next(iter(reader))


def test_the_newest_entry_of_a_replaced_file_follows_that_of_the_old_one(path: Path) -> None:
    write(path, range(4))
    with stream.open(path, follow=True) as reader:
        models = reader.newest()
        assert int(next(models)["w"][0]) == 3
        write(path, range(10, 12), mode="w")
        assert int(next(models)["w"][0]) == 11


def test_the_newest_entry_is_waited_for(path: Path, follow: Callable[..., Following]) -> None:
    follower = follow(path, iterate=stream.StreamFollower.newest)
    for seed in range(3):
        write(path, range(seed, seed + 1))
        assert follower.next() == seed


def test_a_torn_tail_is_waited_for(path: Path, tmp_path: Path, follow: Callable[..., Following]) -> None:
    write(tmp_path / "source", range(2))
    data = (tmp_path / "source").read_bytes()
    follower = follow(path)
    with path.open("wb", buffering=0) as file:
        for offset in range(0, len(data), 7):
            file.write(data[offset : offset + 7])
    assert [follower.next(), follower.next()] == [0, 1]


def test_an_entry_that_was_taken_back_is_forgotten(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(2))
    committed = path.stat().st_size
    write(path, range(2, 3))
    follower = follow(path)
    assert [follower.next() for _ in range(3)] == [0, 1, 2]
    os.truncate(path, committed)
    write(path, range(7, 9))
    assert [follower.next(), follower.next()] == [7, 8]


def test_damage_ends_following_with_its_error(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(3))
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    follower = follow(path)
    assert [follower.next(), follower.next()] == [0, 1]
    error = follower.next()
    assert isinstance(error, CorruptError)
    assert str(error).startswith("entry 2")


def test_a_file_that_is_no_stream_is_not_followed(path: Path) -> None:
    path.write_bytes(b"something else")
    with pytest.raises(CorruptError, match="not an incnnr stream"):
        stream.open(path, follow=True)


def test_closing_from_another_thread_ends_the_iteration(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(1))
    follower = follow(path)
    assert follower.next() == 0
    follower.close()
    assert follower.next() is None
    with pytest.raises(ClosedError):
        iter(follower.reader).__next__()


def test_a_stop_callable_ends_the_iteration(path: Path, follow: Callable[..., Following]) -> None:
    write(path, range(1))
    stop = threading.Event()
    follower = follow(path, stop=stop.is_set)
    assert follower.next() == 0
    stop.set()
    assert follower.next() is None


def test_what_iteration_came_across_can_be_asked_for_again(path: Path) -> None:
    write(path, range(3))
    with stream.open(path, follow=True) as reader:
        models = iter(reader)
        assert [int(next(models)["w"][0]) for _ in range(3)] == [0, 1, 2]
        write(path, range(3, 4))
        assert int(next(models)["w"][0]) == 3
        assert len(reader) == 4
        assert int(reader[1]["w"][0]) == 1
        assert reader.entries[3].position == reader[-1].position


def test_a_pipe_is_followed_to_its_end(path: Path, tmp_path: Path, follow: Callable[..., Following]) -> None:
    write(tmp_path / "source", range(2))
    data = (tmp_path / "source").read_bytes()
    os.mkfifo(path)
    opened: list[Any] = []
    opening = threading.Thread(target=lambda: opened.append(path.open("wb", buffering=0)))
    opening.start()
    follower = follow(path)
    opening.join(timeout=SECONDS)
    with opened[0] as pipe:
        pipe.write(data[: len(data) - 5])
        assert follower.next() == 0
        pipe.write(data[len(data) - 5 :])
        assert follower.next() == 1
    assert follower.next() is None

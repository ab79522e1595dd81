"""When to look again: events are noticed soon, lost ones are made up for, and reading causes none."""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

import incnnr.stream
from incnnr import checkpoints
from incnnr.watch import Encoded, EventsLost, FolderMissing, FolderReturned, Waiting, Watcher, wakeup
from incnnr.watch.wakeup import Events, Polling


def seconds_waited(events: Events | Polling, due_seconds: float | None = None) -> float:
    started = time.monotonic()
    events.wait(Event(), due_seconds)
    return time.monotonic() - started


def drain(events: Events) -> None:
    while seconds_waited(events, 0.2) < 0.2:
        pass


@pytest.fixture
def events(tmp_path):
    with Events(tmp_path) as events:
        assert events.subscribe() is None
        yield events


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setattr(wakeup, "SAFETY_SECONDS", 0.4)
    monkeypatch.setattr(wakeup, "WITHOUT_EVENTS_SECONDS", 0.3)


def test_a_file_written_below_the_folder_ends_the_wait(tmp_path, events):
    (tmp_path / "checkpoint-1").mkdir()
    drain(events)
    Thread(target=lambda: (tmp_path / "checkpoint-1" / "model.safetensors").write_bytes(b"1")).start()
    assert seconds_waited(events) < 3


def test_reading_does_not_end_the_wait(tmp_path, events):
    path = tmp_path / "a.npz"
    path.write_bytes(b"1")
    drain(events)
    path.read_bytes()
    list(tmp_path.iterdir())
    assert seconds_waited(events, 0.5) >= 0.5


@pytest.mark.usefixtures("short_waits")
def test_without_events_it_is_time_when_something_is_due_and_now_and_then(events):
    drain(events)
    assert 0.1 <= seconds_waited(events, 0.1) < 3
    assert 0.4 <= seconds_waited(events, 100) < 3


@pytest.mark.usefixtures("short_waits")
def test_a_burst_of_events_ends_one_wait(tmp_path, events):
    drain(events)
    for i in range(500):
        (tmp_path / f"{i}").touch()
    n_waits = 0
    while seconds_waited(events, 0.2) < 0.2:
        n_waits += 1
    assert 0 < n_waits < 20


def test_a_stop_ends_every_wait_soon():
    stop = Event()
    Thread(target=lambda: (time.sleep(0.1), stop.set())).start()
    started = time.monotonic()
    Polling(100).wait(stop, None)
    assert time.monotonic() - started < 3


def test_polling_keeps_its_rhythm():
    assert 0.3 <= seconds_waited(Polling(0.3), due_seconds=0.01) < 3


@pytest.mark.usefixtures("short_waits")
def test_a_dead_observer_is_reported_once_and_the_clock_takes_over(events):
    events._observer.stop()
    events._observer.join()
    assert "died" in events.subscribe()
    assert events.subscribe() is None
    assert 0.3 <= seconds_waited(events) < 3


def test_a_folder_deleted_and_made_again_is_observed_again(tmp_path):
    folder = tmp_path / "checkpoints"
    with Events(folder) as events:
        for _ in range(3):
            folder.mkdir()
            assert events.subscribe() is None
            drain(events)
            Thread(target=(folder / "a").touch).start()
            assert seconds_waited(events) < 3
            shutil.rmtree(folder)
            drain(events)


def test_a_system_without_watches_to_give_is_reported(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(wakeup, "_observe", refuse)
    with Events(tmp_path) as events:
        assert "limit reached" in events.subscribe()
        assert events.subscribe() is None


def test_another_folder_under_the_same_name_is_observed(tmp_path):
    folder = tmp_path / "checkpoints"
    with Events(folder) as events:
        assert events.subscribe() is None
        for _ in range(2):
            folder.mkdir()
            assert events.subscribe() is None
            drain(events)
            Thread(target=(folder / "a").touch).start()
            assert seconds_waited(events) < 3
            folder.rename(tmp_path / f"away{time.monotonic_ns()}")
            assert events.subscribe() is None


def save(path: Path, value: float) -> None:
    checkpoints.write(path, {"w": np.full(20, value)})


@pytest.mark.usefixtures("short_waits")
def test_a_watch_goes_on_when_events_are_lost_and_when_the_folder_comes_back(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(wakeup, "_observe", refuse)
    folder, stop, reports = tmp_path / "checkpoints", Event(), []
    with incnnr.stream.open(tmp_path / "run.incnnr", "a") as stream:
        for report in Watcher(folder, stream, quiet_seconds=0.05).run(stop):
            reports.append(type(report))
            match report:
                case FolderMissing():
                    folder.mkdir()
                case FolderReturned():
                    save(folder / "step1.npz", 1)
                case Encoded():
                    stop.set()
    assert [kind for kind in reports if kind is not Waiting] == [FolderMissing, EventsLost, FolderReturned, Encoded]

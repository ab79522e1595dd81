"""Folder -> stream, on a clock of our own: what becomes an entry, when, and in which order."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pytest

import incnnr.stream
from incnnr import checkpoints
from incnnr.errors import ModelMismatchError
from incnnr.watch import Encoded, Failed, FolderMissing, FolderReturned, Repeated, Vanished, Waiting, Watcher, ready
from incnnr.watch import watcher as watcher_module
from incnnr.watch.identity import content_digest


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Watch:
    """A folder, its stream and a watcher that can be restarted."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "checkpoints"
        self.folder.mkdir()
        self.stream_path = root / "run.incnnr"
        self.clock = Clock()
        self.writer = None
        self.restart()

    def restart(self, **options: object) -> None:
        self.close()
        self.writer = incnnr.stream.open(self.stream_path, "a")
        self.watcher = Watcher(
            self.folder,
            self.writer,
            **{"quiet_seconds": 1, "patience_seconds": 5, "clock": self.clock, "sleep": self.clock.sleep, **options},
        )

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def look(self, *, after: float = 0) -> list[object]:
        self.clock.now += after
        return self.watcher.rescan()

    def settle(self, *, seconds: float = 3) -> list[object]:
        """Look twice a second for a while; what was reported, but for what merely waits."""
        reports = [report for _ in range(int(seconds * 2)) for report in self.look(after=0.5)]
        return [report for report in reports if not isinstance(report, Waiting)]

    @property
    def names(self) -> list[str | None]:
        return [entry.name for entry in self.writer.entries]

    def values(self) -> list[float]:
        self.close()
        with incnnr.stream.open(self.stream_path) as reader:
            return [float(reader[i]["w"][0]) for i in range(len(reader))]


@pytest.fixture
def watch(tmp_path):
    watch = Watch(tmp_path)
    yield watch
    watch.close()


def weights(value: float) -> dict[str, np.ndarray]:
    return {"w": np.full(60, value, np.float32), "b": np.arange(3, dtype=np.int64)}


def save(path: Path, value: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    checkpoints.write(path, weights(value))
    return path


def described(reports: list[object]) -> list[tuple[str, str]]:
    return [(type(report).__name__, report.name) for report in reports]


def test_a_checkpoint_is_encoded_once_it_has_been_quiet(watch):
    save(watch.folder / "step1.safetensors", 1)
    assert watch.look() == []
    assert watch.look(after=0.9) == []
    (report,) = watch.look(after=0.1)
    assert isinstance(report, Encoded)
    assert (report.entry.index, report.entry.step, report.entry.name) == (0, 1, "step1.safetensors")
    assert watch.look(after=100) == []


@pytest.mark.parametrize("extension", ["safetensors", "npz"])
def test_a_file_that_grows_in_place_is_read_when_it_is_whole(watch, tmp_path, extension):
    data = save(tmp_path / f"a.{extension}", 1).read_bytes()
    path = watch.folder / f"step1.{extension}"
    for n_bytes in range(0, len(data), 61):
        path.write_bytes(data[:n_bytes])
        assert described(watch.settle(seconds=2)) == []
    path.write_bytes(data)
    assert described(watch.settle()) == [("Encoded", path.name)]
    assert watch.values() == [1]


def test_a_folder_that_grows_elsewhere_and_is_renamed_is_one_entry(watch):
    staged = watch.folder / "tmp-checkpoint-500"
    save(staged / "model.safetensors", 5)
    assert watch.settle() == []
    (staged / "config.json").write_text("{}")
    staged.rename(watch.folder / "checkpoint-500")
    (report,) = watch.settle()
    assert (report.name, report.entry.step, report.ignored) == ("checkpoint-500", 500, ("config.json",))


@pytest.mark.parametrize("index_at", [0, 1, 2])
def test_a_sharded_folder_is_read_when_index_and_shards_are_there(watch, index_at):
    folder = watch.folder / "checkpoint-500"
    folder.mkdir()
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = json.dumps({"weight_map": dict(zip("wb", shards, strict=True))})
    steps = [lambda i=i: checkpoints.write(folder / shards[i], {"wb"[i]: weights(7)["wb"[i]]}) for i in (0, 1)]
    steps.insert(index_at, lambda: (folder / "model.safetensors.index.json").write_text(index))
    for step in steps[:-1]:
        step()
        assert watch.settle() == []
    steps[-1]()
    assert described(watch.settle()) == [("Encoded", "checkpoint-500")]
    assert watch.values() == [7]


def test_with_a_ready_marker_nothing_is_read_before_and_no_time_is_lost_after(watch):
    watch.restart(ready_marker="*.done")
    path = save(watch.folder / "step1.npz", 1)
    assert watch.settle(seconds=20) == []
    (watch.folder / "step1.done").touch()
    os.utime(watch.folder / "step1.done", ns=(0, path.stat().st_mtime_ns))
    assert described(watch.look()) == [("Encoded", "step1.npz")]


def test_new_content_under_an_old_name_is_a_new_entry(watch):
    for value in (1, 2, 3):
        save(watch.folder / "last.npz", value)
        assert described(watch.settle()) == [("Encoded", "last.npz")]
    assert watch.values() == [1, 2, 3]


def test_the_same_content_under_other_names_is_reported_once_and_not_repeated(watch):
    path = save(watch.folder / "step1.npz", 1)
    watch.settle()
    (watch.folder / "best.npz").symlink_to("step1.npz")
    os.link(path, watch.folder / "hard.npz")
    shutil.copy(path, watch.folder / "copy.npz")
    reports = watch.settle()
    assert sorted(described(reports)) == [("Repeated", f"{name}.npz") for name in ("best", "copy", "hard")]
    assert all(isinstance(report, Repeated) and report.entry.name == "step1.npz" for report in reports)
    (watch.folder / "copy.npz").touch()
    assert watch.settle() == []
    assert watch.names == ["step1.npz"]


def test_a_checkpoint_and_its_alias_that_appear_together_are_told_apart_by_the_step(watch):
    save(watch.folder / "step3.npz", 3)
    (watch.folder / "a-link.npz").symlink_to("step3.npz")
    assert described(watch.settle()) == [("Encoded", "step3.npz"), ("Repeated", "a-link.npz")]


def test_a_link_that_points_elsewhere_has_new_content(watch, tmp_path):
    link = watch.folder / "last.npz"
    for value in (1, 2):
        target = save(tmp_path / f"elsewhere{value}.npz", value)
        os.utime(target, ns=(10**18, 10**18))
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert described(watch.settle()) == [("Encoded", "last.npz")]
    assert watch.values() == [1, 2]


def test_a_restart_emits_nothing_twice_and_reads_nothing_it_knows(watch, monkeypatch):
    for step in (1, 2):
        save(watch.folder / f"step{step}.npz", step)
    save(watch.folder / "checkpoint-3" / "model.safetensors", 3)
    assert len(watch.settle()) == 3
    watch.restart()
    monkeypatch.setattr(watcher_module, "content_digest", lambda *_: pytest.fail("read again"))
    assert watch.settle() == []
    assert len(watch.names) == 3


def test_after_a_restart_files_with_other_times_are_known_by_their_content(watch):
    path = save(watch.folder / "step1.npz", 1)
    watch.settle()
    os.utime(path, ns=(0, 10**18))
    watch.restart()
    assert watch.settle() == []
    assert watch.names == ["step1.npz"]


def test_what_changed_while_no_watcher_ran_is_encoded_after_the_restart(watch):
    save(watch.folder / "last.npz", 1)
    watch.settle()
    save(watch.folder / "last.npz", 2)
    save(watch.folder / "step9.npz", 9)
    watch.restart()
    assert described(watch.settle()) == [("Encoded", "last.npz"), ("Encoded", "step9.npz")]


def test_entries_that_no_watcher_wrote_are_passed_over(watch):
    for metadata in ({}, {"watch": 3}, {"watch": {"digest": "00", "files": [1]}}, {"watch": {"digest": "00"}}):
        watch.writer.append(weights(len(metadata)), name="step1.npz", metadata=metadata)
    watch.restart()
    save(watch.folder / "step1.npz", 5)
    assert described(watch.settle()) == [("Encoded", "step1.npz")]


def test_checkpoints_found_together_are_encoded_by_step(watch):
    for step in (100, 9, 10):
        save(watch.folder / f"step{step}.npz", step)
    watch.settle()
    assert [entry.step for entry in watch.writer.entries] == [9, 10, 100]


def test_steps_may_go_backwards(watch):
    save(watch.folder / "step500.npz", 500)
    watch.settle()
    save(watch.folder / "step100.npz", 100)
    watch.settle()
    assert [entry.step for entry in watch.writer.entries] == [500, 100]


def test_an_earlier_step_in_the_making_holds_back_a_later_one(watch):
    slow = save(watch.folder / "step1.npz", 1)
    data = slow.read_bytes()
    slow.write_bytes(data[:100])
    save(watch.folder / "step2.npz", 2)
    for n_bytes in range(101, 110):
        assert watch.settle(seconds=3) == []
        slow.write_bytes(data[:n_bytes])
    slow.write_bytes(data)
    assert described(watch.settle()) == [("Encoded", "step1.npz"), ("Encoded", "step2.npz")]


def test_an_earlier_step_that_stays_unfinished_holds_nothing_back_for_long(watch):
    slow = save(watch.folder / "step1.npz", 1)
    slow.write_bytes(slow.read_bytes()[:100])
    save(watch.folder / "step2.npz", 2)
    assert watch.settle(seconds=5) == []
    assert described(watch.settle()) == [("Encoded", "step2.npz")]
    assert described(watch.settle(seconds=30)) == [("Failed", "step1.npz")]


def test_a_missing_marker_holds_nothing_back_for_long(watch):
    watch.restart(ready_marker="*.done")
    save(watch.folder / "step1.npz", 1)
    save(watch.folder / "step2.npz", 2)
    (watch.folder / "step2.done").touch()
    assert watch.settle(seconds=5) == []
    assert described(watch.settle()) == [("Encoded", "step2.npz")]


def test_a_restarted_run_does_not_hold_back_what_the_run_before_it_wrote(watch):
    save(watch.folder / "step500.npz", 500)
    watch.look()
    save(watch.folder / "step100.npz", 100)
    assert watch.look(after=0.5) == []
    assert described(watch.look(after=0.5)) == [("Encoded", "step500.npz")]
    assert described(watch.look(after=0.5)) == [("Encoded", "step100.npz")]


def test_a_checkpoint_that_changes_while_it_is_read_is_read_again(watch, monkeypatch):
    path = save(watch.folder / "last.npz", 1)
    replacements = [2.0]

    def read(*args: object, **options: object) -> object:
        checkpoint = checkpoints.read(*args, **options)
        if replacements:
            save(path, replacements.pop())
        return checkpoint

    monkeypatch.setattr(watcher_module, "read", read)
    assert described(watch.settle()) == [("Encoded", "last.npz")]
    assert watch.values() == [2]


def test_a_checkpoint_that_changes_while_it_is_read_keeps_its_place(watch, monkeypatch):
    path = save(watch.folder / "step1.npz", 1)
    save(watch.folder / "step2.npz", 2)
    replacements = [3.0]

    def digest(*args: object) -> str:
        if replacements:
            save(path, replacements.pop())
        return content_digest(*args)

    monkeypatch.setattr(watcher_module, "content_digest", digest)
    assert described(watch.settle()) == [("Encoded", "step1.npz"), ("Encoded", "step2.npz")]
    assert watch.values() == [3, 2]


@pytest.mark.parametrize("moment", ["content_digest", "read"])
def test_a_checkpoint_that_vanishes_while_it_is_read_is_reported(watch, monkeypatch, moment):
    save(watch.folder / "checkpoint-1" / "model.safetensors", 1)
    save(watch.folder / "step2.npz", 2)
    original = getattr(watcher_module, moment)

    def vanishing(path: Path, *args: object, **options: object) -> object:
        shutil.rmtree(watch.folder / "checkpoint-1", ignore_errors=True)
        return original(path, *args, **options)

    monkeypatch.setattr(watcher_module, moment, vanishing)
    assert sorted(described(watch.settle())) == [("Encoded", "step2.npz"), ("Vanished", "checkpoint-1")]


def test_why_a_checkpoint_waits_is_said_once(watch):
    data = save(watch.folder / "step1.npz", 1).read_bytes()
    (watch.folder / "step1.npz").write_bytes(b"")
    watch.look()
    save(watch.folder / "step2.npz", 2)
    reports = [report for _ in range(8) for report in watch.look(after=0.5)]
    assert reports == [
        Waiting("step1.npz", "it is not complete"),
        Waiting("step2.npz", "an earlier checkpoint is still being written"),
    ]
    for n_bytes in range(1, 20):
        (watch.folder / "step1.npz").write_bytes(data[:n_bytes])
        reports = [report for report in watch.look(after=0.5) if isinstance(report, Waiting)]
        assert reports == ([Waiting("step1.npz", "it changed a moment ago")] if n_bytes == 2 else [])


def test_a_checkpoint_that_vanishes_before_it_is_read_is_reported(watch):
    path = save(watch.folder / "step1.npz", 1)
    watch.look()
    path.unlink()
    assert watch.look() == [Vanished("step1.npz")]
    assert watch.look(after=9) == []


def test_a_bad_checkpoint_is_reported_once_and_stops_nothing(watch):
    (watch.folder / "step1.safetensors").write_bytes(b"garbage" * 50)
    save(watch.folder / "step2.npz", 2)
    reports = watch.settle(seconds=100)
    assert described(reports) == [("Encoded", "step2.npz"), ("Failed", "step1.safetensors")]
    assert "header" in reports[1].reason
    save(watch.folder / "step1.safetensors", 1)
    assert described(watch.settle()) == [("Encoded", "step1.safetensors")]


def as_for_others_than_root(monkeypatch, path: Path) -> None:
    """Let permissions keep this process from reading a file."""

    def may_be_read() -> bool:
        return bool(path.stat().st_mode & 0o400)

    def digest(*arguments: object) -> str:
        if not may_be_read():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return content_digest(*arguments)

    monkeypatch.setattr(watcher_module, "content_digest", digest)
    monkeypatch.setattr(ready, "is_complete", lambda candidate: may_be_read() and checkpoints.is_complete(candidate))
    monkeypatch.setattr(os, "access", lambda file, _: file != path or may_be_read())


def test_a_file_that_may_not_be_read_is_tried_again_when_its_permissions_change(watch, monkeypatch):
    path = save(watch.folder / "step1.npz", 1)
    as_for_others_than_root(monkeypatch, path)
    path.chmod(0o200)
    (report,) = watch.settle(seconds=3)
    assert isinstance(report, Failed)
    assert report.reason == os.strerror(errno.EACCES)
    path.chmod(0o600)
    assert described(watch.settle()) == [("Encoded", "step1.npz")]
    path.chmod(0o400)
    assert watch.settle() == []


def shards_in(folder: Path) -> None:
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for tensor, name in zip("wb", names, strict=True):
        checkpoints.write(folder / name, {tensor: weights(1)[tensor]})
    index = json.dumps({"weight_map": dict(zip("wb", names, strict=True))})
    (folder / "model.safetensors.index.json").write_text(index)


def test_a_folder_that_is_itself_a_sharded_checkpoint_is_reported_once_and_its_checkpoints_are_encoded(watch):
    save(watch.folder / "checkpoint-1" / "model.safetensors", 1)
    shards_in(watch.folder)
    reports = watch.settle(seconds=40)
    assert described(reports) == [("Failed", "."), ("Encoded", "checkpoint-1")]
    assert "itself a checkpoint" in reports[0].reason


@pytest.mark.parametrize("patterns", [{"match": ["checkpoint-*"]}, {"ignore": ["."]}])
def test_whoever_asks_for_other_checkpoints_hears_nothing_of_the_folder_itself(watch, patterns):
    watch.restart(**patterns)
    shards_in(watch.folder)
    assert watch.settle() == []


def test_a_single_file_under_its_usual_name_is_a_checkpoint_in_the_folder(watch):
    save(watch.folder / "model.safetensors", 1)
    assert described(watch.settle()) == [("Encoded", "model.safetensors")]


def test_a_folder_whose_index_stays_garbage_is_reported(watch):
    save(watch.folder / "checkpoint-1" / "model.safetensors", 1)
    (watch.folder / "checkpoint-1" / "model.safetensors.index.json").write_text("{")
    (report,) = watch.settle(seconds=40)
    assert isinstance(report, Failed)
    assert "index" in report.reason


def test_a_checkpoint_that_the_encoder_refuses_is_reported_and_stops_nothing(watch, monkeypatch):
    append = watch.writer.append

    def refusing(checkpoint, **options):
        if options["step"] == 1:
            raise ModelMismatchError("w", expected="float32[3]", actual=None)
        return append(checkpoint, **options)

    monkeypatch.setattr(watch.writer, "append", refusing)
    for step in (1, 2):
        save(watch.folder / f"step{step}.npz", step)
    assert described(watch.settle()) == [("Failed", "step1.npz"), ("Encoded", "step2.npz")]


def test_a_stream_that_cannot_be_written_ends_the_watch(watch, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(watch.writer, "append", full)
    save(watch.folder / "step1.npz", 1)
    with pytest.raises(OSError, match="No space left"):
        watch.settle()


def test_a_folder_that_disappears_is_not_a_deletion(watch):
    save(watch.folder / "step1.npz", 1)
    watch.settle()
    save(watch.folder / "step2.npz", 2)
    watch.look()
    away = watch.folder.rename(watch.folder.with_name("away"))
    reports = watch.settle(seconds=20)
    assert [type(report) for report in reports] == [FolderMissing]
    away.rename(watch.folder)
    reports = watch.settle()
    assert [type(report) for report in reports] == [FolderReturned, Encoded]
    assert watch.names == ["step1.npz", "step2.npz"]


def test_an_emptied_folder_that_fills_again_repeats_nothing(watch):
    path = save(watch.folder / "step1.npz", 1)
    watch.settle()
    away = path.rename(watch.folder.parent / "step1.npz")
    assert watch.settle() == []
    shutil.copy(away, path)
    assert watch.settle() == []
    assert watch.names == ["step1.npz"]


def test_a_stop_lets_the_update_in_hand_finish_and_no_other_begin(watch):
    for step in (1, 2, 3):
        save(watch.folder / f"step{step}.npz", step)
    watch.restart(quiet_seconds=0)
    stop = Event()
    for _report in watch.watcher.run(stop, poll=0.01):
        stop.set()
    assert watch.names == ["step1.npz"]


def test_catching_up_waits_for_what_time_alone_makes_ready(watch):
    for step in (1, 2):
        save(watch.folder / f"step{step}.npz", step)
    (watch.folder / "step0.npz").write_bytes(b"cut short")
    (watch.folder / "step4.npz").symlink_to("step2.npz")
    started = watch.clock.now
    reports = [report for report in watch.watcher.catch_up() if not isinstance(report, Waiting)]
    assert [type(report) for report in reports] == [Failed, Encoded, Encoded, Repeated]
    assert watch.clock.now - started <= 1.1


def test_catching_up_does_not_wait_for_a_marker(watch):
    watch.restart(ready_marker="*.done")
    save(watch.folder / "step1.npz", 1)
    started = watch.clock.now
    assert described(watch.watcher.catch_up()) == [("Waiting", "step1.npz")]
    assert watch.clock.now == started


def test_catching_up_does_not_wait_for_a_folder(watch):
    save(watch.folder / "step1.npz", 1)
    watch.look()
    watch.folder.rename(watch.folder.with_name("away"))
    assert [type(report) for report in watch.watcher.catch_up()] == [FolderMissing]

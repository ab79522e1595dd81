"""``watch`` and ``follow``, as functions and as the processes that people run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import numpy as np
import pytest

import incnnr
from incnnr.cli import main

PATIENCE_SECONDS = 30


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


def save(folder: Path, step: int) -> Path:
    path = folder / f"step{step}.safetensors"
    weights = np.random.default_rng(step).standard_normal((20, 20)).astype(np.float32)
    incnnr.write(path, {"w": weights})
    return path


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def wait_until_equal(path: Path, original: Path) -> None:
    content = original.read_bytes()
    wait_until(lambda: path.exists() and path.read_bytes() == content)


@contextmanager
def process(*arguments: object, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-m", "incnnr", *map(str, arguments)], **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
            pipe.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def test_watch_once_encodes_what_is_there_and_reports_each_on_a_line(folder: Path, tmp_path: Path) -> None:
    for step in (10, 9):
        save(folder, step)
    result = run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    assert result.exit_code == 0
    lines = [line.split()[:2] for line in result.stdout.splitlines()]
    assert [name for word, name in lines if word == "encoded"] == ["step9.safetensors:", "step10.safetensors:"]
    assert {word for word, _ in lines} <= {"waiting", "encoded"}
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        costs = [f"{entry.n_bytes:,} bytes, {entry.bits_per_weight:.3f} bits/weight, " for entry in stream.entries]
    encoded = [line for line in result.stdout.splitlines() if line.startswith("encoded")]
    assert all(cost in line for cost, line in zip(costs, encoded, strict=True))


def test_watch_goes_on_where_the_stream_ends(folder: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        save(folder, step)
        run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    assert run("watch", folder, "-o", tmp_path / "run.incnnr", "--once").stdout == ""
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [1, 2]


def test_watch_does_not_repeat_what_encode_has_put_into_the_stream(folder: Path, tmp_path: Path) -> None:
    save(folder, 1)
    run("encode", folder, "-o", tmp_path / "run.incnnr")
    save(folder, 2)
    run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [1, 2]


def test_watch_reports_as_json_lines(folder: Path, tmp_path: Path) -> None:
    original = save(folder, 1)
    (folder / "best.safetensors").write_bytes(original.read_bytes())
    result = run("watch", folder, "-o", tmp_path / "run.incnnr", "--once", "--json")
    encoded, repeated = [json.loads(line) for line in result.stdout.splitlines() if '"waiting"' not in line]
    assert (encoded["report"], encoded["name"], encoded["entry"]["step"]) == ("encoded", "step1.safetensors", 1)
    assert (repeated["report"], repeated["name"], repeated["entry"]["index"]) == ("repeated", "best.safetensors", 0)


def test_match_and_ignore_choose_by_name(folder: Path, tmp_path: Path) -> None:
    for step in (1, 2, 13):
        save(folder, step)
    run("watch", folder, "-o", tmp_path / "run.incnnr", "--once", "--match", "step1*", "--ignore", "*13*")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [1]


def test_watch_once_tells_a_bad_checkpoint_by_its_status_and_encodes_the_others(folder: Path, tmp_path: Path) -> None:
    save(folder, 1)
    (folder / "step0.npz").write_bytes(b"this will never be an archive")
    os.utime(folder / "step0.npz", (0, 0))
    result = run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    assert result.exit_code == 1
    assert any(line.startswith("failed") and "step0.npz" in line for line in result.stdout.splitlines())
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [1]


def test_watch_once_fails_on_a_folder_that_is_itself_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    save(folder, 1).rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    result = run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 1)
    assert "is itself a checkpoint" in result.stdout


def test_watch_once_fails_on_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = run("watch", tmp_path / "nowhere", "-o", tmp_path / "run.incnnr", "--once")
    assert (result.exit_code, result.stdout.split()[0]) == (1, "missing")


def test_watch_never_writes_to_a_file_that_is_not_a_stream(folder: Path, tmp_path: Path) -> None:
    precious = save(tmp_path, 1)
    before = precious.read_bytes()
    assert run("watch", folder, "-o", precious, "--once").exit_code == 2
    assert precious.read_bytes() == before


def test_a_second_watch_on_one_stream_is_refused(folder: Path, tmp_path: Path) -> None:
    with incnnr.open(tmp_path / "run.incnnr", "a"):
        result = run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_and_follow_carry_checkpoints_on_until_a_signal_ends_them(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    stream, current = tmp_path / "run.incnnr", tmp_path / "current.safetensors"
    with (
        process("watch", folder, "-o", stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch,
        process("follow", stream, "-o", current, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follow,
    ):
        for step in (1, 2, 3):
            original = save(folder, step)
            wait_until_equal(current, original)
        for child in (watch, follow):
            child.send_signal(number)
        (watched, watch_errors), (followed, follow_errors) = watch.communicate(), follow.communicate()
    assert (watch.returncode, watch_errors) == (0, b"")
    assert (follow.returncode, follow_errors) == (0, b"")
    assert [line.split()[0] for line in watched.splitlines()].count(b"encoded") == 3
    assert followed.splitlines()[-1].split()[0] == b"followed"
    assert run("verify", stream).stdout == "3 entries, all sound\n"


def test_the_update_in_hand_is_finished_before_watch_ends(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    for step in (1, 2, 3):
        weights = np.random.default_rng(step).standard_normal(2_000_000).astype(np.float32)
        incnnr.write(folder / f"step{step}.safetensors", {"w": weights})
    with process("watch", folder, "-o", stream, "--threads", "1", stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        assert any(line.startswith(b"encoded") for line in iter(watch.stdout.readline, b""))
        watch.terminate()
        n_more = watch.stdout.read().count(b"encoded")
        assert watch.wait(PATIENCE_SECONDS) == 0
    with incnnr.open(stream) as reader:
        assert len(reader) == 1 + n_more < 3
        assert reader.torn_bytes == 0


def test_a_watch_can_be_followed_through_pipes_alone(folder: Path, tmp_path: Path) -> None:
    current = tmp_path / "current.safetensors"
    with process("watch", folder, "-o", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        with process("follow", "-", "-o", current, stdin=watch.stdout, stdout=subprocess.PIPE) as follow:
            watch.stdout.close()
            for step in (1, 2):
                original = save(folder, step)
                wait_until_equal(current, original)
            watch.terminate()
            assert watch.wait(PATIENCE_SECONDS) == 0
            assert follow.wait(PATIENCE_SECONDS) == 0


def test_follow_with_an_idle_pipe_still_ends_at_a_signal(tmp_path: Path) -> None:
    with process("follow", "-", "-o", tmp_path / "current.npz", stdin=subprocess.PIPE) as follow:
        time.sleep(1)
        follow.terminate()
        assert follow.wait(PATIENCE_SECONDS) == 0


def test_follow_tells_of_a_damaged_stream_in_one_line(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    run("encode", save(folder, 1), "-o", stream)
    data = bytearray(stream.read_bytes())
    data[-20] ^= 1
    stream.write_bytes(data)
    with process("follow", stream, "-o", tmp_path / "current.npz", stderr=subprocess.PIPE) as follow:
        _, errors = follow.communicate(timeout=PATIENCE_SECONDS)
    assert (follow.returncode, len(errors.splitlines())) == (1, 1)
    assert not (tmp_path / "current.npz").exists()


def test_a_file_is_no_folder_to_watch(tmp_path: Path) -> None:
    (tmp_path / "model.npz").touch()
    assert run("watch", tmp_path / "model.npz", "-o", tmp_path / "run.incnnr").exit_code == 2
    assert not (tmp_path / "run.incnnr").exists()

"""How the command line ends: statuses, signals and closed pipes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import click.testing
import numpy as np
import pytest

import incnnr
from incnnr.cli import main

COMMANDS = ["encode", "decode", "watch", "follow", "replay", "inspect", "verify", "thin", "demo"]


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("module", ["incnnr", "incnnr.cli"])
def test_the_package_runs_as_a_module(module: str) -> None:
    result = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("incnnr 0.")


def test_help_lists_the_commands_in_order() -> None:
    lines = run("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "-h")
    assert (result.exit_code, result.stdout.startswith("Usage: ")) == (0, True)


@pytest.mark.parametrize("arguments", [["frobnicate"], ["encode"], ["decode", "-o", "x.npz"], ["inspect", "--never"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        for step in range(2000):
            writer.append({"w": np.full(2, step)}, step=step, name="n" * 100, sync=False)
    return tmp_path / "run.incnnr"


def test_a_reader_that_has_seen_enough_ends_inspect_without_a_word(stream: Path) -> None:
    command = f"{sys.executable} -m incnnr inspect --json {stream} | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (len(result.stdout.splitlines()), result.stderr) == (1, "")


@pytest.mark.parametrize("command", ["encode", "watch", "decode"])
def test_a_terminal_is_not_given_bytes(stream: Path, tmp_path: Path, command: str) -> None:
    source = stream if command == "decode" else tmp_path
    terminal, end = pty.openpty()
    arguments = [sys.executable, "-m", "incnnr", command, str(source), "-o", "-"]
    result = subprocess.run(arguments, stdout=end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(end)
    os.close(terminal)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("Error: '-o -' writes bytes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_encode_leaves_no_temporary_files(tmp_path: Path, number: signal.Signals) -> None:
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    command = [sys.executable, "-m", "incnnr", "encode", "-", "-o", str(tmp_path / "run.incnnr")]
    environment = {"TMPDIR": str(pipes), "PATH": "/usr/bin:/bin"}
    encode = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 30
    while not any(pipes.glob("*/stdin.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    encode.send_signal(number)
    _, errors = encode.communicate(timeout=30)
    assert (encode.returncode, errors) == (128 + number, b"")
    assert list(pipes.iterdir()) == []
    assert not (tmp_path / "run.incnnr").exists()


def test_a_stdout_that_takes_no_more_is_one_line(stream: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 0; {sys.executable} -m incnnr inspect {stream} > {tmp_path}/out"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "Error: File too large\n")

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import incnnr

ROUTES = {"fp32 lossless", "bf16 lossless", "fp32 max error 0.001"}


def demo(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "incnnr", "demo", "--pace", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def test_every_checkpoint_arrives_and_the_rebuilt_networks_read_as_well_as_the_originals(tmp_path: Path) -> None:
    story = demo("--epochs", "3", temporary=tmp_path)
    output, errors = story.communicate()
    assert (story.returncode, errors) == (0, "")
    rows = [line.split() for line in output.splitlines() if re.match(r" +\d+ ", line)]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all(row[4::4] == ["yes", "yes", "yes"] for row in rows)
    totals = [line for line in output.splitlines() if "3 of 3" in line]
    assert {line[:20].strip() for line in totals} == ROUTES
    accuracies = [re.findall(r"(\d+\.\d+)%", line) for line in output.splitlines()[-3:]]
    assert len(accuracies) == 3
    assert all(float(original) > 80 and abs(float(original) - float(rebuilt)) < 2 for original, rebuilt in accuracies)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_the_demo_stay_where_one_asks_for_them(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    story = demo("--epochs", "1", "--keep", str(kept), temporary=tmp_path)
    output, _ = story.communicate()
    assert str(kept) in output.splitlines()[-1]
    original = kept / "bfloat16" / "checkpoint-001.safetensors"
    assert (kept / "bfloat16-current.safetensors").read_bytes() == original.read_bytes()
    with incnnr.open(kept / "max-error.incnnr") as stream:
        assert len(stream) == 1
    again = demo("--keep", str(kept), temporary=tmp_path)
    assert (again.communicate()[0], again.returncode) == ("", 2)


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    story = demo(temporary=tmp_path)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("*/*.incnnr")) and time.monotonic() < deadline:
        time.sleep(0.05)
    story.send_signal(signal.SIGINT)
    _, errors = story.communicate(timeout=30)
    assert (story.returncode, errors.split()) == (1, ["Aborted!"])
    assert list(tmp_path.iterdir()) == []

"""Kills ``incnnr watch`` with SIGKILL again and again, restarts it, and checks that nothing was lost or repeated.

By hand (Linux, minutes)::

    python -m tests.bench.kill_watch --kills 100 --megabytes 50

Checkpoints are made one at a time, small and large changes in turn, and deleted once they are in the stream; what
they were is remembered as a hash. Two kills of three aim at the work itself, a third falls anywhere. Whether a kill
met the work is judged from outside: the process had read a whole checkpoint, twice (digest and values), and its entry
was not in the stream when the process was dead.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import incnnr.stream
from incnnr import checkpoints

N_TENSORS = 5
STABLE_SECONDS = 0.3


class Series:
    """Checkpoints in a folder, one of them pending at a time."""

    def __init__(self, folder: Path, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.hashes: list[str] = []
        self._folder = folder
        self._rng = np.random.default_rng(1)
        n_weights = n_bytes // 4 // N_TENSORS
        self._weights = [self._rng.standard_normal(n_weights, dtype=np.float32) for _ in range(N_TENSORS)]

    def advance(self) -> None:
        """Replace the checkpoint before by the next one."""
        for path in self._folder.iterdir():
            path.unlink()
        density = 1.0 if len(self.hashes) % 2 else 0.01
        for weights in self._weights:
            changed = self._rng.random(weights.size, dtype=np.float32) < density
            weights[changed] *= np.float32(1.001)
        path = self._folder / f"step{len(self.hashes)}.safetensors"
        checkpoints.write(path, {f"layer{i}": weights for i, weights in enumerate(self._weights)})
        self.hashes.append(hash_of(path))


class Watch:
    """``incnnr watch`` as a process, observed through /proc."""

    def __init__(self, folder: Path, stream: Path) -> None:
        self._stream = stream
        self._size = size_of(stream)
        command = [sys.executable, "-m", "incnnr.cli", "watch", str(folder), "-o", str(stream)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def wait_until_idle(self) -> None:
        """Return while it waits for the checkpoint to be quiet, having read the stream and not yet the checkpoint."""
        last, since = self._read_bytes(), time.monotonic()
        started = False
        while time.monotonic() - since < STABLE_SECONDS or not started:
            time.sleep(0.01)
            now = self._read_bytes()
            started = started or self._is_watching()
            if now - last > 1 << 16 or not started:
                last, since = now, time.monotonic()
        self._idle_bytes = self._read_bytes()

    def wait_until_read(self, n_bytes: int, seconds: float = 30) -> None:
        """Return once it has read a checkpoint of that size twice: from here on it encodes, then writes."""
        end = time.monotonic() + seconds
        while not self.has_read(n_bytes) and time.monotonic() < end:
            time.sleep(0.001)

    def wait_until_stream_grows(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while size_of(self._stream) <= self._size and time.monotonic() < end:
            pass  # a write is over in milliseconds

    def has_read(self, n_bytes: int) -> bool:
        return self._read_bytes() - self._idle_bytes >= 2 * n_bytes

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def check_alive(self) -> None:
        if self._process.poll() is not None:
            sys.exit(f"incnnr watch ended by itself, status {self._process.returncode}")

    def _read_bytes(self) -> int:
        self.check_alive()
        lines = Path(f"/proc/{self._process.pid}/io").read_text().split()
        return int(lines[lines.index("rchar:") + 1])

    def _is_watching(self) -> bool:
        """Whether it has its inotify watch: the stream is open and read by then."""
        targets = Path(f"/proc/{self._process.pid}/fd").iterdir()
        return any("inotify" in link_of(target) for target in targets)


def link_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(stream: Path) -> tuple[int, int]:
    """Entries in the stream, and bytes of a torn tail."""
    if not size_of(stream):
        return 0, 0
    with incnnr.stream.open(stream) as reader:
        return len(reader), reader.torn_bytes


def kill_once(aim: str, folder: Path, stream: Path, series: Series, rng: random.Random) -> Counter[str]:
    """Start a watch, kill it, and say what the kill met."""
    n_before, _ = state_of(stream)
    if n_before == len(series.hashes):
        series.advance()
    watch = Watch(folder, stream)
    has_read = False
    if aim == "anywhere":
        time.sleep(rng.uniform(0, 6))
    else:
        watch.wait_until_idle()
        watch.wait_until_read(series.n_bytes)
        if aim == "writing":
            watch.wait_until_stream_grows()
        time.sleep(rng.uniform(0, 0.3 if aim == "encoding" else 0.01))
        has_read = watch.has_read(series.n_bytes)
    watch.kill()
    n_after, torn_bytes = state_of(stream)
    return Counter(kills=1, at_work=has_read and n_after == n_before, torn=torn_bytes > 0, committed=n_after - n_before)


def faults(stream: Path, series: Series, folder: Path) -> list[str]:
    """Decode every entry and compare it with what was written."""
    with incnnr.stream.open(stream) as reader:
        steps = [entry.step for entry in reader.entries]
        found = [] if steps == list(range(len(series.hashes))) else [f"entries of steps {steps}"]
        rebuilt = folder / "rebuilt.safetensors"
        for entry, model, expected in zip(reader.entries, reader, series.hashes, strict=False):
            checkpoints.write(rebuilt, model)
            if hash_of(rebuilt) != expected:
                found.append(f"entry {entry.index} is another than the original")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill incnnr watch again and again.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, total = random.Random(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as root:
        folder, stream = Path(root) / "checkpoints", Path(root) / "run.incnnr"
        folder.mkdir()
        series = Series(folder, arguments.megabytes * 1_000_000)
        series.advance()
        for i in range(arguments.kills):
            aim = ("encoding", "writing", "anywhere")[i % 3]
            met = kill_once(aim, folder, stream, series, rng)
            total += met
            print(f"kill {i + 1:3} aimed at {aim:<8}: {dict(met)}; in all {dict(total)}", flush=True)
        command = [sys.executable, "-m", "incnnr.cli"]
        subprocess.run([*command, "watch", str(folder), "-o", str(stream), "--once"], check=True)
        verified = subprocess.run([*command, "verify", str(stream)], check=False).returncode
        found = faults(stream, series, Path(root))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{total['kills']} kills, {total['at_work']} while encoding or writing, {total['torn']} left a torn tail")
    print(f"{len(series.hashes)} checkpoints, {len(found)} faults; incnnr verify: status {verified}")
    sys.exit(bool(found or verified))


if __name__ == "__main__":
    main()

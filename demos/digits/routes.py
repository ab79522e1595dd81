"""A route: a folder of checkpoints, the two processes that carry them on, and the file at the far end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import incnnr
from incnnr.stream import Entry

PATIENCE_SECONDS = 30


class StoryError(Exception):
    """The story cannot go on."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one checkpoint cost on its way, and whether the file at the far end is the right one."""

    entry: Entry
    file_bytes: int
    is_right: bool


@dataclass(frozen=True, slots=True)
class Total:
    """What all checkpoints of a route took together, and how many of them came out right from the stream."""

    n_checkpoints: int
    file_bytes: int
    stream_bytes: int
    n_right: int


@dataclass(slots=True)
class Route:
    """A way from a folder of checkpoints over a stream to one file that is always current."""

    title: str
    checkpoints: Path
    stream: Path
    max_error: float | None = None
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen_ns: int = 0  # when the file at the far end was written that was last looked at

    @property
    def rebuilt(self) -> Path:
        """The file that `incnnr follow` keeps current."""
        return self.stream.with_name(f"{self.stream.stem}-current.safetensors")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep `incnnr watch` and `incnnr follow` at work inside the block, then ask them to finish."""
        bound = [] if self.max_error is None else ["--max-error", f"{self.max_error:g}"]
        with ExitStack() as stack:
            for arguments in (
                ["watch", str(self.checkpoints), "-o", str(self.stream), *bound],
                ["follow", str(self.stream), "-o", str(self.rebuilt)],
            ):
                self.children.append(stack.enter_context(child(arguments)))
            yield

    def original(self, step: int) -> Path:
        """Return where the checkpoint was saved at that step."""
        return self.checkpoints / f"checkpoint-{step:03d}.safetensors"

    def delivery(self, step: int) -> Delivery:
        """Wait until the far end has the checkpoint of that step, and compare the two files."""
        self._wait_for_another_file()
        with incnnr.open(self.stream) as stream:
            entry = stream.entries[step - 1]
        return Delivery(entry, self.original(step).stat().st_size, self.is_right(self.rebuilt, step))

    def _wait_for_another_file(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.rebuilt.exists() or self.rebuilt.stat().st_mtime_ns == self.seen_ns:
            if any(child.poll() is not None for child in self.children) or time.monotonic() > deadline:
                raise StoryError(f"{self.title}: no update arrived.")
            time.sleep(0.01)
        self.seen_ns = self.rebuilt.stat().st_mtime_ns

    def total(self, n_checkpoints: int) -> Total:
        """Rebuild every checkpoint from the stream, each onto the same file, and compare it with the original."""
        rebuilt, n_right = self.stream.with_name(f"{self.stream.stem}-again.safetensors"), 0
        with incnnr.open(self.stream) as stream:
            for step, model in enumerate(stream, start=1):
                incnnr.write(rebuilt, model)
                n_right += self.is_right(rebuilt, step)
        file_bytes = sum(self.original(step).stat().st_size for step in range(1, n_checkpoints + 1))
        return Total(n_checkpoints, file_bytes, self.stream.stat().st_size, n_right)

    def is_right(self, rebuilt: Path, step: int) -> bool:
        """Whether a rebuilt file is the original byte for byte or, on a route with a bound, within the bound."""
        original = self.original(step)
        if self.max_error is None:
            return rebuilt.read_bytes() == original.read_bytes()
        return largest_error(rebuilt, original) <= self.max_error


def largest_error(rebuilt: Path, original: Path) -> float:
    """Return the largest distance between two checkpoints' weights, in float64."""
    far, near = incnnr.read(rebuilt), incnnr.read(original)
    return max(float(np.abs(far[name].astype(np.float64) - near[name].astype(np.float64)).max()) for name in near)


@contextmanager
def child(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run an incnnr command beside this program; at the end of the block it finishes what it has in hand."""
    process = subprocess.Popen([sys.executable, "-m", "incnnr", *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()

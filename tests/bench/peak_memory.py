"""Prints the anonymous memory that coding the second checkpoint of a bf16 pair takes above the idle process.

By hand (Linux; a minute; twice the size on disk)::

    python -m tests.bench.peak_memory [--megabytes 500] [--tensors 60 1]

A pair of models is written as safetensors files, with 2 % of the second's weights moved. One process encodes both,
memory-mapped; another decodes the two updates, a third into arrays of its own, which count. A fourth appends both to a
stream, a fifth reopens that for appending, and a sixth appends both again, the second as a keyframe. RssAnon is sampled
every 2 ms; idle means after imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import ml_dtypes
import numpy as np

import incnnr
from tests.bench import series

NAMES = ("first", "second")


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().split()
    return 1024 * int(lines[lines.index("RssAnon:") + 1])


class Peak:
    """Samples the anonymous memory of this process while its block runs; `bytes` is the most there was."""

    def __enter__(self) -> Self:
        self.bytes, self._done = anonymous_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.bytes = max(self.bytes, anonymous_bytes())


def write_pair(folder: Path, n_bytes: int, n_tensors: int) -> None:
    rng = np.random.default_rng(1)
    weights, moved = {}, {}
    for i in range(n_tensors):
        values = rng.standard_normal((n_bytes // 2 // n_tensors // 1024, 1024), dtype=np.float32) * np.float32(0.02)
        weights[f"layers.{i}.weight"] = values.astype(ml_dtypes.bfloat16)
        bits = weights[f"layers.{i}.weight"].view(np.uint16).copy()
        bits += (rng.random(bits.shape, dtype=np.float32) < 0.02).astype(np.uint16)
        moved[f"layers.{i}.weight"] = bits.view(ml_dtypes.bfloat16)
    for name, model in zip(NAMES, (weights, moved), strict=True):
        incnnr.write(folder / f"{name}.safetensors", model)


def encode_pair(folder: Path) -> tuple[int, int, int]:
    """Return what is held before the second call, its peak, and the peak of the first, all above idle."""
    idle, encoder, peaks, held = anonymous_bytes(), incnnr.Encoder(), [], 0
    for name in NAMES:
        held = anonymous_bytes() - idle
        with Peak() as peak:
            update = encoder.encode(incnnr.read(folder / f"{name}.safetensors"))
        peaks.append(peak.bytes - idle)
        (folder / f"{name}.update").write_bytes(bytes(update))
        del update
    return held, peaks[1], peaks[0]


def decode_pair(folder: Path) -> tuple[int, int, int]:
    """Return what `encode_pair` does."""
    idle, decoder, peaks, held = anonymous_bytes(), incnnr.Decoder(), [], 0
    for name in NAMES:
        held = anonymous_bytes() - idle
        with Peak() as peak:
            decoder.decode((folder / f"{name}.update").read_bytes())
        peaks.append(peak.bytes - idle)
    return held, peaks[1], peaks[0]


def decode_pair_in_place(folder: Path) -> tuple[int, int, int]:
    """Return what `encode_pair` does; the arrays are there before the first call."""
    idle, decoder, peaks, held = anonymous_bytes(), incnnr.Decoder(), [], 0
    arrays = {name: np.array(array) for name, array in incnnr.read(folder / "first.safetensors").items()}
    for name in NAMES:
        held = anonymous_bytes() - idle
        with Peak() as peak, (folder / f"{name}.update").open("rb") as file:
            decoder.decode_chunks(iter(lambda: file.read(1 << 20), b""), into=arrays)
        peaks.append(peak.bytes - idle)
    return held, peaks[1], peaks[0]


def append_pair(folder: Path) -> tuple[int, int, int]:
    """Return what `encode_pair` does, of appending to a stream."""
    idle, peaks, held = anonymous_bytes(), [], 0
    with incnnr.open(folder / "run.incnnr", "w") as stream:
        for name in NAMES:
            held = anonymous_bytes() - idle
            with Peak() as peak:
                stream.append(incnnr.read(folder / f"{name}.safetensors"))
            peaks.append(peak.bytes - idle)
    return held, peaks[1], peaks[0]


def reopen(folder: Path) -> tuple[int, int, int]:
    """Return what is held once a stream of two entries is open for appending, and the peak of decoding both, twice."""
    idle = anonymous_bytes()
    with Peak() as peak, incnnr.open(folder / "run.incnnr", "a"):
        held = anonymous_bytes() - idle
    return held, peak.bytes - idle, peak.bytes - idle


def append_to_reopened(folder: Path) -> tuple[int, int, int]:
    """Return what is held once a stream of two entries is open, the peak of a third, and of a fourth, a keyframe."""
    idle, peaks = anonymous_bytes(), []
    with incnnr.open(folder / "run.incnnr", "a", keyframe_every=3) as stream:
        held = anonymous_bytes() - idle
        for name in NAMES:
            with Peak() as peak:
                stream.append(incnnr.read(folder / f"{name}.safetensors"))
            peaks.append(peak.bytes - idle)
    return held, peaks[0], peaks[1]


MEASURES = {
    "encode": encode_pair,
    "decode": decode_pair,
    "decode in place": decode_pair_in_place,
    "append": append_pair,
    "reopen": reopen,
    "append to reopened": append_to_reopened,
}


def report(n_bytes: int, n_tensors: int) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool,
    ):
        folder = Path(root)
        pool.apply(write_pair, (folder, n_bytes, n_tensors))
        measured = {name: pool.apply(measure, (folder,)) for name, measure in MEASURES.items()}
        update = (folder / "second.update").stat().st_size
        model = series.n_bytes(incnnr.read(folder / "second.safetensors"))
    rows = [
        (name, *(f"{size / 1e6:.1f}" for size in sizes), sizes[1] / model, (sizes[1] - update) / model)
        for name, sizes in measured.items()
    ]
    title = f"model of {model / 1e6:.1f} MB, {n_tensors} tensors, update of {update / 1e6:.1f} MB; MB above idle"
    columns = ("", "held before", "peak of second", "peak of keyframe", "peak / model", "(peak - update) / model")
    series.print_table(title, columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory that coding an update takes.")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--tensors", type=int, nargs="+", default=[60, 1])
    arguments = parser.parse_args()
    for n_tensors in arguments.tensors:
        report(arguments.megabytes * 1_000_000, n_tensors)


if __name__ == "__main__":
    main()

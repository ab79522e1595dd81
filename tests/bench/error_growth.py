"""Prints the error of a long stream of lossy updates against its length: every weight of every update is checked.

By hand (a minute)::

    python -m tests.bench.error_growth [SERIES_FOLDER] [--max-error 1e-3 | --qp -32] [--updates 200] [--picture FILE]

A series is walked forth and back, each time moved by a random step of its own, so that no checkpoint comes twice.
Without one, the stream is made up: a walk with momentum in a model of three tensors. Error is |decoded - original|.
Compared with it is the error of updates coded one by one, each from what the receiver held then: what a stream would
have if it remembered nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import incnnr
from tests.bench import pictures, series
from tests.bench.max_error import compare
from tests.bench.series import FloatTensors, Weights

_MADE_UP = {"dense.weight": (256, 300), "conv.weight": (64, 32, 3, 3), "dense.bias": (256,)}


@dataclass(frozen=True)
class Errors:
    """Of one update: the largest, the root mean square, that of the same update by itself; and its bits per weight."""

    largest: float
    rms: float
    rms_alone: float
    bits: float


def walk_of_series(folder: Path, count: int) -> Iterator[FloatTensors]:
    """Walk the series; what is added to its checkpoints goes on from one to the next."""
    rng = np.random.default_rng(1)
    checkpoints = [series.float_tensors(path) for path in series.paths_of(folder)]
    moved = {name: np.zeros_like(array) for name, array in checkpoints[0].items()}
    scale = {name: np.float32(0.02 * array.std()) for name, array in checkpoints[-1].items()}
    for place in series.forth_and_back(len(checkpoints), count):
        yield {name: array + moved[name] for name, array in checkpoints[place].items()}
        moved = {name: array + scale[name] * noise_like(rng, array) for name, array in moved.items()}


def walk_with_momentum(count: int) -> Iterator[FloatTensors]:
    rng = np.random.default_rng(1)
    weights = {name: 0.05 * rng.standard_normal(shape, np.float32) for name, shape in _MADE_UP.items()}
    speed = {name: np.zeros(shape, np.float32) for name, shape in _MADE_UP.items()}
    for _ in range(count):
        yield weights
        speed = {name: 0.8 * array + 0.002 * noise_like(rng, array) for name, array in speed.items()}
        weights = {name: array + speed[name] for name, array in weights.items()}


def noise_like(rng: np.random.Generator, array: NDArray[np.float32]) -> NDArray[np.float32]:
    return rng.standard_normal(array.shape, np.float32)


def errors_of(decoded: Weights, original: FloatTensors) -> tuple[float, float]:
    """Return the largest error and the root mean square."""
    largest = max(compare(np.asarray(decoded[name]), array)[0] for name, array in original.items())
    squares = sum(float(np.square(decoded[name].astype(np.float64) - array).sum()) for name, array in original.items())
    return largest, float(np.sqrt(squares / series.n_weights(original)))


def follow(walk: Iterator[FloatTensors], options: dict[str, Any]) -> Iterator[Errors]:
    """Code a walk; both sides hold where it begins."""
    held: Weights = next(walk)
    encoder, decoder = incnnr.Encoder(base=held, **options), incnnr.Decoder(base=held)
    for weights in walk:
        alone = incnnr.Decoder(base=held).decode(incnnr.Encoder(base=held, **options).encode(weights))
        data = bytes(encoder.encode(weights))
        held = decoder.decode(data)
        bits = series.bits_per_weight(len(data), series.n_weights(weights))
        yield Errors(*errors_of(held, weights), errors_of(alone, weights)[1], bits)


def print_errors(title: str, errors: list[Errors], max_error: float | None) -> None:
    rows = []
    for some in np.array_split(np.arange(len(errors)), min(10, len(errors))):
        own = [errors[i] for i in some]
        means = [np.mean([getattr(each, name) for each in own]) for name in ("rms", "rms_alone", "bits")]
        largest = max(each.largest for each in own)
        rows.append((f"{some[0] + 1} to {some[-1] + 1}", f"{largest:.9g}", *means[:2], means[0] / means[1], means[2]))
    columns = ("updates", "largest error", "rms", "alone", "rms / alone", "bits per weight")
    series.print_table(title, columns, rows)
    if max_error is not None:
        n_beyond = sum(each.largest > max_error for each in errors)
        print(f"updates with a weight beyond max_error: {n_beyond} of {len(errors)}")
    tenth = max(1, len(errors) // 10)
    last, first = (np.mean([each.rms for each in part]) for part in (errors[-tenth:], errors[:tenth]))
    print(f"rms error of the last tenth over that of the first: {last / first:.3f}")


def draw(title: str, errors: list[Errors], max_error: float | None, path: Path) -> None:
    panel = pictures.panels(1, 1)[0, 0]
    numbers = range(1, len(errors) + 1)
    for name, label in (("largest", "largest error"), ("rms", "rms error"), ("rms_alone", "rms, coded alone")):
        panel.plot(numbers, [getattr(each, name) for each in errors], label=label, linewidth=1)
    if max_error is not None:
        panel.axhline(max_error, color="#444444", linestyle="--", linewidth=1, label="max_error")
    panel.set_ylim(bottom=0)
    panel.set_title(title)
    pictures.finish(panel, xlabel="update", ylabel="error of a weight")
    pictures.save(panel, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="The error of a long stream against its length.")
    parser.add_argument("folder", nargs="?", type=Path)
    quality = parser.add_mutually_exclusive_group()
    quality.add_argument("--max-error", type=float, default=1e-3)
    quality.add_argument("--qp", type=int)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--picture", type=Path, help="draw the errors: .svg or .png")
    arguments = parser.parse_args()
    max_error = arguments.max_error if arguments.qp is None else None
    options = {"max_error": max_error} if max_error is not None else {"qp": arguments.qp}
    n = arguments.updates + 1
    walk = walk_of_series(arguments.folder, n) if arguments.folder else walk_with_momentum(n)
    name = arguments.folder.name if arguments.folder else "made up"
    title = f"{name}, {arguments.updates} updates, {' '.join(f'{key}={value}' for key, value in options.items())}"
    errors = list(follow(walk, options))
    print_errors(title, errors, max_error)
    if arguments.picture:
        draw(title, errors, max_error, arguments.picture)


if __name__ == "__main__":
    main()

"""How many of the test images of Fashion-MNIST a network gets right, in NumPy and nothing else.

Two kinds of network, told by the names of their tensors: two convolutions, each with a pool, and two dense layers
(``conv1`` ... ``fc2``), and a residual network with batch norm (``stem``, ``layer1.0.conv1`` ... ``fc``), both trained
on images of mean 0 and deviation 1. Activations are of shape [n, height, width, channels], float32.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tests.bench.series import Weights

FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of the Debian package
_MEAN, _DEVIATION = 0.2860, 0.3530  # of the images to learn from, as brightness from 0 to 1
_EPSILON = 1e-5  # of batch norm
_BATCH = 100  # what is in between stays in the caches

Array = NDArray[Any]
Judge = Callable[[Weights], Future[float]]


@dataclass(frozen=True)
class Images:
    """Images, float32 [n, 28, 28, 1], with the kind of clothing that each one shows, uint8 [n]."""

    pixels: Array
    labels: Array


def read_test_images(folder: Path = FOLDER) -> Images:
    """Read the 10,000 images that nobody learned from."""
    try:
        pixels, labels = (_read(folder / f"t10k-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1"))
    except FileNotFoundError:
        message = (
            f"no Fashion-MNIST in {folder}: apt-get install dataset-fashion-mnist, or name the folder of its files"
        )
        raise SystemExit(message) from None
    scaled = (pixels[..., None].astype(np.float32) / 255 - np.float32(_MEAN)) / np.float32(_DEVIATION)
    return Images(scaled, labels)


def _read(path: Path) -> Array:
    """Read an IDX file of bytes: zero, zero, type, number of dimensions, each as 32 bits, elements."""
    data = gzip.decompress(path.read_bytes())
    n_dimensions = data[3]
    shape = np.frombuffer(data, ">u4", n_dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_dimensions).reshape(shape)


def accuracy(weights: Weights, images: Images) -> float:
    """Return the share of images whose highest score is the right one's."""
    scores = network_of(weights)
    n_right = 0
    for first in range(0, len(images.labels), _BATCH):
        batch = slice(first, first + _BATCH)
        n_right += int((scores(weights, images.pixels[batch]).argmax(axis=1) == images.labels[batch]).sum())
    return n_right / len(images.labels)


@contextmanager
def judges(folder: Path = FOLDER) -> Iterator[Judge]:
    """Tell accuracies by processes of their own, one for each core: matrices this small take longer on two threads."""
    images = read_test_images(folder)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes; this one has its threads already
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawning, _remember, (images,)) as pool:
        yield lambda weights: pool.submit(_judged, {name: np.asarray(weights[name]) for name in weights})


_remembered: list[Images] = []


def _remember(images: Images) -> None:
    _remembered.append(images)


def _judged(weights: Weights) -> float:
    return accuracy(weights, _remembered[0])


def is_known(weights: Weights) -> bool:
    """Whether it is one of the two kinds of network."""
    return any(name in weights for name in _NETWORKS)


def network_of(weights: Weights) -> Callable[[Weights, Array], Array]:
    return next(network for name, network in _NETWORKS.items() if name in weights)


def scores_of_plain(weights: Weights, images: Array) -> Array:
    values = images
    for layer in ("conv1", "conv2"):
        values = np.maximum(pooled(convolved(values, weights[f"{layer}.weight"])) + weights[f"{layer}.bias"], 0)
    flat = values.transpose(0, 3, 1, 2).reshape(len(values), -1)  # the dense layer was trained on channels first
    hidden = np.maximum(dense(weights, "fc1", flat), 0)
    return dense(weights, "fc2", hidden)


def scores_of_residual(weights: Weights, images: Array) -> Array:
    values = np.maximum(normed(weights, "bn", convolved(images, weights["stem.weight"], stride=2)), 0)
    for name in ("layer1.0", "layer2.0", "layer2.1", "layer3.0"):
        values = block(weights, name, values)
    return dense(weights, "fc", values.mean(axis=(1, 2)))


def block(weights: Weights, name: str, values: Array) -> Array:
    """Two convolutions beside a shortcut; that halves the image where it is a convolution, too."""
    shortcut, stride = values, 1
    if f"{name}.down.0.weight" in weights:
        stride = 2
        shortcut = normed(weights, f"{name}.down.1", convolved(values, weights[f"{name}.down.0.weight"], stride=2))
    inner = np.maximum(normed(weights, f"{name}.bn1", convolved(values, weights[f"{name}.conv1.weight"], stride)), 0)
    return np.maximum(normed(weights, f"{name}.bn2", convolved(inner, weights[f"{name}.conv2.weight"])) + shortcut, 0)


def convolved(values: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolve with zeros around, so that only the stride makes the image smaller; the kernel is [out, in, h, w]."""
    n_out, n_in, size, _ = kernel.shape
    around = size // 2
    padded = np.pad(values, ((0, 0), (around, around), (around, around), (0, 0)))
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * n_in)
    columns = kernel.transpose(2, 3, 1, 0).reshape(-1, n_out)
    return (rows @ columns).reshape(*windows.shape[:3], n_out)


def pooled(values: Array) -> Array:
    rows = np.maximum(values[:, ::2], values[:, 1::2])
    return np.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def normed(weights: Weights, name: str, values: Array) -> Array:
    """Batch norm as after training; where coding made a variance negative there is no number, as in frameworks."""
    with np.errstate(invalid="ignore"):
        gain = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + np.float32(_EPSILON))
    return (values - weights[f"{name}.running_mean"]) * gain + weights[f"{name}.bias"]


def dense(weights: Weights, name: str, values: Array) -> Array:
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


_NETWORKS: dict[str, Callable[[Weights, Array], Array]] = {
    "conv1.weight": scores_of_plain,
    "stem.weight": scores_of_residual,
}

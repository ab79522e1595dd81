"""A small network that learns to read handwritten digits, in NumPy and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]

LAYER_SIZES = (64, 256, 128, 10)
N_TEST_IMAGES = 360
BATCH_SIZE = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Digits:
    """Images, float32 [n, 64] from 0 to 1, with the digit that each one shows, int64 [n]."""

    images: Array
    labels: Array


def read_digits(path: Path) -> tuple[Digits, Digits]:
    """Return the images to learn from and those kept back for the test."""
    with np.load(path) as data:
        images = data["images"].reshape(-1, 64).astype(np.float32) / 16
        labels = data["target"]
    cut = len(labels) - N_TEST_IMAGES
    return Digits(images[:cut], labels[:cut]), Digits(images[cut:], labels[cut:])


def initial_weights(rng: np.random.Generator) -> Weights:
    """Draw a fresh network: He-scaled matrices and zero biases, float32."""
    weights: Weights = {}
    for layer, (n_in, n_out) in enumerate(pairwise(LAYER_SIZES), start=1):
        weights[f"layer{layer}.weight"] = (rng.standard_normal((n_in, n_out)) * (2 / n_in) ** 0.5).astype(np.float32)
        weights[f"layer{layer}.bias"] = np.zeros(n_out, np.float32)
    return weights


def activations(weights: Mapping[str, Array], images: Array) -> list[Array]:
    """Return what every layer hands to the next one, from the images to the ten scores."""
    values = [images]
    n_layers = len(LAYER_SIZES) - 1
    for layer in range(1, n_layers + 1):
        scores = values[-1] @ weights[f"layer{layer}.weight"] + weights[f"layer{layer}.bias"]
        values.append(scores if layer == n_layers else np.maximum(scores, 0))
    return values


def gradients(weights: Weights, images: Array, labels: Array) -> Weights:
    """Return the slope of the mean cross-entropy for every weight."""
    values = activations(weights, images)
    exponentials = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    error = exponentials / exponentials.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= np.float32(len(labels))
    slopes: Weights = {}
    for layer in range(len(LAYER_SIZES) - 1, 0, -1):
        inputs = values[layer - 1]
        slopes[f"layer{layer}.weight"] = inputs.T @ error
        slopes[f"layer{layer}.bias"] = error.sum(axis=0)
        error = (error @ weights[f"layer{layer}.weight"].T) * (inputs > 0)
    return slopes


def train(digits: Digits, *, n_epochs: int, seed: int) -> Iterator[Weights]:
    """Yield the weights after each epoch of SGD with momentum, its learning rate falling along half a cosine.

    The arrays are the ones being trained: whoever wants to keep them makes a copy.
    """
    rng = np.random.default_rng(seed)
    weights = initial_weights(rng)
    velocity = {name: np.zeros_like(array) for name, array in weights.items()}
    for epoch in range(n_epochs):
        rate = np.float32(LEARNING_RATE * (1 + cos(pi * epoch / n_epochs)) / 2)
        order = rng.permutation(len(digits.labels))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            for name, slope in gradients(weights, digits.images[batch], digits.labels[batch]).items():
                velocity[name] = np.float32(MOMENTUM) * velocity[name] - rate * slope
                weights[name] += velocity[name]
        yield weights


def accuracy(weights: Mapping[str, Array], digits: Digits) -> float:
    """Return the share of images that the network reads correctly."""
    exact = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    return float(np.mean(activations(exact, digits.images)[-1].argmax(axis=1) == digits.labels))

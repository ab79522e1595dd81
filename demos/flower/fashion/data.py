"""Images and labels, and each client's share of them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

FASHION = Path("/usr/share/datasets/fashion-mnist")
N_CLASSES = 10
_IDX_HEADER_BYTES = {"images": 16, "labels": 8}


@dataclass(frozen=True)
class Images:
    """Images, float32 [n, 1, 28, 28] from -1 to 1, with their labels, int64 [n]."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: np.ndarray) -> Images:
        index = torch.from_numpy(at)
        return Images(self.images[index], self.labels[index])


@cache
def training_images() -> Images:
    """Return the images to learn from."""
    return _fashion("train") if FASHION.exists() else _digits()[0]


@cache
def test_images() -> Images:
    """Return the images to test on."""
    return _fashion("t10k") if FASHION.exists() else _digits()[1]


def share_of(client: int, n_clients: int, n_images: int, seed: int, alpha: float = 0.5) -> Images:
    """Return one client's images: every class is spread over the clients by a Dirichlet distribution."""
    rng = np.random.default_rng(seed)
    everything = training_images()
    chosen = rng.permutation(len(everything))[:n_images]
    labels = everything.labels.numpy()[chosen]
    own = []
    for label in range(N_CLASSES):
        of_class = chosen[labels == label]
        stops = (np.cumsum(rng.dirichlet([alpha] * n_clients)) * len(of_class)).astype(int)
        own.append(np.split(of_class, stops[:-1])[client])
    return everything[np.sort(np.concatenate(own))]


def _fashion(part: str) -> Images:
    def read(what: str, dimensions: str) -> np.ndarray:
        data = gzip.decompress((FASHION / f"{part}-{what}-{dimensions}-ubyte.gz").read_bytes())
        return np.frombuffer(data, np.uint8, offset=_IDX_HEADER_BYTES[what])

    images = read("images", "idx3").reshape(-1, 1, 28, 28)
    return _as_images(images / np.float32(127.5) - 1, read("labels", "idx1"))


def _digits() -> tuple[Images, Images]:
    """Fall back to the digits of the other demo, 8 x 8, in the middle of the picture."""
    arrays = np.load(_bundled_digits())
    images = np.full((len(arrays["images"]), 1, 28, 28), -1, np.float32)
    images[:, :, 6:22, 6:22] = np.kron(arrays["images"].reshape(-1, 1, 8, 8) / 8.0 - 1, np.ones((2, 2)))
    both = _as_images(images, arrays["target"])
    at = np.random.default_rng(0).permutation(len(both))
    return both[at[360:]], both[at[:360]]


def _bundled_digits() -> Path:
    import incnnr  # noqa: PLC0415 -- only to find the file

    package = Path(incnnr.__file__).parent
    places = [package / "demos/digits/digits.npz", package.parent / "demos/digits/digits.npz"]
    return next(place for place in places if place.exists())


def _as_images(images: np.ndarray, labels: np.ndarray) -> Images:
    return Images(torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))

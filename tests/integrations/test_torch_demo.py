"""The images of the demo with Flower: every one belongs to one client, and without Fashion-MNIST there are digits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demos" / "flower"))
from fashion import data, network


@pytest.fixture
def without_fashion_mnist(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "FASHION", tmp_path / "not there")
    data.training_images.cache_clear()
    data.test_images.cache_clear()
    yield
    data.training_images.cache_clear()
    data.test_images.cache_clear()


@pytest.mark.usefixtures("without_fashion_mnist")
def test_without_fashion_mnist_the_demo_learns_the_bundled_digits():
    lesson, test = data.training_images(), data.test_images()
    assert lesson.images.shape[1:] == test.images.shape[1:] == (1, 28, 28)
    assert lesson.images.aminmax() == (-1, 1)
    assert set(lesson.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    net = network.new_network(seed=1)
    network.train(net, lesson, n_epochs=3, learning_rate=0.02, seed=1)
    assert network.accuracy(net, test) > 0.8


@pytest.mark.usefixtures("without_fashion_mnist")
def test_every_image_belongs_to_one_client():
    shares = [data.share_of(client, 5, 1000, seed=1) for client in range(5)]
    everything = torch.cat([share.images for share in shares]).flatten(1)
    assert len(everything) == 1000
    assert sorted(everything.tolist()) == sorted(data.share_of(0, 1, 1000, seed=1).images.flatten(1).tolist())
    assert max(map(len, shares)) > 1.3 * min(map(len, shares))

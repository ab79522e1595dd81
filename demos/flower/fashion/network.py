"""The network, and how a client trains and tests it."""

from __future__ import annotations

import torch
from torch import nn

from fashion.data import N_CLASSES, Images

BATCH_SIZE = 32
MOMENTUM = 0.9


def new_network(seed: int = 0) -> nn.Module:
    """Make a network of 105,866 weights: two convolutions and two layers."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1568, 64), nn.ReLU(), nn.Linear(64, N_CLASSES)),
    )
    return network.to(memory_format=torch.channels_last)  # convolutions are faster on CPUs


def train(network: nn.Module, lesson: Images, *, n_epochs: int, learning_rate: float, seed: int) -> float:
    """Train in place with SGD; return the mean loss of the last epoch."""
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=MOMENTUM)
    losses: list[float] = []
    for _ in range(n_epochs):
        losses = []
        for at in torch.randperm(len(lesson), generator=order).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(lesson.images[at]), lesson.labels[at])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / max(1, len(losses))


@torch.no_grad()
def accuracy(network: nn.Module, images: Images) -> float:
    """Return the part of the images that the network labels correctly."""
    right = [
        (network(images.images[at]).argmax(1) == images.labels[at]).sum().item()
        for at in torch.arange(len(images)).split(100)
    ]
    return sum(right) / max(1, len(images))

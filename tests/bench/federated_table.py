"""Bytes and accuracy of federated learning with incnnr and with what others do, without Flower around it.

Needs PyTorch and, for Fashion-MNIST, Debian's package dataset-fashion-mnist::

    python -m tests.bench.federated_table --rounds 30 --images 60000 --target 0.88
    python -m tests.bench.federated_table --clients 50 --fraction 0.2 --rounds 100

Messages are counted, not what a framework adds to them; evaluation is not carried, since it costs others a model and
incnnr nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tests.bench.federated_schemes import Int8, Plain, Scheme, Sessions, TopK, Weights

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demos" / "flower"))
from fashion import data, network

RELATIVE = {"relative_error": 0.5}
COARSE = {"relative_error": 0.7}
SCHEMES: dict[str, Callable[[], Scheme]] = {
    "plain": Plain,
    "int8": Int8,
    "top-k 1 %": TopK,
    "incnnr 0.5": lambda: Sessions(RELATIVE, RELATIVE),
    "incnnr 0.5, memory": lambda: Sessions(RELATIVE, RELATIVE, memory_age=10),
    "incnnr 0.7": lambda: Sessions(COARSE, COARSE),
    "incnnr 0.7, memory": lambda: Sessions(COARSE, COARSE, memory_age=10),
}


@dataclass(frozen=True)
class Result:
    """A round: accuracy, and bytes up to then."""

    accuracy: float
    down_bytes: int
    up_bytes: int

    @property
    def n_bytes(self) -> int:
        return self.down_bytes + self.up_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--target", type=float, default=0.88)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':20} accuracy        down          up   ratio   bytes to {arguments.target:.0%}")
    plain_bytes = 0
    for name in arguments.schemes:
        rounds = learn(SCHEMES[name](), arguments)
        last = rounds[-1]
        plain_bytes = last.n_bytes if name == "plain" else plain_bytes
        reached = next((f"{r.n_bytes:,}" for r in rounds if r.accuracy >= arguments.target), "not reached")
        ratio = f"{plain_bytes / last.n_bytes:6.1f}x" if plain_bytes else ""
        print(
            f"{name:20} {last.accuracy:8.4f} {last.down_bytes:11,} {last.up_bytes:11,} {ratio:7}  {reached}", flush=True
        )


def learn(scheme: Scheme, arguments: argparse.Namespace) -> list[Result]:
    """Average over the clients of each round, weighted by their images."""
    shares = [
        data.share_of(client, arguments.clients, arguments.images, arguments.seed)
        for client in range(arguments.clients)
    ]
    model = network.new_network(arguments.seed)
    weights = weights_of(model)
    luck = np.random.default_rng(arguments.seed)
    results = []
    for server_round in range(arguments.rounds):
        scheme.broadcast(weights)
        chosen = luck.permutation(arguments.clients)[: max(1, round(arguments.fraction * arguments.clients))]
        replies = []
        for client in chosen:
            load(model, scheme.download(int(client)))
            network.train(model, shares[client], n_epochs=1, learning_rate=0.02, seed=server_round)
            replies.append((len(shares[client]), scheme.upload(int(client), weights_of(model))))
        weights = average(replies)
        load(model, weights)
        score = network.accuracy(model, data.test_images())
        results.append(Result(score, scheme.down_bytes, scheme.up_bytes))
    return results


def average(replies: list[tuple[int, Weights]]) -> Weights:
    """Average weights by the numbers in front of them."""
    total = sum(n for n, _ in replies)
    names = replies[0][1]
    return {name: sum(n / total * w[name].astype(float) for n, w in replies).astype(np.float32) for name in names}


def weights_of(model: torch.nn.Module) -> Weights:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def load(model: torch.nn.Module, weights: Weights) -> None:
    model.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})


if __name__ == "__main__":
    main()

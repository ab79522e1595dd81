"""Bytes and accuracy of federated learning with incnnr and with what others do, without Flower around it.

Needs PyTorch and, for Fashion-MNIST, Debian's package dataset-fashion-mnist; rows of NNCodec make its environment::

    python -m tests.bench.federated_table --seeds 1 2 3 --images 60000 --target 0.88
    python -m tests.bench.federated_table --clients 50 --fraction 0.2 --rounds 100 --loss 0.1 --restarts 2

Messages are counted, lost ones too, but not what a framework adds to them; evaluation is not carried, since it costs
others a model and incnnr nothing. Whenever a client of incnnr has received a model, that is compared with the server's.
"coding" is what coding takes of the time, on all sides, one local epoch included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.bench.federated_nncodec import Nncodec, NncodecWithFeedback
from tests.bench.federated_schemes import Int8, Plain, Scheme, Sessions, TopK, Weights
from tests.bench.nncodec_peer import Peer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demos" / "flower"))
from fashion import data, network

HALF, COARSE = {"relative_error": 0.5}, {"relative_error": 0.7}
SCHEMES: dict[str, Callable[[Peer], Scheme]] = {
    "plain": lambda _: Plain(),
    "int8": lambda _: Int8(),
    "top-k 1 %": lambda _: TopK(),
    "NNCodec -26": lambda peer: Nncodec(peer, -26, 1),
    "NNCodec -26, feedback": lambda peer: NncodecWithFeedback(peer, -26, 1),
    "NNCodec -28, feedback": lambda peer: NncodecWithFeedback(peer, -28, 1),
    "incnnr": lambda _: Sessions(HALF, HALF),
    "incnnr, memory": lambda _: Sessions(HALF, HALF, memory_age=10),
    "incnnr 0.7, 0.5": lambda _: Sessions(COARSE, HALF),
    "incnnr qp -26": lambda _: Sessions({"qp": -26}, {"qp": -26}),
    "incnnr qp -26, memory": lambda _: Sessions({"qp": -26}, {"qp": -26}, memory_age=10),
    "incnnr qp -28, memory": lambda _: Sessions({"qp": -28}, {"qp": -28}, memory_age=10),
    "incnnr qp -30, -32, memory 20": lambda _: Sessions({"qp": -30}, {"qp": -32}, memory_age=20),
}


@dataclass(frozen=True)
class Result:
    """A round: accuracy, and bytes up to then."""

    accuracy: float
    down_bytes: int
    up_bytes: int
    seconds: float
    coding_seconds: float

    @property
    def n_bytes(self) -> int:
        return self.down_bytes + self.up_bytes


class Wire:
    """Carries messages between the server and its clients, counts their bytes and seconds and loses some of them."""

    def __init__(self, scheme: Scheme, loss: float, seed: int) -> None:
        self.down_bytes = self.up_bytes = 0
        self.coding_seconds = 0.0
        self._scheme = scheme
        self._loss = loss
        self._luck = np.random.default_rng(seed)

    def broadcast(self, weights: Weights) -> None:
        """Make these the server's weights."""
        self._timed(self._scheme.broadcast, weights)

    def exchange(self, client: int, train: Callable[[Weights], Weights]) -> Weights | None:
        """Ask a client to train; return what arrives of its weights, None if a message was lost on the way."""
        while True:
            question = self._timed(self._scheme.question, client)
            self.down_bytes += question.n_bytes
            if self._luck.random() < self._loss:
                return None
            received = self._timed(self._scheme.received, client, question)
            trained = None if received is None else train(received)
            answer = self._timed(self._scheme.answer, client, trained)
            self.up_bytes += answer.n_bytes
            if self._luck.random() < self._loss:
                return None
            if (weights := self._timed(self._scheme.collected, client, answer)) is not None:
                return weights

    def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        result = call(*arguments)
        self.coding_seconds += time.perf_counter() - started
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--loss", type=float, default=0.0, help="part of the messages that never arrive, each way")
    parser.add_argument("--restarts", type=int, default=0, help="clients that lose all they keep, halfway")
    parser.add_argument("--target", type=float, default=0.88)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--save", type=Path, help="a file that a line of JSON is added to for every run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    header = f"{'':24} seed  accuracy  of last five        down          up   ratio  coding"
    print(f"{header}   bytes to {arguments.target:.0%}")
    with ExitStack() as stack:
        peer = stack.enter_context(Peer()) if any("NNCodec" in name for name in arguments.schemes) else None
        for seed in arguments.seeds:
            compare(arguments, seed, peer)


def compare(arguments: argparse.Namespace, seed: int, peer: Peer | None) -> None:
    """Print a line for each scheme."""
    plain_bytes = 0
    for name in arguments.schemes:
        rounds = learn(SCHEMES[name](peer), arguments, seed)  # type: ignore[arg-type]
        plain_bytes = rounds[-1].n_bytes if name == "plain" else plain_bytes
        print(line(name, seed, rounds, plain_bytes, arguments.target), flush=True)
        if arguments.save:
            with arguments.save.open("a") as file:
                file.write(json.dumps({"scheme": name, "seed": seed, "rounds": [asdict(r) for r in rounds]}) + "\n")


def line(name: str, seed: int, rounds: list[Result], plain_bytes: int, target: float) -> str:
    """Describe a run."""
    last = rounds[-1]
    reached = next((f"{r.n_bytes:,}" for r in rounds if r.accuracy >= target), "not reached")
    ratio = f"{plain_bytes / last.n_bytes:6.1f}x" if plain_bytes else ""
    coding = last.coding_seconds / last.seconds
    scores = f"{last.accuracy:9.4f} {np.mean([r.accuracy for r in rounds[-5:]]):13.4f}"
    return f"{name:24} {seed:4} {scores} {last.down_bytes:11,} {last.up_bytes:11,} {ratio:7} {coding:6.1%}   {reached}"


def learn(scheme: Scheme, arguments: argparse.Namespace, seed: int) -> list[Result]:
    """Average over the clients of each round, weighted by their images."""
    n_clients = arguments.clients
    shares = [data.share_of(client, n_clients, arguments.images, seed) for client in range(n_clients)]
    model = network.new_network(seed)
    weights = weights_of(model)
    luck, wire = np.random.default_rng(seed), Wire(scheme, arguments.loss, seed)
    results = []
    started = time.perf_counter()
    for server_round in range(arguments.rounds):
        if server_round == arguments.rounds // 2:
            for client in range(arguments.restarts):
                scheme.restart(client)
        wire.broadcast(weights)
        replies = []
        for client in luck.permutation(n_clients)[: max(1, round(arguments.fraction * n_clients))]:

            def train(received: Weights, share: data.Images = shares[client], seed: int = server_round) -> Weights:
                load(model, received)
                network.train(model, share, n_epochs=1, learning_rate=0.02, seed=seed)
                return weights_of(model)

            if (arrived := wire.exchange(int(client), train)) is not None:
                replies.append((len(shares[client]), arrived))
        weights = average(replies) if replies else weights
        load(model, weights)
        seconds = time.perf_counter() - started
        score = network.accuracy(model, data.test_images())
        results.append(Result(score, wire.down_bytes, wire.up_bytes, seconds, wire.coding_seconds))
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

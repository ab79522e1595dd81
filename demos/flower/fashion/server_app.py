"""What runs on the server."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, FedAvg, Strategy

from fashion.counting import CountingGrid
from fashion.data import test_images
from fashion.network import accuracy, new_network
from incnnr.federated.flower import CompressedGrid

app = ServerApp()
STRATEGIES = {"fedavg": FedAvg, "fedadam": FedAdam}


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds and save what they cost."""
    config = context.run_config
    random.seed(int(config["seed"]))
    wire = CountingGrid(grid)
    rounds: list[dict[str, float]] = []
    started = time.monotonic()

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        network = new_network()
        network.load_state_dict(arrays.to_torch_state_dict())
        score = accuracy(network, test_images())
        seconds = time.monotonic() - started
        rounds.append({"round": server_round, "accuracy": score, "seconds": seconds, **wire.totals()})
        return MetricRecord({"accuracy": score})

    grid = CompressedGrid(wire, qp=-26) if config["incnnr"] else wire
    strategy_of(config).start(
        grid=grid,
        initial_arrays=ArrayRecord(new_network(int(config["seed"])).state_dict()),
        num_rounds=int(config["rounds"]),
        evaluate_fn=evaluate,
    )
    if config["results"]:
        coding = [r.encode_seconds + r.decode_seconds for r in getattr(grid, "rounds", [])]
        results = {"config": dict(config), "rounds": rounds, "coding_seconds": sum(coding)}
        Path(str(config["results"])).write_text(json.dumps(results))


def strategy_of(config: dict[str, bool | float | int | str]) -> Strategy:
    fraction = float(config["fraction"])
    options = {"eta": 0.01} if config["strategy"] == "fedadam" else {}
    return STRATEGIES[str(config["strategy"])](fraction_train=fraction, fraction_evaluate=fraction, **options)

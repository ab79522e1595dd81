"""Run the app with and without incnnr, and print and draw what each accuracy took on the wire.

::

    python compare.py                                # in Flower's simulation engine
    python compare.py --deployed --rounds 5          # on a SuperLink with ten SuperNodes, all on this machine
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from itertools import product
from pathlib import Path
from typing import Any

import machines

Run = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployed", action="store_true", help="SuperLink and SuperNodes instead of the simulation")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strategies", nargs="+", default=["fedavg"], choices=["fedavg", "fedadam"])
    parser.add_argument("--folder", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that Flower's processes end with this one
    with (machines.deployed if arguments.deployed else machines.simulated)(folder) as (superlink, flower):
        for seed, strategy, incnnr in product(range(1, arguments.seeds + 1), arguments.strategies, (False, True)):
            name = f"{strategy}-{'incnnr' if incnnr else 'plain'}-{seed}"
            settings = {"rounds": arguments.rounds, "images": arguments.images, "strategy": strategy, "seed": seed}
            results = {"incnnr": incnnr, "results": str(folder / f"{name}.json")}
            machines.run_app(superlink, flower, {**settings, **results}, folder / f"{name}.log")
            print(line(json.loads((folder / f"{name}.json").read_text())), flush=True)
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    print_ratios(runs)
    draw(runs, folder / "accuracy.png")


def line(run: Run) -> str:
    """Describe one run."""
    config, last = run["config"], run["rounds"][-1]
    name = f"{config['strategy']}, {'incnnr' if config['incnnr'] else 'plain'}, seed {config['seed']}"
    coding = f"the server codes for {run['coding_seconds'] / last['seconds']:.1%} of that"
    return f"{name:30} accuracy {last['accuracy']:.4f}   {total(last):12,} bytes   {last['seconds']:6.1f} s, {coding}"


def total(last: dict[str, float]) -> int:
    """Add up the bytes of all messages: a model that is evaluated first is not sent again to be trained."""
    return int(sum(n for key, n in last.items() if "-" in key))


def print_ratios(runs: list[Run]) -> None:
    """Print for each pair of runs that differ in incnnr only what it saves and costs."""
    print("\nstrategy  seed   total ratio   down   up   accuracy plain -> incnnr")
    by_key = {(r["config"]["strategy"], r["config"]["seed"], r["config"]["incnnr"]): r["rounds"][-1] for r in runs}
    for strategy, seed, incnnr in sorted(by_key):
        if incnnr or (strategy, seed, True) not in by_key:
            continue
        plain, ours = by_key[strategy, seed, False], by_key[strategy, seed, True]
        down = sum(plain[k] for k in plain if "down" in k) / sum(ours[k] for k in ours if "down" in k)
        up = sum(plain[k] for k in plain if "up" in k) / sum(ours[k] for k in ours if "up" in k)
        ratio = f"{total(plain) / total(ours):10.1f}x"
        accuracy = f"{plain['accuracy']:.4f} -> {ours['accuracy']:.4f}"
        print(f"{strategy:9} {seed:4} {ratio} {down:5.0f}x {up:4.0f}x   {accuracy}")


def draw(runs: list[Run], path: Path) -> None:
    """Draw accuracy against bytes."""
    import matplotlib as mpl  # noqa: PLC0415 -- the table needs none

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for run in runs:
        config, rounds = run["config"], run["rounds"][1:]
        style = {"color": "tab:green" if config["incnnr"] else "tab:gray", "alpha": 0.8}
        style["linestyle"] = "-" if config["strategy"] == "fedavg" else "--"
        label = f"{config['strategy']}, {'incnnr' if config['incnnr'] else 'plain'}" if config["seed"] == 1 else None
        axes.plot([total(r) / 1e6 for r in rounds], [r["accuracy"] for r in rounds], label=label, **style)
    axes.set(xscale="log", xlabel="megabytes on the wire, all clients, both ways", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

"""Flower's programs on this machine: the simulation engine, or a SuperLink with a process for each SuperNode."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = str(Path(__file__).parent)
BIN = str(Path(sys.executable).parent)
N_CLIENTS = 10
STARTING_SECONDS = 10
SUPERLINK, SUPERNODES = 29091, 29100  # ports, of the first one
_CONFIG = f"""\
[superlink]
default = "local"

[superlink.local]
address = ":local:"

[superlink.deployed]
address = "127.0.0.1:{SUPERLINK}"
insecure = true
"""


def environment(folder: Path) -> dict[str, str]:
    """Make a place for what Flower keeps, so that nothing of the user's own is touched."""
    home = folder / "flower-home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(_CONFIG)
    own = {"FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1"}
    return {**os.environ, **own, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


@contextmanager
def simulated(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the simulation engine with ten clients: its name, and the environment for `run_app`."""
    flower = environment(folder)
    options = ["--num-supernodes", str(N_CLIENTS), "--client-resources-num-cpus", "1"]
    subprocess.run(
        [f"{BIN}/flwr", "federation", "simulation-config", "@none/default", "local", *options], env=flower, check=True
    )
    try:
        yield "local", flower
    finally:
        _stop_local_superlink(Path(flower["FLWR_HOME"]))


@contextmanager
def deployed(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield a SuperLink that ten SuperNodes are connected to: its name, and the environment for `run_app`."""
    flower = environment(folder)
    here = ["--insecure", "--host", "127.0.0.1", "--port"]
    with ExitStack() as stack:
        command = [f"{BIN}/flower-superlink", *here, str(SUPERLINK)]
        stack.enter_context(_running(command, flower, folder / "superlink.log"))
        time.sleep(STARTING_SECONDS)
        for client in range(N_CLIENTS):
            own = ["--node-config", f"partition-id={client} num-partitions={N_CLIENTS}"]
            command = [f"{BIN}/flower-supernode", *here, str(SUPERNODES + client), *own]
            command += ["--superlink", f"127.0.0.1:{SUPERLINK}"]
            stack.enter_context(_running(command, flower, folder / f"supernode-{client}.log"))
        time.sleep(STARTING_SECONDS)
        yield "deployed", flower


def run_app(superlink: str, flower: Mapping[str, str], settings: Mapping[str, object], log: Path) -> None:
    """Run the app with these settings to its end; its output goes to `log`."""
    values = " ".join(f"{key}={_toml(value)}" for key, value in settings.items())
    with log.open("wb") as file:
        command = [f"{BIN}/flwr", "run", HERE, superlink, "--stream", "-c", values]
        subprocess.run(command, env=dict(flower), stdout=file, stderr=subprocess.STDOUT, check=True)


@contextmanager
def _running(command: list[str], flower: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=log.parent, env=dict(flower), stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _stop_local_superlink(home: Path) -> None:
    """End the SuperLink that ``flwr run`` started in the background: the one that works in `home`."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, _, arguments = line.strip().partition(" ")
        if "flower-superlink" in arguments and str(home) in arguments:
            os.kill(int(pid), 15)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

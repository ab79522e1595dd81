"""What a server keeps against how many clients it has, with clients that remember their replies or do not.

::

    python -m tests.bench.federated_memory
"""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np

from incnnr.federated import Collector, Downlink, Memory, Receiver, Uplink

N_WEIGHTS = 100_000
N_ROUNDS = 3


def main() -> None:
    print(
        f"megabytes that a server keeps of a model of {N_WEIGHTS * 4 / 1e6} MB, after {N_ROUNDS} rounds of all clients"
    )
    print("clients   stateless   with memories")
    for n_clients in (1, 10, 100, 1000):
        print(f"{n_clients:7} {kept(n_clients, None) / 1e6:11.3f} {kept(n_clients, Memory(10)) / 1e6:15.3f}")


def kept(n_clients: int, memory: Memory | None) -> int:
    """Return the bytes that disappear with the server."""
    server = rounds(n_clients, memory)
    gc.collect()
    tracemalloc.start()
    server = rounds(n_clients, memory)
    gc.collect()
    with_server, _ = tracemalloc.get_traced_memory()
    del server
    gc.collect()
    without, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return with_server - without


def rounds(n_clients: int, memory: Memory | None) -> tuple[Downlink, Collector]:
    """Let all clients send the same reply, each under its own name."""
    rng = np.random.default_rng(1)
    downlink, receiver, uplink = Downlink(relative_error=0.7), Receiver(), Uplink(relative_error=0.8)
    collector = Collector(downlink)
    weights = {"w": rng.normal(0, 0.02, N_WEIGHTS).reshape(100, -1).astype(np.float32)}
    for _ in range(N_ROUNDS):
        downlink.broadcast(weights)
        model = receiver.receive(downlink.message(receiver.position))
        local = {"w": model["w"] + rng.laplace(0, 0.002, model["w"].shape).astype(np.float32)}
        if memory is None:
            reply = uplink.encode(receiver, local)
        else:
            reply, _ = uplink.encode_with_memory(receiver, local, memory, None)
        for client in range(n_clients):
            weights = collector.collect(client, reply)
    return downlink, collector


if __name__ == "__main__":
    main()

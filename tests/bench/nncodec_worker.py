"""Runs NNCodec 2.1.3 for `tests.bench.nncodec_peer`, in the environment made there: requests in, results out.

Never imported by this project's side. A request names a function below and its arguments; the answer is what that
returns, or ``{"error": ...}``. A chain is what NNCodec keeps from one update to the next, here under a number.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from tests.bench import nncodec_imports, nncodec_wire

nncodec_imports.install()

from nncodec import nnc, nnc_core  # noqa: E402
from nncodec.nnc_core.hdsp.hdsp_tool import HdspTool  # noqa: E402

Arrays = dict[str, np.ndarray]

_bases: dict[int, dict[str, Any]] = {}
_histories: dict[int, HdspTool] = {}


def base_of(chain: int) -> dict[str, Any]:
    blank: dict[str, Any] = {"parameters": {}, "put_node_depth": {}, "device_id": 0, "parameter_id": {}}
    return _bases.setdefault(chain, blank)


def history_of(chain: int) -> HdspTool:
    return _histories.setdefault(chain, HdspTool(True))


def clocks() -> dict[str, float]:
    return {"seconds": time.perf_counter(), "cpu_seconds": time.process_time()}


def since(start: dict[str, float]) -> dict[str, float]:
    return {clock: now - start[clock] for clock, now in clocks().items()}


def encode(tensors: Arrays, settings: dict[str, Any], chain: int | None, *, hdsp: bool) -> dict[str, Any]:
    """Encode, as an update if there is a chain; with `hdsp` from a copy of the receiver's history, which is the truth.

    NNCodec's own history of the sender counts tensors that were skipped, and the receiver's does not.
    """
    base = {} if chain is None else {"approx_param_base": base_of(chain), "compress_differences": True}
    if hdsp and chain is not None:
        base["hdsp_tool"] = copy.deepcopy(history_of(chain))
    start = clocks()
    coded = nnc.compress(tensors, bitstream_path=None, return_bitstream=True, **base, **settings)
    return {**since(start), "coded": bytes(coded)}


def decode(coded: bytes) -> dict[str, Any]:
    coded = bytearray(coded)
    start = clocks()
    values = nnc.decompress(coded)
    return {**since(start), "values": values}


def decode_update(coded: bytes, chain: int) -> dict[str, Any]:
    """Decode the next update of a chain; with its levels, which NNCodec keeps for the update after it."""
    coded, base, history = bytearray(coded), base_of(chain), history_of(chain)
    start = clocks()
    values, _ = nnc.decompress(
        coded, approx_param_base=base, update_base_param=True, hdsp_tool=history, return_hls=True
    )
    taken = since(start)
    levels = {name: base["parameters"][name] for name in values if name in base["parameters"]}
    return {**taken, "values": values, "levels": levels}


def decode_factors(coded: bytes) -> dict[str, Any]:
    """Decode without putting decomposed tensors together, which `nnc.decompress` fails to do."""
    flags = ("sparsification", "pruning", "unification", "decomposition_performance_map")
    information: dict[str, Any] = {
        **{key: {} for key in ("parameter_type", "parameter_dimensions", "parameter_index", "block_identifier")},
        "topology_storage_format": None,
        "topology_compression_format": None,
        "performance_maps": {"mps": {}, "lps": {}},
        "performance_map_flags": {f"{unit}_{flag}_flag": {} for unit in ("mps", "lps") for flag in flags},
    }
    data = nnc_core.coder.decode(bytearray(coded), information, hls_stats={}, oob_dict={})
    levels = {name: data["parameters"][name].copy() for name in data["approx_method"]}
    nnc_core.approximator.rec(data)
    return {"values": data["parameters"], "levels": levels}


def forget(chain: int) -> dict[str, Any]:
    _bases.pop(chain, None)
    _histories.pop(chain, None)
    return {}


FUNCTIONS = {function.__name__: function for function in (encode, decode, decode_update, decode_factors, forget)}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return FUNCTIONS[request["call"]](**request["arguments"])
    except (Exception, SystemExit) as error:
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    while request := nncodec_wire.receive(requests):
        nncodec_wire.send(answers, answer(request))


def main() -> None:
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # NNCodec prints
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

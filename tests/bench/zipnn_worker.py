"""Runs ZipNN for `tests.bench.zipnn_peer`, in the environment made there: requests in, sizes out."""

from __future__ import annotations

import os
import sys
from typing import Any

import zipnn

from tests.bench import nncodec_wire


def delta(before: bytes, after: bytes, dtype: str) -> dict[str, Any]:
    """Code and decode again; the size counts only if that gives the same bytes."""
    coder = zipnn.ZipNN(bytearray_dtype=dtype, input_format="byte", delta_compressed_type="byte", threads=1)
    coded = bytes(coder.compress(bytes(after), delta_second_data=bytes(before)))
    decoder = zipnn.ZipNN(bytearray_dtype=dtype, input_format="byte", delta_compressed_type="byte", threads=1)
    if bytes(decoder.decompress(coded, delta_second_data=bytes(before))) != after:
        return {"error": "what it decodes is not what it coded"}
    return {"n_bytes": len(coded)}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return delta(**request)
    except (Exception, SystemExit) as error:
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def main() -> None:
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # it may print
        while request := nncodec_wire.receive(sys.stdin.buffer):
            nncodec_wire.send(answers, answer(request))


if __name__ == "__main__":
    main()

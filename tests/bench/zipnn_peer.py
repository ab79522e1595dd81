"""ZipNN, a compressor of floats by byte groups with a mode for differences, as a peer in an environment of its own.

It needs PyTorch. ::

    python -m tests.bench.zipnn_peer       # makes .venv-peers, minutes; whatever needs it makes it, too
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.bench import nncodec_wire
from tests.bench.series import Weights

VERSION = "0.5.4"
_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / ".venv-peers"
_PYTHON = _FOLDER / "bin" / "python"
_NAMES = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}
_BYTES = "float8_e4m3fn"  # all others; ZipNN has no integers


def prepare() -> None:
    """Make the environment unless it is there."""
    finds = "from importlib.metadata import version; raise SystemExit(version('zipnn') != '" + VERSION + "')"
    if _PYTHON.exists() and subprocess.run([_PYTHON, "-c", finds], capture_output=True, check=False).returncode == 0:
        return
    print(f"setting up {_FOLDER.name} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", _FOLDER], check=True)
    install = [_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "torch==2.13.0", "numpy", "safetensors", "msgpack"], check=True)
    subprocess.run([*install, "--no-deps", f"zipnn=={VERSION}"], check=True)


class Peer:
    """The process, which ends with this one."""

    def __init__(self) -> None:
        prepare()
        self._process = subprocess.Popen(
            [_PYTHON, "-m", "tests.bench.zipnn_worker"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def delta_bytes(self, a: Weights, b: Weights) -> int:
        """Return the bytes of `b` as a difference to `a`, all tensors of a type together."""
        types = sorted({array.dtype.name for array in b.values()})
        return sum(self._size(_joined(a, name), _joined(b, name), name) for name in types)

    def _size(self, a: bytes, b: bytes, dtype: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        nncodec_wire.send(self._process.stdin, {"before": a, "after": b, "dtype": _NAMES.get(dtype, _BYTES)})
        answer = nncodec_wire.receive(self._process.stdout)
        if answer is None or "error" in answer:
            raise SystemExit(f"ZipNN failed: {answer['error'] if answer else 'its process ended'}")
        return int(answer["n_bytes"])


def _joined(weights: Weights, dtype: str) -> bytes:
    return b"".join(array.tobytes() for array in weights.values() if array.dtype.name == dtype)


def main() -> None:
    rng = np.random.default_rng(1)
    before = rng.standard_normal(100_000, np.float32)
    after = np.where(rng.random(before.size) < 0.02, before * np.float32(1.001), before)
    size = Peer().delta_bytes({"w": before}, {"w": after})
    print(f"ZipNN {VERSION} in {_FOLDER.name}: {size} bytes of {after.nbytes}")


if __name__ == "__main__":
    main()

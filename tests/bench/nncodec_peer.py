"""NNCodec 2.1.3, the reference software, as a peer: in an environment and a process of its own, behind pipes.

It needs numpy < 2 and C++ at installation, and cannot be installed beside this package. ::

    python -m tests.bench.nncodec_peer     # makes .venv-nncodec, a minute; whatever needs it makes it, too
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tests.bench import nncodec_wire

VERSION = "2.1.3"
_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / ".venv-nncodec"
_PYTHON = _FOLDER / "bin" / "python"

Arrays = Mapping[str, NDArray[Any]]


class PeerError(Exception):
    """NNCodec failed, or its process ended."""


@dataclass(frozen=True)
class Coded:
    """A bitstream and the seconds it took, by the clock and of the processor."""

    data: bytes
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Decoded:
    """What came out, and the seconds it took; levels only of updates and factors."""

    values: dict[str, NDArray[Any]]
    levels: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def prepare() -> None:
    """Make the environment unless it is there."""
    if _is_prepared():
        return
    print(f"setting up {_FOLDER.name} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", _FOLDER], check=True)
    _install("numpy<2", "msgpack", "pybind11", "setuptools", "wheel")
    _install("--no-deps", "--no-build-isolation", f"nncodec=={VERSION}")


def _is_prepared() -> bool:
    finds = "from importlib.metadata import version; raise SystemExit(version('nncodec') != '" + VERSION + "')"
    return _PYTHON.exists() and subprocess.run([_PYTHON, "-c", finds], capture_output=True, check=False).returncode == 0


def _install(*arguments: str) -> None:
    command = [_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pip cannot install {' '.join(arguments)} in {_FOLDER}:\n{done.stderr}")


class Peer:
    """The process; a context manager. After it has died, the next call starts another, with no chains.

    Examples
    --------
    ::

        with Peer() as peer:
            coded = peer.encode(tensors, qp=-32, nonweight_qp=-32)
            values = peer.decode(coded.data).values
    """

    def __init__(self) -> None:
        prepare()
        self._process: subprocess.Popen[bytes] | None = None
        self._chains = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop()

    def new_chain(self) -> int:
        """Name a chain of updates, which is empty."""
        return next(self._chains)

    def encode(self, tensors: Arrays, chain: int | None = None, *, hdsp: bool = False, **settings: Any) -> Coded:
        """Encode by ``nnc.compress`` with row skipping; as an update to what was decoded if there is a chain.

        With `hdsp` its probabilities depend on what earlier updates of the chain changed, where that takes fewer bytes.
        """
        settings = {"row_skipping": True, **settings}
        result = self._call("encode", tensors=dict(tensors), settings=settings, chain=chain, hdsp=hdsp)
        return Coded(result["coded"], result["seconds"], result["cpu_seconds"])

    def decode(self, data: bytes) -> Decoded:
        """Decode by ``nnc.decompress``."""
        return Decoded(**self._call("decode", coded=data))

    def decode_update(self, data: bytes, chain: int) -> Decoded:
        """Decode by ``nnc.decompress`` as the next update of a chain."""
        return Decoded(**self._call("decode_update", coded=data, chain=chain))

    def decode_factors(self, data: bytes) -> Decoded:
        """Decode with the factors of decomposed tensors as they are coded."""
        return Decoded(**self._call("decode_factors", coded=data))

    def forget(self, chain: int) -> None:
        """Free what NNCodec keeps of a chain."""
        self._call("forget", chain=chain)

    def _call(self, function: str, **arguments: Any) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            nncodec_wire.send(process.stdin, {"call": function, "arguments": arguments})
            result = nncodec_wire.receive(process.stdout)
        except BrokenPipeError:
            result = None
        if result is None:
            status = self._stop()
            raise PeerError(f"the process ended with status {status} in {function}")
        if "error" in result:
            raise PeerError(f"{function}: {result['error']}")
        return result

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [_PYTHON, "-m", "tests.bench.nncodec_worker"],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    def _stop(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.communicate()
        return process.returncode


def main() -> None:
    with Peer() as peer:
        tensor = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
        decoded = peer.decode(peer.encode({"w": tensor}, qp=-32).data).values["w"]
    print(f"NNCodec {VERSION} in {_FOLDER.name}: largest error {float(abs(decoded - tensor).max()):.3g} at qp -32")


if __name__ == "__main__":
    main()

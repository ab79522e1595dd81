"""What the benchmarks share: loading a series of checkpoints, words and byte planes, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

import incnnr
from incnnr.incremental.encoder import Effort

Weights = Mapping[str, NDArray[Any]]
FloatTensors = dict[str, NDArray[np.float32]]
Words = list[NDArray[Any]]
"""The bits of a model as unsigned integers: one array for each width of element."""

EXACT_EFFORTS: tuple[Effort, ...] = ("default", "small")  # "fast" codes exact weights to the bytes of "default"


def paths_of(folder: Path) -> list[Path]:
    """Return the checkpoints of a series in order of their names."""
    paths = sorted(Path(folder).glob("*.safetensors"))
    if not paths:
        raise SystemExit(f"{folder}: no *.safetensors files")
    return paths


def load(path: Path, dtype: Any = None, scale: float = 1.0) -> dict[str, NDArray[Any]]:
    """Read a checkpoint; floats as `dtype` if one is given, and times `scale`."""
    weights = dict(incnnr.read(path))
    if dtype is None and scale == 1.0:
        return weights
    return {name: cast(array, dtype, scale) for name, array in weights.items()}


def float_tensors(path: Path) -> FloatTensors:
    """Read the float tensors that have dimensions and elements, as float32."""
    weights = load(path, np.float32)
    return {name: array for name, array in weights.items() if array.dtype == np.float32 and array.ndim and array.size}


def cast(array: NDArray[Any], dtype: Any, scale: float) -> NDArray[Any]:
    if not is_float(array):
        return array
    with np.errstate(over="ignore"):  # what is too large for fp16 is one more infinity
        return (array.astype(np.float32) * np.float32(scale)).astype(dtype or array.dtype)


def is_float(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def n_weights(weights: Weights) -> int:
    return sum(array.size for array in weights.values())


def n_bytes(weights: Weights) -> int:
    return sum(array.nbytes for array in weights.values())


def bits_per_weight(size: int, n: int) -> float:
    return 8 * size / n


def exact(weights: Weights) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return what two models must agree in to be the same."""
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in weights.items()}


def forth_and_back(n: int, count: int) -> list[int]:
    """Walk over 0..n-1, back, and forth again, for `count` places.

    >>> forth_and_back(3, 7)
    [0, 1, 2, 1, 0, 1, 2]
    """
    period = [*range(n), *range(n - 2, 0, -1)]
    return [period[i % len(period)] for i in range(count)]


def words_of(weights: Weights) -> Words:
    widths = sorted({array.itemsize for array in weights.values()})
    flat = {name: np.ascontiguousarray(array).reshape(-1) for name, array in weights.items()}
    return [
        np.concatenate([array.view(f"u{width}") for array in flat.values() if array.itemsize == width])
        for width in widths
    ]


def planes(words: Words) -> bytes:
    """Return all top bytes, then all bytes below them, and so on, for each width."""
    return b"".join(
        (part >> part.dtype.type(8 * i)).astype(np.uint8).tobytes()
        for part in words
        for i in reversed(range(part.itemsize))
    )


def words_of_planes(data: bytes, like: Words) -> Words:
    """Undo `planes`."""
    words, start = [], 0
    for part in like:
        total = np.zeros_like(part)
        for i in reversed(range(part.itemsize)):
            plane = np.frombuffer(data, np.uint8, part.size, start)
            total |= plane.astype(part.dtype) << part.dtype.type(8 * i)
            start += part.size
        words.append(total)
    return words


def xor(a: Words, b: Words) -> Words:
    return [x ^ y for x, y in zip(a, b, strict=True)]


def zstd(level: int, data: bytes, threads: int = 0) -> bytes:
    return zstandard.ZstdCompressor(level=level, threads=threads).compress(data)


def xor_zstd(level: int, a: Words, b: Words) -> bytes:
    return zstd(level, planes(xor(a, b)))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; the first column to the left, the others to the right, floats with 4 digits."""
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    print(f"\n{title}")
    for row in [list(columns), *cells]:
        print(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    print(flush=True)

"""Prints what the lossless updates of a series take, in bits per weight, beside today's delta formats.

By hand (seconds; zstd-19 takes longest)::

    python -m tests.bench.lossless_size SERIES_FOLDER [...] [--dtype float16]

All updates of the series are summed; the keyframe has a line of its own. Updates are counted with all their overhead,
peers without any. "ratio" is the peer's size over ours. "Contexts reset" codes every update with an encoder that
holds the checkpoint before and has coded nothing yet.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np

import incnnr
from tests.bench import series

DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}


def measure(checkpoints: list[series.Weights]) -> tuple[int, Counter[str]]:
    """Return the bytes of the keyframe, and of all updates by every method."""
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    keyframe = encoder.encode(checkpoints[0])
    decoder.decode(keyframe)
    sizes: Counter[str] = Counter()
    for before, after in pairwise(checkpoints):
        update = encoder.encode(after)
        if series.exact(decoder.decode(bytes(update))) != series.exact(after):
            raise SystemExit(f"update {update.position} does not decode to what was encoded")
        sizes["incnnr"] += len(bytes(update))
        sizes["incnnr, contexts reset"] += len(bytes(incnnr.Encoder(base=before).encode(after)))
        sizes["weights"] += series.n_weights(after)
        a, b = series.words_of(before), series.words_of(after)
        sizes["changed"] += sum(int((old != new).sum()) for old, new in zip(a, b, strict=True))
        for name, peer in series.PEERS.items():
            sizes[name] += len(peer(a, b))
    return len(bytes(keyframe)), sizes


def report(folder: Path, dtype: str | None) -> None:
    checkpoints = [series.load(path, DTYPES.get(dtype)) for path in series.paths_of(folder)]
    keyframe_bytes, sizes = measure(checkpoints)
    n, changed = sizes.pop("weights"), sizes.pop("changed")
    bits = series.bits_per_weight
    first = checkpoints[0]
    print(
        f"\n{folder.name}{f' as {dtype}' if dtype else ''}: {series.n_weights(first)} weights, {changed / n:.2%} change"
    )
    print(
        f"keyframe: {keyframe_bytes} bytes, {bits(keyframe_bytes, series.n_weights(first)):.4f} bits per weight, ",
        end="",
    )
    print(f"zstd-19 of byte planes {len(series.zstd(19, series.planes(series.words_of(first))))} bytes")
    rows = [(name, size, bits(size, n), size / sizes["incnnr"]) for name, size in sizes.items()]
    series.print_table(f"{len(checkpoints) - 1} updates", ("", "bytes", "bits per weight", "ratio"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sizes of lossless updates beside today's delta formats.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, help="cast the floats first")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        report(folder, arguments.dtype)


if __name__ == "__main__":
    main()

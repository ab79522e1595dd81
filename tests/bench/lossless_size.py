"""Prints what the lossless updates of a series take, in bits per weight, beside today's delta formats.

By hand (seconds to a minute for each series; zstd-19 takes longest)::

    python -m tests.bench.lossless_size SERIES_FOLDER [...] [--effort default small] [--as float8_e4m3fn] [--no-zipnn]

All updates of the series are summed; the keyframe has a line of its own. Updates are counted with all their overhead,
peers without any (ZipNN with its header). Every update is decoded and compared. "default / it" is our size over that of
the line. Casts to 8 bits divide each float tensor by a scale of its own, which is sent, too, as it makes the largest
magnitude the largest number there is.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import incnnr
from incnnr.incremental.encoder import Effort
from tests.bench import casts, lossless_peers, series
from tests.bench.lossless_peers import Size


def our_sizes(checkpoints: list[series.Weights], effort: Effort) -> tuple[int, int]:
    """Return the bytes of the keyframe, and of all updates."""
    encoder, decoder = incnnr.Encoder(effort=effort), incnnr.Decoder()
    sizes = []
    for weights in checkpoints:
        update = encoder.encode(weights)
        if series.exact(decoder.decode(bytes(update))) != series.exact(weights):
            raise SystemExit(f"update {update.position} does not decode to what was encoded")
        sizes.append(len(bytes(update)))
    return sizes[0], sum(sizes[1:])


def peer_sizes(checkpoints: list[series.Weights], peers: Mapping[str, Size]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for before, after in pairwise(checkpoints):
        for name, size in peers.items():
            sizes[name] += size(before, after)
    return sizes


def share_of_changes(checkpoints: list[series.Weights]) -> float:
    changed = total = 0
    for before, after in pairwise(checkpoints):
        for a, b in zip(series.words_of(before), series.words_of(after), strict=True):
            changed += int((a != b).sum())
            total += a.size
    return changed / total


def report(folder: Path, dtype: str | None, efforts: list[Effort], peers: Mapping[str, Size]) -> None:
    checkpoints = [casts.cast_all(series.load(path), dtype) for path in series.paths_of(folder)]
    first, n_updates = checkpoints[0], len(checkpoints) - 1
    n, raw = series.n_weights(first), series.n_bytes(first)
    print(f"\n{folder.name}{f' as {dtype}' if dtype else ''}: {n} weights, {share_of_changes(checkpoints):.2%} change")
    ours = {effort: our_sizes(checkpoints, effort) for effort in efforts}
    for effort, (size, _) in ours.items():
        print(f"keyframe, {effort}: {size} bytes of {raw}, {series.bits_per_weight(size, n):.4f} bits per weight")
    print(f"keyframe, byte planes + zstd-19: {len(series.zstd(19, series.planes(series.words_of(first))))} bytes")
    sizes = {f"incnnr, {effort}": updates for effort, (_, updates) in ours.items()} | peer_sizes(checkpoints, peers)
    rows = [
        (name, size, series.bits_per_weight(size, n * n_updates), *(ours[effort][1] / size for effort in efforts))
        for name, size in sizes.items()
    ]
    columns = ("", "bytes", "bits per weight", *(f"{effort} / it" for effort in efforts))
    series.print_table(f"{n_updates} updates", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sizes of lossless updates beside today's delta formats.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--as", dest="dtype", choices=casts.DTYPES, help="cast the floats first")
    parser.add_argument("--effort", nargs="+", default=series.EXACT_EFFORTS, choices=series.EXACT_EFFORTS)
    parser.add_argument("--no-zipnn", action="store_true", help="leave out the peer that needs PyTorch")
    arguments = parser.parse_args()
    peers = lossless_peers.all_peers(with_zipnn=not arguments.no_zipnn)
    for folder in arguments.folders:
        report(folder, arguments.dtype, list(arguments.effort), peers)


if __name__ == "__main__":
    main()

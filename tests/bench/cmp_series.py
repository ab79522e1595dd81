"""Encodes series by the command line, rebuilds every checkpoint onto one path, and compares the files byte by byte.

By hand (half a second per checkpoint)::

    python -m tests.bench.cmp_series SERIES_FOLDER [...] [--shard FILE [--shards 3]]

``--shard`` makes two sharded folders of a single file, the second with its floats a thousandth larger, and takes them
as one more series. Exits 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.bench import series


def incnnr(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "incnnr", *map(str, arguments)], check=True)


def contents(path: Path) -> dict[str, bytes]:
    """Return every file of a checkpoint by its name; a single file goes without one."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def compare(name: str, paths: list[Path], scratch: Path) -> tuple[object, ...]:
    """Send a series through a stream, and count the checkpoints that come back equal."""
    stream, rebuilt = scratch / f"{name}.incnnr", scratch / f"rebuilt_{name}{paths[0].suffix}"
    incnnr("encode", *paths, "-o", stream)
    n_equal = 0
    for index, path in enumerate(paths):
        incnnr("decode", stream, "--index", index, "-o", rebuilt)
        n_equal += contents(rebuilt) == contents(path)
    raw = sum(len(data) for path in paths for data in contents(path).values())
    return name, len(paths), n_equal, len(contents(paths[0])), raw, stream.stat().st_size


def write_shards(folder: Path, weights: series.Weights, n_shards: int) -> None:
    """Write a folder as the transformers library does, with a package that is not ours."""
    folder.mkdir()
    weight_map = {}
    for i, names in enumerate(np.array_split(list(weights), n_shards), start=1):
        file = f"model-{i:05}-of-{n_shards:05}.safetensors"
        save_file({name: np.array(weights[name]) for name in names}, folder / file, {"format": "pt"})
        weight_map |= {str(name): file for name in names}
    index = {"metadata": {"total_size": series.n_bytes(weights)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def sharded_series(file: Path, n_shards: int, scratch: Path) -> list[Path]:
    folders = [scratch / "checkpoint-100", scratch / "checkpoint-200"]
    for folder, scale in zip(folders, (1.0, 1.001), strict=True):
        write_shards(folder, series.load(file, scale=scale), n_shards)
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare rebuilt checkpoints with the originals.")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--shard", type=Path, metavar="FILE")
    parser.add_argument("--shards", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        scratch = Path(root)
        rows = [compare(folder.name, series.paths_of(folder), scratch) for folder in arguments.folders]
        if arguments.shard:
            paths = sharded_series(arguments.shard, arguments.shards, scratch)
            rows.append(compare(f"{arguments.shard.parent.name}_sharded", paths, scratch))
    columns = ("", "checkpoints", "equal", "files each", "raw bytes", "stream bytes")
    series.print_table("encoded and decoded by the command line", columns, rows)
    sys.exit(any(row[1] != row[2] for row in rows))


if __name__ == "__main__":
    main()

"""Decode every NNC bitstream in a folder with the plain decoder, and count how many come out as stored beside them.

Run ``python -m tests.bench.iso_vectors FOLDER``. Beside ``NAME.nnc`` there are ``NAME.lev.npz`` with the levels and
``NAME.dec.npz`` with the values; without them the bitstream is one that the software which made them refuses. Folders
``seq_...`` and names that end in ``_1``, ``_2`` ... are series.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from protocol.reference.errors import DoesNotFollowError, MalformedError
from protocol.reference.iso.bitstream import Decoded, decode
from protocol.reference.iso.blocks import scaled
from protocol.reference.iso.errors import UnsupportedError
from protocol.reference.iso.incremental import State

Arrays = dict[str, np.ndarray]


def series_of(path: Path) -> str:
    if path.parent.name.startswith("seq_"):
        return str(path.parent)
    return re.sub(r"_\d+$", "", str(path.with_suffix("")))


def stored(path: Path) -> tuple[Arrays, Arrays] | None:
    """The values and the levels beside a bitstream; tensors of raw floats have no levels."""
    if not path.with_suffix(".dec.npz").exists():
        return None
    values, levels = (dict(np.load(path.with_suffix(f".{kind}.npz"))) for kind in ("dec", "lev"))
    return values, {name: array for name, array in levels.items() if array.dtype.kind == "i"}


def same(a: Arrays, b: Arrays) -> bool:
    return a.keys() == b.keys() and all(
        (a[name].dtype, a[name].shape, a[name].tobytes()) == (b[name].dtype, b[name].shape, b[name].tobytes())
        for name in a
    )


def as_stored(decoded: Decoded, values: Arrays, levels: Arrays) -> bool:
    """Some values are stored with the local scaling multiplied in."""
    found = decoded.values if decoded.values.keys() == values.keys() else scaled(decoded)
    return same(found, values) and same(decoded.levels, levels)


def outcomes(paths: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    """What becomes of each bitstream of a series."""
    state = State()
    for path in paths:
        expected = stored(path)
        shapes = {name: array.shape for name, array in expected[1].items()} if expected else {}
        try:
            decoded = decode(path.read_bytes(), state, shapes)
        except (MalformedError, UnsupportedError, DoesNotFollowError) as error:
            yield path, f"refused: {error}"
            continue
        state = decoded.state
        if expected is None:
            yield path, "decoded, nothing to compare with"
        else:
            yield path, "as stored" if as_stored(decoded, *expected) else "different"


def main(folder: str) -> None:
    counts: Counter[str] = Counter()
    paths = sorted(Path(folder).rglob("*.nnc"))
    for _, series in groupby(paths, series_of):
        for path, outcome in outcomes(series):
            counts[outcome] += 1
            if outcome != "as stored":
                print(f"{path.relative_to(folder)}: {outcome}")
    for outcome, n in counts.most_common():
        print(f"{n:5d} {outcome}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Encodes the levels of the stored bitstreams of the standard again, and compares bytes with those stored.

By hand (a second)::

    python -m tests.bench.nncodec_levels

First with all that the bitstreams say: initial states of contexts, skipped rows, temporal and history contexts. Every
unit must be the same to the bit; exits 1 if one is not. Then with the encoder's own choice of these: how many bytes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from incnnr.coding.nnc import NncLayer, choose_nnc_tools, encode_nnc
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import Context, SyntaxUnit
from tests.bench import series
from tests.nnc_layers import reencoded
from tests.nnc_vectors import SERIES, bytes_of, decoded, shapes_of


@dataclass(frozen=True)
class Sizes:
    """Bytes of the arithmetic codeword of one stored unit, and of ours."""

    kind: str
    stored: int
    chosen: int
    is_same: bool


def kind_of(name: str, unit: SyntaxUnit) -> str:
    """Say how the encoder of a stored unit chose initial states."""
    if "noopt" in name:
        return "without a choice of initial states"
    if unit.codebook_present_flag:
        return "codebook"
    return "dependent quantisation" if unit.dq_flag else "plain"


def sizes(name: str, unit: SyntaxUnit, layers: Sequence[NncLayer]) -> Sizes:
    """Choose and encode; this changes what the layers say."""
    choose_nnc_tools([layers], threads=1)
    [payload] = encode_nnc([layers], threads=1)
    return Sizes(kind_of(name, unit), len(unit.payload), len(payload), payload == unit.payload)


def row(kind: str, found: Sequence[Sizes]) -> tuple[object, ...]:
    stored, chosen = sum(one.stored for one in found), sum(one.chosen for one in found)
    larger = [one.chosen - one.stored for one in found if one.chosen > one.stored]
    n_same, n_smaller = sum(one.is_same for one in found), sum(one.chosen < one.stored for one in found)
    return kind, len(found), n_same, n_smaller, len(larger), max(larger, default=0), stored, chosen, chosen / stored


def main() -> None:
    counts: Counter[str] = Counter()
    found: list[Sizes] = []
    for names in SERIES.values():
        nodes: dict[str, object] = {}
        for name in names:
            context = Context(tensor_dimensions=shapes_of(name, nodes))
            coded = list(decoded(name, nodes))
            units = [reencoded(unit, layers) for unit, layers in coded]
            counts["bitstreams"] += 1
            counts["identical bitstreams"] += write(units, context) == bytes_of(name)
            counts["data units"] += sum(bool(layers) for _, layers in coded)
            found += [sizes(name, unit, layers) for unit, layers in coded if layers]
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    columns = ("units", "count", "same", "smaller", "larger", "by at most", "bytes", "ours", "ratio")
    kinds = sorted({one.kind for one in found})
    rows = [row(kind, [one for one in found if one.kind == kind]) for kind in kinds]
    series.print_table("payloads with the encoder's own choice", columns, [*rows, row("all", found)])
    sys.exit(counts["bitstreams"] != counts["identical bitstreams"])


if __name__ == "__main__":
    main()

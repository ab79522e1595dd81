"""iso.md section 9: the order in which the elements of a matrix are coded."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.reference.iso.data_unit import block_size

Segment = tuple[int, range]


def block_rows(height: int, width: int, scan_order: int) -> Iterator[Iterator[Segment]]:
    """The rows of blocks, each as its segments: a row of the matrix and the columns of it that one block has."""
    if scan_order == 0:
        yield ((row, range(width)) for row in range(height))
        return
    size = block_size(scan_order)
    for top in range(0, height, size):
        yield segments(range(top, min(top + size, height)), width, size)


def segments(rows: range, width: int, size: int) -> Iterator[Segment]:
    for left in range(0, width, size):
        for row in rows:
            yield row, range(left, min(left + size, width))

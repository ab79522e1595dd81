"""How tensors are cut into slices and slices packed into codewords."""

from __future__ import annotations

from collections.abc import Iterable

from incnnr.tensors import Kind

SLICE_ELEMENTS = 1 << 20

ELEMENT_BYTES = {
    **dict.fromkeys((Kind.UINT8, Kind.INT8, Kind.FLOAT8_E4M3, Kind.FLOAT8_E5M2), 1),
    **dict.fromkeys((Kind.UINT16, Kind.INT16, Kind.FLOAT16, Kind.BFLOAT16), 2),
    **dict.fromkeys((Kind.UINT32, Kind.INT32, Kind.FLOAT32), 4),
    **dict.fromkeys((Kind.UINT64, Kind.INT64, Kind.FLOAT64), 8),
}


def slice_elements(n_elements: int) -> list[int]:
    """Cut `n_elements` in C order; every slice but the last has `SLICE_ELEMENTS`.

    Examples
    --------
    >>> slice_elements(2_500_000)
    [1048576, 1048576, 402848]
    >>> slice_elements(0)
    []
    """
    n_whole, rest = divmod(n_elements, SLICE_ELEMENTS)
    return [SLICE_ELEMENTS] * n_whole + [rest] * (rest > 0)


def group_sizes(n_elements: Iterable[int]) -> list[int]:
    """Say how many consecutive slices share each codeword: as many as keep within `SLICE_ELEMENTS` elements.

    Examples
    --------
    >>> group_sizes([500_000, 500_000, 500_000, 1 << 20, 10, 10])
    [2, 1, 1, 2]
    """
    sizes: list[int] = []
    room = 0
    for n in n_elements:
        if n <= room:
            sizes[-1] += 1
        else:
            sizes.append(1)
            room = SLICE_ELEMENTS
        room -= n
    return sizes

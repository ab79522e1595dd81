"""How many threads a call of the kernels uses."""

from __future__ import annotations

import os


def checked_threads(threads: int | None) -> int:
    """Return how many threads a codec uses: unless told, the cores this process may use, at most 4.

    Raises
    ------
    ValueError
        Less than one.
    """
    if threads is None:
        return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return int(threads)

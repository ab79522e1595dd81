"""Counts instructions of a Python program: by the processor's counter, else (slowly) by valgrind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

COUNTERS = {
    "perf": (["perf", "stat", "-x,", "-e", "instructions:u"], r"^(\d+),,instructions"),
    "valgrind": (
        ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
        r"I\s+refs:\s+([\d,]+)",
    ),
}


def count(arguments: Sequence[object]) -> tuple[int, str] | None:
    """Return how many instructions ``python ARGUMENTS`` takes, and by whom; None without a counter that works."""
    for name, (command, pattern) in COUNTERS.items():
        if shutil.which(name) is None:
            continue
        words = [*command, sys.executable, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        found = re.search(pattern, done.stderr, re.MULTILINE)
        if done.returncode == 0 and found:
            return int(found[1].replace(",", "")), name
    return None

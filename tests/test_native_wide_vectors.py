"""What the kernels do with wide vectors, and what they do without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from incnnr import _core
from tests.weights import ALL_DTYPES


def exact_series(**environment: str) -> list[str]:
    command = [sys.executable, "-m", "tests.exact_series"]
    root = Path(__file__).parents[1]
    return subprocess.check_output(command, cwd=root, env=os.environ | environment, text=True).splitlines()


def test_bytes_and_values_do_not_depend_on_the_width_of_vectors():
    own, *lines = exact_series()
    scalar, *scalar_lines = exact_series(INCNNR_NO_WIDE_VECTORS="1")
    assert (own == "wide") is _core.HAS_WIDE_VECTORS
    assert scalar == "not wide"
    assert len(lines) == 2 * len(ALL_DTYPES)
    assert lines == scalar_lines

"""Prints what each tool of lossy coding is worth: bits at the same error without it, more than with all of them.

By hand (a quarter of an hour; it needs what building the package needs)::

    python -m tests.bench.lossy_ablation NAME=PATH ... [--tool TOOL ...]

What NAME=PATH may be, and how error and bytes are counted: see `rate_distortion`. The figures are Bjontegaard's
differences over the qp at which all tools together take 0.05 to 2 bits per weight. Some tools can be left out by the
options of an encoder. For the others a copy of the sources is changed in one place, built, and measured in a process of
its own; there the rest is as it was, so that a tool whose part another one can play costs little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import series
from tests.bench.rate_cases import case_of
from tests.bench.rate_distortion import Options, difference, our_point, our_qps
from tests.bench.rate_points import Point

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("incnnr", "demos", "tests", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Change:
    """What stands once in a source file, and what is put there instead."""

    path: str
    old: str
    new: str


_NEIGHBOURHOOD = "incnnr/_native/neighbourhood.h"
_FLAGS, _FEWER_FLAGS = "contexts.flags[expectation][state]", "contexts.flags[expectation][state & 1]"
TOOLS: dict[str, Options | list[Change]] = {
    "prediction": {"prediction_memory": 0},
    "prediction from a second mean": {"prediction_memory": 1},
    "dependent quantisation by search": {"effort": "fast"},
    "contexts carried over updates": [
        Change(
            "incnnr/incremental/revision.py",
            "known = ref.reference.contexts if ref.reference else None",
            "known = None",
        )
    ],
    "contexts by levels nearby": [Change(_NEIGHBOURHOOD, "sum = 400 * near + ", "sum = 0 * near + ")],
    "contexts by columns": [Change(_NEIGHBOURHOOD, "(columns_[column_].magnitude + row_)", "(2 * row_)")],
    "contexts by the row so far": [
        Change(_NEIGHBOURHOOD, "(columns_[column_].magnitude + row_)", "(2 * columns_[column_].magnitude)")
    ],
    "contexts by earlier updates": [Change(_NEIGHBOURHOOD, "(hints_.moved ? hints_.moved[next_] : 0)", "0")],
    "contexts by all eight states": [
        Change("incnnr/_native/level_contexts.h", _FLAGS, _FEWER_FLAGS),
        Change("incnnr/_native/level_search.cpp", _FLAGS, _FEWER_FLAGS),
    ],
    "signs": [Change("incnnr/_native/signs.h", "rate = 1.0f / 128", "rate = 0")],
    "signs at distances": [Change("incnnr/_native/distances.cpp", "certain = 24;", "certain = 1e30;")],
    "signs by the reference": [Change(_NEIGHBOURHOOD, "hint(hints_.sign)", "0")],
    "signs by the first mean": [Change(_NEIGHBOURHOOD, "hint(hints_.direction)", "0")],
}


def changed(text: str, change: Change) -> str:
    """Return a source with a change.

    >>> changed("a = b + c;", Change("x.h", "b + c", "b"))
    'a = b;'
    """
    if text.count(change.old) != 1:
        raise SystemExit(f"{change.path}: {change.old!r} stands there {text.count(change.old)} times, not once")
    return text.replace(change.old, change.new)


@contextmanager
def workshop() -> Iterator[Path]:
    """Copy what a build needs to a folder that goes away; builds after the first are short there."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _SOURCES:
            copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
            copy(_ROOT / name, Path(folder, name))
        yield Path(folder)


@contextmanager
def built(sources: Path, changes: Sequence[Change]) -> Iterator[Path]:
    """Build with changes; yield the folder to run in."""
    originals = {sources / change.path: (sources / change.path).read_text() for change in changes}
    for path, change in zip(originals, changes, strict=True):
        path.write_text(changed(originals[path], change))
    target = sources / "built"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target]
    done = subprocess.run([*install, sources], capture_output=True, text=True, check=False)
    for path, original in originals.items():
        path.write_text(original)
    if done.returncode:
        raise SystemExit(f"it does not build with {changes}:\n{done.stderr}")
    shutil.copytree(sources / "tests", target / "tests")
    yield target
    shutil.rmtree(target)


def measured_in(folder: Path, case: str, qps: Sequence[int]) -> list[Point]:
    """Measure in a process that knows no other incnnr: without site, nothing points to the one at work here."""
    program = ["-S", "-m", "tests.bench.rate_distortion", case, "--no-peer", "--json", "--qp", *map(str, qps)]
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run([sys.executable, *program], cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    (result,) = json.loads(done.stdout)
    return [Point(**point) for point in result["ours"]]


def points_without(
    tool: str, arguments: Sequence[str], qps: dict[str, list[int]], sources: Path
) -> dict[str, list[Point]]:
    without = TOOLS[tool]
    if isinstance(without, list):
        with built(sources, without) as folder:
            return {argument: measured_in(folder, argument, qps[argument]) for argument in arguments}
    cases = {argument: case_of(argument) for argument in arguments}
    return {argument: [our_point(case, without, qp) for qp in qps[argument]] for argument, case in cases.items()}


def costs(arguments: Sequence[str], tools: Sequence[str]) -> Iterator[list[Any]]:
    """Yield a row for each tool."""
    cases = {argument: case_of(argument) for argument in arguments}
    qps = {argument: our_qps(case, {}) for argument, case in cases.items()}
    ours = {argument: [our_point(case, {}, qp) for qp in qps[argument]] for argument, case in cases.items()}
    with workshop() as sources:
        for tool in tools:
            print(f"without {tool} ...", file=sys.stderr)
            without = points_without(tool, arguments, qps, sources)
            shares = [difference(without[argument], [ours[argument]]) for argument in arguments]
            yield [tool, *("n/a" if share is None else f"{share:+.2%}" for share in shares)]


def main() -> None:
    parser = argparse.ArgumentParser(description="What each tool of lossy coding is worth.")
    parser.add_argument("cases", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--tool", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    arguments = parser.parse_args()
    names = [case.partition("=")[0] for case in arguments.cases]
    series.print_table("bits at the same error without", ("", *names), list(costs(arguments.cases, arguments.tool)))


if __name__ == "__main__":
    main()

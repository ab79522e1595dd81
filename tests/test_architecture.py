"""A module imports only from rooms above its own, and importing the package costs little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import incnnr

PACKAGE = Path(incnnr.__file__).parent
ROOMS = [
    "position",
    "errors",
    "limits",
    "changes",
    "tensors",
    "files",
    "_core",
    "quantization",
    "coding",
    "nnc",
    "incremental",
    "checkpoints",
    "stream",
    "watch",
    "federated",
    "testing",
    "cli",
]
MODULES = sorted(
    p.relative_to(PACKAGE)
    for p in PACKAGE.rglob("*.py")
    if p.parent != PACKAGE or p.stem not in ("__init__", "__main__")
)


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module]
            if node.module == "incnnr":
                names = [f"incnnr.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("incnnr."):
                yield name.split(".")[1]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_rooms_above_its_own(module):
    room = module.parts[0].removesuffix(".py")
    allowed = ROOMS[: ROOMS.index(room) + 1]
    assert set(imported_rooms(PACKAGE / module)) <= set(allowed)


def test_every_room_of_the_package_has_a_place():
    found = {m.parts[0].removesuffix(".py") for m in MODULES}
    assert found <= set(ROOMS)


def test_importing_incnnr_imports_no_framework():
    frameworks = ("torch", "flwr", "onnx", "matplotlib", "click", "rich", "watchdog")
    code = f"import sys, incnnr; print([m for m in {frameworks} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_reference_decoder_stands_on_its_own():
    """It is to show that the pages of protocol/ are enough, so that nothing may come in from elsewhere."""
    modules = sorted((PACKAGE.parent / "protocol" / "reference").glob("*.py"))
    assert "update.py" in {module.name for module in modules}
    allowed = {*sys.stdlib_module_names, "msgpack", "zstandard", "protocol"}
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, f"{module.name} imports {names}"

"""Stands in for what NNCodec imports and never uses when it codes dictionaries of arrays.

Half a gigabyte of frameworks would have to be installed for nothing, and some of them refuse the numpy that it needs.
`install` makes every module of `UNUSED` importable: any name in it is a class that accepts any arguments, can be
derived from, and leaves a function that it decorates as it is.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

UNUSED = {
    "cv2",
    "flwr",
    "h5py",
    "pandas",
    "ptflops",
    "sentencepiece",
    "sklearn",
    "torch",
    "torchvision",
    "tqdm",
    "wandb",
}


class _AnyAttribute(type):
    def __getattr__(cls, name: str) -> type[StandIn]:
        return _attribute(name)


class StandIn(metaclass=_AnyAttribute):
    """Any class, decorator or object of a module that is not there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, decorated: Any = None, *_: Any, **__: Any) -> Any:
        return decorated

    def __getattr__(self, name: str) -> type[StandIn]:
        return _attribute(name)


class _Module(ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - as packages have it

    def __getattr__(self, name: str) -> type[StandIn]:
        return _attribute(name)


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".", maxsplit=1)[0] in UNUSED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _attribute(name: str) -> type[StandIn]:
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn


def install() -> None:
    sys.meta_path.insert(0, _Finder())

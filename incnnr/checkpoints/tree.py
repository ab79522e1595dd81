"""The skeleton of a PyTorch file: the tree of plain Python values around its tensors, as msgpack and never as pickle.

A value is a msgpack scalar or an array that starts with a tag; containers list their values flat behind it. Tensors are
numbers into a list of names, so that tied tensors are one name. What comes back in may have been written by anyone:
only the types in this file can be made from it, and nesting and size are bounded.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack

MAX_DEPTH = 100
MAX_NODES = 10_000_000
_SCALARS = (type(None), bool, int, float, str, bytes)
_DICTS: dict[type, str] = {dict: "dict", OrderedDict: "ordered", Counter: "counter"}
_SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple"}
_PATH_SEPARATOR = "/"


def flatten(tree: object) -> tuple[dict[str, Any], bytes]:
    """Take the tensors out of a tree.

    Parameters
    ----------
    tree : object
        What ``torch.load(weights_only=True)`` returns.

    Returns
    -------
    tensors : dict of str to torch.Tensor
        Named by the keys and list indices that lead to them, joined by ``/``; a name that is taken gets ``~2``, ``~3``
        and so on. A lone tensor is called ``tensor``. Tied tensors (same memory, shape and stride) are there once.
    skeleton : bytes
        What `rebuild` needs besides them.

    Raises
    ------
    TypeError, ValueError
        A value of another type, or nested too deeply.
    """
    flattening = _Flattening()
    node = flattening.node(tree, ())
    names = list(flattening.tensors)
    return flattening.tensors, msgpack.packb([names, node], unicode_errors="surrogatepass")


def open_skeleton(skeleton: bytes) -> tuple[list[str], object]:
    """Return the names of the tensors, and the tree that `rebuild` takes.

    Raises
    ------
    ValueError
        It is damaged.
    """
    fields = msgpack.unpackb(skeleton, unicode_errors="surrogatepass")
    if type(fields) is not list or len(fields) != 2 or type(fields[0]) is not list:
        raise ValueError("not a skeleton")
    names, node = fields
    if any(type(name) is not str for name in names) or len(set(names)) != len(names):
        raise ValueError("not a list of names")
    return names, node


def rebuild(node: object, tensors: Sequence[Any]) -> object:
    """Put tensors back into a tree; those that were tied share memory again.

    Parameters
    ----------
    node : object
        From `open_skeleton`.
    tensors : sequence of torch.Tensor
        In the order of the skeleton's names.

    Raises
    ------
    ValueError, TypeError, IndexError, RuntimeError
        The skeleton is damaged.
    """
    return _Rebuilding(tensors).value(node, 0)


class _Flattening:
    """One walk over a tree; `tensors` fills up on the way."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._n_nodes = 0

    def node(self, value: Any, path: tuple[str, ...]) -> Any:
        self._n_nodes += 1
        if len(path) > MAX_DEPTH or self._n_nodes > MAX_NODES:
            raise ValueError(f"its tree is nested deeper than {MAX_DEPTH} or has more than {MAX_NODES} values")
        kind = type(value)
        if kind in _SCALARS:
            return value if kind is not int or -(2**63) <= value < 2**64 else ["int", hex(value)]
        if kind in _DICTS:
            return self._dict(value, path)
        if kind in _SEQUENCES:
            return [_SEQUENCES[kind], *(self.node(item, (*path, str(i))) for i, item in enumerate(value))]
        if kind is set:
            return ["set", *sorted((self.node(item, (*path, "")) for item in value), key=msgpack.packb)]
        return self._torch_value(value, path)

    def _dict(self, value: Any, path: tuple[str, ...]) -> list[Any]:
        """Pack attributes too: every state dict has its ``_metadata`` there."""
        fields = [_DICTS[type(value)], self._attributes(value, path)]
        for key, item in value.items():
            fields.append(self.node(key, (*path, "")))
            fields.append(self.node(item, (*path, str(key))))
        return fields

    def _attributes(self, value: Any, path: tuple[str, ...]) -> Any:
        attributes = getattr(value, "__dict__", None)
        return self.node(dict(attributes), (*path, "__dict__")) if attributes else None

    def _torch_value(self, value: Any, path: tuple[str, ...]) -> list[Any]:
        import torch  # noqa: PLC0415 -- an optional dependency

        if type(value) in (torch.Tensor, torch.nn.Parameter):
            is_parameter = type(value) is torch.nn.Parameter
            number = self._number(value, path)
            return ["tensor", number, is_parameter, value.requires_grad, self._attributes(value, path)]
        if type(value) is torch.Size:
            return ["size", *value]
        if type(value) in (torch.dtype, torch.layout):
            return [type(value).__name__, str(value).removeprefix("torch.")]
        if type(value) is torch.device:
            return ["device", str(value)]
        if type(value) is complex:
            return ["complex", value.real, value.imag]
        if type(value) is bytearray:
            return ["bytearray", bytes(value)]
        raise TypeError(f"it holds a value of type {type(value).__module__}.{type(value).__qualname__}")

    def _number(self, tensor: Any, path: tuple[str, ...]) -> int:
        name = self._free_name(_PATH_SEPARATOR.join(path) or "tensor")
        _check_strided(name, tensor)
        key: tuple[Any, ...] = (name,)
        if tensor.numel():  # empty tensors have no memory to share
            memory = tensor.untyped_storage().data_ptr()
            key = (memory, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if key not in self._numbers:
            self._numbers[key] = len(self.tensors)
            self.tensors[name] = tensor
        return self._numbers[key]

    def _free_name(self, name: str) -> str:
        if name not in self.tensors:
            return name
        number = 2
        while f"{name}~{number}" in self.tensors:
            number += 1
        return f"{name}~{number}"


def _check_strided(name: str, tensor: Any) -> None:
    import torch  # noqa: PLC0415 -- an optional dependency

    if tensor.is_quantized or tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested:
        raise TypeError(f"tensor {name!r} is not a plain one: {tensor.dtype}, {tensor.layout}, {tensor.device}")
    n_bytes = tensor.numel() * tensor.element_size()
    if n_bytes > max(tensor.untyped_storage().nbytes(), 2**30):
        raise ValueError(f"tensor {name!r} repeats a small memory over {n_bytes} bytes")


class _Rebuilding:
    """One walk over a skeleton."""

    def __init__(self, tensors: Sequence[Any]) -> None:
        self._tensors = tensors

    def value(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if type(node) in _SCALARS:
            return node
        if type(node) is not list or not node or type(node[0]) is not str:
            raise ValueError("not a tagged value")
        tag, *fields = node
        if tag == "tensor":
            return self._tensor(fields, depth)
        if tag in _BUILD_LEAF:
            return _BUILD_LEAF[tag](*fields)
        if tag in _DICTS.values():
            return self._dict(tag, fields, depth)
        if tag not in _BUILD_COLLECTION:
            raise ValueError(f"no value is tagged {tag!r}")
        return _BUILD_COLLECTION[tag](self.value(field, depth + 1) for field in fields)

    def _dict(self, tag: str, fields: list[Any], depth: int) -> Any:
        attributes, *items = fields
        values = [self.value(item, depth + 1) for item in items]
        kind = next(kind for kind, name in _DICTS.items() if name == tag)
        result = kind()
        for key, value in zip(values[::2], values[1::2], strict=True):
            result[key] = value
        self._set_attributes(result, attributes, depth)
        return result

    def _tensor(self, fields: list[Any], depth: int) -> Any:
        import torch  # noqa: PLC0415 -- an optional dependency

        number, is_parameter, requires_grad, attributes = fields
        if type(number) is not int or number < 0 or type(is_parameter) is not bool or type(requires_grad) is not bool:
            raise ValueError("not a tensor")
        tensor = self._tensors[number].detach()
        result = torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
        self._set_attributes(result, attributes, depth)
        return result

    def _set_attributes(self, target: Any, node: Any, depth: int) -> None:
        """They are values of the types of this file, set past every property and ``__setattr__``."""
        if node is None:
            return
        attributes = self.value(node, depth + 1)
        if type(attributes) is not dict or any(type(name) is not str for name in attributes):
            raise ValueError("not attributes")
        target.__dict__.update(attributes)


def _torch_constant(kind: str) -> Callable[[str], Any]:
    def constant(name: str) -> Any:
        import torch  # noqa: PLC0415 -- an optional dependency

        value = vars(torch).get(name)
        if not isinstance(value, getattr(torch, kind)):
            raise TypeError(f"no torch.{kind} is called {name!r}")
        return value

    return constant


def _torch_size(*lengths: int) -> Any:
    import torch  # noqa: PLC0415 -- an optional dependency

    return torch.Size(lengths)


def _torch_device(name: str) -> Any:
    import torch  # noqa: PLC0415 -- an optional dependency

    if type(name) is not str:
        raise TypeError("a device is named by a string")
    return torch.device(name)


def _bytearray(content: bytes) -> bytearray:
    if type(content) is not bytes:  # a number would ask for that many zeros
        raise TypeError("a bytearray is made of bytes")
    return bytearray(content)


_BUILD_COLLECTION: Mapping[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set}
_BUILD_LEAF: Mapping[str, Callable[..., Any]] = {
    "int": lambda text: int(text, 16),
    "complex": complex,
    "bytearray": _bytearray,
    "size": _torch_size,
    "dtype": _torch_constant("dtype"),
    "layout": _torch_constant("layout"),
    "device": _torch_device,
}

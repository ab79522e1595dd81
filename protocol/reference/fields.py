"""stream.md, "Updates" and "Layout": the fields that a frame must have and may have."""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[object], bool]


def is_uint(x: object) -> bool:
    return type(x) is int and 0 <= x < 2**64


def is_step(x: object) -> bool:
    return type(x) is int and -(2**63) <= x < 2**63


def is_metadata(x: object) -> bool:
    return type(x) is dict and all(type(key) is str for key in x)


def is_layout(x: object) -> bool:
    return x is True or (type(x) is list and [type(part) for part in x] == [str, bytes])


def is_text(x: object) -> bool:
    return type(x) is str


def is_time(x: object) -> bool:
    return type(x) is float


REQUIRED_OF_PART: dict[str, Check] = {"c": is_uint, "a": is_uint}
REQUIRED_OF_UPDATE: dict[str, Check] = {"q": is_uint, "c": is_uint, "d": is_uint, "t": is_time}
OPTIONAL_OF_UPDATE: dict[str, Check] = {
    "p": is_uint,
    "a": is_uint,
    "s": is_step,
    "n": is_text,
    "m": is_metadata,
    "l": is_layout,
}


def hold(fields: object, required: dict[str, Check], optional: dict[str, Check]) -> bool:
    """Whether fields are as described; keys that are not listed are ignored."""
    if type(fields) is not dict or not required.keys() <= fields.keys():
        return False
    checks = required | optional
    return all(checks[key](value) for key, value in fields.items() if key in checks)

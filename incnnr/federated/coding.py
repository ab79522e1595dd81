"""Updates from what a decoder holds, by options that are checked once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from incnnr.incremental import Decoder, Encoder, Update
from incnnr.quantization import choice

RELATIVE_ERROR = 0.5
_PRECISIONS = ("max_error", "relative_error", "qp", "target_bytes")


def with_default_error(options: Mapping[str, Any]) -> dict[str, Any]:
    """Add a relative error, unless the options say how precise to be.

    Examples
    --------
    >>> with_default_error({"threads": 1}), with_default_error({"qp": -32})
    ({'relative_error': 0.5, 'threads': 1}, {'qp': -32})
    """
    default = {"relative_error": RELATIVE_ERROR} if options.keys().isdisjoint(_PRECISIONS) else {}
    return {**default, **options}


class Coding:
    """How one end of a session codes.

    Parameters
    ----------
    **options
        As for `Encoder`, without ``base``, ``profile`` and ``require_ack``; `prediction_memory` is 0 by default: it
        saves a few percent, and would take several bytes for each weight of every client's state.
    """

    def __init__(self, **options: Any) -> None:
        for name in ("base", "profile", "require_ack"):
            if name in options:
                raise TypeError(f"{name} is not for sessions")
        self._options = {"prediction_memory": 0, **options}
        Encoder(**self._options)  # what is wrong with them shows here, not in the first round
        self._names: Collection[str] = ()

    def encode(self, held: Decoder, weights: Mapping[str, object], *, keyframe: bool = False) -> Update:
        """Code weights as an update to what `held` has; it is not advanced.

        Patterns that match no tensor are a warning once, not in every round.
        """
        is_told = weights.keys() == self._names
        options = {k: _matching(v, weights) for k, v in self._options.items()} if is_told else self._options
        update = Encoder.resume(held, **options).encode(weights, keyframe=keyframe)
        self._names = frozenset(weights)
        return update


def _matching(knob: Any, names: Collection[str]) -> Any:
    """Leave out patterns that match none of the names."""
    if not isinstance(knob, Mapping):
        return knob
    return {p: value for p, value in knob.items() if any(choice({p: True}, name) for name in names)}

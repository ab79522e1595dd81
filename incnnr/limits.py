"""What a decoder lets bytes declare, checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from incnnr.errors import LimitExceededError

_ALWAYS_ALLOWED = 1 << 30
_MOST_PER_BYTE = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what bytes may make a decoder allocate.

    Attributes
    ----------
    model_bytes : int or None
        Largest model, with what a decoder keeps beside the weights to decode the next update. None: 1 GiB, 1000 times
        the bytes passed in, or twice what is held, whichever is most.
    tensors : int
        Most tensors in a model.
    rank : int
        Most dimensions of a tensor.
    name_bytes : int
        Longest name, in UTF-8.
    list_elements : int
        Most entries that the lists of one unit of a bitstream of the standard may have together: values of codebooks,
        entry points, names, points of performance maps.

    Examples
    --------
    >>> Limits(model_bytes=2**34).tensors
    1000000
    """

    model_bytes: int | None = None
    tensors: int = 1_000_000
    rank: int = 32
    name_bytes: int = 4096
    list_elements: int = 1 << 22

    def allowed_bytes(self, input_bytes: int, held_bytes: int = 0) -> int:
        """Say how much `input_bytes` may declare to a decoder that holds a model of `held_bytes`."""
        if self.model_bytes is not None:
            return self.model_bytes
        return max(_ALWAYS_ALLOWED, _MOST_PER_BYTE * input_bytes, 2 * held_bytes)


DEFAULT_LIMITS = Limits()


class Declared:
    """What was declared so far, tensor by tensor.

    Examples
    --------
    >>> declared = Declared(Limits(), allowed_bytes=30)
    >>> declared.add("w", (2, 3), 24)
    >>> declared.add("b", (2,), 8)
    Traceback (most recent call last):
    ...
    incnnr.errors.LimitExceededError: 32 bytes of weights and what belongs to them are declared, more than 30
    """

    def __init__(self, limits: Limits, allowed_bytes: int) -> None:
        self._limits = limits
        self._allowed_bytes = allowed_bytes
        self._n_tensors = 0
        self._n_bytes = 0

    def add(self, name: str, shape: Sequence[int], n_bytes: int) -> None:
        """Count a tensor for which `n_bytes` will be allocated.

        Raises
        ------
        LimitExceededError
            It is beyond the limits, by itself or together with those before it.
        """
        limits = self._limits
        self._n_tensors += 1
        self._n_bytes += n_bytes
        if self._n_tensors > limits.tensors:
            raise LimitExceededError(f"more than {limits.tensors} tensors are declared")
        name_bytes = len(name.encode())
        if len(shape) > limits.rank or name_bytes > limits.name_bytes:
            shown = f"{len(shape)} dimensions and a name of {name_bytes} bytes"
            raise LimitExceededError(f"tensor {name[:80]!r} has {shown}")
        if self._n_bytes > self._allowed_bytes:
            message = f"{self._n_bytes} bytes of weights and what belongs to them are declared"
            raise LimitExceededError(f"{message}, more than {self._allowed_bytes}")

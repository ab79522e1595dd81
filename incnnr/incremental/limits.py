"""What a decoder lets an update declare, checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from incnnr.coding import SLICE_CONTEXTS_BYTES
from incnnr.errors import LimitExceededError
from incnnr.incremental.state import CodecState, TensorSpec, model_bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what an update may make a decoder allocate.

    Attributes
    ----------
    model_bytes : int or None
        Largest model, with the contexts of its slices. None: 1 GiB, 1000 times the bytes of the update, or twice what
        is held, whichever is most.
    tensors : int
        Most tensors in a model.
    rank : int
        Most dimensions of a tensor.
    name_bytes : int
        Longest name, in UTF-8.

    Examples
    --------
    >>> Limits(model_bytes=2**34).tensors
    1000000
    """

    model_bytes: int | None = None
    tensors: int = 1_000_000
    rank: int = 32
    name_bytes: int = 4096

    def check(self, table: Mapping[str, TensorSpec], parent: CodecState | None, update_bytes: int) -> None:
        """Raise LimitExceededError if a tensor table is beyond the limits."""
        if len(table) > self.tensors:
            raise LimitExceededError(f"the update declares {len(table)} tensors, more than {self.tensors}")
        for name, spec in table.items():
            if len(spec.type.shape) > self.rank or len(name.encode()) > self.name_bytes:
                shown = f"{len(spec.type.shape)} dimensions and a name of {len(name.encode())} bytes"
                raise LimitExceededError(f"tensor {name[:80]!r} has {shown}")
        allowed = self._allowed_bytes(parent, update_bytes)
        declared = model_bytes(table) + SLICE_CONTEXTS_BYTES * sum(spec.n_slices for spec in table.values())
        if declared > allowed:
            raise LimitExceededError(
                f"the update declares {declared} bytes of weights and contexts, more than {allowed}"
            )

    def _allowed_bytes(self, parent: CodecState | None, update_bytes: int) -> int:
        if self.model_bytes is not None:
            return self.model_bytes
        return max(1 << 30, 1000 * update_bytes, 2 * model_bytes(parent.table) if parent else 0)

"""What the tensor table of an update declares, held against the limits."""

from __future__ import annotations

from collections.abc import Mapping

from incnnr.coding import history_bytes
from incnnr.incremental.state import CodecState, TensorSpec, model_bytes
from incnnr.limits import Declared, Limits


def check_table(limits: Limits, table: Mapping[str, TensorSpec], parent: CodecState | None, update_bytes: int) -> None:
    """Raise LimitExceededError if a model, with the contexts of its slices, is beyond the limits."""
    held_bytes = model_bytes(parent.table) if parent else 0
    declared = Declared(limits, limits.allowed_bytes(update_bytes, held_bytes))
    for name, spec in table.items():
        declared.add(name, spec.type.shape, spec.type.n_bytes + _learned_bytes(spec) * spec.n_slices)


def _learned_bytes(spec: TensorSpec) -> int:
    """Count what one slice may take beside its weights, apart from four bits for each of them."""
    return spec.contexts_bytes + (0 if spec.step_size else history_bytes(0))

"""What a chain of update bitstreams carries from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Node:
    """The newest decoded node of one tensor in the parameter update tree; arrays are never written to again.

    Attributes
    ----------
    device_id, parameter_id, put_node_depth : int
        Its name.
    levels : numpy.ndarray of int32
        Integer levels as they were decoded, flat: the base of temporal contexts.
    history : numpy.ndarray of uint8, or None
        1 where a level of this or an earlier update was not zero, flat; None before the first update.
    shape : tuple of int
        Of the tensor.
    is_named : bool
        Whether its unit said the name; without, the next unit's parent cannot be compared.
    """

    device_id: int
    parameter_id: int
    put_node_depth: int
    levels: NDArray[np.int32]
    history: NDArray[np.uint8] | None
    shape: tuple[int, ...]
    is_named: bool = True


@dataclass(slots=True)
class IncrementalState:
    """State of a receiver of update bitstreams; `incnnr.nnc.decode` advances it.

    Attributes
    ----------
    nodes : dict of str to Node
        By name of the tensor; from bitstreams with parent signalling only.
    shapes : dict of str to tuple of int
        Of every tensor so far (of a decomposed one, under the name of its first factor), for units that do not carry
        theirs.
    updates : dict of str to numpy.ndarray of float32
        The newest update of each tensor, from bitstreams that hold residuals (``nnr_pre_flag``).

    Examples
    --------
    >>> IncrementalState().nodes
    {}
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    updates: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def held_bytes(self) -> int:
        """Bytes of the levels and updates that are kept."""
        arrays = [*(node.levels for node in self.nodes.values()), *self.updates.values()]
        return sum(array.nbytes for array in arrays)

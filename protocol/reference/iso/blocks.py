"""iso.md section 10, "Local scaling": what an application may make of a block."""

from __future__ import annotations

import numpy as np

from protocol.reference.iso.bitstream import Decoded
from protocol.reference.iso.data_unit import BLOCK, DECOMPOSED, LOCAL_SCALING


def scaled(decoded: Decoded) -> dict[str, np.ndarray]:
    """The values with scaling vectors multiplied into their weights, and no longer there by themselves."""
    values = dict(decoded.values)
    for unit in decoded.units:
        if unit.payload_type == BLOCK and unit.has(LOCAL_SCALING):
            weight, scaling = unit.names[0], unit.names[2 if unit.has(DECOMPOSED) else 1]
            values[weight] = scaled_along_rows(values[weight], values.pop(scaling))
    return values


def scaled_along_rows(weight: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    return weight * scaling.reshape(-1, *[1] * (weight.ndim - 1))

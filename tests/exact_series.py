"""Prints hashes of what exact coding makes of seeded series of every dtype: the same in every process.

The first line says whether the kernels use wide vectors.
"""

from __future__ import annotations

import numpy as np

from incnnr import Decoder, Encoder, _core
from tests.weights import ALL_DTYPES, bit_neighbours, exact, random_array

SHARES = (0.001, 0.02, 0.02, 0.3, 0.0, 1.0, 0.05)
N_ELEMENTS = 5003  # chunks, and a rest that is no multiple of a vector


def hashes(dtype: np.dtype, effort: str) -> list[int]:
    """Return the hash of each update, and those of what encoder and decoder hold at last."""
    rng = np.random.default_rng([ALL_DTYPES.index(dtype), len(effort)])
    encoder, decoder = Encoder(effort=effort), Decoder()
    array, hashed = random_array(rng, dtype, N_ELEMENTS), []
    for share in SHARES:
        update = bytes(encoder.encode({"w": array}))
        assert exact(decoder.decode(update)) == exact({"w": array})
        hashed.append(_core.xxh64(update))
        array = bit_neighbours(rng, array, share)
    return [*hashed, _core.xxh64(decoder.to_bytes())]


if __name__ == "__main__":
    print("wide" if _core.HAS_WIDE_VECTORS else "not wide")
    for dtype in ALL_DTYPES:
        for effort in ("default", "small"):
            print(dtype, effort, *hashes(dtype, effort))

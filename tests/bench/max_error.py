"""Prints the largest error that lossy updates of a series make, and whether all that must be exact is.

By hand (a minute)::

    python -m tests.bench.max_error SERIES_FOLDER [--max-error 1e-3]

The series is taken as fp32, bf16 and fp16, as it is and times 10^4, without and with NaNs, infinities, -0.0 and 1e38
planted in new places of every checkpoint. The error is |decoded - original| in float64 over the finite weights of all
updates; NaN payloads, infinities, -0.0 and tensors that are not floats must come back bit for bit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import incnnr
from tests.bench import series

DTYPES = {"fp32": np.float32, "bf16": ml_dtypes.bfloat16, "fp16": np.float16}
PLANTED = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 1e38, -1e38]


def planted(weights: series.Weights, rng: np.random.Generator) -> series.Weights:
    """Put special values into a thousandth of the places; NaNs get random payloads."""
    after = {}
    for name, array in weights.items():
        flat = array.reshape(-1).copy()
        if series.is_float(array):
            at = rng.integers(0, flat.size, max(1, flat.size // 1000))
            with np.errstate(over="ignore"):  # 1e38 in fp16 is one more infinity
                flat[at] = rng.choice(PLANTED, at.size).astype(array.dtype)
            nans = np.flatnonzero(np.isnan(flat))
            bits = flat.view(f"u{flat.itemsize}")
            bits[nans] ^= rng.integers(0, 16, nans.size).astype(bits.dtype)
        after[name] = flat.reshape(array.shape)
    return after


def compare(decoded: NDArray, original: NDArray) -> tuple[float, int]:
    """Return the largest error of the finite weights, and how many others are not exact."""
    bits = f"u{original.itemsize}"
    is_wrong = decoded.reshape(-1).view(bits) != original.reshape(-1).view(bits)
    if not series.is_float(original):
        return 0.0, int(is_wrong.sum())
    wide, target = decoded.reshape(-1).astype(np.float64), original.reshape(-1).astype(np.float64)
    is_free = np.isfinite(target) & ~((target == 0) & np.signbit(target))
    error = np.abs(wide[is_free] - target[is_free])  # of a weight that became NaN it is NaN, and so is the maximum
    return float(error.max(initial=0.0)), int(is_wrong[~is_free].sum())


def measure(checkpoints: list[series.Weights], max_error: float) -> tuple[float, float, int, float]:
    """Return the largest error, the encoder's word for it, how much else is wrong, and bits per weight of updates."""
    encoder, decoder = incnnr.Encoder(max_error=max_error), incnnr.Decoder()
    errors, n_wrong, claimed, size = [0.0], 0, 0.0, 0
    for weights in checkpoints:
        update = encoder.encode(weights)
        model = decoder.decode(bytes(update))
        claimed = max(claimed, update.stats.largest_error)
        size += 0 if update.is_keyframe else len(bytes(update))
        for name, original in weights.items():
            error, n = compare(model[name], original)
            errors.append(error)
            n_wrong += n + (model[name].dtype != original.dtype or model[name].shape != original.shape)
    n = series.n_weights(checkpoints[0]) * (len(checkpoints) - 1)
    return float(np.max(errors)), claimed, n_wrong, series.bits_per_weight(size, n)


def main() -> None:
    parser = argparse.ArgumentParser(description="The largest error of lossy updates.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-error", type=float, default=1e-3)
    arguments = parser.parse_args()
    rows, rng = [], np.random.default_rng(1)
    for dtype_name, dtype in DTYPES.items():
        for scale in (1.0, 1e4):
            plain = [series.load(path, dtype, scale) for path in series.paths_of(arguments.folder)]
            for what, checkpoints in (("", plain), (", planted", [planted(weights, rng) for weights in plain])):
                largest, claimed, n_wrong, bits = measure(checkpoints, arguments.max_error)
                name = f"{dtype_name}{'' if scale == 1 else ' x 10^4'}{what}"
                rows.append((name, f"{largest:.9g}", f"{claimed:.9g}", largest <= arguments.max_error, n_wrong, bits))
    title = f"{arguments.folder.name} with max_error={arguments.max_error}"
    series.print_table(title, ("", "largest error", "encoder says", "within", "others wrong", "bits per weight"), rows)


if __name__ == "__main__":
    main()

"""Write protocol/vectors/incnnr: series of updates, and what every decoder must make of them.

Run ``python -m tests.make_vectors``. Vectors hold the format down, so that one that is there is never overwritten; a
change of the format gets vectors of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import xxhash

import incnnr
from incnnr.tensors import type_of
from tests.weights import ALL_DTYPES, FLOATS, bit_neighbours, moving, random_array, trained

FOLDER = Path(__file__).parent.parent / "protocol" / "vectors" / "incnnr"
SHAPES = {"conv.weight": (4, 3, 3), "fc.weight": (12, 20), "fc.bias": (12,), "scale": ()}
Weights = Mapping[str, np.ndarray]


def described(weights: Weights) -> dict[str, list[object]]:
    """Name -> dtype as the table has it, shape, bytes."""
    types = {name: type_of(np.asarray(array)) for name, array in weights.items()}
    return {name: [types[name].dtype, list(types[name].shape), np.asarray(weights[name]).tobytes()] for name in types}


def expected(weights: Weights) -> dict[str, list[object]]:
    """The same with the hash of the bytes in place of the bytes."""
    return {name: [*type_, xxhash.xxh64(data).hexdigest()] for name, (*type_, data) in described(weights).items()}


def position_of(position: incnnr.Position) -> dict[str, object]:
    return {"sequence": position.sequence, "chain": f"{position.chain:016x}", "digest": f"{position.digest:016x}"}


def lossless_training() -> Iterator[bytes]:
    encoder = incnnr.Encoder()
    for weights in trained(np.random.default_rng(1), 5, SHAPES):
        yield bytes(encoder.encode(weights))


def history() -> Iterator[bytes]:
    """Several chunks, coded in all three ways; the update with the default effort forgets what was before."""
    rng = np.random.default_rng(9)
    weights = {"w": rng.normal(0, 0.02, 6000).astype(ml_dtypes.bfloat16), "f": rng.normal(0, 1, 300).astype("f4")}
    decoder = incnnr.Decoder()
    update = incnnr.Encoder(effort="small").encode(weights)
    for effort, share in (("small", 0.02), ("small", 0.02), ("small", 0.3), ("default", 0.02), ("small", 0.02)):
        yield bytes(update)
        decoder.decode(update)
        weights = {name: bit_neighbours(rng, array, share) for name, array in weights.items()}
        update = incnnr.Encoder.resume(decoder, effort=effort).encode(weights)
    yield bytes(update)
    decoder.decode(update)
    noise = np.frombuffer(rng.bytes(12000), ml_dtypes.bfloat16)
    yield bytes(incnnr.Encoder.resume(decoder, effort="small").encode(weights | {"w": noise}))


def every_dtype() -> Iterator[bytes]:
    rng = np.random.default_rng(2)
    weights = {f"{i} {dtype}": random_array(rng, dtype, (5, 3)) for i, dtype in enumerate(ALL_DTYPES)}
    encoder = incnnr.Encoder()
    for _ in range(3):
        yield bytes(encoder.encode(weights))
        weights = {name: bit_neighbours(rng, array) for name, array in weights.items()}


def max_error() -> Iterator[bytes]:
    """NaN, infinities and what no level reaches are corrections."""
    rng = np.random.default_rng(3)
    encoder = incnnr.Encoder(max_error=1e-2)
    for dtype in (np.float16, "bfloat16", np.float32, np.float64):
        for weights in trained(rng, 2, SHAPES, dtype=dtype, rate=0.05):
            weights["fc.weight"][0, :6] = np.nan, np.inf, -np.inf, -0.0, 6e4, 1e-7
            yield bytes(encoder.encode(weights))


def qp_by_name() -> Iterator[bytes]:
    encoder = incnnr.Encoder(qp={"*.bias": None, "conv*": -24, "*": -9})
    for weights in trained(np.random.default_rng(4), 4, SHAPES, rate=0.1):
        yield bytes(encoder.encode(weights))


def predicted() -> Iterator[bytes]:
    """Each dtype with two running means, then with another number of them: levels of every kind, and corrections."""
    rng = np.random.default_rng(10)
    options = [{"qp": -26}] * 5 + [{"qp": -30, "effort": "fast"}] * 2 + [{"qp": -26, "prediction_memory": 1}] * 3
    options += [{"max_error": 1e-3}] * 3 + [{"qp": -26, "prediction_memory": 0}, {"qp": -26}]
    decoder = incnnr.Decoder()
    for weights, option in zip(zip(*of_every_float(rng, len(options)), strict=True), options, strict=True):
        merged = {name: w for of_dtype in weights for name, w in of_dtype.items()}
        merged["float32.fc.weight"][0, :5] = np.nan, np.inf, -np.inf, -0.0, 6e4
        encoder = incnnr.Encoder.resume(decoder, **option) if decoder.position else incnnr.Encoder(**option)
        yield bytes(update := encoder.encode(merged))
        decoder.decode(update)


def of_every_float(rng: np.random.Generator, n_steps: int) -> list[Iterator[Weights]]:
    shapes = {"fc.weight": (12, 20), "conv.weight": (4, 3, 3), "fc.bias": (12,), "scale": (), "column": (30, 1)}
    return [
        moving(rng, n_steps, {f"{np.dtype(dtype)}.{name}": shape for name, shape in shapes.items()}, dtype, 0.05)
        for dtype in FLOATS
    ]


def relative_error() -> Iterator[bytes]:
    """Scales of steps follow the size of the updates, which grows and shrinks."""
    rng = np.random.default_rng(11)
    encoder = incnnr.Encoder(relative_error={"*.bias": 0.05, "*": 0.2})
    weights = next(trained(rng, 1, SHAPES))
    for rate in (0, 1e-3, 1e-3, 3e-2, 1e-5, 1e-5, 1.0, 1e-3):
        weights = {name: np.asarray(w + rng.normal(0, rate, w.shape), w.dtype) for name, w in weights.items()}
        yield bytes(encoder.encode(weights))


def alike_signs() -> Iterator[bytes]:
    """Signs that are alike some elements apart, then others, in dependent quantisation and without it."""
    rng = np.random.default_rng(13)
    weights = np.zeros((20, 420), np.float32)
    decoder = incnnr.Decoder()
    yield bytes(update := incnnr.Encoder().encode({"fc.weight": weights}))
    for period, effort in ((28, "default"), (28, "fast"), (45, "default")):
        decoder.decode(update)
        weights = weights + repeating(rng, weights.shape, period)
        update = incnnr.Encoder.resume(decoder, qp=-18, effort=effort, prediction_memory=0).encode(
            {"fc.weight": weights}
        )
        yield bytes(update)


def repeating(rng: np.random.Generator, shape: tuple[int, int], period: int) -> np.ndarray:
    """Noise with the same signs in all periods."""
    size = np.abs(rng.normal(0, 0.1, shape)).astype(np.float32)
    return size * np.resize(np.sign(rng.normal(size=period)).astype(np.float32), shape)


def several_slices() -> Iterator[bytes]:
    """Slices that begin in the middle of a row; the first one rests, and shares no codeword with the second."""
    rng = np.random.default_rng(12)
    encoder = incnnr.Encoder(qp=-12)
    for step in moving(rng, 3, {"end": (2000,)}, np.float16, 0.1):
        large = np.zeros((1049, 1001), np.float16)
        large.reshape(-1)[2**20 :] = step["end"][: large.size - 2**20]
        yield bytes(encoder.encode({"large": large, "small": step["end"][:600]}))


def options_that_change() -> Iterator[bytes]:
    """The step sizes of a chain are others each time, and the contexts live on."""
    decoder = incnnr.Decoder()
    options = [{}, {"max_error": 0.05}, {}, {"qp": -8}, {"qp": {"fc*": -20, "*": None}}]
    for weights, option in zip(trained(np.random.default_rng(5), 5, SHAPES, rate=0.1), options, strict=True):
        encoder = incnnr.Encoder.resume(decoder, **option) if decoder.position else incnnr.Encoder(**option)
        yield bytes(update := encoder.encode(weights))
        decoder.decode(update)


def come_and_go() -> Iterator[bytes]:
    """Tensors appear, vanish, change dtype and shape, are empty, or are not named in a partial update."""
    ramp = np.arange(24)
    encoder = incnnr.Encoder()
    yield bytes(encoder.encode({}))
    yield bytes(encoder.encode({"b": ramp.astype(np.float32), "a": ramp.astype(np.int8), "": np.zeros((0, 3))}))
    yield bytes(encoder.encode({"a": ramp.astype(np.int16), "b": ramp.astype(np.float32)}))
    yield bytes(encoder.encode({"Ω": ramp > 9, "b": ramp[:12].astype(np.float32) + 1}, partial=True))
    yield bytes(encoder.encode({}, partial=True))
    yield bytes(encoder.encode({"b": ramp[:12].reshape(3, 4).astype(np.float32), "Ω": ramp > 8, "a": np.int16(3)}))
    yield bytes(encoder.encode({"Ω": ramp > 7}))


def keyframes() -> Iterator[bytes]:
    encoder = incnnr.Encoder(require_ack=True)
    for number, weights in enumerate(trained(np.random.default_rng(6), 6, SHAPES, dtype=np.float16)):
        encoder.encode({"dropped": np.ones(3)})
        encoder.rollback()
        yield bytes(update := encoder.encode(weights, keyframe=number % 3 == 2))
        encoder.acknowledge(update.position)


def from_a_base() -> Iterator[bytes]:
    encoder = incnnr.Encoder(base=base_weights(), max_error=1e-3)
    for weights in trained(np.random.default_rng(7), 3, SHAPES):
        yield bytes(encoder.encode(weights))


def base_weights() -> Weights:
    (weights,) = trained(np.random.default_rng(8), 1, SHAPES)
    return weights | {"big": np.arange(3, dtype=">f4")}


SERIES = [lossless_training, history, every_dtype, max_error, qp_by_name]
SERIES += [predicted, relative_error, alike_signs, several_slices, options_that_change, come_and_go, keyframes]
SERIES_WITH_BASE = [from_a_base]


def write_vector(folder: Path, updates: Iterator[bytes], base: Weights | None) -> None:
    """Write one series; FileExistsError if it is there."""
    folder.mkdir(parents=True)
    decoder = incnnr.Decoder(base=base)
    after = []
    for number, update in enumerate(updates):
        (folder / f"{number:02}.incnnr-update").write_bytes(update)
        model = decoder.decode(update)
        after.append({"position": position_of(model.position), "tensors": expected(model)})
    held = {name: [dtype, shape, data.hex()] for name, (dtype, shape, data) in described(base or {}).items()}
    expectations = ({"base": held} if base else {}) | {"after": after}
    (folder / "expected.json").write_text(json.dumps(expectations, indent=1, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    for series in SERIES + SERIES_WITH_BASE:
        folder = FOLDER / series.__name__
        base = base_weights() if series in SERIES_WITH_BASE else None
        try:
            write_vector(folder, series(), base)
        except FileExistsError:
            print(f"{folder.name} is there and stays as it is")


if __name__ == "__main__":
    main()

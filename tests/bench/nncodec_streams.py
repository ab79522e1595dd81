"""Random models and settings for every tool of `incnnr.nnc.encode` whose bitstreams NNCodec 2.1.3 can decode.

It cannot decode tensors without dimensions or without elements, nor raw floats before anything else; so there are none
of the first, and raw floats come last. Factors of decomposed tensors it takes only under names that end in _G and _H,
not by its front door, and not with codebooks where vectors share their block; so there is a chain only of models
without factors, and there are no codebooks in models with both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incnnr.nnc import Block

Tensors = dict[str, NDArray[Any]]
Rng = np.random.Generator
CHAIN_LENGTH = 5
_MOST_WEIGHTS = 4000
_DISTRIBUTIONS: list[Callable[[Rng, tuple[int, ...]], NDArray[np.float64]]] = [
    lambda rng, shape: rng.laplace(size=shape),
    lambda rng, shape: rng.normal(size=shape),
    lambda rng, shape: rng.laplace(size=shape) * (rng.random(shape) < 0.05),
    lambda rng, shape: rng.laplace(size=shape) * (rng.random((shape[0], *[1] * (len(shape) - 1))) < 0.3),
    lambda rng, shape: np.full(shape, rng.normal()),
    lambda rng, shape: abs(rng.normal(size=shape)),
    lambda rng, shape: rng.choice(rng.normal(size=5), shape),
    lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.integers(-2, 3, shape),
]


@dataclass(frozen=True)
class Model:
    """Names and shapes that the bitstreams of one sender share."""

    shapes: dict[str, tuple[int, ...]]
    integers: frozenset[str]
    blocks: tuple[Block, ...]
    raw: frozenset[str]
    scale: float

    @property
    def has_factors(self) -> bool:
        """Whether a block is decomposed."""
        return any(len(block.factors) > 1 for block in self.blocks)

    @property
    def may_have_codebooks(self) -> bool:
        """Whether no block has factors and vectors."""
        return not any(len(block.factors) > 1 and block.vectors for block in self.blocks)


def random_model(rng: Rng) -> Model:
    shapes: dict[str, tuple[int, ...]] = {}
    blocks = []
    for i in range(rng.integers(1, 5)):
        shape = _random_shape(rng)
        if rng.random() < 0.35:
            blocks.append(_add_block(rng, f"b{i}", shape, shapes))
        else:
            shapes[f"{i}.größe" if rng.random() < 0.1 else f"layer.{i}.weight"] = shape
    free = [name for name in shapes if all(name not in block.names for block in blocks)]
    integers = frozenset(name for name in free if rng.random() < 0.2)
    raw = frozenset(["raw"]) if rng.random() < 0.1 else frozenset[str]()
    shapes |= {name: _random_shape(rng) for name in raw}
    return Model(shapes, integers, tuple(blocks), raw, 2.0 ** rng.uniform(-8, 3))


def _random_shape(rng: Rng) -> tuple[int, ...]:
    n_dimensions = int(rng.choice([1, 2, 2, 2, 3, 4]))
    most = {1: 300, 2: 150, 3: 30, 4: 12}[n_dimensions]
    while True:
        shape = tuple(int(size) for size in np.exp(rng.uniform(0, np.log(most), n_dimensions)).round())
        if prod(shape) <= _MOST_WEIGHTS:
            return shape


def _add_block(rng: Rng, name: str, shape: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> Block:
    """Name the tensors of a block as NNCodec does, and note their shapes."""
    if len(shape) < 2:
        shape = (*shape, int(rng.integers(1, 12)))
    is_decomposed, has_scaling, has_norm, has_bias = rng.random(4) < (0.15, 0.5, 0.4, 0.5)
    if not (is_decomposed or has_scaling or has_norm):
        has_bias = True
    weight = f"{name}.weight"
    factors = (f"{weight}_G", f"{weight}_H")
    block = Block(
        factors if is_decomposed else weight,
        local_scaling=f"{weight}_scaling" if has_scaling else None,
        bias=f"{name}.bias" if has_bias else None,
        batch_norm=(f"{name}.bn.beta", f"{name}.bn.gamma", f"{name}.bn.mean", f"{name}.bn.var") if has_norm else None,
        dimensions=shape if is_decomposed else None,
    )
    rank = int(rng.integers(1, 20))
    matrices = [(shape[0], rank), (rank, prod(shape[1:]))] if is_decomposed else [shape]
    shapes |= dict(zip(block.factors, matrices, strict=True))
    shapes |= dict.fromkeys(block.vectors, shape[:1])
    return block


def random_tensors(rng: Rng, model: Model) -> Tensors:
    """Draw weights; some tensors are all zero."""
    return {name: _random_tensor(rng, model, name) for name in model.shapes}


def _random_tensor(rng: Rng, model: Model, name: str) -> NDArray[Any]:
    shape = model.shapes[name]
    values = _DISTRIBUTIONS[rng.integers(len(_DISTRIBUTIONS))](rng, shape)
    if rng.random() < 0.15:
        values = np.zeros(shape)
    if name in model.integers:
        return (values * 2.0 ** rng.integers(0, 16)).astype(np.int32)
    return (values * model.scale).astype(np.float32)


def random_settings(rng: Rng, model: Model) -> dict[str, Any]:
    density = int(rng.choice([2, 2, 2, 0, 1, 3, 4, 7]))
    qp = round(log2(model.scale * 2.0 ** rng.uniform(-6, 1)) * 2**density)
    settings: dict[str, Any] = {
        "qp": {**dict.fromkeys(model.raw), "*": qp},
        "qp_density": density,
        "dq": bool(rng.random() < 0.6),
        "lambda_scale": float(rng.choice([0, 0, 0.5, 1, 3])),
        "scan_order": int(rng.choice([0, 0, 1, 1, 2, 3, 4])),
        "codebook": str(rng.choice(["never", "never", "auto", "always"])) if model.may_have_codebooks else "never",
        "blocks": model.blocks,
        "threads": int(rng.integers(1, 3)),
    }
    tuned = rng.random()
    if tuned < 0.1:
        settings["bit_depth"] = int(rng.integers(2, 17))
    elif tuned < 0.2:
        settings["opt_qp"] = True
    return settings

"""Performance maps: how good the model is after how much reduction, per operating point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self, TypeVar

from incnnr.nnc.bitio import BitCoder


class Point(ABC):
    """One entry of a performance map."""

    __slots__ = ()

    @abstractmethod
    def syntax(self, c: BitCoder) -> Self:
        """Code the entry; return what is in the bitstream."""


P = TypeVar("P", bound=Point)


@dataclass(frozen=True, slots=True)
class SparsificationPoint(Point):
    """One entry of ``sparsification_performance_map()``."""

    sparsification_threshold: float = 0.0
    non_zero_ratio: float = 0.0
    spm_nn_accuracy: float = 0.0
    spm_class_bitmask: int = 0
    spm_class_accuracies: tuple[float, ...] = ()

    def syntax(self, c: BitCoder) -> Self:
        """Code the entry."""
        return type(self)(
            c.flt32(self.sparsification_threshold),
            c.flt32(self.non_zero_ratio),
            c.flt32(self.spm_nn_accuracy),
            *_classes(c, self.spm_class_bitmask, self.spm_class_accuracies),
        )


@dataclass(frozen=True, slots=True)
class PruningPoint(Point):
    """One entry of ``pruning_performance_map()``."""

    pruning_ratio: float = 0.0
    ppm_nn_accuracy: float = 0.0
    ppm_class_bitmask: int = 0
    ppm_class_accuracies: tuple[float, ...] = ()

    def syntax(self, c: BitCoder) -> Self:
        """Code the entry."""
        return type(self)(
            c.flt32(self.pruning_ratio),
            c.flt32(self.ppm_nn_accuracy),
            *_classes(c, self.ppm_class_bitmask, self.ppm_class_accuracies),
        )


@dataclass(frozen=True, slots=True)
class UnificationPoint(Point):
    """One entry of ``unification_performance_map()``."""

    reshaped_tensor_dimension: tuple[int, ...] = ()
    super_block_dimension: tuple[int, ...] = ()
    block_dimension: tuple[int, ...] = ()
    unification_threshold: float = 0.0
    upm_nn_accuracy: float = 0.0
    upm_class_bitmask: int = 0
    upm_class_accuracies: tuple[float, ...] = ()

    def syntax(self, c: BitCoder) -> Self:
        """Code the entry; its dimensions are counted from one."""
        n_reshaped = c.ue(1, len(self.reshaped_tensor_dimension) + 1) - 1
        reshaped = c.repeated(n_reshaped, self.reshaped_tensor_dimension, 0, lambda size: c.ue(7, size))
        c.byte_alignment()
        return type(self)(
            reshaped,
            _byte_dimensions(c, self.super_block_dimension),
            _byte_dimensions(c, self.block_dimension),
            c.flt32(self.unification_threshold),
            c.flt32(self.upm_nn_accuracy),
            *_classes(c, self.upm_class_bitmask, self.upm_class_accuracies),
        )


@dataclass(frozen=True, slots=True)
class DecompositionPoint(Point):
    """One entry of ``decomposition_performance_map()``."""

    mse_threshold: float = 0.0
    dpm_nn_accuracy: float = 0.0
    nn_reduction_ratio: float = 0.0
    dpm_class_accuracies: tuple[float, ...] = ()

    def syntax(self, c: BitCoder) -> Self:
        """Code the entry; it has no bit mask, and more classes than the others."""
        numbers = (c.flt32(self.mse_threshold), c.flt32(self.dpm_nn_accuracy), c.flt32(self.nn_reduction_ratio))
        n_classes = c.u(16, len(self.dpm_class_accuracies))
        return type(self)(*numbers, c.repeated(n_classes, self.dpm_class_accuracies, 0.0, c.flt32))


def performance_map(c: BitCoder, points: tuple[P, ...], blank: P) -> tuple[P, ...]:
    """Code a map of any kind; it sends one more than the number of its entries."""
    n_points = c.u(8, len(points) + 1) - 1
    return c.repeated(n_points, points, blank, lambda point: point.syntax(c))


def _classes(c: BitCoder, bitmask: int, accuracies: tuple[float, ...]) -> tuple[int, tuple[float, ...]]:
    n_classes = c.u(8, len(accuracies))
    return c.ue(7, bitmask), c.repeated(n_classes, accuracies, 0.0, c.flt32)


def _byte_dimensions(c: BitCoder, sizes: tuple[int, ...]) -> tuple[int, ...]:
    n_sizes = c.u(8, len(sizes) + 1) - 1
    return c.repeated(n_sizes, sizes, 0, lambda size: c.u(8, size))

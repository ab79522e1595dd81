"""Blocks: tensors that travel together in one data unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """The names of a block's tensors (payload type BLOCK of ISO/IEC 15938-17).

    Parameters
    ----------
    weight : str or tuple of (str, str)
        The weight; or, of a decomposed one, its two factors G (rows, rank) and H (rank, the rest), each a matrix.
    local_scaling, bias : str, optional
        Vectors as long as the weight's first dimension.
    batch_norm : tuple of four str, optional
        Beta, gamma, mean and variance: vectors of the same length.
    dimensions : tuple of int, optional
        Shape of a decomposed weight; by default the product of the factors as it is.

    Examples
    --------
    >>> Block("conv.weight", bias="conv.bias").names
    ('conv.weight', 'conv.bias')
    """

    weight: str | tuple[str, str]
    local_scaling: str | None = None
    bias: str | None = None
    batch_norm: tuple[str, str, str, str] | None = None
    dimensions: tuple[int, ...] | None = None

    @property
    def factors(self) -> tuple[str, ...]:
        """The weight's name, or those of its factors."""
        return (self.weight,) if isinstance(self.weight, str) else self.weight

    @property
    def vectors(self) -> tuple[str, ...]:
        """The names of the vectors, in the order of the topology elements."""
        scaling = (self.local_scaling,) if self.local_scaling is not None else ()
        bias = (self.bias,) if self.bias is not None else ()
        return (*scaling, *(self.batch_norm or ()), *bias)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the topology elements."""
        return (*self.factors, *self.vectors)

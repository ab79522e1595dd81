"""QNT: quantisation tables, carried as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from incnnr.nnc.bitio import BitCoder
from incnnr.nnc.syntax.base import SyntaxUnit
from incnnr.nnc.syntax.context import Context


@dataclass(slots=True, kw_only=True)
class Quantization(SyntaxUnit):
    """NNR_QNT.

    Attributes
    ----------
    quantization_storage_format, quantization_compression_format : int
        What `quantization_data` is.
    quantization_data : bytes
        As carried, to the end of the unit; in files of the reference software it ends with a zero byte.
    """

    quantization_storage_format: int = 0
    quantization_compression_format: int = 0
    quantization_data: bytes = b""

    def syntax(self, c: BitCoder, context: Context) -> Self:  # noqa: ARG002 - the same in both editions
        """Code the unit."""
        new = type(self)()
        new.quantization_storage_format = c.u(8, self.quantization_storage_format)
        new.quantization_compression_format = c.u(8, self.quantization_compression_format)
        new.quantization_data = c.bs(self.quantization_data)
        return new

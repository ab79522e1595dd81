"""The NNR/NNC bitstream (ISO/IEC 15938-17): units, the bits in them, and the weights."""

from incnnr.nnc.bitstream import decode
from incnnr.nnc.blocks import Block
from incnnr.nnc.encoding import encode
from incnnr.nnc.parse import parse
from incnnr.nnc.state import IncrementalState

__all__ = ["Block", "IncrementalState", "decode", "encode", "parse"]

"""Slices of tensors to codewords and back: the only caller of the native coders."""

from incnnr.coding.codewords import Coding, Segment, decode, encode, find_changed, trim_memory, xxh64
from incnnr.coding.contexts import (
    SLICE_CONTEXTS_BYTES,
    decode_flags,
    encode_flags,
    fresh_flag_contexts,
    fresh_slice_contexts,
)
from incnnr.coding.slices import ELEMENT_BYTES, SLICE_ELEMENTS, group_sizes, slice_elements
from incnnr.coding.threads import checked_threads

__all__ = [
    "ELEMENT_BYTES",
    "SLICE_CONTEXTS_BYTES",
    "SLICE_ELEMENTS",
    "Coding",
    "Segment",
    "checked_threads",
    "decode",
    "decode_flags",
    "encode",
    "encode_flags",
    "find_changed",
    "fresh_flag_contexts",
    "fresh_slice_contexts",
    "group_sizes",
    "slice_elements",
    "trim_memory",
    "xxh64",
]

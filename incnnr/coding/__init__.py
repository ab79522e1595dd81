"""Slices of tensors to codewords and back: the only caller of the native coders."""

from incnnr.coding.codewords import Coding, Segment, decode, encode, find_changed, squared_distance, trim_memory, xxh64
from incnnr.coding.contexts import (
    MOST_MEANS,
    SCALES_PER_OCTAVE,
    contexts_bytes,
    decode_flags,
    encode_flags,
    fresh_flag_contexts,
    fresh_history,
    fresh_slice_contexts,
    history_bytes,
    means_bytes,
)
from incnnr.coding.slices import ELEMENT_BYTES, SLICE_ELEMENTS, group_sizes, slice_elements
from incnnr.coding.threads import checked_threads

__all__ = [
    "ELEMENT_BYTES",
    "MOST_MEANS",
    "SCALES_PER_OCTAVE",
    "SLICE_ELEMENTS",
    "Coding",
    "Segment",
    "checked_threads",
    "contexts_bytes",
    "decode",
    "decode_flags",
    "encode",
    "encode_flags",
    "find_changed",
    "fresh_flag_contexts",
    "fresh_history",
    "fresh_slice_contexts",
    "group_sizes",
    "history_bytes",
    "means_bytes",
    "slice_elements",
    "squared_distance",
    "trim_memory",
    "xxh64",
]

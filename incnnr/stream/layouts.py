"""What a checkpoint file holds besides weights: a few kilobytes, from one entry to the next nearly always the same.

An entry's layout is coded as nothing at all (the entry has none), as `SAME` (it is the parent's), or as the name of
its format and the rest, compressed with the parent's rest as dictionary. A keyframe never looks at a parent.
"""

from __future__ import annotations

import zstandard

from incnnr.errors import CorruptError, LimitExceededError
from incnnr.tensors import Layout

SAME = True
MAX_REST_BYTES = 1 << 28
MAX_PACKED_BYTES = 1 << 25

_LEVEL = 12
_MAX_WINDOW_LOG = 27

PackedLayout = bool | list[str | bytes] | None


def pack(layout: Layout | None, parent: Layout | None) -> PackedLayout:
    """Code a layout for a header field.

    Parameters
    ----------
    layout : Layout or None
        What to code.
    parent : Layout or None
        The layout of the parent entry; None for a keyframe.

    Examples
    --------
    >>> layout = Layout("safetensors", b"{}" * 100)
    >>> pack(layout, layout)
    True
    >>> unpack(pack(layout, None), None) == layout
    True

    Raises
    ------
    ValueError
        More than a frame's header takes.
    """
    if layout is None:
        return None
    if layout == parent:
        return SAME
    n_bytes = len(layout.rest)
    if n_bytes <= MAX_REST_BYTES:
        data = _compress(layout.rest, b"" if parent is None else parent.rest)
        if len(data) <= MAX_PACKED_BYTES:
            return [layout.format, data]
    raise ValueError(f"the checkpoint holds {n_bytes} bytes besides its weights, more than a stream takes")


def unpack(packed: object, parent: Layout | None) -> Layout | None:
    """Decode what `pack` made; `parent` must be the same.

    Raises
    ------
    CorruptError
        It was made against another parent, or is damaged.
    LimitExceededError
        It claims to be larger than any layout may be.
    """
    if packed is None:
        return None
    if packed is SAME:
        if parent is None:
            raise CorruptError("the layout is said to be that of a parent that has none")
        return parent
    match packed:
        case [str(format_), bytes(data)]:
            return Layout(format_, _decompress(data, b"" if parent is None else parent.rest))
    raise CorruptError("the layout field is malformed")


def _dictionary(data: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _compress(rest: bytes, dictionary: bytes) -> bytes:
    reach = (len(rest) + len(dictionary)).bit_length()
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        source_size=len(rest),
        dict_size=len(dictionary),
        window_log=min(max(reach, zstandard.WINDOWLOG_MIN), _MAX_WINDOW_LOG),
        write_dict_id=False,
    )
    return zstandard.ZstdCompressor(dict_data=_dictionary(dictionary), compression_params=parameters).compress(rest)


def _decompress(data: bytes, dictionary: bytes) -> bytes:
    try:
        n_bytes = zstandard.frame_content_size(data)
        if n_bytes > MAX_REST_BYTES:
            raise LimitExceededError(f"a layout of {n_bytes} bytes")
        if n_bytes < 0:
            raise CorruptError("the layout does not say how large it is")
        return zstandard.ZstdDecompressor(dict_data=_dictionary(dictionary)).decompress(data)
    except zstandard.ZstdError as error:
        raise CorruptError(f"the layout cannot be decompressed: {error}") from error

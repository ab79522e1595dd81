"""One entry of a stream: what a user sees of it, and its fields in the header of the frame that commits it."""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgpack

from incnnr.errors import CorruptError
from incnnr.incremental import UpdateChunks
from incnnr.position import Position
from incnnr.stream.frames import Body
from incnnr.stream.layouts import PackedLayout

Fields = dict[str, Any]
Value = TypeVar("Value")
MAX_LABEL_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Entry:
    """One set of weights in a stream.

    Attributes
    ----------
    index : int
        Its number: ``stream[index]`` decodes it.
    step, name : int or None, str or None
        As given to `append`.
    time : float
        When it was appended, in seconds since the epoch.
    n_bytes : int
        Bytes of the update, without the frame around it.
    is_keyframe : bool
        Whether it decodes without any other entry.
    metadata : dict
        As given to `append`; tuples come back as lists.
    position : Position
        The position that a decoder reaches with it.
    n_weights, model_bytes : int or None
        Elements and bytes of all tensors of the model; None where another program wrote the entry and did not say.
    n_changed : int or None
        Elements whose value changed; in a keyframe all of them.
    is_lost : bool
        Whether damage took the entry and all that was known of it but its place; then only `index` means anything.

    Examples
    --------
    >>> import tempfile, numpy as np, incnnr.stream
    >>> from pathlib import Path
    >>> with incnnr.stream.open(Path(tempfile.mkdtemp()) / "run.incnnr", "w") as stream:
    ...     for value in (0.0, 1.0):
    ...         entry = stream.append({"w": np.append(np.zeros(999), value)})
    >>> entry.n_weights, entry.model_bytes, entry.n_changed, entry.bits_per_weight < 1
    (1000, 8000, 1, True)
    """

    index: int
    step: int | None
    name: str | None
    time: float
    n_bytes: int
    is_keyframe: bool
    metadata: dict[str, Any]
    position: Position
    n_weights: int | None = None
    model_bytes: int | None = None
    n_changed: int | None = None
    is_lost: bool = False

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of the update per element of the model; None where it is not known or there are none."""
        return 8 * self.n_bytes / self.n_weights if self.n_weights else None

    @property
    def ratio(self) -> float | None:
        """How many times smaller the update is than the tensors; None where that is not known."""
        return self.model_bytes / self.n_bytes if self.model_bytes and self.n_bytes else None


@dataclass(frozen=True, slots=True)
class Record:
    """An entry together with what is needed to decode it."""

    entry: Entry
    offset: int
    """Where in the file it was found; for a lost entry, where the damage begins."""
    parent_chain: int | None = None
    """The chain of the parent's position; None for keyframes."""
    layout: PackedLayout = None
    bodies: tuple[Body, ...] = ()
    """The pieces of the update, in order; none where one of them is missing."""


@dataclass(frozen=True, slots=True)
class Label:
    """What the caller says about an entry, checked and detached from the caller's objects."""

    step: int | None = None
    name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


def label(step: object, name: object, metadata: object) -> Label:
    """Check what the caller says about an entry.

    Raises
    ------
    TypeError
        A step that is no integer, a name that is no string, metadata that is no dict with string keys or holds
        something else than None, bool, int, float, str, bytes, list, tuple and dict.
    ValueError
        A step that does not fit 64 bits, a name that is no text, or more than `MAX_LABEL_BYTES` of metadata.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    checked = Label(_checked_step(step), name, _checked_metadata({} if metadata is None else metadata))
    n_bytes = len(_packb([checked.name, checked.metadata]))
    if n_bytes > MAX_LABEL_BYTES:
        raise ValueError(f"name and metadata of {n_bytes} bytes are more than an entry takes")
    return checked


def _checked_step(step: object) -> int | None:
    if step is None:
        return None
    if isinstance(step, bool):
        raise TypeError("step must be an integer, not bool")
    number = operator.index(step)  # type: ignore[arg-type]
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"step {number} does not fit 64 bits")
    return number


def _checked_metadata(metadata: object) -> dict[str, Any]:
    if not isinstance(metadata, dict) or not all(isinstance(key, str) for key in metadata):
        raise TypeError("metadata must be a dict with string keys")
    try:
        copy: dict[str, Any] = _unpackb(_packb(metadata))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"metadata cannot be stored: {error}") from error
    return copy


def pack_fields(update: UpdateChunks, said: Label, layout: PackedLayout, n_parts: int) -> bytes:
    """Return the header fields of the frame that commits an update; what does not apply is left out."""
    position, parent, stats = update.position, update.parent, update.stats
    fields: Fields = {
        "q": position.sequence,
        "c": position.chain,
        "d": position.digest,
        "p": parent and parent.chain,
        "t": said.time,
        "a": n_parts or None,
        "s": said.step,
        "n": said.name,
        "m": said.metadata or None,
        "l": layout,
        "w": stats and stats.n_weights,
        "b": stats and stats.model_bytes,
        "v": stats and stats.n_changed,
    }
    return _packb({key: value for key, value in fields.items() if value is not None})


def pack_part_fields(position: Position, number: int) -> bytes:
    """Return the header fields of a piece of an update that is not its last; `number` counts from 0."""
    return _packb({"c": position.chain, "a": number})


def unpack_fields(data: bytes) -> Fields:
    """Return header fields as a dict.

    Raises
    ------
    CorruptError
        They are no such thing.
    """
    try:
        fields = _unpackb(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise CorruptError("the fields of a frame's header are malformed") from error
    if not isinstance(fields, dict):
        raise CorruptError("the fields of a frame's header are no map")
    return fields


def entry_of(fields: Fields, index: int, n_bytes: int) -> Entry:
    """Return the entry that a commit frame's fields describe; `n_bytes` is the size of its update.

    Raises
    ------
    CorruptError
        A field is missing or of the wrong type.
    """
    return Entry(
        index=index,
        step=_step_of(fields),
        name=_typed(fields, "n", str) if "n" in fields else None,
        time=_typed(fields, "t", float),
        n_bytes=n_bytes,
        is_keyframe="p" not in fields,
        metadata=_metadata_of(fields),
        position=Position(uint64(fields, "q"), uint64(fields, "c"), uint64(fields, "d")),
        n_weights=_optional_uint64(fields, "w"),
        model_bytes=_optional_uint64(fields, "b"),
        n_changed=_optional_uint64(fields, "v"),
    )


def record_of(fields: Fields, index: int, offset: int, bodies: tuple[Body, ...]) -> Record:
    """Return the entry that a commit frame's fields describe, and what decoding it needs.

    Raises
    ------
    CorruptError
        A field is missing or of the wrong type.
    """
    entry = entry_of(fields, index, sum(body.n_bytes for body in bodies))
    return Record(entry, offset, _optional_uint64(fields, "p"), _layout_of(fields), bodies)


def lost_record(index: int, offset: int, sequence: int) -> Record:
    """Stand in for an entry whose header was destroyed, so that those behind it keep their numbers."""
    position = Position(sequence, 0, None)
    return Record(Entry(index, None, None, 0.0, 0, False, {}, position, is_lost=True), offset)


def uint64(fields: Fields, key: str) -> int:
    """Return a field that must be there and be an unsigned integer."""
    value = _typed(fields, key, int)
    if value < 0:
        raise CorruptError(f"field {key!r} of a frame's header is negative")
    return value


def _optional_uint64(fields: Fields, key: str) -> int | None:
    return uint64(fields, key) if key in fields else None


def _step_of(fields: Fields) -> int | None:
    step = _typed(fields, "s", int) if "s" in fields else None
    if step is not None and step >= 1 << 63:
        raise CorruptError("the step in a frame's header does not fit 64 bits")
    return step


def _metadata_of(fields: Fields) -> dict[str, Any]:
    metadata = _typed(fields, "m", dict) if "m" in fields else {}
    if not all(type(key) is str for key in metadata):
        raise CorruptError("the metadata in a frame's header has a key that is no string")
    return metadata


def _layout_of(fields: Fields) -> PackedLayout:
    if "l" not in fields:
        return None
    match fields["l"]:
        case True | [str(), bytes()] as layout:
            return layout
    raise CorruptError("the layout in a frame's header is malformed")


def _typed(fields: Fields, key: str, kind: type[Value]) -> Value:
    value = fields.get(key)
    if type(value) is not kind:
        raise CorruptError(f"field {key!r} of a frame's header is no {kind.__name__}")
    return value


def _packb(value: object) -> bytes:
    # surrogateescape: names come from file systems, where any byte may stand in a name
    data: bytes = msgpack.packb(value, unicode_errors="surrogateescape")
    return data


def _unpackb(data: bytes) -> Any:
    return msgpack.unpackb(data, unicode_errors="surrogateescape", strict_map_key=False)

"""stream.md, from "Updates" to "Reading": a file as a list of entries, and the state of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import zstandard

from protocol.reference.errors import MalformedError, require
from protocol.reference.fields import OPTIONAL_OF_UPDATE, REQUIRED_OF_PART, REQUIRED_OF_UPDATE, hold
from protocol.reference.frames import OPTIONAL, PART, UPDATE, Damage, Header, scan
from protocol.reference.state import State
from protocol.reference.units import first_units
from protocol.reference.update import decode

LEAST_FRAME_BYTES = 43


@dataclass(frozen=True)
class Layout:
    """What the checkpoint file held besides its tensors."""

    format: str
    data: bytes


@dataclass
class Entry:
    """The frames of one update; ``parts`` are called by their numbers."""

    parts: dict[int, Header]
    last: Header

    @property
    def fields(self) -> dict[str, object]:
        return self.last.fields

    @property
    def chain(self) -> int:
        return self.fields["c"]

    @property
    def parent_chain(self) -> int | None:
        return self.fields.get("p")

    def update(self) -> bytes:
        """The pieces of the update, put together."""
        numbers = range(self.fields.get("a", 0))
        require(all(number in self.parts for number in numbers), "a part of the update is missing")
        return b"".join(frame.body() for frame in [*(self.parts[number] for number in numbers), self.last])


@dataclass
class Stream:
    """A file. An entry that damage has taken is None; ``index`` finds an entry by its chain.

    What stands behind ``committed_end`` is a torn tail.
    """

    entries: list[Entry | None]
    committed_end: int
    index: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.index = {entry.chain: i for i, entry in enumerate(self.entries) if entry}

    def path(self, number: int) -> list[Entry]:
        """The entries to decode one after the other: from a keyframe to the entry asked for."""
        path = [self.entry(number)]
        while path[0].parent_chain is not None:
            require(path[0].parent_chain in self.index, "an entry that this one needs is lost")
            parent = self.entry(self.index[path[0].parent_chain])
            require(parent.fields["q"] < path[0].fields["q"], "a parent is not older than its child")
            path.insert(0, parent)
        return path

    def entry(self, number: int) -> Entry:
        entry = self.entries[number]
        if entry is None:
            raise MalformedError(f"entry {number} is lost")
        return entry

    def state(self, number: int) -> State:
        """The weights of an entry and all that goes with them."""
        state = None
        for entry in self.path(number):
            update = entry.update()
            require(first_units(update)[0].parent_chain == entry.parent_chain, "frame and update name two parents")
            state = decode(state, update)
            position = (state.position.sequence, state.position.chain, state.position.digest)
            require(position == tuple(entry.fields[key] for key in "qcd"), "frame and update name two positions")
        return state

    def layout(self, number: int) -> Layout | None:
        """The layout of an entry; each is compressed with its parent's in view."""
        layout = None
        for entry in self.path(number):
            layout = next_layout(layout, entry.fields.get("l"), entry.parent_chain is None)
        return layout


def next_layout(parent: Layout | None, stored: object, is_keyframe: bool) -> Layout | None:
    if stored is None:
        return None
    if stored is True:
        require(parent is not None and not is_keyframe, "there is no layout to be the same as")
        return parent
    name, packed = stored
    known = zstandard.ZstdCompressionDict(parent.data if parent else b"", zstandard.DICT_TYPE_RAWCONTENT)
    decompressor = zstandard.ZstdDecompressor(known) if parent and parent.data else zstandard.ZstdDecompressor()
    return Layout(name, decompressor.decompress(packed))


def read(data: bytes) -> Stream:
    """Find the entries of a file; one whose bytes are damaged fails when it is asked for."""
    found = scan(data)
    entries: list[Entry | None] = []
    parts: list[Header] = []
    damage = committed_end = 0
    for item in map(judged, found.items):
        if isinstance(item, Damage):
            damage += item.end - item.begin
        elif item.kind == PART:
            parts.append(item)
        elif item.kind == UPDATE:
            entries += [None] * n_lost(entries, item.fields["q"], damage)
            own = {part.fields["a"]: part for part in parts if part.fields["c"] == item.fields["c"]}
            entries.append(Entry(own, item))
            parts, damage, committed_end = [], 0, item.end
        elif not parts:
            committed_end = item.end
    if found.ends_in_damage:
        entries.append(None)
        committed_end = found.end
    return Stream(entries, committed_end)


def judged(item: Header | Damage) -> Header | Damage:
    """A frame whose fields are not as described is damage, too."""
    if isinstance(item, Damage) or item.kind & OPTIONAL:
        return item
    require(item.kind in (PART, UPDATE), "a frame of unknown kind that may not be skipped")
    if item.kind == PART:
        sound = hold(item.fields, REQUIRED_OF_PART, {})
    else:
        sound = hold(item.fields, REQUIRED_OF_UPDATE, OPTIONAL_OF_UPDATE)
    return item if sound else Damage(item.begin, item.end)


def n_lost(entries: list[Entry | None], sequence: int, damage: int) -> int:
    """How many entries the damage before an entry has taken: as many as their sequences say and as have room."""
    before = entries[-1].fields["q"] if entries else -1
    return min(max(sequence - before - 1, 0), damage // LEAST_FRAME_BYTES)

"""Trying out what happens to a stream of updates on the way: a channel that loses, repeats, swaps and damages them.

The channel is an iterable in, an iterable out, and knows nothing of updates; `replay` puts a decoder behind it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Self, SupportsBytes

from incnnr.errors import IncnnrError
from incnnr.incremental import Decoder, Update
from incnnr.position import Position
from incnnr.tensors import Model

Channel = Callable[[Iterable[bytes]], Iterable[bytes]]
Fate = Literal["drop", "duplicate", "reorder", "corrupt"]

_MAX_DELAY = 3
_MAX_FLIPS = 8


class Packet(bytes):
    """Bytes that remember which of the packets sent they were.

    Attributes
    ----------
    origin : int
        Number of the packet, counted from 0.
    """

    origin: int

    def __new__(cls, data: bytes, origin: int) -> Self:
        """Label `data`."""
        packet = super().__new__(cls, data)
        packet.origin = origin
        return packet


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a channel did to a packet.

    Attributes
    ----------
    fate : {"drop", "duplicate", "reorder", "corrupt"}
        Lost; delivered twice in a row; delivered after at least one that was sent later; delivered with other bytes.
    index : int
        Number of the packet, counted from 0.
    """

    fate: Fate
    index: int


class LossyChannel:
    """A channel that does to packets what networks do, by chance but the same way each time.

    Every packet meets at most one fate. Calling the channel sends an iterable of bytes through it; each call begins
    anew, with an empty log and the same luck.

    Parameters
    ----------
    drop, duplicate, reorder, corrupt : float
        Probabilities of the fates; together at most 1. A reordered packet arrives after the next one to three that
        get through; a corrupted one has one to eight bits flipped, or lost its end.
    seed : int
        Equal seeds make equal channels.

    Attributes
    ----------
    log : list of Event
        What happened, one record per event. A packet that was held back and overtaken by none is not in it, nor is
        an empty one that there was nothing to corrupt in.

    Raises
    ------
    ValueError
        A probability that is none, or more than 1 in all.

    Examples
    --------
    >>> channel = LossyChannel(drop=0.3, seed=2)
    >>> list(channel([b"a", b"b", b"c"]))
    [b'a', b'b']
    >>> channel.log
    [Event(fate='drop', index=2)]
    """

    def __init__(
        self, *, drop: float = 0.0, duplicate: float = 0.0, reorder: float = 0.0, corrupt: float = 0.0, seed: int = 0
    ) -> None:
        self._chances: dict[Fate, float] = {
            "drop": drop,
            "duplicate": duplicate,
            "reorder": reorder,
            "corrupt": corrupt,
        }
        if not all(0 <= chance <= 1 for chance in self._chances.values()) or sum(self._chances.values()) > 1 + 1e-9:
            raise ValueError(f"probabilities must lie between 0 and 1 and add up to at most 1: {self._chances}")
        self._seed = seed
        self.log: list[Event] = []

    def __call__(self, packets: Iterable[bytes]) -> Iterator[bytes]:
        """Send packets, and yield what arrives.

        Parameters
        ----------
        packets : iterable of bytes
            Taken as they are asked for.

        Returns
        -------
        iterator of Packet
            Bytes with the number of the packet sent as `origin`.
        """
        self.log = []
        return self._transmitted(packets, random.Random(self._seed), self.log)

    def _transmitted(self, packets: Iterable[bytes], luck: random.Random, log: list[Event]) -> Iterator[Packet]:
        held: list[_Held] = []
        for index, data in enumerate(packets):
            packet = Packet(data, getattr(data, "origin", index))
            fate = self._fate(luck)
            if fate == "reorder":
                held.append(_Held(packet, luck.randint(1, _MAX_DELAY)))
                continue
            for arrived in _delivered(packet, fate, luck, log):
                yield arrived
                yield from _overtaken(held, log)
        for waiting in held:
            yield waiting.packet
            if waiting.is_overtaken:
                log.append(Event("reorder", waiting.packet.origin))

    def _fate(self, luck: random.Random) -> Fate | None:
        dice = luck.random()
        for fate, chance in self._chances.items():
            if dice < chance:
                return fate
            dice -= chance
        return None


@dataclass(slots=True)
class _Held:
    packet: Packet
    delay: int
    is_overtaken: bool = False


def _delivered(packet: Packet, fate: Fate | None, luck: random.Random, log: list[Event]) -> Iterator[Packet]:
    """Yield what arrives at once of a packet that is not held back."""
    if fate == "corrupt" and not packet:
        fate = None
    if fate is not None:
        log.append(Event(fate, packet.origin))
    if fate == "corrupt":
        yield Packet(_corrupted(packet, luck), packet.origin)
    elif fate != "drop":
        yield packet
    if fate == "duplicate":
        yield packet


def _overtaken(held: list[_Held], log: list[Event]) -> Iterator[Packet]:
    """Count one more delivery against the packets held back, and yield those that have waited long enough."""
    for waiting in list(held):
        waiting.is_overtaken = True
        waiting.delay -= 1
        if waiting.delay == 0:
            held.remove(waiting)
            log.append(Event("reorder", waiting.packet.origin))
            yield waiting.packet


def _corrupted(data: bytes, luck: random.Random) -> bytes:
    """Cut the end off, or flip a few bits; never the same bytes again."""
    if luck.random() < 0.5:
        return data[: luck.randrange(len(data))]
    damaged = bytearray(data)
    for bit in luck.sample(range(8 * len(data)), luck.randint(1, min(_MAX_FLIPS, 8 * len(data)))):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a decoder made of one packet that arrived: a model, or the reason why there is none.

    Attributes
    ----------
    index : int or None
        Which update it was before the channel; None where the channel does not let that be known.
    model : Model or None
        The weights after it.
    error : IncnnrError or None
        Why it was refused.
    """

    index: int | None
    model: Model | None
    error: IncnnrError | None


def replay(
    updates: Iterable[SupportsBytes], channel: Channel | None = None, *, decoder: Decoder | None = None
) -> Iterator[Delivery]:
    """Send updates through a channel to a decoder.

    Parameters
    ----------
    updates : iterable of Update or bytes
        What a sender sends, in order; nobody answers it when something is missing. Where an `Update` leads arrives
        whole, whatever the channel does to its bytes.
    channel : callable, optional
        From an iterable of bytes to an iterable of bytes, such as a `LossyChannel`; without one all arrives.
    decoder : Decoder, optional
        The receiver; a new one if not given.

    Yields
    ------
    Delivery
        One for everything that arrives.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.incremental import Encoder
    >>> encoder = Encoder()
    >>> updates = [encoder.encode({"w": np.full(2, float(step))}) for step in range(3)]
    >>> for delivery in replay(updates, lambda packets: (packet for packet in packets if packet.origin != 1)):
    ...     print(delivery.index, delivery.model and delivery.model["w"], type(delivery.error).__name__)
    0 [0. 0.] NoneType
    2 None GapError
    """
    decoder = decoder or Decoder()
    places: dict[int, tuple[Position, Position | None]] = {}
    packets = _packets(updates, places)
    for packet in packets if channel is None else channel(packets):
        index = getattr(packet, "origin", None)
        try:
            arrived = Update(packet, *places[index]) if index in places else packet
            yield Delivery(index, decoder.decode(arrived), None)
        except IncnnrError as error:
            yield Delivery(index, None, error)


def _packets(updates: Iterable[SupportsBytes], places: dict[int, tuple[Position, Position | None]]) -> Iterator[Packet]:
    """Yield updates as bytes; note where those lead that say so."""
    for index, update in enumerate(updates):
        if isinstance(update, Update):
            places[index] = update.position, update.parent
        yield Packet(bytes(update), index)

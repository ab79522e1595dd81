"""From the server to its clients: one chain of updates that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from incnnr.errors import DivergedError, GapError, StaleUpdateError, StateError
from incnnr.federated.coding import Coding
from incnnr.federated.messages import Broadcast, Reply
from incnnr.incremental import Decoder, Update
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.position import Position
from incnnr.tensors import Array, Model, as_array, bytes_of, type_of

_RELATIVE = ("relative_error", "target_bytes")
_KEYFRAME_ERROR = 0.05


@dataclass(frozen=True, slots=True)
class Reference:
    """A model that was broadcast.

    Attributes
    ----------
    decoder : Decoder
        What clients hold. It is forked, never advanced.
    exact : mapping of str to numpy.ndarray
        What the server gave, which the clients have as precisely as the downlink is asked to be.
    """

    decoder: Decoder
    exact: Mapping[str, Array] = field(repr=False)

    @property
    def model(self) -> Model:
        """The weights that clients hold."""
        model = self.decoder.model
        if model is None:
            raise StateError("the decoder holds nothing yet")
        return model

    @property
    def position(self) -> Position:
        """Where clients stand that hold it."""
        return self.model.position


class Downlink:
    """The server's end of what goes to clients: a chain of updates, the same for all.

    Parameters
    ----------
    recent : int
        How many of the latest models replies are still understood of. Each takes the memory of one model, or two if the
        downlink is lossy; that does not depend on how many clients there are.
    keyframe_every : int, optional
        Broadcasts from one keyframe to the next; default only the first. They bound what a newcomer must be sent and
        what the server keeps, which is every update since the last one.
    **options
        As for `Encoder`, without ``base``, ``profile`` and ``require_ack``; but with `relative_error` or `target_bytes`
        the first keyframe is lossy too, as if by ``keyframe_error=0.05``: None makes it exact.

    Notes
    -----
    A client that fell behind gets the updates that it missed, or the newest keyframe and what follows. It never gets a
    keyframe of its own.

    Examples
    --------
    >>> import numpy as np
    >>> downlink, receiver = Downlink(), Receiver()
    >>> position = downlink.broadcast({"w": np.zeros(4, np.float32)})
    >>> receiver.receive(downlink.message(receiver.position))["w"]
    array([0., 0., 0., 0.], dtype=float32)
    >>> position = downlink.broadcast({"w": np.ones(4, np.float32)})
    >>> receiver.receive(downlink.message(receiver.position))["w"]
    array([1., 1., 1., 1.], dtype=float32)
    """

    def __init__(self, *, recent: int = 2, keyframe_every: int | None = None, **options: Any) -> None:
        if recent < 1 or (keyframe_every is not None and keyframe_every < 1):
            raise ValueError("recent and keyframe_every count from 1")
        is_relative = not options.keys().isdisjoint(_RELATIVE)
        self._coding = Coding(**({"keyframe_error": _KEYFRAME_ERROR, **options} if is_relative else options))
        self._n_recent = recent
        self._keyframe_every = keyframe_every
        self._decoder = Decoder()
        self._updates: list[Update] = []
        self._recent: dict[Position, Reference] = {}
        self._messages: dict[Position | None, bytes] = {}

    @property
    def position(self) -> Position | None:
        """Where the newest model stands; None before the first one."""
        return self._decoder.position

    @property
    def updates(self) -> tuple[Update, ...]:
        """The updates since the newest keyframe, which is the first of them."""
        return tuple(self._updates)

    def broadcast(self, weights: Mapping[str, object]) -> Position:
        """Make `weights` the current model.

        Parameters
        ----------
        weights : mapping of str to array
            The global model. It is copied.

        Returns
        -------
        Position
            Where clients will stand that hold it.

        Raises
        ------
        TypeError, ValueError, UnsupportedError
            As by `Encoder.encode`; then nothing has happened.
        """
        is_due = len(self._updates) == self._keyframe_every
        update = self._coding.encode(self._decoder, weights, keyframe=is_due)
        decoder = self._decoder.fork()
        exact = _exact(weights, decoder.decode(update))
        self._decoder = decoder
        self._updates = [update] if update.is_keyframe else [*self._updates, update]
        self._messages = {}
        recent = {**self._recent, update.position: Reference(decoder, exact)}
        self._recent = dict(list(recent.items())[-self._n_recent :])
        return update.position

    def message(self, held: Position | None) -> bytes:
        """Return what a client needs: the same bytes for all that hold the same.

        Parameters
        ----------
        held : Position or None
            Where the client stands as far as is known: as its last reply said, or None.

        Raises
        ------
        StateError
            Nothing was broadcast yet.
        """
        head = self.position
        if head is None:
            raise StateError("nothing was broadcast yet")
        if held in self._messages:
            return self._messages[held]
        updates, is_known = self._needed(held)
        message = Broadcast(head, held, tuple(bytes(update) for update in updates)).pack()
        if is_known:
            self._messages[held] = message  # what clients make up must not fill the memory
        return message

    def is_recent(self, position: Position) -> bool:
        """Whether replies to that model are still understood."""
        return position in self._recent

    def reference(self, held: Position | None) -> Reference:
        """Return the recent model of that position.

        Raises
        ------
        StaleUpdateError
            It is older than `recent` models.
        GapError
            `held` is None.
        DivergedError
            It is not of this chain.
        """
        if held is None:
            raise GapError("the client holds no model", expected=None, actual=self.position)
        if held in self._recent:
            return self._recent[held]
        newest = self.position
        error = StaleUpdateError if newest and held.sequence < newest.sequence else DivergedError
        raise error(f"a reply to model {held}; the newest is {newest}", expected=held, actual=newest)

    def _needed(self, held: Position | None) -> tuple[list[Update], bool]:
        """Return the updates from `held`, and whether that is a position since the newest keyframe, or None."""
        for i, update in enumerate(self._updates):
            if held == update.position:
                return self._updates[i + 1 :], True
        return self._updates, held is None


def _exact(weights: Mapping[str, object], model: Model) -> dict[str, Array]:
    """Copy the weights, but for tensors of which the clients have every bit."""
    exact = {}
    for name, held in model.items():
        array = as_array(weights[name])
        if bytes_of(array).tobytes() == bytes_of(held).tobytes():
            exact[name] = held
        else:
            exact[name] = array.astype(type_of(array).numpy_dtype, order="C", copy=True)
            exact[name].flags.writeable = False
    return exact


class Receiver:
    """A client's end of what the server broadcasts.

    Parameters
    ----------
    limits : Limits
        What the server's messages may make it allocate.

    Notes
    -----
    A receiver is advanced by `receive` alone, and only as a whole.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._decoder = Decoder(limits=limits)

    @property
    def position(self) -> Position | None:
        """Where it stands; None before the first message."""
        return self._decoder.position

    @property
    def decoder(self) -> Decoder:
        """What it holds, as a decoder of its own."""
        return self._decoder.fork()

    def receive(self, message: bytes | bytearray | memoryview) -> Model:
        """Follow the server.

        Parameters
        ----------
        message : bytes-like
            From `Downlink.message`. One that arrives again is taken, and changes nothing.

        Returns
        -------
        Model
            The current global model.

        Raises
        ------
        StaleUpdateError
            The message is older than what is held.
        GapError, DivergedError
            It does not follow from what is held: answer with `request`.
        BitstreamError
            It is damaged.

        Notes
        -----
        All or nothing: if this raises, the receiver is where it was.
        """
        broadcast = Broadcast.read(message)
        decoder, updates = self._way_to(broadcast)
        for update in updates:
            decoder.decode(update)
        if decoder.position != broadcast.head or decoder.model is None:
            raise _refusal(broadcast, self.position)
        self._decoder = decoder
        return decoder.model

    def request(self) -> bytes:
        """Return a reply that says what is held, and asks for what leads from there to the current model."""
        return Reply(self.position).pack()

    def to_bytes(self) -> bytes:
        """Save what is held, in about the bytes of the weights; nothing if nothing is."""
        return b"" if self.position is None else self._decoder.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> Receiver:
        """Restore what `to_bytes` saved.

        Raises
        ------
        BitstreamError
            `data` is damaged, or was written by another version.

        Examples
        --------
        >>> Receiver.from_bytes(Receiver().to_bytes()).position is None
        True
        """
        receiver = cls(limits=limits)
        if data:
            receiver._decoder = Decoder.from_bytes(data, limits=limits)
        return receiver

    def _way_to(self, broadcast: Broadcast) -> tuple[Decoder, list[Update]]:
        """Return where to start from, and the updates from there; raise if there is no way to `broadcast.head`."""
        held = self.position
        if held == broadcast.head:
            return self._decoder.fork(), []
        updates = [Update.from_bytes(data) for data in broadcast.updates]
        for i, update in enumerate(updates):
            if held is not None and update.parent == held:
                return self._decoder.fork(), updates[i:]
        if not updates or not updates[0].is_keyframe or not self._may_start_anew(broadcast):
            raise _refusal(broadcast, held)
        return Decoder(limits=self._limits), updates

    def _may_start_anew(self, broadcast: Broadcast) -> bool:
        """Whether a keyframe may replace what is held: it leads further, or answers a request made from there."""
        held = self.position
        return held is None or held == broadcast.since or held.sequence < broadcast.head.sequence


def _refusal(broadcast: Broadcast, held: Position | None) -> StaleUpdateError | GapError | DivergedError:
    message = f"the server's message leads to {broadcast.head}: the client holds {held or 'nothing yet'}"
    if held is not None and broadcast.head.sequence < held.sequence:
        return StaleUpdateError(message, expected=broadcast.since, actual=held)
    if held is None or (broadcast.since and broadcast.since.sequence > held.sequence):
        return GapError(message, expected=broadcast.since, actual=held)
    return DivergedError(message, expected=broadcast.since, actual=held)

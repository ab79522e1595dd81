"""The server's end of what clients send: their differences, put onto the exact global model."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from incnnr.errors import CorruptError, DivergedError, GapError, ModelMismatchError, StaleUpdateError
from incnnr.federated.downlink import Downlink, Reference
from incnnr.federated.messages import Reply
from incnnr.incremental import Update
from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.tensors import Array, Kind, Model, type_of

_LEAST_ALLOWED = 1 << 26
_MOST_PER_MODEL_BYTE = 4


class Collector:
    """The server's end of what clients send.

    Parameters
    ----------
    downlink : Downlink
        What the replies are to.

    Notes
    -----
    Of a client it remembers only, as long as a model is recent, that it has replied to it; and of one with a memory of
    its own, the position of its last reply.
    """

    def __init__(self, downlink: Downlink) -> None:
        self._downlink = downlink
        self._heard: dict[Position, set[Hashable]] = {}
        self._acknowledged: dict[Hashable, Position] = {}

    def acknowledged(self, client: Hashable) -> Position | None:
        """Return the last reply decoded of a client that keeps a memory of it, to be told with the next message."""
        return self._acknowledged.get(client)

    def collect(
        self, client: Hashable, reply: bytes | bytearray | memoryview, *, to: Position | None = None
    ) -> dict[str, Array]:
        """Decode a reply.

        Parameters
        ----------
        client : hashable
            Who sent it, as far as the transport knows.
        reply : bytes-like
            From `Uplink.encode`.
        to : Position, optional
            The model that the client was asked about; default any recent one.

        Returns
        -------
        dict of str to numpy.ndarray
            The exact global model plus the difference that the client made to the one it received: errors of the
            downlink do not come back in.

        Raises
        ------
        StaleUpdateError
            It is a reply to an older model, or a second one from this client to this model.
        DivergedError
            It is a reply to a model that this server has not broadcast, or to another one than it was asked about.
        GapError
            The client says that it could not follow: send it ``downlink.message(error.actual)``.
        ModelMismatchError
            Its tensors are others than those of the global model, or not finite where that is.
        BitstreamError
            It is damaged, not an update, or would take more memory than an update to this model may.

        Notes
        -----
        If this raises, nothing has happened: the round goes on with the others.
        """
        message = Reply.read(reply)
        if message.update is None:
            raise GapError(f"the client could not follow from {message.held or 'nothing'}", actual=message.held)
        reference = self._downlink.reference(message.held)
        _check_is_to(reference.position, to)
        heard = self._heard.get(reference.position, set())
        if client in heard:
            raise StaleUpdateError(f"a second reply to model {message.held}", expected=message.held)
        model = _decoded(reference, message.update)
        weights = merged(reference, model)
        recent = {p: c for p, c in self._heard.items() if self._downlink.is_recent(p)}
        self._heard = {**recent, reference.position: {*heard, client}}
        if message.is_kept:
            self._acknowledged[client] = model.position
        return weights


def _check_is_to(position: Position, to: Position | None) -> None:
    if to is not None and to != position:
        error = StaleUpdateError if position.sequence < to.sequence else DivergedError
        raise error(f"a reply to model {position} instead of {to}", expected=position, actual=to)


def merged(reference: Reference, model: Model) -> dict[str, Array]:
    """Put the difference that a client made onto the exact global model.

    Raises
    ------
    ModelMismatchError
        The result is not finite where the global model is.
    """
    before = reference.model
    weights = dict(reference.exact)
    for name in model.changed:
        weights[name] = _moved(reference.exact[name], before[name], model[name])
        if not np.all(_is_finite(weights[name]) | ~_is_finite(reference.exact[name])):
            raise ModelMismatchError(name, expected="finite weights", actual="NaN or infinity")
    return weights


def _decoded(reference: Reference, data: bytes) -> Model:
    update = Update.from_bytes(data)
    if update.is_keyframe:
        raise CorruptError("a client sent a keyframe, which only the server may", byte_offset=0)
    most_bytes = max(_LEAST_ALLOWED, _MOST_PER_MODEL_BYTE * reference.model.n_bytes)
    model = reference.decoder.fork(limits=Limits(model_bytes=most_bytes)).decode(update)
    for name in (*reference.model, *(name for name in model if name not in reference.model)):
        expected, actual = (type_of(m[name]) if name in m else None for m in (reference.model, model))
        if expected != actual:
            raise ModelMismatchError(name, expected=expected, actual=actual)
    return model


def _moved(exact: Array, before: Array, after: Array) -> Array:
    """Add the difference, in float64 for doubles and in float32 for what is smaller.

    Integers are taken as they are, and so is what the clients were sent exactly: every bit of it arrives.
    """
    tensor = type_of(exact)
    if not tensor.is_lossy_capable:
        return after
    wide = np.float64 if tensor.kind is Kind.FLOAT64 else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        difference = after.astype(wide) - before.astype(wide)
        moved = (exact.astype(wide) + difference).astype(exact.dtype)
    return np.where((exact == before) | ~np.isfinite(difference), after, moved)


def _is_finite(array: Array) -> Any:
    return np.isfinite(array) if type_of(array).is_lossy_capable else np.ones(array.shape, bool)

"""From a client to the server: its own weights, as one update to the global model that it received."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from incnnr.errors import CorruptError, DivergedError, GapError, ModelMismatchError, StaleUpdateError
from incnnr.federated.coding import Coding
from incnnr.federated.downlink import Downlink, Receiver, Reference
from incnnr.federated.memory import Memory
from incnnr.federated.messages import Reply
from incnnr.incremental import Update
from incnnr.limits import Limits
from incnnr.position import Position
from incnnr.tensors import Array, Kind, Model, TensorType, as_array, type_of

_LEAST_ALLOWED = 1 << 26
_MOST_PER_MODEL_BYTE = 4


class Uplink:
    """A client's end of what it sends.

    The update is coded with what the receiver holds, contexts and predictor included: neither side needs to remember
    anything of earlier replies. With a `Memory`, which a client keeps for itself, what one reply has to leave out goes
    into the next.

    Parameters
    ----------
    **options
        As for `Encoder`, without ``base``, ``profile`` and ``require_ack``.

    Examples
    --------
    >>> import numpy as np
    >>> downlink, receiver, uplink = Downlink(), Receiver(), Uplink(max_error=0.01)
    >>> collector = Collector(downlink)
    >>> position = downlink.broadcast({"w": np.zeros(4, np.float32)})
    >>> model = receiver.receive(downlink.message(None))
    >>> reply = uplink.encode(receiver, {"w": model["w"] + 0.5})
    >>> collector.collect("client 1", reply)["w"].round(1)
    array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """

    def __init__(self, **options: Any) -> None:
        self._coding = Coding(**options)

    def encode(self, receiver: Receiver, weights: Mapping[str, object]) -> bytes:
        """Code a client's weights against the global model that it received.

        Parameters
        ----------
        receiver : Receiver
            It is not advanced.
        weights : mapping of str to array
            Tensors with the names and shapes of the global model, and its dtypes or others that these have room for.

        Returns
        -------
        bytes
            For `Collector.collect`.

        Raises
        ------
        ModelMismatchError
            The tensors are others than those of the global model.
        GapError
            The receiver holds nothing yet.
        """
        reply, _ = self._encoded(receiver, fitted(_model_of(receiver), weights), is_kept=False)
        return reply

    def encode_with_memory(
        self, receiver: Receiver, weights: Mapping[str, object], memory: Memory, acknowledged: Position | None
    ) -> tuple[bytes, Memory]:
        """Do as `encode`, adding what the last reply had to leave out.

        Parameters
        ----------
        receiver, weights
            As for `encode`.
        memory : Memory
            What the last call returned, or ``Memory(max_age=...)``. It is not changed.
        acknowledged : Position or None
            What the server says of this client: `Collector.acknowledged`.

        Returns
        -------
        reply : bytes
            For `Collector.collect`.
        memory : Memory
            For the next call.

        Raises
        ------
        ModelMismatchError, GapError
            As by `encode`.
        """
        model = _model_of(receiver)
        given = memory.added_to(fitted(model, weights), model.position, acknowledged)
        reply, update = self._encoded(receiver, given, is_kept=True)
        arrived = receiver.decoder.decode(update)
        return reply, memory.after(update.position, given, arrived)

    def _encoded(self, receiver: Receiver, weights: Mapping[str, Array], *, is_kept: bool) -> tuple[bytes, Update]:
        update = self._coding.encode(receiver.decoder, weights)
        return Reply(receiver.position, bytes(update), is_kept).pack(), update


def _model_of(receiver: Receiver) -> Model:
    if (model := receiver.decoder.model) is None:
        raise GapError("the client has not received a model yet")
    return model


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


def fitted(model: Mapping[str, Array], weights: Mapping[str, object]) -> dict[str, Array]:
    """Give the tensors of `model` values of `weights`, in another dtype if that has them exactly.

    Averaging on the server makes floats of counters, which are integers again in the client's network.

    Raises
    ------
    ModelMismatchError
        Names or shapes differ, or values that the dtype of the global model does not have.
    """
    fitting = {}
    for name in (*model, *(name for name in weights if name not in model)):
        expected = type_of(model[name]) if name in model else None
        actual = as_array(weights[name]) if name in weights else None
        if expected is None or actual is None or expected.shape != actual.shape:
            raise ModelMismatchError(name, expected=expected, actual=None if actual is None else type_of(actual))
        fitting[name] = actual if type_of(actual) == expected else _converted(name, actual, expected)
    return fitting


def _converted(name: str, array: Array, expected: TensorType) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            converted = array.astype(expected.numpy_dtype)
            is_exact = bool(np.array_equal(converted.astype(array.dtype), array))
        except (TypeError, ValueError):
            is_exact = False
    if not is_exact:
        raise ModelMismatchError(name, expected=expected, actual=type_of(array))
    return converted


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

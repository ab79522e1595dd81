"""A client's end of what it sends: its own weights, as one update to the global model that it received."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from incnnr.errors import GapError, ModelMismatchError
from incnnr.federated.coding import Coding
from incnnr.federated.downlink import Receiver
from incnnr.federated.memory import Memory
from incnnr.federated.messages import Reply
from incnnr.incremental import Update
from incnnr.position import Position
from incnnr.quantization import Quality
from incnnr.tensors import Array, Kind, Model, TensorType, as_array, type_of

_MOST_STRETCH = 2.0


class Uplink:
    """A client's end of what it sends.

    The update is coded with what the receiver holds, contexts and predictor included: neither side needs to remember
    anything of earlier replies.

    Parameters
    ----------
    **options
        As for `Encoder`, without ``base``, ``profile`` and ``require_ack``.

    Notes
    -----
    Coarse coding shrinks. Of a difference coded to the relative error e the part 1 - e**2 arrives, and averaging does
    not make up for that, since much the same weights are small in the differences of all clients. `encode` stretches
    differences by 1 / (1 - e**2) beforehand, twice at most: what arrives is about right on average, and its noise
    averages out over the clients. `encode_with_memory` adds what one reply has to leave out to the next instead.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.federated import Collector, Downlink
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
        self._quality = Quality(relative_error=options.get("relative_error"))

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
        model = _model_of(receiver)
        reply, _ = self._encoded(receiver, stretched(model, fitted(model, weights), self._quality), is_kept=False)
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


def stretched(model: Mapping[str, Array], weights: Mapping[str, Array], quality: Quality) -> dict[str, Array]:
    """Lengthen the differences to `model` by what coding them with a relative error takes from them."""
    return {
        name: _stretched(model[name], array, quality.tolerance(name, type_of(array)).relative_error)
        for name, array in weights.items()
    }


def _stretched(before: Array, after: Array, relative_error: float) -> Array:
    if not relative_error:
        return after
    factor = min(_MOST_STRETCH, 1 / (1 - relative_error**2))
    wide = np.float64 if type_of(after).kind is Kind.FLOAT64 else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        difference = after.astype(wide) - before.astype(wide)
        moved = (before.astype(wide) + factor * difference).astype(after.dtype)
    return np.where(np.isfinite(moved), moved, after)

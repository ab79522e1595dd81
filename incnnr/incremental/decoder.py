"""The decoder: updates in, the current model out, and nothing that does not follow."""

from __future__ import annotations

from collections.abc import Mapping

from incnnr.coding import checked_threads
from incnnr.errors import CorruptError, DivergedError, GapError, StaleUpdateError, StateError
from incnnr.incremental import snapshot
from incnnr.incremental.decoding import decode_update
from incnnr.incremental.standard import Outcome
from incnnr.incremental.standard_decoding import check_claim, decode_bitstream, parent_of_bare
from incnnr.incremental.state import CodecState, base_state
from incnnr.incremental.update import ParsedUpdate, Update, is_standard, parse
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.position import Position
from incnnr.tensors import Model, ModelStats


class Decoder:
    """Apply updates in order and hold the current model.

    Parameters
    ----------
    base : mapping of str to array, optional
        Weights that the encoder was given as its ``base``.
    limits : Limits
        What an update may make this decoder allocate.
    threads : int, optional
        Threads of one call; default as many as there are cores for this process, at most 4.

    Notes
    -----
    One decoder belongs to one thread at a time.

    Examples
    --------
    >>> import numpy as np
    >>> from incnnr.incremental import Encoder
    >>> encoder, decoder = Encoder(), Decoder()
    >>> model = decoder.decode(encoder.encode({"w": np.arange(4.0), "b": np.zeros(2)}))
    >>> model = decoder.decode(encoder.encode({"w": np.arange(4.0), "b": np.ones(2)}))
    >>> model["b"], sorted(model.changed)
    (array([1., 1.]), ['b'])
    """

    def __init__(
        self,
        *,
        base: Mapping[str, object] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        threads: int | None = None,
    ) -> None:
        self._limits = limits
        self._threads = checked_threads(threads)
        self._state = None if base is None else base_state(base)
        self._takes_any_keyframe = False

    @property
    def position(self) -> Position | None:
        """Where the decoder stands; None before its first keyframe."""
        return self._state.position if self._state else None

    @property
    def model(self) -> Model | None:
        """The current model; None before the first keyframe."""
        return self._state.model() if self._state else None

    def decode(self, update: Update | bytes | bytearray | memoryview) -> Model:
        """Apply one update.

        Parameters
        ----------
        update : Update or bytes-like
            One whole update, as `Encoder.encode` made it; or any bitstream of ISO/IEC 15938-17, whose differences are
            added to what is held.

        Returns
        -------
        Model
            The weights after it. It stays valid whatever is decoded next.

        Raises
        ------
        ReferenceMismatchError
            The update does not follow from this decoder's position: `StaleUpdateError` (older or repeated: ignore it),
            `GapError` (updates or the first keyframe are missing) or `DivergedError` (made from another past).
        BitstreamError
            The bytes are truncated, corrupt, unsupported or beyond the limits.

        Notes
        -----
        All or nothing: if this raises, the decoder is where it was. The result's digest is checked before it counts.

        The bare bytes of a bitstream of the standard name neither parent nor digest. Any keyframe is taken then, and of
        an update only the nodes of its quantised tensors are compared: device, parameter and depth. It gets the
        position that it has if nothing went wrong. An `Update` of the encoder is checked like any other.
        """
        data = bytes(update if isinstance(update, Update) else memoryview(update))
        decoded = self._decode_standard if is_standard(data) else self._decode_incnnr
        parent, (state, changed, n_changed) = decoded(update, data)
        last = self._state.position.sequence if self._state else -1
        missed = 0 if parent else max(0, state.position.sequence - last - 1)
        model = state.model(changed, ModelStats(len(data), n_changed, missed))
        self._takes_any_keyframe = False
        self._state = state
        return model

    def reset(self) -> None:
        """Accept any keyframe next, also an older one. What is held stays available until then."""
        self._takes_any_keyframe = True

    def fork(self) -> Decoder:
        """Return an independent decoder at the same position; the arrays are shared, so this is cheap."""
        other = Decoder(limits=self._limits, threads=self._threads)
        other._state = self._state
        other._takes_any_keyframe = self._takes_any_keyframe
        return other

    def to_bytes(self, *, weights: bool = True) -> bytes:
        """Save position, weights and coding state.

        Parameters
        ----------
        weights : bool
            Whether the weights are included; if not, `from_bytes` must be given them.

        Raises
        ------
        StateError
            There is nothing to save yet.

        Examples
        --------
        >>> import numpy as np
        >>> decoder = Decoder(base={"w": np.ones(2)})
        >>> Decoder.from_bytes(decoder.to_bytes()).position == decoder.position
        True
        """
        if self._state is None:
            raise StateError("the decoder holds nothing yet")
        return snapshot.pack(self._state, with_weights=weights)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | memoryview,
        weights: Mapping[str, object] | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        threads: int | None = None,
    ) -> Decoder:
        """Restore what `to_bytes` saved.

        Parameters
        ----------
        data : bytes-like
            From `to_bytes`.
        weights : mapping of str to array, optional
            The weights, if they were left out.

        Raises
        ------
        BitstreamError
            `data` is damaged, or was written by another version.
        ModelMismatchError
            `weights` is needed and missing, or not what was held.
        """
        decoder = cls(limits=limits, threads=threads)
        decoder._state = snapshot.unpack(data, weights)
        return decoder

    def _decode_incnnr(self, update: object, data: bytes) -> tuple[CodecState | None, Outcome]:
        parsed = parse(data)
        if isinstance(update, Update) and not _is_at(parsed.position, update.position):
            raise CorruptError("the update is another than its position says", byte_offset=0)
        parent = self._state if self._follows(parsed) else None
        return parent, decode_update(parent, parsed, len(data), self._limits, self._threads)

    def _decode_standard(self, update: object, data: bytes) -> tuple[CodecState | None, Outcome]:
        if isinstance(update, Update):
            check_claim(update, self._limits)
            parent = self._state if self._follows(update) else None
            outcome = decode_bitstream(parent, update.position.sequence, data, self._limits, self._threads)
            if outcome[0].position != update.position:
                raise CorruptError("the decoded weights are not those the update was made from", byte_offset=len(data))
            return parent, outcome
        held = self._state
        sequence = held.position.sequence + 1 if held else 0
        parent = parent_of_bare(data, held, self._limits)
        return parent, decode_bitstream(parent, sequence, data, self._limits, self._threads)

    def _follows(self, update: ParsedUpdate | Update) -> bool:
        """Whether an update continues from what is held; False for a keyframe to be taken. Raises for any other."""
        actual, parent = self.position, update.parent
        if parent is None:
            if actual is None or self._takes_any_keyframe or update.position.sequence > actual.sequence:
                return False
        elif parent == actual:
            return True
        named = f"follows {parent}" if parent else "is a keyframe that is not newer; reset() would take it"
        held = f"the decoder holds {actual or 'nothing yet'}"
        raise _mismatch(update, actual)(f"update {update.position} {named}: {held}", expected=parent, actual=actual)


def _is_at(actual: Position, claimed: Position) -> bool:
    return actual == claimed and actual.digest == claimed.digest


def _mismatch(
    update: ParsedUpdate | Update, held: Position | None
) -> type[StaleUpdateError | GapError | DivergedError]:
    sequence = update.position.sequence
    if held is None or sequence > held.sequence + 1:
        return GapError
    if sequence < held.sequence or update.position == held:
        return StaleUpdateError
    return DivergedError

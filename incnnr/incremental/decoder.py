"""The decoder: updates in, the current model out, and nothing that does not follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain

from incnnr.coding import checked_threads
from incnnr.errors import (
    CorruptError,
    DivergedError,
    GapError,
    ReferenceMismatchError,
    StaleUpdateError,
    StateError,
)
from incnnr.incremental import snapshot
from incnnr.incremental.decoding import decode_arriving, decode_update
from incnnr.incremental.lent import (
    Lent,
    adopted,
    blaming_alterations,
    copied,
    lent_memory,
    places_in,
    places_over,
    poured,
)
from incnnr.incremental.standard_decoding import check_claim, decode_bitstream, parent_of_bare
from incnnr.incremental.state import CodecState, Outcome, base_state, model_bytes
from incnnr.incremental.update import ArrivingUpdate, ParsedUpdate, Update, is_standard, parse
from incnnr.limits import DEFAULT_LIMITS, Limits
from incnnr.position import Position
from incnnr.tensors import Model, ModelStats

_START_BYTES = 4  # enough of a bitstream to tell its profile
Lending = Mapping[str, Lent] | None


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
        self._lent: frozenset[str] = frozenset()

    @property
    def position(self) -> Position | None:
        """Where the decoder stands; None before its first keyframe."""
        return self._state.position if self._state else None

    @property
    def model(self) -> Model | None:
        """The current model; None before the first keyframe."""
        return self._state.model() if self._state else None

    def decode(
        self, update: Update | bytes | bytearray | memoryview, *, into: Mapping[str, object] | None = None
    ) -> Model:
        """Apply one update.

        Parameters
        ----------
        update : Update or bytes-like
            One whole update, as `Encoder.encode` made it; or any bitstream of ISO/IEC 15938-17, whose differences are
            added to what is held.
        into : mapping of str to numpy.ndarray, optional
            Arrays to patch, say those an engine computes with: the tensors of the model, with the values that the
            decoder holds (for a keyframe with any). Writable, in C order, native and little-endian, none in another's
            memory; torch tensors in main memory will do. Only slices that the update changes are touched. From then on
            the arrays are where the decoder holds the model: it keeps no other copy, and nobody else may write to them.

        Returns
        -------
        Model
            The weights after it. It stays valid whatever is decoded next, unless they are in arrays given as `into`:
            then it shows what is in those by now.

        Raises
        ------
        ReferenceMismatchError
            The update does not follow from this decoder's position: `StaleUpdateError` (older or repeated: ignore it),
            `GapError` (updates or the first keyframe are missing) or `DivergedError` (made from another past). Or an
            array that was given as `into` holds something else than the decoder left there.
        BitstreamError
            The bytes are truncated, corrupt, unsupported or beyond the limits.
        ModelMismatchError
            The arrays are not those of the model before and after the update, or at first not with these values. An
            update that adds, removes or retypes tensors cannot be applied `into` arrays: decode it without.
        TypeError, ValueError
            An array cannot be written into as it is.

        Notes
        -----
        All or nothing: if this raises, the decoder is where it was, and in the arrays is what was there. (For that,
        what changes is kept aside during the call, which for a keyframe is everything.) The result's digest is checked
        before it counts. Slices that the update does not change are not read: what somebody wrote there shows when they
        change.

        The bare bytes of a bitstream of the standard name neither parent nor digest. Any keyframe is taken then, and of
        an update only the nodes of its quantised tensors are compared: device, parameter and depth. It gets the
        position that it has if nothing went wrong. An `Update` of the encoder is checked like any other.

        Examples
        --------
        >>> import numpy as np
        >>> from incnnr.incremental import Encoder
        >>> weights = {"w": np.zeros(3)}
        >>> encoder, decoder = Encoder(base=weights), Decoder(base=weights)
        >>> model = decoder.decode(encoder.encode({"w": np.array([0.0, 0.5, 0.0])}), into=weights)
        >>> weights["w"]
        array([0. , 0.5, 0. ])
        """
        data = bytes(update if isinstance(update, Update | bytes) else memoryview(update))
        lent = None if into is None else lent_memory(into)
        decoded = self._decode_standard if is_standard(data) else self._decode_incnnr
        parent, outcome = decoded(update, data, lent)
        return self._at(outcome, parent, lent, len(data))

    def decode_chunks(self, chunks: Iterable[bytes | memoryview], *, into: Mapping[str, object] | None = None) -> Model:
        """Apply one update that comes in pieces, each decoded as soon as it is there.

        Parameters
        ----------
        chunks : iterable of bytes-like
            The bytes of one update, cut anywhere; best as `Encoder.encode_chunks` yields them. It is exhausted.
        into : mapping of str to numpy.ndarray, optional
            As for `decode`.

        Returns
        -------
        Model
            The weights after it, as from `decode`.

        Raises
        ------
        ReferenceMismatchError, BitstreamError, ModelMismatchError, TypeError, ValueError
            As by `decode`. What `chunks` raises is passed on.

        Notes
        -----
        All or nothing, as `decode`. At most one unit of the update is in memory at a time, but a bitstream of the
        standard is put together first. As long as it is not known how much will come, an update may make the decoder
        write what its bytes so far allow, and declare what 64 MiB would.

        Examples
        --------
        >>> import numpy as np
        >>> from incnnr.incremental import Encoder
        >>> Decoder().decode_chunks(Encoder().encode_chunks({"w": np.arange(3)}))["w"]
        array([0, 1, 2])
        """
        lent = None if into is None else lent_memory(into)
        pieces = iter(chunks)
        head: list[bytes | memoryview] = []
        for chunk in pieces:
            head.append(chunk)
            if sum(map(len, head)) >= _START_BYTES:
                break
        if is_standard(b"".join(head)):
            return self.decode(b"".join([*head, *pieces]), into=into)
        arriving = ArrivingUpdate(chain(head, pieces))
        parent, outcome = self._decode_arriving(arriving, lent)
        return self._at(outcome, parent, lent, arriving.n_bytes)

    def decode_over(self, chunks: Iterable[bytes | memoryview], n_bytes: int) -> Model:
        """Do as `decode_chunks`, with one model in memory: the new weights are written over what is held.

        Models handed out before, and forks, are void. Not all or nothing: if the update cannot be decoded to its end,
        the decoder holds nothing, as if it were new. Arrays of the caller are left as they are.

        Parameters
        ----------
        chunks : iterable of bytes-like
            The bytes of one update of profile ``incnnr``, cut anywhere.
        n_bytes : int
            How many there will be: what the update may declare.

        Examples
        --------
        >>> import numpy as np
        >>> from incnnr.incremental import Encoder
        >>> update = bytes(Encoder(base={"w": np.zeros(3)}).encode({"w": np.arange(3.0)}))
        >>> Decoder(base={"w": np.zeros(3)}).decode_over([update], len(update))["w"]
        array([0., 1., 2.])
        """
        arriving = ArrivingUpdate(chunks)
        self._check_arriving(arriving)
        held = self._state.tensors if self._state else {}
        parent = self._state if arriving.begin.parent else None
        own = {name: tensor for name, tensor in held.items() if name not in self._lent}
        allowed = self._limits.allowed_bytes(n_bytes, model_bytes(parent.table) if parent else 0)
        limits = replace(self._limits, model_bytes=allowed)
        try:
            outcome = decode_arriving(parent, arriving, places_over(own), limits, self._threads)
        except BaseException:
            self._state = None
            raise
        return self._at(outcome, parent, None, arriving.n_bytes)

    def _at(self, outcome: Outcome, parent: CodecState | None, lent: Lending, update_bytes: int) -> Model:
        """Stand where an update led."""
        state = outcome.state
        last = self._state.position.sequence if self._state else -1
        missed = 0 if parent else max(0, state.position.sequence - last - 1)
        untouched = self._lent & state.tensors.keys() - outcome.changes.keys()
        self._lent = frozenset(untouched if lent is None else state.tensors)
        self._takes_any_keyframe = False
        self._state = state
        return state.model(outcome.changes, ModelStats(update_bytes, outcome.n_changed, missed))

    def reset(self) -> None:
        """Accept any keyframe next, also an older one. What is held stays available until then."""
        self._takes_any_keyframe = True

    def fork(self, *, limits: Limits | None = None) -> Decoder:
        """Return an independent decoder at the same position, with `limits` of its own if they are given.

        The arrays are shared, so this is cheap; but those that were given to `decode` as ``into`` are copied.
        """
        other = Decoder(limits=limits or self._limits, threads=self._threads)
        other._state = self._state and copied(self._state, self._lent)
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

    def _decode_incnnr(self, update: object, data: bytes, lent: Lending) -> tuple[CodecState | None, Outcome]:
        parsed = parse(data)
        if isinstance(update, Update) and not _is_at(parsed.position, update.position):
            raise CorruptError("the update is another than its position says", byte_offset=0)
        parent = self._parent_of(parsed, lent)
        with self._blaming_callers(parent, lent):
            return parent, decode_update(parent, parsed, len(data), places_in(lent), self._limits, self._threads)

    def _decode_arriving(self, arriving: ArrivingUpdate, lent: Lending) -> tuple[CodecState | None, Outcome]:
        self._check_arriving(arriving)
        parent = self._lent_state(lent) if arriving.begin.parent else None
        with self._blaming_callers(parent, lent):
            return parent, decode_arriving(parent, arriving, places_in(lent), self._limits, self._threads)

    def _check_arriving(self, arriving: ArrivingUpdate) -> None:
        begin = arriving.begin
        if not self._takes(begin.sequence, begin.parent):
            deque(arriving.units(), maxlen=0)  # what is wrong with it is clear only at its end
            raise self._refusal(ParsedUpdate(begin, (), arriving.end))

    def _decode_standard(self, update: object, data: bytes, lent: Lending) -> tuple[CodecState | None, Outcome]:
        held = self._state
        claimed = None
        if isinstance(update, Update):
            check_claim(update, self._limits)
            claimed = update.position
            parent = self._parent_of(update, lent)
        else:
            parent = self._lent_state(lent) if parent_of_bare(data, held, self._limits) else None
        sequence = claimed.sequence if claimed else held.position.sequence + 1 if held else 0
        with self._blaming_callers(parent, lent):
            outcome = decode_bitstream(parent, sequence, data, self._limits, self._threads)
            if claimed and outcome.state.position != claimed:
                message = "the decoded weights are not those the update was made from"
                raise CorruptError(message, byte_offset=len(data))
        return parent, outcome if lent is None else poured(outcome, lent)

    def _parent_of(self, update: ParsedUpdate | Update, lent: Lending) -> CodecState | None:
        """Return what an update continues from; None for a keyframe to be taken. Raises for any other."""
        if not self._takes(update.position.sequence, update.parent):
            raise self._refusal(update)
        return self._lent_state(lent) if update.parent else None

    def _takes(self, sequence: int, parent: Position | None) -> bool:
        """Whether an update of that number continues from what is held, or is a keyframe to be taken."""
        actual = self.position
        if parent is None:
            return actual is None or self._takes_any_keyframe or sequence > actual.sequence
        return parent == actual

    def _refusal(self, update: ParsedUpdate | Update) -> ReferenceMismatchError:
        actual, parent = self.position, update.parent
        named = f"follows {parent}" if parent else "is a keyframe that is not newer; reset() would take it"
        held = f"the decoder holds {actual or 'nothing yet'}"
        return _mismatch(update, actual)(f"update {update.position} {named}: {held}", expected=parent, actual=actual)

    def _lent_state(self, lent: Lending) -> CodecState | None:
        """Return what is held, in the lent arrays if there are any."""
        return self._state if lent is None or self._state is None else adopted(self._state, lent)

    def _blaming_callers(self, parent: CodecState | None, lent: Lending) -> AbstractContextManager[None]:
        return blaming_alterations(parent, self._lent if lent is None else lent)


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

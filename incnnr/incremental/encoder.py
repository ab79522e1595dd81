"""The encoder: weights in, updates out, always from what the other side holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, get_args

from incnnr.coding import MOST_MEANS, checked_threads, trim_memory
from incnnr.errors import StateError
from incnnr.incremental.chunks import UpdateChunks
from incnnr.incremental.decoder import Decoder
from incnnr.incremental.encoding import Encoded, Units, encode_update, encoded_to_end
from incnnr.incremental.given import Given, given_from
from incnnr.incremental.goals import as_close_as, at_scale, first_keyframe, likely_scale, scale_within
from incnnr.incremental.revision import UNIT_BYTES
from incnnr.incremental.standard_encoding import encode_bitstream
from incnnr.incremental.state import Bytes, CodecState, Memory, TensorState, base_state
from incnnr.incremental.update import Update
from incnnr.position import Position
from incnnr.quantization import Knob, Quality, Search, check_relative_errors

Profile = Literal["incnnr", "iso"]
Effort = Literal["fast", "default", "small"]
_NOTHING: Mapping[str, Bytes] = {}
_ENCODINGS = {"incnnr": encode_update, "iso": encode_bitstream}


class Encoder:
    """Code checkpoints as one keyframe and then updates.

    The first call of `encode` makes a keyframe unless `base` is given. Lossless unless one of `max_error`,
    `relative_error`, `qp` and `target_bytes` says otherwise. Each of them is a number, or a mapping of shell-style
    patterns of tensor names to numbers: the first that matches counts; None, like no match, means lossless. Patterns
    that match no tensor of the first whole checkpoint are a `PatternWarning`.

    Parameters
    ----------
    base : mapping of str to array, optional
        Weights that the other side already holds; no keyframe is sent.
    max_error : float or mapping of pattern to float or None, optional
        Bound of |decoded - given| for every weight of every update.
    relative_error : float or mapping of pattern to float or None, optional
        Part of a tensor's difference that may be lost, from 0.0001 to below 1: the root mean square of decoded - given
        is at most so many times that of given - held, in every tensor and update; an eighth of that in vectors such as
        biases and variances, which are few and matter.
    qp : int or mapping of pattern to int or None, optional
        The standard's quantisation parameter: a step size of 2**(qp / 4), interpolated in between.
    target_bytes : int or mapping of pattern to int or None, optional
        Most bytes of an update that is no keyframe; it has the least error that fits, with one step size for all
        tensors that may change, an eighth of it for vectors. In a mapping all numbers are the same. The update is coded
        some ten times to find it.
    keyframe_error : float or mapping of pattern to float or None, optional
        With `relative_error` or `target_bytes`: what part of the weights themselves the first keyframe may lose, in
        root mean square; lossless by default. Later keyframes have the errors that an update would have had.
    prediction_memory : int
        How many running means of past updates both sides keep to predict lossy updates from, 0 to 2: each takes as many
        bytes as the tensors that may change (half as many for float64). They cost nothing where nothing is lossy.
    profile : {'incnnr', 'iso'}
        ``'iso'`` makes every update a bitstream of ISO/IEC 15938-17, edition 2, that other decoders can read; see the
        notes. It needs `max_error`, `relative_error` or `qp`.
    effort : {'fast', 'default', 'small'}
        How much to spend. ``'fast'`` rounds lossy weights one by one instead of searching the best of error and bytes
        (`relative_error`, `qp`, `target_bytes`). ``'small'`` also looks at what each weight that is coded exactly did
        in earlier updates: some percent fewer bytes, at somewhat less speed and with four bits of memory for each
        weight, on both sides.
    threads : int, optional
        Threads of one call; default as many as there are cores for this process, at most 4. They do not change the
        bytes.
    require_ack : bool
        An update counts only after `acknowledge`; until then the next one is made from the last acknowledged position.

    Notes
    -----
    One encoder belongs to one thread at a time.

    The standard's bitstreams have no place for a position, and for few types. In profile ``iso`` the position travels
    in `Update` and in stream files. After a keyframe bool and unsigned integers are int32, bfloat16 and 8-bit floats
    float32; with ``base`` tensors keep their type. Tensors that were added, removed or reshaped make a keyframe, and so
    do weights that became infinite or NaN, and exact float tensors that no float32 difference leads to. The sign of a
    zero is kept in exact tensors only, and of a NaN that it is one. Bits are weighed against the error but with
    `max_error` and ``effort='fast'``: with `qp` a tensor whose difference is not worth its bytes stays as it is.
    With `relative_error` the first keyframe may lose that part of the weights themselves, or `keyframe_error`.

    Examples
    --------
    >>> import numpy as np
    >>> encoder, decoder = Encoder(max_error=1e-3), Decoder()
    >>> weights = {"w": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)}
    >>> model = decoder.decode(encoder.encode(weights))
    >>> weights["w"][0, 0] = 0.25
    >>> model = decoder.decode(encoder.encode(weights))
    >>> bool(abs(model["w"] - weights["w"]).max() <= 1e-3)
    True
    >>> encoder.position == decoder.position
    True
    """

    def __init__(  # noqa: PLR0913 - one keyword for each thing a user may ask for
        self,
        *,
        base: Mapping[str, object] | None = None,
        max_error: Knob = None,
        relative_error: Knob = None,
        qp: Knob = None,
        target_bytes: Knob = None,
        keyframe_error: Knob = None,
        prediction_memory: int = MOST_MEANS,
        profile: Profile = "incnnr",
        effort: Effort = "default",
        threads: int | None = None,
        require_ack: bool = False,
    ) -> None:
        search = Search.DEAD_ZONE if effort == "fast" else Search.TRELLIS
        self._quality = Quality(max_error, relative_error, qp, target_bytes, search)
        self._encode = _encoding_of(profile, self._quality, effort, prediction_memory)
        check_relative_errors("keyframe_error", keyframe_error)
        self._keyframe_error = relative_error if profile == "iso" and keyframe_error is None else keyframe_error
        self._threads = checked_threads(threads)
        self._require_ack = require_ack
        self._state = None if base is None else base_state(base)
        self._pending: CodecState | None = None
        self._shared: frozenset[str] = frozenset()
        self._last_sequence = self._state.position.sequence if self._state else -1
        self._knows_names = False

    @classmethod
    def resume(cls, decoder: Decoder, **options: object) -> Encoder:
        """Continue from whatever `decoder` holds.

        Parameters
        ----------
        decoder : Decoder
            Not affected.
        **options
            As for `Encoder`, without ``base``.

        Examples
        --------
        >>> import numpy as np
        >>> decoder = Decoder(base={"w": np.ones(2)})
        >>> Encoder.resume(decoder, max_error=0.1).encode({"w": np.zeros(2)}).is_keyframe
        False
        """
        if "base" in options:
            raise TypeError("resume takes its base from the decoder")
        encoder = cls(**options)  # type: ignore[arg-type]
        encoder._state = decoder.fork()._state
        encoder._shared = frozenset(encoder._state.tensors if encoder._state else ())
        encoder._last_sequence = decoder.position.sequence if decoder.position else -1
        return encoder

    @classmethod
    def take_over(cls, decoder: Decoder, **options: object) -> Encoder:
        """Continue from what `decoder` holds, which holds nothing from then on: one model is in memory, not two.

        Parameters
        ----------
        decoder : Decoder
            Its models, and forks of it, are invalid as soon as `encode_over` is called.
        **options
            As for `resume`.
        """
        encoder = cls.resume(decoder, **options)
        encoder._shared = frozenset()
        decoder._state = None
        return encoder

    @property
    def position(self) -> Position | None:
        """Where the next update will be coded from; None before the first keyframe."""
        return self._state.position if self._state else None

    def encode(self, weights: Mapping[str, object], *, keyframe: bool = False, partial: bool = False) -> Update:
        """Code the difference between `weights` and what the other side holds.

        Parameters
        ----------
        weights : mapping of str to array
            numpy arrays (ml_dtypes included) or torch tensors, of any shape and layout. They may be overwritten once
            the call returns.
        keyframe : bool
            Send everything and restart contexts and predictors.
        partial : bool
            Tensors not in `weights` stay as they are; otherwise they are removed.

        Returns
        -------
        Update
            Apply it with `Decoder.decode`. Unless ``require_ack`` was given, the encoder now stands at its position.

        Raises
        ------
        TypeError
            A name is not a string, or a value is not an array of numbers.
        ValueError
            `keyframe` and `partial` together; a name or a shape that decoders refuse by default; `target_bytes` is less
            than any update takes.
        UnsupportedError
            Profile ``iso``, and the standard has no place for a tensor: integers beyond 32 bits, doubles beyond what is
            allowed from any float32, numbers of other kinds.

        Notes
        -----
        All or nothing: if this raises, the encoder is where it was.
        """
        units = self.encode_chunks(weights, keyframe=keyframe, partial=partial)
        data = b"".join(units)
        if len(data) > UNIT_BYTES:
            trim_memory()  # the buffers of a large update are of no use to the updates after it
        return Update(data, units.position, units.parent, units.stats)

    def encode_chunks(
        self, weights: Mapping[str, object], *, keyframe: bool = False, partial: bool = False
    ) -> UpdateChunks:
        """Do as `encode`, unit by unit: nobody needs the whole update in memory.

        Parameters
        ----------
        weights, keyframe, partial
            As for `encode`. The arrays must stay as they are until the last unit was handed out.

        Returns
        -------
        UpdateChunks
            Iterator of bytes, the units of the update, at most 64 MiB each. With the last one, the encoder stands where
            ``encode`` would have left it; until then, or if the iteration stops earlier, it is where it was.

        Raises
        ------
        TypeError, ValueError, UnsupportedError
            As by `encode`, at once.
        StateError
            By the iterator, if the encoder has moved on in the meantime.

        Examples
        --------
        >>> import numpy as np
        >>> encoder, decoder = Encoder(), Decoder()
        >>> chunks = encoder.encode_chunks({"w": np.arange(3)})
        >>> decoder.decode_chunks(chunks).position == chunks.position == encoder.position
        True
        """
        state, last_sequence = self._state, self._last_sequence
        units = self._units(weights, {}, keyframe=keyframe, partial=partial)

        def commit(encoded: Encoded) -> None:
            if self._state is not state or self._last_sequence != last_sequence:
                raise StateError("the encoder was used for something else before this update was coded to its end")
            self._settle(state, encoded)

        return UpdateChunks(units, commit)

    def encode_over(self, weights: Mapping[str, object], *, keyframe: bool = False) -> UpdateChunks:
        """Do as `encode_chunks`, with one model in memory: the new weights are written over what is held.

        Not all or nothing: if the iteration does not get to its end, the encoder holds nothing, and the next update is
        a keyframe. Errors that `encode_chunks` raises at once are raised at once here too, and change nothing. Arrays
        that a decoder has too, after `resume`, are left as they are.

        Raises
        ------
        StateError
            The encoder waits for acknowledgements: it needs what it would write over.

        Examples
        --------
        >>> import numpy as np
        >>> encoder = Encoder(base={"w": np.zeros(3)})
        >>> update = b"".join(encoder.encode_over({"w": np.arange(3.0)}))
        >>> Decoder(base={"w": np.zeros(3)}).decode(update)["w"]
        array([0., 1., 2.])
        """
        if self._require_ack:
            raise StateError("an encoder that waits for acknowledgements cannot write over what was acknowledged")
        state = self._state
        own = {} if state is None else {k: v for k, v in state.tensors.items() if k not in self._shared}
        units = self._units(weights, own, keyframe=keyframe, partial=False)
        self._state = None

        def commit(encoded: Encoded) -> None:
            if self._state is not None:
                raise StateError("the encoder was used for something else before this update was coded to its end")
            self._settle(state, encoded)

        return UpdateChunks(units, commit)

    def acknowledge(self, position: Position) -> None:
        """Take the pending update as received: later updates are coded from its position.

        Raises
        ------
        StateError
            No update to that position is pending.
        """
        if self._pending is None or self._pending.position != position:
            raise StateError(f"no update to position {position} is pending")
        self._state, self._pending = self._pending, None

    def rollback(self) -> None:
        """Forget the pending update, if there is one."""
        self._pending = None

    def _units(
        self, weights: Mapping[str, object], own: Mapping[str, TensorState], *, keyframe: bool, partial: bool
    ) -> Units:
        """Start coding an update, over tensors of its `own` that keep their type."""
        if keyframe and partial:
            raise ValueError("a keyframe cannot be partial")
        given = given_from(weights, self._quality)
        if not self._knows_names and not partial:
            self._quality.warn_of_unmatched(given)
            self._knows_names = True
        given = self._with_goals(given, keyframe=keyframe, partial=partial)
        over = {k: v.data for k, v in own.items() if k in given and given[k].type == v.spec.type}
        for data in over.values():
            data.flags.writeable = True
        return self._start(None if keyframe else self._state, given, over=over, partial=partial)

    def _start(
        self,
        parent: CodecState | None,
        given: Mapping[str, Given],
        *,
        over: Mapping[str, Bytes] = _NOTHING,
        partial: bool = False,
    ) -> Units:
        return self._encode(parent, self._last_sequence, given, over=over, partial=partial, threads=self._threads)

    def _with_goals(self, given: dict[str, Given], *, keyframe: bool, partial: bool) -> dict[str, Given]:
        """Say of each tensor what was said of a whole update."""
        if not self._quality.is_about_differences:
            return given
        if self._state is None:
            return first_keyframe(given, self._keyframe_error, self._quality.search)
        goals = given
        if self._quality.most_bytes is not None:
            goals = at_scale(given, self._scale_within(self._quality.most_bytes, given, partial=partial))
        return as_close_as(encoded_to_end(self._start(self._state, goals)).state.tensors, given) if keyframe else goals

    def _scale_within(self, most_bytes: int, given: Mapping[str, Given], *, partial: bool) -> int:
        state = self._state

        def n_bytes_at(scale: int) -> int:
            return encoded_to_end(self._start(state, at_scale(given, scale), partial=partial)).stats.n_bytes

        held = state.tensors if state else {}
        return scale_within(n_bytes_at, most_bytes, likely_scale(given, held, most_bytes))

    def _settle(self, before: CodecState | None, encoded: Encoded) -> None:
        """Stand where an update led, or wait for its acknowledgement."""
        self._last_sequence = max(self._last_sequence, encoded.position.sequence)
        if self._require_ack:
            self._pending = encoded.state
        else:
            self._state = encoded.state
        after, held = encoded.state.tensors, before.tensors if before else {}
        self._shared = frozenset(k for k in self._shared if k in after and after[k].data is held[k].data)


def _encoding_of(profile: str, quality: Quality, effort: str, prediction_memory: int) -> Callable[..., Units]:
    if profile not in _ENCODINGS:
        raise ValueError(f"profile is 'incnnr' or 'iso', not {profile!r}")
    if profile == "iso" and quality.is_lossless:
        raise ValueError(
            "profile 'iso' needs max_error, relative_error or qp: the standard has no lossless differences"
        )
    if profile == "iso" and quality.most_bytes is not None:
        raise ValueError("profile 'iso' takes no target_bytes: give max_error, relative_error or qp")
    if effort not in get_args(Effort):
        raise ValueError(f"effort is 'fast', 'default' or 'small', not {effort!r}")
    if prediction_memory not in range(MOST_MEANS + 1):
        raise ValueError(f"prediction_memory is 0 to {MOST_MEANS} copies of the model, not {prediction_memory!r}")
    if profile == "iso":
        if effort == "small":
            raise ValueError("effort='small' is about exact coding, which profile 'iso' does not have")
        return encode_bitstream
    memory = Memory(effort == "small", 0 if quality.is_lossless else prediction_memory)
    return partial(encode_update, memory=memory)

"""The encoder: weights in, updates out, always from what the other side holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, get_args

from incnnr.coding import checked_threads
from incnnr.errors import StateError
from incnnr.incremental.decoder import Decoder
from incnnr.incremental.encoding import Given, encode_update
from incnnr.incremental.standard_encoding import encode_bitstream
from incnnr.incremental.state import CodecState, base_state
from incnnr.incremental.update import Update
from incnnr.limits import DEFAULT_LIMITS
from incnnr.position import Position
from incnnr.quantization import Knob, Quality
from incnnr.tensors import TensorType, as_array, bytes_of, type_of

Profile = Literal["incnnr", "iso"]
Effort = Literal["default", "small"]
_ENCODINGS = {"incnnr": encode_update, "iso": encode_bitstream}


class Encoder:
    """Code checkpoints as one keyframe and then updates.

    The first call of `encode` makes a keyframe unless `base` is given. Lossless unless `max_error` or `qp` says
    otherwise.

    Parameters
    ----------
    base : mapping of str to array, optional
        Weights that the other side already holds; no keyframe is sent.
    max_error : float or mapping of pattern to float or None, optional
        Bound of |decoded - given| for every weight of every update. Of shell-style patterns of tensor names the first
        that matches counts; None, like no match, means lossless.
    qp : int or mapping of pattern to int or None, optional
        The standard's quantisation parameter instead: a step size of 2**(qp / 4), interpolated in between.
    profile : {'incnnr', 'iso'}
        ``'iso'`` makes every update a bitstream of ISO/IEC 15938-17, edition 2, that other decoders can read; see the
        notes. It needs `max_error` or `qp`.
    effort : {'default', 'small'}
        How much to spend on exact coding. ``'small'`` also looks at what each weight did in earlier updates: some
        percent fewer bytes, at somewhat less speed and with four bits of memory for each weight, on both sides.
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
    zero is kept in exact tensors only, and of a NaN that it is one.

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

    def __init__(
        self,
        *,
        base: Mapping[str, object] | None = None,
        max_error: Knob = None,
        qp: Knob = None,
        profile: Profile = "incnnr",
        effort: Effort = "default",
        threads: int | None = None,
        require_ack: bool = False,
    ) -> None:
        self._quality = Quality(max_error, qp)
        self._encode = _encoding_of(profile, self._quality, effort)
        self._threads = checked_threads(threads)
        self._require_ack = require_ack
        self._state = None if base is None else base_state(base)
        self._pending: CodecState | None = None
        self._last_sequence = self._state.position.sequence if self._state else -1

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
        encoder._state = decoder._state
        encoder._last_sequence = decoder.position.sequence if decoder.position else -1
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
            `keyframe` and `partial` together; a name or a shape that decoders refuse by default.
        UnsupportedError
            Profile ``iso``, and the standard has no place for a tensor: integers beyond 32 bits, doubles beyond what is
            allowed from any float32, numbers of other kinds.

        Notes
        -----
        All or nothing: if this raises, the encoder is where it was.
        """
        if keyframe and partial:
            raise ValueError("a keyframe cannot be partial")
        parent = None if keyframe else self._state
        given = self._given(weights)
        update, state = self._encode(parent, self._last_sequence, given, partial=partial, threads=self._threads)
        self._last_sequence = max(self._last_sequence, update.position.sequence)
        if self._require_ack:
            self._pending = state
        else:
            self._state = state
        return update

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

    def _given(self, weights: Mapping[str, object]) -> dict[str, Given]:
        given: dict[str, Given] = {}
        for name in weights:
            if not isinstance(name, str):
                raise TypeError(f"tensor names are strings, not {name!r}")
            array = as_array(weights[name])
            tensor = type_of(array)
            _check(name, tensor)
            given[name] = Given(tensor, bytes_of(array), self._quality.tolerance(name, tensor))
        return given


def _encoding_of(profile: str, quality: Quality, effort: str) -> Callable[..., tuple[Update, CodecState]]:
    if profile not in _ENCODINGS:
        raise ValueError(f"profile is 'incnnr' or 'iso', not {profile!r}")
    if profile == "iso" and quality == Quality():
        raise ValueError("profile 'iso' needs max_error or qp: the standard has no lossless coding of differences")
    if effort not in get_args(Effort):
        raise ValueError(f"effort is 'default' or 'small', not {effort!r}")
    if effort == "default":
        return _ENCODINGS[profile]
    if profile == "iso":
        raise ValueError("effort is about exact coding, which profile 'iso' does not have")
    return partial(encode_update, with_history=True)


def _check(name: str, tensor: TensorType) -> None:
    """Refuse what no decoder takes unless it is told to."""
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"tensor name {name!r} is not text") from None
    if n_bytes > DEFAULT_LIMITS.name_bytes:
        raise ValueError(f"tensor name {name[:80]!r}... has {n_bytes} bytes, more than {DEFAULT_LIMITS.name_bytes}")
    if len(tensor.shape) > DEFAULT_LIMITS.rank:
        raise ValueError(f"tensor {name!r} has {len(tensor.shape)} dimensions, more than {DEFAULT_LIMITS.rank}")

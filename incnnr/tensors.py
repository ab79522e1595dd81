"""What a tensor is: its dtype by name, its bytes as the kernels read them, and the way to numpy and torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property, lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from incnnr.changes import Change, difference_of
from incnnr.errors import ModelMismatchError

if TYPE_CHECKING:
    from incnnr.position import Position

Array = NDArray[Any]


class Kind(IntEnum):
    """How a kernel reads one element; the numbers stand in the bitstream."""

    UINT8 = 0
    UINT16 = 1
    UINT32 = 2
    UINT64 = 3
    INT8 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    FLOAT8_E4M3 = 8
    FLOAT8_E5M2 = 9
    FLOAT16 = 10
    BFLOAT16 = 11
    FLOAT32 = 12
    FLOAT64 = 13


_KINDS = {
    "bool": Kind.UINT8,
    **{kind.name.lower(): kind for kind in Kind if kind not in (Kind.FLOAT8_E4M3, Kind.FLOAT8_E5M2)},
    **dict.fromkeys(("float8_e4m3", "float8_e4m3fn", "float8_e4m3fnuz"), Kind.FLOAT8_E4M3),
    **dict.fromkeys(("float8_e5m2", "float8_e5m2fnuz"), Kind.FLOAT8_E5M2),
}
_EXTRA_DTYPES = {name: v for name, v in vars(ml_dtypes).items() if isinstance(v, type) and issubclass(v, np.generic)}
_PLAIN_DTYPE = re.compile(r"[<>|=]?[biufcSUVmM]\d{1,9}(\[\w{1,9}\])?")
_LOSSY_KINDS = frozenset({Kind.FLOAT16, Kind.BFLOAT16, Kind.FLOAT32, Kind.FLOAT64})


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Name a dtype in a way that `named_dtype` understands.

    Examples
    --------
    >>> dtype_name(np.dtype("float32")), dtype_name(np.dtype(">f4")), dtype_name(np.dtype(ml_dtypes.bfloat16))
    ('float32', '>f4', 'bfloat16')
    """
    if dtype.isnative and (dtype.name in _KINDS or dtype.name in _EXTRA_DTYPES):
        return dtype.name
    if dtype.hasobject or dtype.names is not None or not dtype.itemsize or not _PLAIN_DTYPE.fullmatch(dtype.str):
        raise TypeError(f"arrays of dtype {dtype} cannot be coded")
    return dtype.str


@cache
def named_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy dtype of that name.

    Raises
    ------
    ValueError
        `name` is not one that `dtype_name` produces.
    """
    if name in _KINDS or name in _EXTRA_DTYPES:
        return np.dtype(_EXTRA_DTYPES.get(name, name))
    if not _PLAIN_DTYPE.fullmatch(name):
        raise ValueError(f"unknown dtype {name!r}")
    try:
        return np.dtype(name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"unknown dtype {name!r}") from error


@dataclass(frozen=True)
class TensorType:
    """Dtype and shape of a tensor.

    Examples
    --------
    >>> TensorType("bfloat16", (2, 3)).n_bytes
    12
    """

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The numpy dtype, byte order included."""
        return named_dtype(self.dtype)

    @cached_property
    def kind(self) -> Kind:
        """How the kernels read an element; a dtype they do not know is coded as bytes."""
        return _kind_of(self.dtype)

    @cached_property
    def n_elements(self) -> int:
        """Elements."""
        return prod(self.shape)

    @cached_property
    def n_bytes(self) -> int:
        """Bytes of all elements."""
        return self.n_elements * self.numpy_dtype.itemsize

    @cached_property
    def is_lossy_capable(self) -> bool:
        """Whether an error bound means anything for it."""
        return self.kind in _LOSSY_KINDS


@cache
def _kind_of(name: str) -> Kind:
    dtype = named_dtype(name)
    return _KINDS.get(name if dtype.isnative else dtype.newbyteorder("=").name, Kind.UINT8)


def as_array(value: object) -> Array:
    """Return a numpy array of a tensor's values, sharing its memory where possible.

    Parameters
    ----------
    value : numpy.ndarray, torch.Tensor or anything numpy.asarray takes
        Of any layout; a torch tensor may require grad and live on any device.

    Raises
    ------
    TypeError
        The values are Python objects, or records.
    """
    if not isinstance(value, np.ndarray) and any(
        base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__
    ):
        return _array_from_torch(value)
    array = np.asarray(value)
    if not array.dtype.isnative and array.dtype.newbyteorder("=").name in _EXTRA_DTYPES:
        array = array.astype(array.dtype.newbyteorder("="))  # numpy has no name for their other byte order
    dtype_name(array.dtype)
    return array


def type_of(array: Array) -> TensorType:
    """Dtype and shape of an array."""
    return _shared_type(dtype_name(array.dtype), array.shape)


@lru_cache(maxsize=1 << 12)
def _shared_type(dtype: str, shape: tuple[int, ...]) -> TensorType:
    """Types are few: what follows from one is worked out once, not for every tensor of every update."""
    return TensorType(dtype, shape)


def bytes_of(array: Array) -> NDArray[np.uint8]:
    """Return the elements in C order as little-endian bytes, without a copy where the array is so already."""
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8)


def array_of(data: NDArray[np.uint8], tensor: TensorType) -> Array:
    """Return `data`, little-endian bytes in C order, as a read-only array of that type."""
    dtype = tensor.numpy_dtype
    array = data.view(dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(tensor.shape)
    array.flags.writeable = False
    return array


_TORCH_WORDS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


def _array_from_torch(value: Any) -> Array:
    tensor = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _EXTRA_DTYPES:
        array: Array = tensor.numpy()
        return array
    import torch  # noqa: PLC0415 -- only reached with a torch tensor in hand

    words = tensor.view(getattr(torch, _TORCH_WORDS[tensor.element_size()])).numpy()
    return np.asarray(words.view(_EXTRA_DTYPES[name]))


def to_torch(weights: Mapping[str, Array]) -> dict[str, Any]:
    """Copy every array into a torch tensor of its own, as ``load_state_dict`` wants them.

    Raises
    ------
    ModuleNotFoundError
        PyTorch is not installed.
    TypeError
        A dtype that PyTorch does not have.
    """
    return {name: _torch_from_array(array) for name, array in weights.items()}


def _torch_from_array(array: Array) -> Any:
    import torch  # noqa: PLC0415 -- an optional dependency

    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    if native.dtype.name not in _EXTRA_DTYPES:
        return torch.from_numpy(native)
    dtype = getattr(torch, native.dtype.name, None)
    if dtype is None:
        raise TypeError(f"PyTorch has no dtype {native.dtype}")
    return torch.from_numpy(native.view(_TORCH_WORDS[native.itemsize])).view(dtype)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a checkpoint file holds besides the values of its tensors: enough to write the same file again.

    Attributes
    ----------
    format : str
        Name of the checkpoint format, such as ``"safetensors"``.
    rest : bytes
        Opaque to everyone but that format.
    """

    format: str
    rest: bytes


@dataclass(frozen=True, slots=True)
class ModelStats:
    """What decoding an update showed.

    Attributes
    ----------
    n_bytes : int
        Bytes of the update; 0 for a base.
    n_changed : int
        Elements whose value changed; in a keyframe all of them.
    missed : int
        Updates that a keyframe skipped; for a first keyframe, those before it.
    """

    n_bytes: int = 0
    n_changed: int = 0
    missed: int = 0


class Model(Mapping[str, Array]):
    """The weights at one position: a mapping from name to read-only array, in model order.

    It stays valid and unchanged whatever the decoder does next; but where the weights are in arrays that were given to
    `Decoder.decode` as ``into``, it shows what is in them by now.

    Attributes
    ----------
    position : Position
        Where in the chain of updates it stands.
    changed : frozenset of str
        Names of the tensors that the last update added or gave another value.
    stats : ModelStats
        What decoding the last update showed.
    layout : Layout or None
        The checkpoint file it came from, where that is known; `incnnr.write` makes use of it.
    """

    def __init__(
        self,
        tensors: Mapping[str, tuple[TensorType, NDArray[np.uint8]]],
        position: Position,
        changes: Mapping[str, Change],
        stats: ModelStats,
        layout: Layout | None = None,
    ) -> None:
        self._tensors = tensors
        self._changes = changes
        self.position = position
        self.changed = frozenset(changes)
        self.stats = stats
        self.layout = layout

    def __getitem__(self, name: str) -> Array:
        tensor, data = self._tensors[name]
        return array_of(data, tensor)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    __eq__ = object.__eq__  # comparing mappings would compare arrays, which has no yes or no
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Model at {self.position}: {len(self)} tensors, {self.n_bytes} bytes>"

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.n_bytes for tensor, _ in self._tensors.values())

    def changes(self) -> Iterator[tuple[str, NDArray[np.int64], Array]]:
        """Yield what the last update changed, tensor by tensor in model order, for a sparse patch elsewhere.

        Which elements they are is kept as a bit for each weight of the tensors in `changed`, and looked up as the
        iteration gets there.

        Yields
        ------
        name : str
            One of `changed`.
        indices : numpy.ndarray of int64
            Places of the elements whose bits differ from before, in C order, ascending. All of a tensor that is new, as
            in a keyframe all are.
        values : numpy.ndarray
            The elements there, in the tensor's dtype.

        Examples
        --------
        >>> from incnnr.incremental import Decoder, Encoder
        >>> encoder, decoder = Encoder(), Decoder()
        >>> model = decoder.decode(encoder.encode({"w": np.zeros((2, 3))}))
        >>> model = decoder.decode(encoder.encode({"w": np.array([[0.0, 0.0, 7.0], [0.0, 0.0, 0.0]])}))
        >>> list(model.changes())
        [('w', array([2]), array([7.]))]
        """
        for name, (tensor, _) in self._tensors.items():
            if name in self._changes:
                indices = self._changes[name].indices(tensor.n_elements, tensor.numpy_dtype.itemsize)
                yield name, indices, self[name].reshape(-1)[indices]

    def difference(self, name: str, since: Mapping[str, object]) -> Array:
        """Subtract what one tensor was from what it is, for those who average updates or look at them.

        Updates are coded as something else, and nobody keeps what was before, so say since when: a Model of the same
        decoder shares the arrays of all tensors that did not change, and keeping the newest alone costs nothing more.

        Parameters
        ----------
        name : str
            The tensor.
        since : mapping of str to array
            The weights before: an earlier Model (one update ago or many), the ``base``, or a checkpoint. A Model whose
            weights are in arrays given as ``into`` shows what is in them by now, so nothing changed since.

        Returns
        -------
        numpy.ndarray
            New, of the tensor's shape. Of floats, the difference of the values in float32 (float64 and longer in their
            own dtype), rounded once; of complex numbers and integers in their dtype, for integers wrapped around; of
            bool in int8.

        Raises
        ------
        KeyError
            The model has no such tensor.
        ModelMismatchError
            `since` does not, or has one of another dtype or shape.
        TypeError
            Of its dtype there are no differences.

        Examples
        --------
        >>> from incnnr.incremental import Decoder, Encoder
        >>> encoder, decoder = Encoder(), Decoder()
        >>> before = decoder.decode(encoder.encode({"w": np.zeros(3, np.float16)}))
        >>> model = decoder.decode(encoder.encode({"w": np.array([0, 0.5, 0], np.float16)}))
        >>> model.difference("w", since=before)
        array([0. , 0.5, 0. ], dtype=float32)
        """
        tensor, _ = self._tensors[name]
        before = as_array(since[name]) if name in since else None
        if before is None or type_of(before) != tensor:
            raise ModelMismatchError(name, expected=tensor, actual=None if before is None else type_of(before))
        return difference_of(self[name], before)

    def to_torch(self) -> dict[str, Any]:
        """Copy the weights into writable torch tensors, ready for ``load_state_dict``."""
        return to_torch(self)

    def with_layout(self, layout: Layout | None) -> Model:
        """Return the same weights with another `layout`."""
        return Model(self._tensors, self.position, self._changes, self.stats, layout)

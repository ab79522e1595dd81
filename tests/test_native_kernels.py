"""The kernels against independent oracles."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import xxhash

from incnnr import _core
from incnnr.coding import ELEMENT_BYTES, Coding, fresh_slice_contexts
from incnnr.coding import decode as decode_codewords
from incnnr.errors import CorruptError
from incnnr.quantization import step_size_of_qp
from incnnr.tensors import Kind


def test_xxh64_agrees_with_the_xxhash_package():
    rng = np.random.default_rng(1)
    for n_bytes in [*range(100), 1000, 4097]:
        data, seed = rng.bytes(n_bytes), int(rng.integers(1 << 63))
        assert _core.xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed)


def round_trip(kind, coding, source, reference=None, **options):
    n = len(source) // ELEMENT_BYTES[kind]
    results = []
    for coded in (None, "decode"):
        result = np.empty(len(source), np.uint8)
        arrays = {"result": result, "reference": reference, "contexts": fresh_slice_contexts(kind, coding)}
        given = {} if coded else {"source": source}
        segment = _core.Segment(kind, coding, n, **arrays, **given, **options)
        if coded is None:
            (codeword,) = _core.encode([[segment]], 1)
        else:
            _core.decode([[segment]], [codeword], 1)
        assert segment.digest == xxhash.xxh64_intdigest(result)
        results.append(result)
    assert (results[0] == results[1]).all()
    return results[1], codeword


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_exact_with_and_without_a_reference(kind):
    rng = np.random.default_rng(2)
    source, reference = (rng.integers(0, 256, 8 * 500, np.uint8) for _ in range(2))
    assert (round_trip(kind, Coding.INTRA, source)[0] == source).all()
    assert (round_trip(kind, Coding.INTER, source, reference)[0] == source).all()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=str)
def test_reconstruction_rounds_once_to_nearest_even(dtype):
    rng = np.random.default_rng(3)
    kind = Kind.FLOAT16 if dtype is np.float16 else Kind.BFLOAT16
    source = rng.normal(0, [[1e-6], [1e-3], [1.0], [9e3]], (4, 4000)).astype(dtype).reshape(-1)
    step = np.float32(step_size_of_qp(-13))
    got, _ = round_trip(kind, Coding.QUANTIZED, source.view(np.uint8), step_size=float(step))
    scaled = source.astype(np.float64) / np.float64(2 * step)
    level = 2 * np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
    expected = (level.astype(np.float32) * step).astype(dtype)
    same = got.view(np.uint16) == expected.view(np.uint16)
    assert same[level != 0].all()


def test_an_empty_codeword_decodes_to_something_and_extra_bytes_are_corrupt():
    segment = _core.Segment(Kind.UINT8, Coding.INTRA, 3, result=np.empty(3, np.uint8))
    decode_codewords([[segment]], [memoryview(b"\0")], 1)
    for coded in (bytes(100), b"\1\0", b"\1", b"", b"\xff" * 20):
        with pytest.raises(CorruptError):
            decode_codewords([[segment]], [memoryview(coded)], 1)


def test_arrays_of_the_wrong_size_are_refused():
    for arrays in (
        {"result": np.empty(5, np.uint8)},
        {"result": np.empty(4, np.uint8), "source": np.empty(3, np.uint8)},
        {"result": np.empty(4, np.uint8), "contexts": np.empty(8, np.uint8)},
    ):
        with pytest.raises(ValueError, match="size"):
            _core.Segment(Kind.UINT8, Coding.INTRA, 4, **arrays)
    with pytest.raises(ValueError, match="reference"):
        _core.Segment(Kind.UINT8, Coding.INTER, 4, result=np.empty(4, np.uint8))


def test_step_sizes_follow_the_standard():
    assert [step_size_of_qp(qp) for qp in (-4, -3, -2, -1, 0, 4)] == [0.5, 0.625, 0.75, 0.875, 1.0, 2.0]
    assert step_size_of_qp(-38, 2) == 0.75 * 2.0**-9
    assert step_size_of_qp(-20, 0) == 2.0**-20

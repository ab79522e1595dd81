from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from incnnr import Decoder, Encoder
from incnnr.errors import ModelMismatchError
from incnnr.tensors import array_of, as_array, bytes_of, dtype_name, named_dtype, type_of
from tests.weights import ALL_DTYPES, FLOATS, exact, random_array


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_a_dtype_is_found_again_by_its_name(dtype):
    assert named_dtype(dtype_name(dtype)) == dtype


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_bytes_and_type_give_the_array_back(dtype):
    array = random_array(np.random.default_rng(1), dtype, (3, 4))[:, ::2]
    again = array_of(bytes_of(array), type_of(array))
    assert exact({"t": again}) == exact({"t": array})
    assert not again.flags.writeable


@pytest.mark.parametrize("name", ["O", "object", "f4,f4", "float1024", "", "V", "<f4; import os", "finfo", "iinfo"])
def test_a_name_that_is_no_dtype_of_numbers_is_refused(name):
    with pytest.raises(ValueError, match="dtype"):
        named_dtype(name)


def test_contiguous_arrays_are_not_copied():
    array = np.ones((3, 4), np.float32)
    assert np.shares_memory(bytes_of(as_array(array)), array)


def test_lists_and_scalars_are_arrays_too():
    assert exact({"t": as_array([1.5, 2.0])}) == exact({"t": np.array([1.5, 2.0])})
    assert as_array(3).shape == ()


def test_dtypes_of_ml_dtypes_lose_their_foreign_byte_order_but_not_their_values():
    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    swapped = array.view(np.uint16).byteswap().view(array.dtype.newbyteorder(">"))
    assert exact({"t": as_array(swapped)}) == exact({"t": array})


def test_elements_without_bytes_are_refused():
    with pytest.raises(TypeError):
        as_array(np.zeros(3, "V0"))


def models(*values):
    encoder, decoder = Encoder(), Decoder()
    return [decoder.decode(encoder.encode({"w": np.asarray(value)})) for value in values]


@pytest.mark.parametrize("dtype", [*FLOATS, ml_dtypes.float8_e4m3fn, ">f4"], ids=str)
def test_differences_of_floats_are_rounded_once_in_float32_or_their_own_dtype(dtype):
    rng = np.random.default_rng(2)
    before, between, after = (rng.normal(size=(20, 3)).astype(dtype) for _ in range(3))
    first, _, model = models(before, between, after)
    wide = np.float64 if dtype is np.float64 else np.float32
    expected = (after.astype(np.longdouble) - before.astype(np.longdouble)).astype(wide)
    for since in (first, {"w": before}):
        assert exact({"w": model.difference("w", since)}) == exact({"w": expected})


@pytest.mark.parametrize("shape", [(), (2,), (0, 3)], ids=str)
def test_differences_of_integers_wrap_around(shape):
    before, model = models(np.full(shape, 127, np.int8), np.full(shape, -128, np.int8))
    assert exact({"w": model.difference("w", before)}) == exact({"w": np.ones(shape, np.int8)})


def test_differences_to_infinities_and_nans_are_what_arithmetic_says():
    before, model = models(np.array([1, np.inf, np.nan], np.float16), np.full(3, np.inf, np.float16))
    np.testing.assert_array_equal(model.difference("w", before), np.array([np.inf, np.nan, np.nan], np.float32))


def test_a_difference_needs_the_same_tensor_before():
    (model,) = models(np.zeros(3, np.float32))
    for since in ({}, {"w": np.zeros(4, np.float32)}, {"w": np.zeros(3)}):
        with pytest.raises(ModelMismatchError, match="'w'"):
            model.difference("w", since)
    with pytest.raises(KeyError):
        model.difference("v", model)


@pytest.mark.parametrize("value", ["text", np.zeros(2, "V7"), np.zeros(2, "M8[ns]")], ids=str)
def test_what_is_no_number_has_no_difference(value):
    (model,) = models(value)
    with pytest.raises(TypeError, match="no differences"):
        model.difference("w", model)

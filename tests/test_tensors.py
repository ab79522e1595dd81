from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from incnnr.tensors import array_of, as_array, bytes_of, dtype_name, named_dtype, type_of
from tests.weights import ALL_DTYPES, exact, random_array


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

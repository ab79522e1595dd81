"""Bitstreams of the standard that are damaged, or that lie: typed errors that say where, in little memory and time."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from incnnr import Limits
from incnnr.coding.nnc import NncLayer, encode_nnc
from incnnr.errors import BitstreamError, CorruptError, LimitExceededError, ReferenceMismatchError, TruncatedError
from incnnr.nnc import IncrementalState, decode, parse
from incnnr.nnc.parse import write
from incnnr.nnc.syntax import (
    Aggregate,
    Codebook,
    Context,
    DataUnit,
    LayerParameterSet,
    ModelParameterSet,
    ParameterTypes,
    PayloadType,
    Start,
    StorageFormat,
    Topology,
    TopologyElementsIdsList,
    UnitSummary,
)
from incnnr.nnc.units import UnitType, pack_unit
from tests.nnc_damage import copied, flipped, outcome, prefixes, random_cases, stored_cases
from tests.nnc_lies import LIES, NAMED, NODE, SHAPED, lying

HEAD = [Start(), ModelParameterSet(mps_quantization_method_flags=1, mps_qp_density=2)]
ZERO = encode_nnc([[NncLayer(np.zeros(1, np.int32), 1, 1, qp_bits=8, n_greater_flags=10)]], threads=1)[0]


def unit(dims, payload=b"\0\0", **elements):
    given = {"topology_elem_id": "x", "input_parameters_present_flag": 1, "tensor_dimensions_flag": 1} | elements
    return DataUnit(tensor_dimensions=dims, payload=payload, **given)


def bitstream(*units, head=HEAD):
    return write([*head, *units])


def failure(data, error, limits=None, state=None):
    """The error that decoding gives, which says where, leaves the state alone, and comes soon and in little memory."""
    state = state or IncrementalState()
    before, start = copied(state), time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            decode(data, state=state, limits=limits or Limits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert state == before
    assert 0 <= caught.value.byte_offset <= len(data)
    assert peak < (4 << 20) + 20 * len(data)
    assert time.monotonic() - start < 20
    return caught.value


# ---- damage ----


def faults(cases, n_flips):
    return [
        f"{case.name}: {found}"
        for case in cases
        for data in (*prefixes(case.data, 60 if len(case.data) > 300 else 300, 1), *flipped(case.data, n_flips, 2))
        if "FAULT" in (found := outcome(data, copied(case.state), case.shapes))
    ]


@pytest.mark.parametrize("share", range(8))
def test_prefixes_and_flipped_bits_of_every_stored_bitstream_are_typed_errors_or_some_weights(share):
    cases = [case for case in stored_cases() if hashlib.sha256(case.name.encode()).digest()[0] % 8 == share]
    assert len(cases) > 20
    assert faults(cases, n_flips=40) == []


def test_prefixes_and_flipped_bits_of_random_chains_are_typed_errors_or_some_weights():
    assert faults(random_cases(range(40)), n_flips=40) == []


def test_a_bitstream_whose_last_codeword_lacks_its_stop_bit_is_refused():
    data = bytearray(bitstream(unit((1,), ZERO)))
    assert decode(bytes(data)) == {"x": 0}
    lowest = data[-1] & -data[-1]
    for changed in (data[-1] ^ lowest, data[-1] ^ lowest >> 1):
        failure(bytes([*data[:-1], changed]), CorruptError)


# ---- lies in headers ----


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_that_parsing_notices_is_an_error_of_decoding_too(lie):
    failure(LIES[lie], BitstreamError)


@pytest.mark.parametrize(
    "dims",
    [(1 << 40,), (1 << 20, 1 << 20), ((1 << 28) + 1,), (1 << 59,), (0,) * 33, (1,) * 200_000],
    ids=lambda dims: f"{len(dims)} dimensions, the first {dims[0]}",
)
def test_a_tensor_beyond_the_limits_is_refused_before_it_is_allocated(dims):
    failure(shaped(dims), LimitExceededError)


@pytest.mark.parametrize("dims", [(1 << 31, 1 << 31, 2), (0, 1 << 40, 1 << 40), (1 << 60,), (1 << 65,)], ids=str)
def test_dimensions_whose_product_overflows_are_refused(dims):
    failure(shaped(dims), CorruptError)


def shaped(dims):
    """A data unit that no table would write."""
    scan = [("ue", 1, 0), ("u", 4, 0)] if len(dims) > 1 else []
    elements = [*NAMED, *NODE, *SHAPED, ("ue", 1, len(dims)), *(("ue", 7, size) for size in dims), *scan]
    return lying(UnitType.NDU, *elements)


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("factors", [(1 << 40, 1 << 40), (0, 1 << 66), (1 << 66, 1), (3, 1 << 62), (1 << 20, 1 << 20)])
def test_factors_whose_sizes_overflow_are_refused(factors, block):
    elements = {"compressed_parameter_types": ParameterTypes.DECOMPOSED}
    elements |= {"decomposition_rank": factors[0], "g_number_of_rows": factors[1]}
    if block:
        elements |= several_names("g", "h")
    failure(bitstream(unit((4, 4), **elements)), LimitExceededError)


def several_names(*names):
    return {
        "nnr_compressed_data_unit_payload_type": PayloadType.BLOCK,
        "nnr_multiple_topology_elements_present_flag": 1,
        "topology_elem_id": "",
        "topology_elements_ids_list": TopologyElementsIdsList(topology_elem_id_list=names),
    }


def test_factors_without_rows_and_a_factor_without_the_other_are_refused():
    pair = {"compressed_parameter_types": ParameterTypes.DECOMPOSED, "decomposition_rank": 1}
    failure(bitstream(unit((1,), **pair, g_number_of_rows=0)), CorruptError)
    first = bitstream(unit((1,), ZERO, **pair, g_number_of_rows=1))
    assert failure(first, TruncatedError).byte_offset == len(first)


def test_a_name_beyond_the_limits_is_refused():
    failure(bitstream(unit((1,), topology_elem_id="n" * 4097)), LimitExceededError)


def test_the_number_of_tensors_and_their_bytes_are_limited_over_the_whole_bitstream():
    units = [unit((1,), ZERO, topology_elem_id=f"t{i}") for i in range(5)]
    assert len(decode(bitstream(*units), limits=Limits(tensors=5))) == 5
    assert "4 tensors" in failure(bitstream(*units), LimitExceededError, Limits(tensors=4)).message
    failure(bitstream(*units), LimitExceededError, Limits(model_bytes=5000))
    many = b"".join(pack_unit(UnitType.NDU, b"\x09" + b"%06d\0" % i + named_tail()) for i in range(20_000))
    failure(bitstream() + many, LimitExceededError, Limits(model_bytes=1 << 20))


def named_tail():
    """What follows the name in a data unit of one zero."""
    alone = bitstream(unit((1,), ZERO))
    return alone[alone.index(b"x\0") + 2 :]


def test_a_state_makes_room_for_updates_as_large_as_what_it_holds():
    limits = Limits()
    assert limits.allowed_bytes(1000, held_bytes=3 << 30) == 6 << 30
    head = [Start(), replace(HEAD[1], mps_parent_signalling_enabled_flag=1)]
    data, state = bitstream(unit((1,), ZERO), head=head), IncrementalState()
    decode(data, state=state)
    assert state.held_bytes == 4


def test_a_codebook_beyond_the_limits_is_refused_before_it_is_read():
    large = Codebook(0, 1 << 14, tuple(range(1 << 15)))
    data = bitstream(unit((1,), codebook_present_flag=1, codebook=large))
    failure(data, LimitExceededError, Limits(list_elements=1000))
    failure(data, LimitExceededError, Limits(model_bytes=1 << 20))
    with pytest.raises(LimitExceededError):
        parse(data, limits=Limits(list_elements=(1 << 15) - 1))
    # all values but the one in the middle, and the one dimension
    assert len(parse(data, limits=Limits(list_elements=1 << 15))) == 3


def test_all_lists_of_a_unit_count_together():
    names = tuple(str(i) for i in range(60))
    ids = TopologyElementsIdsList(topology_elem_id_list=names)
    listed = Topology(topology_storage_format=StorageFormat.REFERENCE_LIST, topology_elements_ids_list=ids)
    failure(bitstream(listed), LimitExceededError, Limits(list_elements=59))
    book = Codebook(0, 20, tuple(range(41)))
    points = unit((9, 4), codebook_present_flag=1, codebook=book)
    failure(bitstream(points), LimitExceededError, Limits(list_elements=41))


@pytest.mark.parametrize("head", [b"\xff", b"\x7f\xff"], ids=["unification", "decomposition"])
@pytest.mark.parametrize("flags", [0b0_1111_001, 0b0_0001_001, 0b0_0010_001, 0b0_0100_001, 0b0_1000_001])
def test_performance_maps_that_are_not_there_are_refused(flags, head):
    lie = bytes([flags, 0, 0b010_00000, 0]) + b"\xff" * 2 + head + b"\xff" * 40
    failure(write([Start()]) + pack_unit(UnitType.MPS, lie), BitstreamError)


def test_an_aggregate_unit_of_more_units_than_it_announces_is_refused_at_the_first_too_many():
    many = Aggregate(summaries=(UnitSummary(), UnitSummary()), payload=bytes.fromhex("00031e") * 300_000)
    error = failure(bitstream(many), BitstreamError)
    assert "announced" in error.message


def test_a_unit_behind_an_aggregate_unit_sees_what_the_aggregate_set():
    inner = [unit((1,), ZERO), LayerParameterSet(lps_quantization_method_flags=1, lps_qp_density=2), unit((1,), ZERO)]
    context = HEAD[1].context_after(HEAD[0].context_after(Context()))
    together = Aggregate(summaries=(UnitSummary(),) * 3, payload=write(inner, context))
    assert decode(bitstream(together)) == decode(bitstream(*inner))


# ---- lies in payloads and about the past ----


def test_a_level_that_is_not_in_the_codebook_is_corrupt():
    """Edition 1 does not let the size of a codebook bound its levels."""
    head = [Start(general_profile_idc=0), HEAD[1]]
    layer = NncLayer(np.array([5], np.int32), 1, 1, qp_bits=8, has_preamble=False)
    book = {"codebook_present_flag": 1, "codebook": Codebook(0, 0, (1, 2, 3)), "cabac_unary_length_minus1": 10}
    lie = bitstream(unit((1,), encode_nnc([[layer]], 1)[0], cabac_unary_length_flag=1, **book), head=head)
    assert failure(lie, CorruptError).byte_offset > len(bitstream(head=head))


def test_a_step_size_that_is_no_float32_is_corrupt_and_one_that_is_too_small_is_zero():
    coded = encode_nnc([[NncLayer(np.ones(1, np.int32), 1, 1, qp_bits=6, n_greater_flags=10)]], threads=1)[0]
    for qp, value in ((127, 2.0**127), (-149, 2.0**-149), (-200, 0.0)):
        head = [Start(), replace(HEAD[1], mps_qp_density=0, mps_quantization_parameter=qp)]
        assert decode(bitstream(unit((1,), coded), head=head))["x"] == value
    head[1].mps_quantization_parameter = 128
    failure(bitstream(unit((1,), coded), head=head), CorruptError)


def test_quantised_tensors_need_a_method_of_quantisation():
    failure(bitstream(unit((1,), ZERO), head=[Start(), ModelParameterSet()]), CorruptError)


@pytest.mark.parametrize("dims", [(1, 1 << 25), (1 << 25,), (1 << 13, 1 << 12)], ids=str)
@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0", b"\xff" * 9])
def test_a_hundred_megabytes_of_weights_in_a_few_bytes_are_refused_soon(dims, payload):
    data, start = bitstream(unit(dims, payload)), time.monotonic()
    with pytest.raises(CorruptError) as caught:
        decode(data)
    assert caught.value.byte_offset == len(data) - len(payload)
    assert time.monotonic() - start < 20


def test_running_out_of_memory_is_an_error_of_the_unit_that_asked_for_it():
    state = IncrementalState()
    with pytest.raises(LimitExceededError, match="memory ran out") as caught:
        decode(bitstream(unit((1 << 50,))), state=state, limits=Limits(model_bytes=1 << 60))
    assert caught.value.unit_index == 2
    assert caught.value.byte_offset is not None
    assert state == IncrementalState()


def test_raw_floats_that_do_not_fill_the_tensor_are_corrupt():
    raw = {"nnr_compressed_data_unit_payload_type": PayloadType.RAW_FLOAT}
    for n_bytes in (0, 8, 11, 13, 16):
        failure(bitstream(unit((3,), bytes(n_bytes), **raw)), CorruptError)


PARENT = {"parent_node_id_present_flag": 1, "temporal_context_modeling_flag": 1}
BY_HASH = PARENT | {"parent_node_id_type": 1, "parent_node_payload_sha256": bytes(32)}


@pytest.mark.parametrize("elements", [PARENT, BY_HASH, BY_HASH | {"temporal_context_modeling_flag": 0}])
def test_an_update_of_another_size_than_its_parent_does_not_follow(elements):
    head = [Start(), replace(HEAD[1], mps_parent_signalling_enabled_flag=1)]
    state = IncrementalState()
    decode(bitstream(unit((1,), ZERO), head=head), state=state)
    for dims in ((2,), (0,), (1, 5)):
        failure(bitstream(unit(dims, ZERO, **elements), head=head), ReferenceMismatchError, state=state)


def test_a_bitstream_without_parents_may_bring_other_shapes_under_the_same_names():
    state = IncrementalState()
    head = [Start(), replace(HEAD[1], mps_parent_signalling_enabled_flag=1)]
    decode(bitstream(unit((1,), ZERO), head=head), state=state)
    raw = {"nnr_compressed_data_unit_payload_type": PayloadType.RAW_FLOAT}
    assert decode(bitstream(unit((2,), bytes(8), **raw)), state=state)["x"].shape == (2,)
    layer = NncLayer(np.zeros(2, np.int32), 2, 1, qp_bits=8, n_greater_flags=10)
    data = bitstream(unit((2,), encode_nnc([[layer]], 1)[0]), head=head)
    assert decode(data, state=state)["x"].shape == (2,)
    assert state.nodes["x"].shape == (2,)

"""What `incnnr.nnc.encode` makes, as its decoder sees it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incnnr.errors import ModelMismatchError
from incnnr.nnc import Block, IncrementalState, decode, encode, parse
from incnnr.nnc.bitstream import decode_tensors
from incnnr.nnc.syntax import (
    DataUnit,
    DecompressedDataFormat,
    StorageFormat,
    Topology,
    TopologyElementsIdsList,
    deflated,
    inflated,
)
from incnnr.quantization import step_size_of_qp
from tests.weights import trained

SHAPES = [(), (1,), (7,), (0,), (0, 3), (3, 0), (1, 9), (9, 1), (12, 10), (33, 21), (40, 3, 3, 3), (70, 67)]


def model(seed=0, scale=0.1):
    rng = np.random.default_rng(seed)
    floats = {f"float{shape}": rng.laplace(0, scale, shape).astype(np.float32) for shape in SHAPES}
    integers = {f"int{shape}": rng.integers(-40, 40, shape).astype(np.int32) for shape in SHAPES}
    return floats | integers


def data_units(data):
    return [unit for unit in parse(data) if isinstance(unit, DataUnit)]


def largest_error(decoded, given):
    return max(
        float(np.abs(decoded[name].astype(np.float64) - np.asarray(given[name], np.float64)).max(initial=0))
        for name in given
    )


@pytest.mark.parametrize("dq", [False, True])
@pytest.mark.parametrize("scan_order", range(5))
@pytest.mark.parametrize("lambda_scale", [0.0, 1.0])
def test_every_shape_comes_back_within_a_step(dq, scan_order, lambda_scale):
    given_weights = model()
    decoded = decode(encode(given_weights, dq=dq, scan_order=scan_order, lambda_scale=lambda_scale))
    assert list(decoded) == list(given_weights)
    for name, weights in given_weights.items():
        assert decoded[name].shape == weights.shape
        if name.startswith("int"):
            assert decoded[name].dtype == np.int32
            assert (decoded[name] == weights).all()
    floats = {name: weights for name, weights in given_weights.items() if name.startswith("float")}
    bound = (2.5 if dq else 0.5) * step_size_of_qp(-32) * (1 + 1e-5) * (1 if lambda_scale == 0 else 8)
    assert largest_error(decoded, floats) <= bound


def test_dependent_quantisation_has_the_smaller_error_for_as_many_bytes():
    weights = {"w": np.random.default_rng(3).normal(0, 0.1, (200, 200)).astype(np.float32)}
    points = {dq: encode(weights, dq=dq, qp=qp) for dq, qp in ((False, -24), (True, -28))}
    errors = {dq: float(np.square(decode(data)["w"] - weights["w"]).mean()) for dq, data in points.items()}
    assert len(points[True]) <= 1.02 * len(points[False])
    assert errors[True] < 0.8 * errors[False]


def test_more_weight_on_bits_gives_fewer_bytes():
    weights = {"w": np.random.default_rng(3).laplace(0, 0.01, (200, 200)).astype(np.float32)}
    for dq in (False, True):
        sizes = [len(encode(weights, qp=-24, dq=dq, lambda_scale=scale)) for scale in (0.0, 0.3, 1.0, 3.0)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < 0.9 * sizes[0]


def test_bytes_do_not_depend_on_threads():
    weights = model() | {"large": np.random.default_rng(5).laplace(0, 0.1, (300, 700)).astype(np.float32)}
    one, three = (encode(weights, scan_order=2, threads=threads) for threads in (1, 3))
    assert one == three
    assert largest_error(decode(one, threads=1), decode(one, threads=3)) == 0


def test_entry_points_name_every_block_row_but_the_first():
    (unit,) = data_units(encode({"w": np.ones((70, 67), np.float32)}, scan_order=2))
    assert len(unit.entry_points) == 4
    assert all(point.bit_offset > 0 for point in unit.entry_points)


@pytest.mark.parametrize("codebook", ["auto", "always"])
def test_few_distinct_values_are_sent_as_a_list(codebook):
    values = np.float32([-0.75, 0.015625, 0.5, 31])
    weights = {"w": values[np.random.default_rng(2).integers(0, 4, (50, 60))]}
    data = encode(weights, qp=-24, codebook=codebook)
    (unit,) = data_units(data)
    assert unit.codebook_present_flag
    assert len(unit.codebook.values) == 4
    assert len(data) < len(encode(weights, qp=-24))
    assert (decode(data)["w"] == weights["w"]).all()


def test_a_codebook_is_left_out_where_it_does_not_pay():
    weights = {"w": np.random.default_rng(2).laplace(0, 0.1, (50, 60)).astype(np.float32)}
    assert encode(weights, codebook="auto") == encode(weights)


def test_a_constant_that_is_not_zero_survives_an_update_with_codebooks():
    state, receiver = IncrementalState(), IncrementalState()
    weights = {"w": np.full((5, 6), 0.25, np.float32), "zero": np.zeros((5, 6), np.float32)}
    decoded = decode(encode(weights, codebook="always", state=state), state=receiver)
    assert list(decoded) == ["w"]
    assert (decoded["w"] == 0.25).all()


@pytest.mark.parametrize("dq", [False, True])
@pytest.mark.parametrize("bit_depth", [2, 3, 4, 5, 8, 12])
def test_levels_fit_the_bit_depth(dq, bit_depth):
    rng = np.random.default_rng(bit_depth)
    weights = {
        "signed": rng.normal(0, 1, (60, 70)).astype(np.float32),
        "positive": np.abs(rng.normal(0, 1, (60, 70))).astype(np.float32),
        "vector": rng.normal(0, 1, 300).astype(np.float32),
        "zero": np.zeros((3, 3), np.float32),
    }
    levels = {name: t.levels for name, t in decode_tensors(encode(weights, dq=dq, bit_depth=bit_depth)).items()}
    half = 1 << (bit_depth - 1)
    assert -half <= levels["signed"].min() <= levels["signed"].max() < half
    assert levels["positive"].min() >= 0
    assert half <= levels["positive"].max() < 2 * half
    assert levels["vector"].max() > 100


def test_bit_depths_and_automatic_parameters_differ_from_tensor_to_tensor():
    weights = next(iter(trained(np.random.default_rng(0), 1)))
    for options in ({"bit_depth": 6}, {"opt_qp": True}):
        tensors = decode_tensors(encode(weights, **options))
        steps = {name: float(np.abs(t.values).max() / np.abs(t.levels).max()) for name, t in tensors.items()}
        assert len({round(step, 9) for step in steps.values()}) > 1


def test_a_parameter_is_raised_where_levels_would_not_fit():
    weights = {"w": np.float32([3e30, -1.0]), "v": np.float32([1.0])}
    decoded = decode(encode(weights, qp={"w": -40, "v": 300}))
    assert abs(decoded["w"][0] / 3e30 - 1) < 1e-6
    assert decoded["v"][0] == 0


def test_parameters_beyond_the_units_reach_move_the_base():
    weights = {"w": np.float32([1e-12, -7e-13])}
    decoded = decode(encode(weights, qp=-180))
    assert largest_error(decoded, weights) < 1e-13
    with pytest.raises(ValueError, match="too far apart"):
        encode({"a": np.ones(2), "b": np.ones(2)}, qp={"a": -200, "b": 200})


def test_none_sends_floats_as_they_are():
    weights = {"w": np.float32([np.nan, np.inf, -0.0, 1e-42]), "v": np.ones((2, 2), np.float32)}
    decoded = decode(encode(weights, qp={"w": None, "*": -20}))
    assert decoded["w"].tobytes() == weights["w"].tobytes()
    assert (decoded["v"] == 1).all()


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.float32([np.nan]), ValueError),
        (np.float64([1e300]), ValueError),
        (np.int64([1 << 31]), ValueError),
        (np.uint64([1 << 63]), ValueError),
        (np.complex64([1]), TypeError),
        (np.array(["text"]), TypeError),
    ],
)
def test_what_the_standard_cannot_say_is_refused_by_name(array, error):
    with pytest.raises(error, match="'bad'"):
        encode({"good": np.ones(3), "bad": array})


def test_dtypes_are_named_in_the_header_where_the_standard_has_a_name():
    dtypes = [np.float16, np.float64, np.int8, np.int16, np.int64, np.float32, np.int32, ml_dtypes.bfloat16, np.bool_]
    data = encode({np.dtype(dtype).name: np.ones(2, dtype) for dtype in dtypes})
    formats = {
        unit.topology_elem_id: DecompressedDataFormat(unit.nnr_decompressed_data_format).name
        for unit in data_units(data)
        if unit.nnr_decompressed_data_format_present_flag
    }
    assert formats == {
        "float16": "FLOAT16",
        "float64": "FLOAT64",
        "int8": "INT8",
        "int16": "INT16",
        "int64": "INT64",
    }
    assert all((array == 1).all() for array in decode(data).values())


def block_model(rng, rank=4):
    return {
        "conv.weight": rng.normal(0, 0.1, (16, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.normal(0, 0.1, 16).astype(np.float32),
        "conv.scale": rng.normal(1, 0.1, 16).astype(np.float32),
        **{f"bn.{name}": rng.normal(1, 0.1, 16).astype(np.float32) for name in ("beta", "gamma", "mean", "var")},
        "fc.G": rng.normal(0, 0.1, (20, rank)).astype(np.float32),
        "fc.H": rng.normal(0, 0.1, (rank, 30)).astype(np.float32),
        "fc.bias": rng.normal(0, 0.1, 20).astype(np.float32),
        "other": rng.normal(0, 0.1, (5, 5)).astype(np.float32),
    }


BLOCKS = [
    Block("conv.weight", "conv.scale", "conv.bias", ("bn.beta", "bn.gamma", "bn.mean", "bn.var")),
    Block(("fc.G", "fc.H"), bias="fc.bias", dimensions=(20, 5, 6)),
]


@pytest.mark.parametrize("options", [{}, {"codebook": "always"}, {"scan_order": 1}, {"dq": False, "bit_depth": 9}])
def test_blocks_share_a_unit_and_come_back_by_name(options):
    weights = block_model(np.random.default_rng(1))
    data = encode(weights, qp=-30, blocks=BLOCKS, **options)
    assert len(data_units(data)) == 3
    decoded = decode(data)
    assert set(decoded) == set(weights)
    assert all(decoded[name].shape == weights[name].shape for name in weights)
    assert largest_error(decoded, weights) < 0.02


def test_blocks_travel_in_chains():
    state, receiver = IncrementalState(), IncrementalState()
    for seed in range(3):
        weights = block_model(np.random.default_rng(seed))
        decoded = decode(encode(weights, blocks=BLOCKS, state=state), state=receiver)
        assert largest_error(decoded, weights) < 0.01


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([Block("conv.weight")], ValueError),
        ([Block("conv.weight", bias="nowhere")], ValueError),
        ([Block("conv.weight", bias="fc.bias")], ModelMismatchError),
        ([Block(("fc.H", "fc.G"))], ModelMismatchError),
        ([Block(("fc.G", "fc.H"), dimensions=(20, 31))], ModelMismatchError),
        ([Block("conv.weight", bias="conv.bias"), Block("other", bias="conv.bias")], ValueError),
    ],
)
def test_blocks_that_do_not_fit_are_refused(blocks, error):
    with pytest.raises(error):
        encode(block_model(np.random.default_rng(0)), blocks=blocks)


def test_a_reference_list_lets_units_name_tensors_by_place():
    weights = next(iter(trained(np.random.default_rng(0), 1)))
    names = TopologyElementsIdsList(tuple(weights))
    data = encode(
        weights,
        topology=Topology(topology_storage_format=StorageFormat.REFERENCE_LIST, topology_elements_ids_list=names),
    )
    assert list(decode(data)) == list(weights)
    assert data.count(b"conv.weight") == 1


def test_a_topology_file_is_carried():
    data = encode({"w": np.ones(3)}, topology=deflated(b"a graph" * 50, StorageFormat.ONNX))
    (unit,) = [unit for unit in parse(data) if isinstance(unit, Topology)]
    assert inflated(unit, 1000) == b"a graph" * 50


@pytest.mark.parametrize("options", [{}, {"dq": False}, {"scan_order": 1}, {"codebook": "auto"}, {"lambda_scale": 1.0}])
def test_both_ends_of_a_chain_hold_the_same_after_every_update(options):
    state, receiver = IncrementalState(), IncrementalState()
    rng = np.random.default_rng(7)
    shapes = {"w": (40, 3, 5), "odd": (50, 37), "b": (40,), "n": (6, 6), "still": (8, 8)}
    for round_ in range(5):
        differences = {name: rng.laplace(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
        differences["odd"][rng.random(50) < 0.7] = 0
        differences["n"] = rng.integers(-2, 3, shapes["n"])
        differences["still"][:] = 0
        decoded = decode(encode(differences, state=state, **options), state=receiver)
        assert set(decoded) == {"w", "odd", "b", "n"}
        assert set(state.nodes) == set(receiver.nodes)
        for name, node in state.nodes.items():
            other = receiver.nodes[name]
            assert (node.put_node_depth, node.parameter_id) == (other.put_node_depth, other.parameter_id)
            assert node.put_node_depth == round_ + 1
            assert (node.levels == other.levels).all()
            assert (node.history == other.history).all()


def test_contexts_of_a_chain_make_similar_updates_smaller():
    rng = np.random.default_rng(0)
    update = {"w": np.where(rng.random((300, 300)) < 0.05, rng.normal(0, 0.05, (300, 300)), 0).astype(np.float32)}
    state = IncrementalState()
    first, second = (len(encode(update, state=state)) for _ in range(2))
    assert second < 0.8 * first


def test_updates_that_are_alike_are_smaller_as_residuals_and_add_up():
    rng = np.random.default_rng(0)
    common = rng.laplace(0, 0.02, (100, 100)).astype(np.float32)
    state, receiver, plain = IncrementalState(), IncrementalState(), IncrementalState()
    for round_ in range(4):
        update = {"w": common + rng.laplace(0, 0.002, (100, 100)).astype(np.float32), "n": np.arange(6)}
        data = encode(update, state=state, predict=True)
        decode(data, state=receiver)
        assert np.abs(receiver.updates["w"] - update["w"]).max() < 0.01
        assert (receiver.updates["w"] == state.updates["w"]).all()
        assert round_ == 0 or len(data) < 0.6 * len(encode(update, state=plain))


def test_only_updates_are_predicted():
    with pytest.raises(ValueError, match="state"):
        encode({"w": np.ones(3)}, predict=True)


def test_a_chain_starts_at_a_bitstream_that_the_state_has_decoded():
    state, receiver = IncrementalState(), IncrementalState()
    first = encode(model(1))
    for side in (state, receiver):
        decode(first, state=side)
    differences = model(2)
    decoded = decode(encode(differences, state=state), state=receiver)
    assert largest_error(decoded, {name: differences[name] for name in decoded}) < 0.01


def test_a_failed_update_leaves_the_state_as_it_was():
    state = IncrementalState()
    encode({"w": np.ones((3, 3))}, state=state)
    before = dict(state.nodes)
    with pytest.raises(ModelMismatchError):
        encode({"w": np.ones((3, 4))}, state=state)
    with pytest.raises(ValueError, match="'v'"):
        encode({"w": np.ones((3, 3)), "v": np.float32([np.nan])}, state=state)
    assert state.nodes == before


def test_tensors_keep_their_numbers_when_others_are_left_out():
    state, receiver = IncrementalState(), IncrementalState()
    ones = np.ones((3, 3), np.float32)
    for names in (("a", "b"), ("b",), ("c", "b"), ("a", "b", "c")):
        decoded = decode(encode(dict.fromkeys(names, ones), state=state), state=receiver)
        assert set(decoded) == set(names)
    assert len({node.parameter_id for node in state.nodes.values()}) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"qp": 5000},
        {"qp_density": 8},
        {"scan_order": 5},
        {"bit_depth": 1},
        {"bit_depth": 40},
        {"lambda_scale": -1.0},
        {"lambda_scale": float("nan")},
        {"codebook": "sometimes"},
        {"opt_qp": True, "bit_depth": 8},
        {"device_id": -1},
        {"threads": 0},
        {"qp": -3000},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"."):
        encode({"w": np.ones((2, 2))}, **options)


@given(data=st.data())
def test_any_model_with_any_options_comes_back(data):
    draw = data.draw
    shapes = draw(st.lists(st.lists(st.integers(0, 9), max_size=4).map(tuple), max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = 10.0 ** draw(st.integers(-4, 3))
    weights = {f"t{i}": rng.laplace(0, scale, shape).astype(np.float32) for i, shape in enumerate(shapes)}
    weights = {name: np.where(rng.random(w.shape) < 0.5, w, 0).astype(np.float32) for name, w in weights.items()}
    options = {
        "qp": draw(st.integers(-40, 10)),
        "qp_density": draw(st.integers(0, 7)),
        "dq": draw(st.booleans()),
        "scan_order": draw(st.integers(0, 4)),
        "lambda_scale": draw(st.sampled_from([0.0, 0.5, 2.0])),
        "codebook": draw(st.sampled_from(["never", "auto", "always"])),
    }
    state, receiver = IncrementalState(), IncrementalState()
    for _ in range(2):
        decode(encode(weights, state=state, **options), state=receiver)
        assert {name: node.levels.tolist() for name, node in state.nodes.items()} == {
            name: node.levels.tolist() for name, node in receiver.nodes.items()
        }

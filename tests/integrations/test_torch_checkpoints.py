from __future__ import annotations

import collections
import pickle
import random
import resource
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
import pytest
import torch

from incnnr import checkpoints
from incnnr.checkpoints import Checkpoint
from incnnr.errors import CheckpointError
from incnnr.tensors import Layout


def _trained(tmp_path: Path) -> Path:
    """Save what a training loop saves: tied weights, optimizer state, hyper-parameters."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    network[2].weight = network[0].weight
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    tree = {
        "epoch": 3,
        "state_dict": network.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"lr": 1e-3, "betas": (0.9, 0.999), "name": None},
        "rng": torch.get_rng_state(),
    }
    torch.save(tree, tmp_path / "epoch=3-step=1.ckpt")
    return tmp_path / "epoch=3-step=1.ckpt"


def _assert_equal(actual: Any, expected: Any) -> None:
    assert type(actual) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert (actual.dtype, actual.shape, actual.requires_grad) == (
            expected.dtype,
            expected.shape,
            expected.requires_grad,
        )
        bits = [
            tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8) for tensor in (actual, expected)
        ]
        assert torch.equal(*bits)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key, value in expected.items():
            _assert_equal(actual[key], value)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            _assert_equal(*pair)
    elif isinstance(expected, float | complex):
        assert repr(actual) == repr(expected)
    else:
        assert actual == expected
    if vars_of := getattr(expected, "__dict__", None):
        _assert_equal(vars(actual), vars_of)


def _round_trip(tmp_path: Path, tree: object) -> Any:
    torch.save(tree, tmp_path / "in.pt")
    checkpoints.write(tmp_path / "out.pt", checkpoints.read(tmp_path / "in.pt"))
    return torch.load(tmp_path / "out.pt", weights_only=True)


@pytest.mark.parametrize("memory_map", [True, False])
def test_a_training_checkpoint_comes_back_as_an_equal_tree(tmp_path: Path, memory_map: bool) -> None:
    source = _trained(tmp_path)
    checkpoint = checkpoints.read(source, memory_map=memory_map)
    assert checkpoints.is_complete(source)
    assert "state_dict/0.weight" in checkpoint
    assert "optimizer_states/0/state/0/exp_avg" in checkpoint
    checkpoints.write(tmp_path / "out.ckpt", checkpoint)
    _assert_equal(torch.load(tmp_path / "out.ckpt", weights_only=True), torch.load(source, weights_only=True))


def test_tied_tensors_are_carried_once_and_come_out_tied(tmp_path: Path) -> None:
    source = _trained(tmp_path)
    checkpoint = checkpoints.read(source)
    assert "state_dict/2.weight" not in checkpoint
    checkpoints.write(tmp_path / "out.ckpt", checkpoint)
    state = torch.load(tmp_path / "out.ckpt", weights_only=True)["state_dict"]
    assert state["0.weight"].data_ptr() == state["2.weight"].data_ptr()
    assert state["0.bias"].data_ptr() != state["2.bias"].data_ptr()


def test_a_flat_state_dict_keeps_its_names(tmp_path: Path) -> None:
    state = torch.nn.Linear(2, 3).state_dict()
    torch.save(state, tmp_path / "m.pt")
    assert list(checkpoints.read(tmp_path / "m.pt")) == ["weight", "bias"]


def test_every_type_that_weights_only_allows_comes_back(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = {"tag": 1}  # type: ignore[attr-defined]
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    ordered = collections.OrderedDict(p=parameter, f=frozen)
    ordered._metadata = collections.OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    tree = {
        "ordered": ordered,
        "counter": collections.Counter("aab"),
        "set": {1, "b", (2, None)},
        "nested": [(), [], {}, ((1,),)],
        "numbers": [True, -1, 2**63, 2**64, -(2**64), 0.1, -0.0, float("nan"), float("-inf"), 1e-320, 1 - 2j],
        "text": ["", "é\0", "\ud800", b"\x00\xff", bytearray(b"ab")],
        "torch": [torch.Size([2, 3]), torch.Size([]), torch.bfloat16, torch.device("cuda:1"), torch.strided],
        3: "int key",
        (1, "a"): "tuple key",
        None: "no key",
    }
    _assert_equal(_round_trip(tmp_path, tree), torch.load(tmp_path / "in.pt", weights_only=True))


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    torch.manual_seed(2)
    values = torch.randn(3, 4)
    dtypes = "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 complex64 int64 int8 uint8 bool uint16 uint64"
    tree = {name: values.to(getattr(torch, name)) for name in dtypes.split()} | {
        "scalar": torch.tensor(1.5, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 3),
        "empty too": torch.zeros(0, 3),
        "transposed": values.T,
        "every second": values[:, ::2],
        "expanded": torch.ones(1).expand(5),
        "conjugated": torch.tensor([1 + 2j]).conj(),
        "specials": torch.tensor([-0.0, float("nan"), float("inf"), 1e-45]),
    }
    _assert_equal(_round_trip(tmp_path, tree), torch.load(tmp_path / "in.pt", weights_only=True))


@pytest.mark.parametrize("tree", [torch.arange(3.0), [torch.ones(1), torch.zeros(1)], 5, {}])
def test_a_file_need_not_be_a_dictionary(tmp_path: Path, tree: object) -> None:
    _assert_equal(_round_trip(tmp_path, tree), tree)


def test_names_that_collide_are_told_apart_in_the_order_of_the_tree(tmp_path: Path) -> None:
    tree = {"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}, 1: torch.ones(2), "1": torch.ones(3)}
    torch.save(tree, tmp_path / "m.pt")
    assert list(checkpoints.read(tmp_path / "m.pt")) == ["a/b", "a/b~2", "1", "1~2"]
    _assert_equal(_round_trip(tmp_path, tree), tree)


def test_the_skeleton_does_not_depend_on_the_order_of_a_set(tmp_path: Path) -> None:
    for name, items in (("a", list(range(0, 4000, 97))), ("b", list(range(0, 4000, 97))[::-1])):
        torch.save({"s": set(items)}, tmp_path / f"{name}.pt")
    assert checkpoints.read(tmp_path / "a.pt").layout == checkpoints.read(tmp_path / "b.pt").layout


def test_files_older_than_the_zip_format_are_read(tmp_path: Path) -> None:
    tree = {"w": torch.arange(3.0)}
    torch.save(tree, tmp_path / "m.bin", _use_new_zipfile_serialization=False)
    assert checkpoints.is_complete(tmp_path / "m.bin")
    checkpoints.write(tmp_path / "out.bin", checkpoints.read(tmp_path / "m.bin"))
    _assert_equal(torch.load(tmp_path / "out.bin", weights_only=True), tree)


def test_what_weights_only_refuses_is_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "when": pickle.PickleError("x")}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"of type _?pickle\.PickleError"):
        checkpoints.read(tmp_path / "m.pt")


def test_types_allowed_by_the_user_but_unknown_here_are_named(tmp_path: Path) -> None:
    torch.save({"d": collections.defaultdict(list)}, tmp_path / "m.pt")
    with (
        torch.serialization.safe_globals([collections.defaultdict, list]),
        pytest.raises(CheckpointError, match=r"collections\.defaultdict"),
    ):
        checkpoints.read(tmp_path / "m.pt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["quantised", "sparse", "meta"])
def test_tensors_that_are_not_plain_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    tensor = {
        "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "sparse": lambda: torch.eye(3).to_sparse(),
        "meta": lambda: torch.zeros(3, device="meta"),
    }[kind]()
    torch.save({"w": tensor}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="tensor 'w' is not a plain one"):
        checkpoints.read(tmp_path / "m.pt")


def test_a_small_memory_repeated_over_terabytes_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(2**40)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="repeats a small memory"):
        checkpoints.read(tmp_path / "m.pt")


def test_trees_that_are_deep_or_contain_themselves_are_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    for tree in (endless, deep):
        torch.save(tree, tmp_path / "m.pt")
        with pytest.raises(CheckpointError, match="nested"):
            checkpoints.read(tmp_path / "m.pt")


def test_a_tree_just_within_the_depth_comes_back(tmp_path: Path) -> None:
    tree: Any = torch.ones(1)
    for _ in range(100):
        tree = [tree]
    _assert_equal(_round_trip(tmp_path, tree), tree)


def test_damaged_files_give_a_checkpoint_or_a_checkpoint_error(tmp_path: Path) -> None:
    torch.save({"w": torch.arange(4.0), "n": 1}, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    draw = random.Random(4)
    path = tmp_path / "m.pt"
    n_refused = 0
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        assert not checkpoints.is_complete(path)
        with pytest.raises(CheckpointError):
            checkpoints.read(path)
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            checkpoints.read(path)
        except CheckpointError:
            n_refused += 1
    assert n_refused > 10


def _hostile(node: object, names: object = ("w",)) -> Checkpoint:
    layout = Layout("pytorch", msgpack.packb([list(names) if isinstance(names, tuple) else names, node]))
    return Checkpoint(Path("stream"), {"w": np.zeros(2, np.float32)}, layout)


def _nested(tag: str, depth: int) -> object:
    node: object = None
    for _ in range(depth):
        node = [tag, node]
    return node


@pytest.mark.parametrize(
    "node",
    [
        [],
        {},
        [5],
        ["os.system", "true"],
        ["__import__"],
        ["int", 5],
        ["int", "zz"],
        ["complex", []],
        ["bytearray", 2**40],
        ["size", "a"],
        ["dtype", "load"],
        ["dtype", ["float32"]],
        ["layout", "float32"],
        ["device", 5],
        ["device", "nowhere:x"],
        ["set", ["list"]],
        ["dict"],
        ["dict", None, 1],
        ["dict", None, ["list"], 1],
        ["dict", ["dict", None, "a", 1], "b", 2],
        ["ordered", ["list"]],
        ["ordered", ["dict", None, 1, 1]],
        ["tensor"],
        ["tensor", 1, False, False, None],
        ["tensor", -1, False, False, None],
        ["tensor", 0, 1, False, None],
        ["tensor", "w", False, False, None],
        ["tensor", 0, True, False, ["list"]],
        ["tensor", 0, False, False, ["dict", None, "__reduce_ex__", 5]],
        _nested("list", 150),
        _nested("ordered", 150),
    ],
)
def test_a_hostile_layout_is_an_error_and_writes_nothing(tmp_path: Path, node: object) -> None:
    with pytest.raises(CheckpointError):
        checkpoints.write(tmp_path / "m.pt", _hostile(node))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", [b"", b"\xc1", b"\x91" * 5000, msgpack.packb([["w"]]), msgpack.packb([["w", "w"], 1])])
def test_a_layout_that_is_no_skeleton_is_an_error(tmp_path: Path, rest: bytes) -> None:
    weights = Checkpoint(Path("stream"), {"w": np.zeros(2)}, Layout("pytorch", rest))
    with pytest.raises(CheckpointError, match="damaged PyTorch layout"):
        checkpoints.write(tmp_path / "m.pt", weights)
    assert list(tmp_path.iterdir()) == []


def test_integer_tensors_cannot_be_made_to_require_gradients_by_a_layout(tmp_path: Path) -> None:
    weights = _hostile(["tensor", 0, False, True, None])
    with pytest.raises(CheckpointError, match="damaged PyTorch layout"):
        checkpoints.write(tmp_path / "m.pt", Checkpoint(Path("stream"), {"w": np.zeros(2, np.int8)}, weights.layout))


def test_weights_that_do_not_fit_the_tree_make_a_flat_state_dict(tmp_path: Path) -> None:
    checkpoint = checkpoints.read(_trained(tmp_path))
    checkpoints.write(tmp_path / "m.pt", Checkpoint(checkpoint.path, {"w": np.ones(2)}, checkpoint.layout))
    assert list(torch.load(tmp_path / "m.pt", weights_only=True)) == ["w"]


def test_formats_convert_into_each_other(tmp_path: Path) -> None:
    weights = {"b": np.ones(3, ml_dtypes.bfloat16), "f": np.arange(4, dtype=">f4")}
    checkpoints.write(tmp_path / "m.pt", weights)
    checkpoints.write(tmp_path / "m.safetensors", checkpoints.read(tmp_path / "m.pt"))
    back = checkpoints.read(tmp_path / "m.safetensors")
    assert {name: array.tolist() for name, array in back.items()} == {"b": [1, 1, 1], "f": [0, 1, 2, 3]}


def test_torch_tensors_are_written_as_they_are(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 3)
    checkpoints.write(tmp_path / "m.safetensors", network.state_dict())
    assert np.array_equal(checkpoints.read(tmp_path / "m.safetensors")["weight"], network.weight.detach().numpy())


def test_dtypes_that_pytorch_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot hold"):
        checkpoints.write(tmp_path / "m.pt", {"w": np.array(["a"])})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "m.pt", {"w": np.ones(3)})
    before = (tmp_path / "m.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CheckpointError):
            checkpoints.write(tmp_path / "m.pt", {"w": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "m.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]

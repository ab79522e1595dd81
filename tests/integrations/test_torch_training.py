"""A PyTorch training loop: tensors as they are, and .pt files through a stream."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import incnnr


def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def train_a_little(model, optimizer):
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(model(torch.randn(16, 6)), torch.randn(16, 3)).backward()
    optimizer.step()


def assert_equal_trees(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal_trees(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal_trees(a, b)
    else:
        assert one == other


def test_parameters_are_taken_as_they_are_and_load_into_a_model():
    model, twin = network(), network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    for _ in range(4):
        train_a_little(model, optimizer)
        weights = dict(model.named_parameters()) | dict(model.named_buffers())
        decoded = decoder.decode(encoder.encode(weights))
        twin.load_state_dict(decoded.to_torch())
        assert_equal_trees(dict(model.state_dict()), dict(twin.state_dict()))
    twin.load_state_dict(decoder.model.to_torch())
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert decoder.model["0.weight"].any()


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float64]
)
def test_every_float_dtype_comes_back_as_a_torch_tensor(dtype):
    encoder, decoder = incnnr.Encoder(), incnnr.Decoder()
    for seed in range(3):
        torch.manual_seed(seed)
        weights = {"t": torch.randn(7, 5).to(dtype).T, "s": torch.tensor(0.5).to(dtype)}
        assert_equal_trees(
            decoder.decode(encoder.encode(weights)).to_torch(), {k: v.contiguous() for k, v in weights.items()}
        )


def test_a_partial_torch_update_with_a_bound():
    model = network()
    encoder, decoder = incnnr.Encoder(base=model.state_dict(), max_error=1e-3), incnnr.Decoder(base=model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train_a_little(model, optimizer)
    head = {name: p for name, p in model.named_parameters() if name.startswith("3.")}
    decoded = decoder.decode(encoder.encode(head, partial=True)).to_torch()
    for name, parameter in head.items():
        assert (decoded[name] - parameter).abs().max() <= 1e-3


def run(*arguments):
    subprocess.run([sys.executable, "-m", "incnnr", *map(str, arguments)], check=True, capture_output=True)


def test_training_checkpoints_with_optimizer_state_come_out_of_a_stream_as_equal_trees(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    paths = []
    for step in range(4):
        train_a_little(model, optimizer)
        tree = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": step,
            "hyper_parameters": {"lr": 1e-3, "betas": (0.9, 0.999), "name": "two-layer", "layers": [6, 8, 3]},
            "rng": torch.get_rng_state(),
        }
        paths.append(tmp_path / f"epoch={step}-step={10 * step}.ckpt")
        torch.save(tree, paths[-1])
    stream, rebuilt = tmp_path / "run.incnnr", tmp_path / "rebuilt.ckpt"
    run("encode", *paths, "-o", stream)
    for index, path in enumerate(paths):
        run("decode", stream, "-o", rebuilt, "--index", index)
        assert_equal_trees(torch.load(rebuilt, weights_only=True), torch.load(path, weights_only=True))
    run("decode", stream, "-o", tmp_path / "step20.pt", "--step", 20)
    assert_equal_trees(torch.load(tmp_path / "step20.pt", weights_only=True), torch.load(paths[2], weights_only=True))


def test_a_watched_folder_of_pt_files_becomes_a_stream(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    model = network()
    for step in (1, 2, 3):
        train_a_little(model, torch.optim.SGD(model.parameters(), lr=0.01))
        torch.save(model.state_dict(), folder / f"model_{step}.pt")
    run("watch", folder, "-o", tmp_path / "run.incnnr", "--once")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [1, 2, 3]
        assert_equal_trees(stream[-1].to_torch(), dict(model.state_dict()))

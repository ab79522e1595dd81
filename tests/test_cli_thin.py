"""``incnnr thin``, and what it is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import incnnr
from incnnr.cli import main
from incnnr.errors import CorruptError
from incnnr.stream import thin
from tests.weights import exact, trained


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def stream(tmp_path):
    path = tmp_path / "run.incnnr"
    with incnnr.open(path, "w", keyframe_every=4) as writer:
        for i, weights in enumerate(trained(np.random.default_rng(0), 11)):
            writer.append(weights, step=10 * i, name=f"ckpt {i}", metadata={"loss": 1 / (i + 1)})
    return path


def said(entry):
    return entry.step, entry.name, entry.time, entry.metadata


@pytest.mark.parametrize(
    ("options", "indices"),
    [(("--every", 4), [0, 4, 8, 10]), (("--keep", "-1,0,3"), [0, 3, 10]), (("--every", 100), [0, 10])],
)
def test_the_entries_that_are_kept_are_as_they_were(stream, tmp_path, options, indices):
    output = tmp_path / "thin.incnnr"
    result = run("thin", stream, "-o", output, *options)
    assert result.exit_code == 0, result.output
    with incnnr.open(stream) as before, incnnr.open(output) as after:
        assert [said(entry) for entry in after.entries] == [said(before.entries[i]) for i in indices]
        assert [exact(model) for model in after] == [exact(before[i]) for i in indices]
    assert run("verify", output).exit_code == 0


def test_what_errors_bounds_left_is_kept_to_the_bit(tmp_path):
    with incnnr.open(tmp_path / "run.incnnr", "w", max_error=1e-3) as writer:
        for weights in trained(np.random.default_rng(1), 4):
            writer.append(weights)
    assert run("thin", tmp_path / "run.incnnr", "-o", tmp_path / "thin.incnnr", "--keep", "1,3").exit_code == 0
    with incnnr.open(tmp_path / "run.incnnr") as before, incnnr.open(tmp_path / "thin.incnnr") as after:
        assert [exact(model) for model in after] == [exact(before[i]) for i in (1, 3)]


def test_a_folder_of_shards_stays_what_it_was(tmp_path):
    incnnr.write(tmp_path / "a.safetensors", {"w": np.arange(3.0)})
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        for _ in range(3):
            writer.append(incnnr.read(tmp_path / "a.safetensors"))
    assert run("thin", tmp_path / "run.incnnr", "-o", tmp_path / "thin.incnnr", "--every", "2").exit_code == 0
    assert run("decode", tmp_path / "thin.incnnr", "-o", tmp_path / "b.safetensors").exit_code == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_first_and_the_last_take_what_a_direct_difference_takes(tmp_path):
    series = list(trained(np.random.default_rng(2), 6, rate=1e-5, dtype=np.float16))
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        for weights in series:
            writer.append(weights)
    with incnnr.open(tmp_path / "run.incnnr") as reader:
        entries = list(thin(reader, tmp_path / "thin.incnnr", [0, 5]))
    direct = incnnr.Encoder(base=series[0]).encode(series[-1])
    assert entries[1].n_bytes <= 1.05 * len(bytes(direct)) + 32


def test_the_output_is_protected(stream, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert run("thin", stream, "-o", other, "--every", 2, "--force").exit_code == 2
    assert run("thin", stream, "-o", stream, "--every", 2).exit_code == 2
    assert run("thin", stream, "-o", stream, "--every", 2, "--force").exit_code == 2
    output = tmp_path / "thin.incnnr"
    assert run("thin", stream, "-o", output, "--every", 2).exit_code == 0
    assert run("thin", stream, "-o", output, "--every", 5).exit_code == 2
    assert run("thin", stream, "-o", output, "--every", 5, "--force").exit_code == 0
    with incnnr.open(output) as reader:
        assert len(reader) == 3
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    "options", [(), ("--every", "0"), ("--every", "2", "--keep", "1"), ("--keep", "11"), ("--keep", "a,b")]
)
def test_what_to_keep_must_be_said_once_and_be_there(stream, tmp_path, options):
    assert run("thin", stream, "-o", tmp_path / "thin.incnnr", *options).exit_code == 2
    assert not (tmp_path / "thin.incnnr").exists()


def test_damage_leaves_no_output(stream, tmp_path):
    data = bytearray(stream.read_bytes())
    with incnnr.open(stream) as reader:
        n_bytes = reader.entries[0].n_bytes
    data[n_bytes // 2] ^= 1
    stream.write_bytes(data)
    with incnnr.open(stream) as reader, pytest.raises(CorruptError):
        list(thin(reader, tmp_path / "thin.incnnr", [0, 1]))
    assert [path.name for path in tmp_path.iterdir()] == [stream.name]


def test_entries_can_be_read_by_scripts(stream, tmp_path):
    result = run("thin", stream, "-o", tmp_path / "thin.incnnr", "--every", 5, "--json")
    assert [json.loads(line)["step"] for line in result.output.splitlines()] == [0, 50, 100]

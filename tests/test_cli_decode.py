from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest

import incnnr
from incnnr.cli import main


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


def weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"b": rng.standard_normal(5).astype(np.float16), "a": rng.standard_normal((3, 4)).astype(np.float32)}


@pytest.fixture
def originals(tmp_path: Path) -> list[Path]:
    """Three checkpoints; the first and the last are of the same step."""
    (tmp_path / "first").mkdir()
    paths = [tmp_path / "first" / "step5.safetensors", tmp_path / "step6.safetensors", tmp_path / "step5.safetensors"]
    for seed, path in enumerate(paths):
        incnnr.write(path, weights(seed))
    return paths


@pytest.fixture
def stream(tmp_path: Path, originals: list[Path]) -> Path:
    path = tmp_path / "run.incnnr"
    assert run("encode", *originals, "-o", path).exit_code == 0
    return path


def test_the_newest_checkpoint_comes_back_byte_for_byte(stream: Path, originals: list[Path], tmp_path: Path) -> None:
    assert run("decode", stream, "-o", tmp_path / "out.safetensors").exit_code == 0
    assert (tmp_path / "out.safetensors").read_bytes() == originals[-1].read_bytes()


def test_every_index_comes_back_byte_for_byte_onto_one_file(
    stream: Path, originals: list[Path], tmp_path: Path
) -> None:
    for index, original in [*enumerate(originals), (-2, originals[-2])]:
        assert run("decode", stream, "-o", tmp_path / "out.safetensors", "--index", index).exit_code == 0
        assert (tmp_path / "out.safetensors").read_bytes() == original.read_bytes()


def test_a_step_means_its_newest_entry(stream: Path, originals: list[Path], tmp_path: Path) -> None:
    assert run("decode", stream, "-o", tmp_path / "out.safetensors", "--step", 5).exit_code == 0
    assert (tmp_path / "out.safetensors").read_bytes() == originals[2].read_bytes()


def test_the_extension_chooses_the_format(stream: Path, originals: list[Path], tmp_path: Path) -> None:
    assert run("decode", stream, "-o", tmp_path / "out.npz").exit_code == 0
    with np.load(tmp_path / "out.npz") as arrays:
        for name, array in incnnr.read(originals[-1]).items():
            np.testing.assert_array_equal(arrays[name], array)


def test_a_folder_comes_back_shard_by_shard(tmp_path: Path) -> None:
    source = tmp_path / "checkpoint-3"
    source.mkdir()
    shards = {"model-00001-of-00002.safetensors": "a", "model-00002-of-00002.safetensors": "b"}
    for shard, name in shards.items():
        incnnr.write(source / shard, {name: weights(0)[name]})
    index = {"weight_map": {name: shard for shard, name in shards.items()}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    assert run("encode", source, "-o", tmp_path / "run.incnnr").exit_code == 0
    assert run("decode", tmp_path / "run.incnnr", "-o", tmp_path / "again").exit_code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    result = run("decode", tmp_path / "run.incnnr", "-o", "-")
    assert (result.exit_code, "folder" in result.stderr) == (2, True)


@pytest.mark.parametrize("choice", [["--index", "3"], ["--index", "-4"], ["--step", "7"]])
def test_an_entry_that_is_not_there_leaves_the_output_as_it_was(
    stream: Path, tmp_path: Path, choice: list[str]
) -> None:
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"the old one")
    result = run("decode", stream, "-o", out, *choice)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert out.read_bytes() == b"the old one"


def test_step_and_index_together_are_the_command_lines_fault(stream: Path, tmp_path: Path) -> None:
    assert run("decode", stream, "-o", tmp_path / "out.npz", "--index", 0, "--step", 5).exit_code == 2


def test_what_is_no_stream_is_refused_in_one_line(tmp_path: Path, originals: list[Path]) -> None:
    result = run("decode", originals[0], "-o", tmp_path / "out.safetensors")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_stream_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    result = run("decode", tmp_path / "nowhere.incnnr", "-o", tmp_path / "out.npz")
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path}/nowhere.incnnr: No such file or directory\n")


def test_an_unknown_extension_is_refused_in_one_line(stream: Path, tmp_path: Path) -> None:
    result = run("decode", stream, "-o", tmp_path / "out.bmp")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_a_damaged_entry_leaves_the_output_as_it_was(stream: Path, originals: list[Path], tmp_path: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[-20] ^= 1
    stream.write_bytes(data)
    out = tmp_path / "out.safetensors"
    assert run("decode", stream, "-o", out, "--index", 0).exit_code == 0
    result = run("decode", stream, "-o", out)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "byte" in result.stderr
    assert out.read_bytes() == originals[0].read_bytes()


def test_stdout_gets_the_file_in_its_own_format(tmp_path: Path) -> None:
    incnnr.write(tmp_path / "step1.npz", weights(0))
    run("encode", tmp_path / "step1.npz", "-o", tmp_path / "run.incnnr")
    command = [sys.executable, "-m", "incnnr", "decode", str(tmp_path / "run.incnnr"), "-o", "-"]
    (tmp_path / "again.npz").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    again = incnnr.read(tmp_path / "again.npz")
    assert all((again[name] == array).all() for name, array in weights(0).items())


def test_stdout_gets_safetensors_where_no_format_is_known(tmp_path: Path) -> None:
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        writer.append(weights(0))
    command = [sys.executable, "-m", "incnnr.cli", "decode", str(tmp_path / "run.incnnr"), "-o", "-"]
    (tmp_path / "again.safetensors").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    again = incnnr.read(tmp_path / "again.safetensors")
    assert all((again[name] == array).all() for name, array in weights(0).items())


def test_a_stream_that_was_cut_short_gives_what_arrived_and_says_so(
    stream: Path, originals: list[Path], tmp_path: Path
) -> None:
    stream.write_bytes(stream.read_bytes()[:-5])
    result = run("decode", stream, "-o", tmp_path / "out.safetensors")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "never arrived whole" in result.stderr
    assert (tmp_path / "out.safetensors").read_bytes() == originals[1].read_bytes()
    checked = run("verify", stream)
    assert (checked.exit_code, checked.stdout) == (0, "2 entries, all sound\n")
    assert "never arrived whole" in checked.stderr

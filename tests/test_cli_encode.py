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

N_CHECKPOINTS = 4


def run(*arguments: object, **options: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four checkpoints of a small network in training, one of which is last by step and first by name."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    weights = rng.standard_normal((16, 8)).astype(np.float32)
    for step in (7, 8, 9, 10):
        weights = weights + np.float32(1e-3) * rng.standard_normal(weights.shape).astype(np.float32)
        incnnr.write(folder / f"step{step}.safetensors", {"layer.weight": weights, "layer.bias": weights[0]})
    return folder


def test_a_folder_of_checkpoints_becomes_a_stream_in_the_order_of_their_steps(folder: Path, tmp_path: Path) -> None:
    assert run("encode", folder, "-o", tmp_path / "run.incnnr").exit_code == 0
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [(entry.step, entry.name) for entry in stream.entries] == [
            (step, f"step{step}.safetensors") for step in (7, 8, 9, 10)
        ]


def test_files_keep_the_order_of_the_command_line(folder: Path, tmp_path: Path) -> None:
    files = [folder / f"step{step}.safetensors" for step in (9, 7, 10)]
    assert run("encode", *files, "-o", tmp_path / "run.incnnr").exit_code == 0
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.step for entry in stream.entries] == [9, 7, 10]


def test_a_folder_that_is_a_checkpoint_is_one_entry(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    incnnr.write(tmp_path / "checkpoint-5" / "model.safetensors", {"w": np.zeros(3)})
    assert run("encode", tmp_path / "checkpoint-5", "-o", tmp_path / "run.incnnr").exit_code == 0
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [(entry.step, entry.name) for entry in stream.entries] == [(5, "checkpoint-5")]


def test_encode_says_nothing_in_a_pipe(folder: Path, tmp_path: Path) -> None:
    result = run("encode", folder, "-o", tmp_path / "run.incnnr")
    assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("options", [[], ["--qp", "-20"]], ids=["stream", "bitstream"])
def test_files_that_are_not_carried_are_named_also_in_a_pipe(tmp_path: Path, options: list[str]) -> None:
    folder, output = tmp_path / "checkpoint-5", tmp_path / ("run.nnc" if options else "run.incnnr")
    folder.mkdir()
    incnnr.write(folder / "model.safetensors", {"w": np.zeros(3, np.float32)})
    for name in ("config.json", "tokenizer\x1b.json"):
        (folder / name).write_text("{}")
    result = run("encode", folder, "-o", output, *options)
    words = "checkpoint-5: not carried: config.json, tokenizer\\x1b.json\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", words)


def test_json_tells_one_entry_a_line(folder: Path, tmp_path: Path) -> None:
    result = run("encode", folder, "-o", tmp_path / "run.incnnr", "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [record["n_bytes"] for record in records] == [entry.n_bytes for entry in stream.entries]
    first = records[0]
    assert (first["index"], first["step"], first["is_keyframe"], first["n_weights"]) == (0, 7, True, 136)
    assert first["file_bytes"] == (folder / "step7.safetensors").stat().st_size
    assert first["bits_per_weight"] == pytest.approx(8 * first["n_bytes"] / 136)
    assert first["ratio"] == pytest.approx(4 * 136 / first["n_bytes"])


def test_a_stream_that_exists_is_left_alone_unless_told_otherwise(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    run("encode", folder, "-o", stream)
    before = stream.read_bytes()
    result = run("encode", folder, "-o", stream)
    assert result.exit_code == 2
    assert "--append" in result.stderr
    assert stream.read_bytes() == before


def test_append_continues_a_stream(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    run("encode", folder / "step7.safetensors", "-o", stream)
    before = stream.read_bytes()
    assert run("encode", folder / "step8.safetensors", "-o", stream, "--append").exit_code == 0
    assert stream.read_bytes().startswith(before)
    with incnnr.open(stream) as reader:
        assert [(entry.step, entry.is_keyframe) for entry in reader.entries] == [(7, True), (8, False)]


def test_append_makes_a_stream_where_there_is_none(folder: Path, tmp_path: Path) -> None:
    assert run("encode", folder, "-o", tmp_path / "run.incnnr", "--append").exit_code == 0
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert len(stream) == N_CHECKPOINTS


def test_append_and_force_together_are_refused_and_touch_nothing(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    assert run("encode", folder, "-o", stream).exit_code == 0
    before = stream.read_bytes()
    assert run("encode", folder, "-o", stream, "--append", "--force").exit_code == 2
    assert stream.read_bytes() == before


def test_force_replaces_a_stream(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    run("encode", folder, "-o", stream)
    assert run("encode", folder / "step9.safetensors", "-o", stream, "--force").exit_code == 0
    with incnnr.open(stream) as reader:
        assert [entry.step for entry in reader.entries] == [9]


@pytest.mark.parametrize("action", ["--append", "--force"])
def test_a_file_that_is_not_a_stream_is_never_overwritten(folder: Path, tmp_path: Path, action: str) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("do not lose this")
    result = run("encode", folder, "-o", precious, action)
    assert result.exit_code == 2
    assert "not a stream" in result.stderr
    assert precious.read_text() == "do not lose this"


def test_a_bad_checkpoint_ends_with_one_line_and_keeps_those_before_it(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no safetensors file")
    stream = tmp_path / "run.incnnr"
    result = run("encode", folder / "step7.safetensors", bad, folder / "step8.safetensors", "-o", stream)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert str(bad) in result.stderr
    with incnnr.open(stream) as reader:
        assert [entry.step for entry in reader.entries] == [7]


def test_a_first_checkpoint_that_is_bad_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK")
    assert run("encode", tmp_path / "bad.npz", "-o", tmp_path / "run.incnnr").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


def test_a_first_checkpoint_that_is_bad_leaves_the_stream_it_should_have_replaced(folder: Path, tmp_path: Path) -> None:
    stream = tmp_path / "run.incnnr"
    run("encode", folder, "-o", stream)
    before = stream.read_bytes()
    (tmp_path / "bad.npz").write_bytes(b"PK")
    assert run("encode", tmp_path / "bad.npz", "-o", stream, "--force").exit_code == 1
    assert stream.read_bytes() == before


@pytest.mark.parametrize("name", ["nowhere.safetensors", "nowhere"])
def test_a_checkpoint_that_is_not_there_is_the_datas_fault(tmp_path: Path, name: str) -> None:
    result = run("encode", tmp_path / name, "-o", tmp_path / "run.incnnr")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_checkpoints_is_the_datas_fault(tmp_path: Path) -> None:
    result = run("encode", tmp_path, "-o", tmp_path / "run.incnnr")
    assert (result.exit_code, "no checkpoints" in result.stderr) == (1, True)


def test_a_step_too_large_for_a_stream_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / f"step{10**30}.npz"
    incnnr.write(path, {"w": np.zeros(2)})
    result = run("encode", path, "-o", tmp_path / "run.incnnr")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_max_error_bounds_every_weight(folder: Path, tmp_path: Path) -> None:
    run("encode", folder, "-o", tmp_path / "run.incnnr", "--max-error", "0.01")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        for entry, model in zip(stream.entries, stream, strict=True):
            original = incnnr.read(folder / str(entry.name))
            errors = [np.abs(model[name].astype(float) - original[name].astype(float)).max() for name in original]
            assert 0 < max(errors) <= 0.01


def test_the_first_pattern_that_matches_chooses_the_bound(folder: Path, tmp_path: Path) -> None:
    knobs = ["--max-error", "*.bias=none", "--max-error", "*=0.1"]
    run("encode", folder, "-o", tmp_path / "run.incnnr", *knobs)
    original = incnnr.read(folder / "step10.safetensors")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert (stream[-1]["layer.bias"] == original["layer.bias"]).all()
        assert not (stream[-1]["layer.weight"] == original["layer.weight"]).all()


def test_a_pattern_that_matches_no_tensor_gets_one_line(folder: Path, tmp_path: Path) -> None:
    knobs = ["--max-error", "*.bais=none", "--max-error", "*=1e-3"]
    result = run("encode", folder, "-o", tmp_path / "run.incnnr", *knobs)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Warning: pattern '*.bais' matches no tensor\n"


def test_qp_makes_updates_smaller(folder: Path, tmp_path: Path) -> None:
    run("encode", folder, "-o", tmp_path / "exact.incnnr")
    run("encode", folder, "-o", tmp_path / "coarse.incnnr", "--qp", "-20")
    assert (tmp_path / "coarse.incnnr").stat().st_size < (tmp_path / "exact.incnnr").stat().st_size


def test_keyframe_every_bounds_the_updates_between_keyframes(folder: Path, tmp_path: Path) -> None:
    run("encode", folder, "-o", tmp_path / "run.incnnr", "--keyframe-every", "2")
    with incnnr.open(tmp_path / "run.incnnr") as stream:
        assert [entry.is_keyframe for entry in stream.entries] == [True, False, True, False]


@pytest.mark.parametrize(
    "knobs",
    [
        ["--max-error", "-1"],
        ["--max-error", "nan"],
        ["--max-error", "much"],
        ["--max-error", "0.1", "--max-error", "0.2"],
        ["--max-error", "0.1", "--max-error", "*.bias=none"],
        ["--max-error", "0.1", "--qp", "-20"],
        ["--qp", "1.5"],
        ["--keyframe-every", "0"],
        ["--threads", "0"],
        ["--append", "--json", "-o", "-"],
        ["--json", "-o", "-"],
        ["--append", "-o", "-"],
        ["--no-such-option"],
    ],
)
def test_options_that_make_no_sense_are_the_command_lines_fault(folder: Path, tmp_path: Path, knobs: list[str]) -> None:
    result = run("encode", folder, "-o", tmp_path / "run.incnnr", *knobs)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not (tmp_path / "run.incnnr").exists()


def incnnr_process(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "incnnr", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_a_stream_goes_to_stdout_and_through_a_pipe_back_into_files(folder: Path, tmp_path: Path) -> None:
    stream = incnnr_process("encode", folder, "-o", "-").stdout
    decoded = incnnr_process("decode", "-", "--step", "8", "-o", tmp_path / "again.safetensors", stdin=stream)
    assert (decoded.returncode, decoded.stdout, decoded.stderr) == (0, b"", b"")
    assert (tmp_path / "again.safetensors").read_bytes() == (folder / "step8.safetensors").read_bytes()


def test_a_checkpoint_comes_from_stdin(folder: Path, tmp_path: Path) -> None:
    checkpoint = (folder / "step9.safetensors").read_bytes()
    assert incnnr_process("encode", "-", "-o", tmp_path / "run.incnnr", stdin=checkpoint).returncode == 0
    assert incnnr_process("decode", tmp_path / "run.incnnr", "-o", "-").stdout == checkpoint

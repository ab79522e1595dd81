"""``.nnc`` files and ``--profile iso`` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest

import incnnr
from incnnr import nnc
from incnnr.cli import main
from tests.nnc_vectors import FOLDER as VECTORS
from tests.weights import exact


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "w": rng.normal(0, 1, (20, 30)).astype(np.float32),
        "b": rng.normal(0, 1, 20).astype(np.float16),
        "n": np.array(7),
        "mask": np.array([0, -np.inf], np.float32),
    }


@pytest.fixture
def checkpoint(tmp_path: Path, weights: dict[str, np.ndarray]) -> Path:
    incnnr.write(tmp_path / "step1.safetensors", weights)
    return tmp_path / "step1.safetensors"


@pytest.fixture
def bitstream(tmp_path: Path, checkpoint: Path) -> Path:
    assert run("encode", checkpoint, "-o", tmp_path / "x.nnc", "--qp", -32).exit_code == 0
    return tmp_path / "x.nnc"


def test_a_checkpoint_becomes_one_bitstream_and_a_checkpoint_again(bitstream: Path, weights, tmp_path: Path) -> None:
    assert set(nnc.decode(bitstream.read_bytes())) == set(weights)
    assert run("decode", bitstream, "-o", tmp_path / "y.npz").exit_code == 0
    decoded = incnnr.read(tmp_path / "y.npz")
    assert {name: array.dtype for name, array in decoded.items()} == {name: a.dtype for name, a in weights.items()}
    assert np.abs(decoded["w"] - weights["w"]).max() <= 2**-7
    assert exact({n: decoded[n] for n in ("n", "mask")}) == exact({n: weights[n] for n in ("n", "mask")})


def test_a_bound_holds_for_every_weight_of_a_bitstream(checkpoint: Path, weights, tmp_path: Path) -> None:
    result = run("encode", checkpoint, "-o", tmp_path / "x.nnc", "--max-error", 1e-3, "--json")
    assert run("decode", tmp_path / "x.nnc", "-o", tmp_path / "y.safetensors").exit_code == 0
    decoded = incnnr.read(tmp_path / "y.safetensors")
    errors = [np.abs(decoded[n].astype(float) - weights[n].astype(float)).max() for n in ("w", "b")]
    record = json.loads(result.stdout)
    assert max(errors) == record["largest_error"] <= 1e-3
    assert record["n_bytes"] == (tmp_path / "x.nnc").stat().st_size


def test_stdin_and_stdout_take_bitstreams_as_they_take_streams(
    bitstream: Path, checkpoint: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "incnnr"]
    run("decode", bitstream, "-o", tmp_path / "y.safetensors")
    with bitstream.open("rb") as file:
        for stdin in ({"stdin": file}, {"input": bitstream.read_bytes()}):
            decoded = subprocess.run([*command, "decode", "-", "-o", "-"], capture_output=True, check=True, **stdin)
            assert decoded.stdout == (tmp_path / "y.safetensors").read_bytes()
    listed = subprocess.run([*command, "inspect", "-"], input=bitstream.read_bytes(), capture_output=True, check=True)
    assert listed.stdout.decode() == run("inspect", bitstream).stdout
    with checkpoint.open("rb") as stdin:
        subprocess.run([*command, "encode", "-", "-o", tmp_path / "z.nnc", "--qp", "-32"], stdin=stdin, check=True)
    assert (tmp_path / "z.nnc").read_bytes() == bitstream.read_bytes()


def test_a_bitstream_is_known_by_its_first_bytes_under_any_name(bitstream: Path, tmp_path: Path) -> None:
    (tmp_path / "noname").write_bytes(bitstream.read_bytes())
    assert run("inspect", tmp_path / "noname").stdout == run("inspect", bitstream).stdout
    assert run("decode", tmp_path / "noname", "-o", tmp_path / "y.npz").exit_code == 0


def test_inspect_lists_units_and_totals(bitstream: Path) -> None:
    header, *rows, total = run("inspect", bitstream).stdout.splitlines()
    assert header.split() == ["index", "type", "bytes", "payload", "qp", "shape", "coded", "with", "tensors"]
    assert [row.split()[:2] for row in rows][:2] == [["0", "STR"], ["1", "MPS"]]
    by_name = {row.split()[-1]: row.split() for row in rows[2:]}
    assert by_name["w"][3:-1] == ["FLOAT", "-32", "20", "x", "30", "dq"]
    assert by_name["mask"][3:-1] == ["RAW_FLOAT", "2"]
    assert by_name["n"][3:-1] == ["INT", "()"]
    size = bitstream.stat().st_size
    assert total.startswith(f"6 units, 4 tensors: {size:,} bytes for 623 weights, ")


def test_inspect_tells_scripts_the_same(bitstream: Path) -> None:
    *units, last = [json.loads(line) for line in run("inspect", bitstream, "--json").stdout.splitlines()]
    assert [unit["type"] for unit in units] == ["STR", "MPS", "NDU", "NDU", "NDU", "NDU"]
    assert sum(unit["n_bytes"] for unit in units) == last["total"]["n_bytes"] == bitstream.stat().st_size
    qps = {tensors["names"][0]: tensors["qp"] for unit in units for tensors in unit["tensors"]}
    assert qps == {"w": -32, "b": -32, "n": None, "mask": None}


@pytest.mark.parametrize("name", ["block_ls1_bi1_bn1_dq1", "seq_tca_scan1/1_update", "cb1_scan1", "hand_mps_full"])
def test_inspect_reads_what_others_wrote(name: str) -> None:
    path = VECTORS / f"{name}.nnc"
    *units, last = [json.loads(line) for line in run("inspect", path, "--json").stdout.splitlines()]
    assert len(units) == len(nnc.parse(path.read_bytes()))
    assert last["total"]["n_tensors"] > 0
    assert run("inspect", path).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--qp", "-32"], "exists: --force replaces it"),
        (["--qp", "-32", "--append"], "is one bitstream"),
        (["--force"], "needs max_error, relative_error or qp"),
        (["--force", "--qp", "-32", "--max-error", "1"], "give one of"),
    ],
)
def test_what_a_bitstream_cannot_be_is_a_usage_error(bitstream: Path, checkpoint: Path, arguments, words: str) -> None:
    before = bitstream.read_bytes()
    result = run("encode", checkpoint, "-o", bitstream, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert bitstream.read_bytes() == before


def test_one_bitstream_takes_one_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    result = run("encode", checkpoint, checkpoint, "-o", tmp_path / "z.nnc", "--qp", -32)
    assert (result.exit_code, (tmp_path / "z.nnc").exists()) == (2, False)
    assert "takes one checkpoint" in result.stderr


def test_force_replaces_a_bitstream_and_nothing_else(bitstream: Path, checkpoint: Path) -> None:
    before = bitstream.read_bytes()
    assert run("encode", checkpoint, "-o", bitstream, "--force", "--qp", -20).exit_code == 0
    assert len(bitstream.read_bytes()) < len(before)
    bitstream.write_bytes(b"my notes")
    assert run("encode", checkpoint, "-o", bitstream, "--force", "--qp", -20).exit_code == 2
    assert bitstream.read_bytes() == b"my notes"


def test_what_no_bitstream_says_is_a_fault_of_the_data(tmp_path: Path) -> None:
    incnnr.write(tmp_path / "big.npz", {"n": np.array(2**40)})
    result = run("encode", tmp_path / "big.npz", "-o", tmp_path / "z.nnc", "--qp", -32)
    assert (result.exit_code, (tmp_path / "z.nnc").exists()) == (1, False)
    assert "does not fit the standard's 32 bits" in result.stderr


def test_steps_and_indices_are_for_streams(bitstream: Path, tmp_path: Path) -> None:
    for option in ("--step", "--index"):
        result = run("decode", bitstream, "-o", tmp_path / "y.npz", option, 0)
        assert (result.exit_code, (tmp_path / "y.npz").exists()) == (2, False)


def test_a_damaged_bitstream_and_one_of_differences_are_faults_of_the_data(bitstream: Path, tmp_path: Path) -> None:
    bitstream.write_bytes(bitstream.read_bytes()[:-5])
    update = VECTORS / "seq_tca_dq_noopt" / "1_update.nnc"
    for path, words in ((bitstream, "left"), (update, "holds nothing yet")):
        result = run("decode", path, "-o", tmp_path / "y.npz")
        assert (result.exit_code, (tmp_path / "y.npz").exists()) == (1, False)
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_streams_of_bitstreams_are_made_watched_and_read(checkpoint: Path, weights, tmp_path: Path) -> None:
    path = tmp_path / "run.incnnr"
    knobs = ["--profile", "iso", "--max-error", "1e-3"]
    assert run("encode", checkpoint, "-o", path, *knobs).exit_code == 0
    for step in (2, 3):
        weights["w"] = weights["w"] + np.float32(1e-2)
        incnnr.write(tmp_path / f"step{step}.safetensors", weights)
    assert run("watch", tmp_path, "-o", path, "--once", *knobs).exit_code == 0
    with incnnr.open(path) as reader:
        assert [entry.is_keyframe for entry in reader.entries] == [True, False, False]
        assert all(nnc.parse(bytes(update)) for update in reader.updates())
    assert run("verify", path).exit_code == 0
    assert json.loads(run("replay", path, "--json").stdout)["n_exact"] == 3
    assert run("decode", path, "-o", tmp_path / "y.npz").exit_code == 0
    assert np.abs(incnnr.read(tmp_path / "y.npz")["w"] - weights["w"]).max() <= 1e-3


def test_a_keyframe_that_nobody_asked_for_carries_its_layout(checkpoint: Path, weights, tmp_path: Path) -> None:
    incnnr.write(tmp_path / "step2.safetensors", weights | {"new": np.ones(3, np.float32)})
    path = tmp_path / "run.incnnr"
    assert (
        run("encode", checkpoint, tmp_path / "step2.safetensors", "-o", path, "--profile", "iso", "--qp", -32).exit_code
        == 0
    )
    with incnnr.open(path) as reader:
        assert [entry.is_keyframe for entry in reader.entries] == [True, True]
    assert run("verify", path).exit_code == 0
    assert run("decode", path, "-o", tmp_path / "y.safetensors").exit_code == 0
    assert "new" in incnnr.read(tmp_path / "y.safetensors")


def test_the_profile_needs_a_knob(checkpoint: Path, tmp_path: Path) -> None:
    for command in (["encode", checkpoint], ["watch", tmp_path, "--once"]):
        result = run(*command, "-o", tmp_path / "z.incnnr", "--profile", "iso")
        assert result.exit_code == 2
        assert "needs max_error, relative_error or qp" in result.stderr

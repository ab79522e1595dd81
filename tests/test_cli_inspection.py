"""``inspect``, ``verify`` and ``replay``."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import click.testing
import numpy as np
import pytest

import incnnr
from incnnr.cli import main
from incnnr.stream.entry import Label, pack_fields
from incnnr.stream.frames import MARK, Kind, pack

N_ENTRIES = 40


def run(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """Forty entries of 1,000 bfloat16-like weights of which one in fifty changes, a keyframe at least every ten."""
    rng = np.random.default_rng(2)
    weights = rng.standard_normal(1000).astype(np.float16)
    with incnnr.open(tmp_path / "run.incnnr", "w", keyframe_every=10) as writer:
        for step in range(N_ENTRIES):
            weights = np.where(rng.random(1000) < 0.02, np.nextafter(weights, np.float16(9)), weights)
            writer.append({"w": weights, "n": np.int64(step)}, step=10 * step, name=f"step{10 * step}", sync=False)
    return tmp_path / "run.incnnr"


@pytest.fixture
def damaged(stream: Path) -> Path:
    """The same stream with one bit flipped in the update of entry 13, on which the next six depend."""
    with incnnr.open(stream) as reader:
        update = bytes(reader.update(13))
    data = bytearray(stream.read_bytes())
    data[data.index(update) + len(update) // 2] ^= 4
    stream.write_bytes(data)
    return stream


def test_inspect_lists_every_entry_and_the_totals(stream: Path) -> None:
    result = run("inspect", stream)
    assert result.exit_code == 0
    header, *rows, total = result.stdout.splitlines()
    assert header.split() == ["index", "step", "name", "time", "bytes", "changed", "bits/weight", "ratio"]
    assert [row.split()[:3] for row in rows] == [[f"{i}", f"{10 * i}", f"step{10 * i}"] for i in range(N_ENTRIES)]
    assert [i for i, row in enumerate(rows) if row.endswith("keyframe")] == [0, 10, 20, 30]
    assert total.startswith("40 entries, 4 keyframes: ")


def test_inspect_measures_every_entry_against_its_model(stream: Path) -> None:
    *entries, last = [json.loads(line) for line in run("inspect", stream, "--json").stdout.splitlines()]
    with incnnr.open(stream) as reader:
        assert [entry["n_bytes"] for entry in entries] == [entry.n_bytes for entry in reader.entries]
    for entry in entries:
        assert (entry["n_weights"], entry["model_bytes"]) == (1001, 2008)
        assert entry["bits_per_weight"] == pytest.approx(8 * entry["n_bytes"] / 1001)
        assert entry["ratio"] == pytest.approx(2008 / entry["n_bytes"])
    assert last["total"]["update_bytes"] == sum(entry["n_bytes"] for entry in entries)
    assert last["total"]["model_bytes"] == 2008 * N_ENTRIES


def test_inspect_counts_weights_where_the_model_changes_shape(tmp_path: Path) -> None:
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        for names in ("ab", "abc", "ac"):
            writer.append({name: np.arange(100.0) for name in names})
    *entries, _ = [json.loads(line) for line in run("inspect", tmp_path / "run.incnnr", "--json").stdout.splitlines()]
    assert [entry["n_weights"] for entry in entries] == [200, 300, 200]


def test_inspect_shows_the_share_of_weights_that_changed(tmp_path: Path) -> None:
    weights = np.arange(200.0)
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        for n_changed in (0, 3, 0):
            weights[:n_changed] += 0.5
            writer.append({"w": weights}, name="a")
    rows = run("inspect", tmp_path / "run.incnnr").stdout.splitlines()[1:-1]
    assert [row.split()[6] for row in rows] == ["100.00%", "1.50%", "0.00%"]
    *entries, _ = [json.loads(line) for line in run("inspect", tmp_path / "run.incnnr", "--json").stdout.splitlines()]
    assert [entry["n_changed"] for entry in entries] == [200, 3, 0]


def test_inspect_reads_no_bodies(stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run("inspect", stream).stdout
    for module in ("cursor", "scan"):
        monkeypatch.setattr(f"incnnr.stream.{module}.read_body", lambda *_: pytest.fail("a body was read"))
    assert run("inspect", stream).stdout == before


def test_inspect_shows_which_entries_lost_their_header(stream: Path) -> None:
    data = bytearray(stream.read_bytes())
    offset = data.index(MARK, data.index(b"step130"))
    data[offset + 20] ^= 4
    stream.write_bytes(data)
    result = run("inspect", stream)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()[1:-1]
    assert len(rows) == N_ENTRIES
    assert [i for i, row in enumerate(rows) if row.endswith("damaged")] == [14]


def test_inspect_leaves_open_what_another_writer_did_not_say(tmp_path: Path) -> None:
    update = incnnr.Encoder().encode({"w": np.zeros(10)})
    fields = pack_fields(replace(update, stats=None), Label(), None, 0)
    (tmp_path / "run.incnnr").write_bytes(b"".join(pack(Kind.UPDATE, fields, bytes(update))))
    row, total = run("inspect", tmp_path / "run.incnnr").stdout.splitlines()[1:]
    assert row.split()[-4:] == ["-", "-", "-", "keyframe"]
    assert total.startswith("1 entry, 1 keyframe: ")
    entry, _ = [json.loads(line) for line in run("inspect", tmp_path / "run.incnnr", "--json").stdout.splitlines()]
    assert {entry[key] for key in ("n_weights", "model_bytes", "n_changed", "bits_per_weight", "ratio")} == {None}


def test_inspect_and_verify_tell_of_a_torn_tail_alike(stream: Path) -> None:
    os.truncate(stream, stream.stat().st_size - 5)
    result = run("inspect", stream)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1 + (N_ENTRIES - 1) + 1
    assert "never arrived whole" in result.stderr
    told = [run(command, stream, "--json").stderr for command in ("inspect", "verify")]
    assert told == [result.stderr] * 2


def test_names_cannot_give_commands_to_the_terminal(tmp_path: Path) -> None:
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        writer.append({"w": np.zeros(2)}, name="\x1b[2J[red]\udcff")
    assert "\\x1b[2J[red]\\udcff" in run("inspect", tmp_path / "run.incnnr").stdout


def test_times_that_no_calendar_has_and_keys_that_json_has_not_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incnnr.stream.writer.label", lambda *said: Label(*said, time=float("inf")))
    with incnnr.open(tmp_path / "run.incnnr", "w") as writer:
        writer.append({"w": np.zeros(2)}, name="a", metadata={"deep": {b"key": 1}, "raw": b"bytes"})
    assert run("inspect", tmp_path / "run.incnnr").stdout.splitlines()[1].split()[:4] == ["0", "-", "a", "-"]
    assert run("inspect", tmp_path / "run.incnnr", "--json").exit_code == 0


def test_an_empty_stream_has_no_entries(tmp_path: Path) -> None:
    (tmp_path / "run.incnnr").touch()
    assert run("inspect", tmp_path / "run.incnnr").stdout.startswith("0 entries, 0 keyframes")
    assert run("verify", tmp_path / "run.incnnr").exit_code == 0


def test_verify_finds_a_sound_stream_sound(stream: Path) -> None:
    for options in ([], ["--quick"]):
        result = run("verify", stream, *options)
        assert (result.exit_code, result.stdout) == (0, "40 entries, all sound\n")


def test_verify_lists_a_damaged_entry_and_those_that_depend_on_it(damaged: Path) -> None:
    result = run("verify", damaged)
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [f"entry {i}" for i in range(13, 20)]
    assert result.stderr.count("\n") == 1
    assert "7 of 40 entries" in result.stderr


def test_a_quick_verify_lists_only_what_is_damaged_itself(damaged: Path) -> None:
    *faults, total = [json.loads(line) for line in run("verify", damaged, "--quick", "--json").stdout.splitlines()]
    assert [(fault["index"], fault["error"]) for fault in faults] == [(13, "CorruptError")]
    assert 0 < faults[0]["byte_offset"] < damaged.stat().st_size
    assert total == {"total": {"n_entries": 40, "n_damaged": 1, "n_faults": 1}}


@pytest.mark.parametrize("command", ["inspect", "verify", "replay"])
def test_what_is_no_stream_is_the_datas_fault(tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").write_text("not a stream at all, but long enough to be one")
    result = run(command, tmp_path / "notes.txt")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def replayed(stream: Path, **chances: object) -> dict[str, object]:
    options = [part for name, value in chances.items() for part in (f"--{name}", str(value))]
    result = run("replay", stream, "--json", *options)
    assert result.exit_code == 0
    record: dict[str, object] = json.loads(result.stdout)
    return record


def test_replay_without_losses_gives_every_model_exactly(stream: Path) -> None:
    record = replayed(stream)
    assert (record["n_updates"], record["n_exact"], record["n_wrong"], record["errors"]) == (40, 40, 0, {})


def test_replay_with_losses_gives_exact_models_or_reasons(stream: Path) -> None:
    record = replayed(stream, drop=0.05, duplicate=0.05, reorder=0.05, corrupt=0.05, seed=3)
    fates, errors = record["channel"], record["errors"]
    assert all(fates[fate] for fate in ("drop", "duplicate", "reorder", "corrupt"))
    assert record["n_wrong"] == 0
    assert record["n_exact"] + sum(errors.values()) == 40 - fates["drop"] + fates["duplicate"]
    assert {"GapError", "StaleUpdateError"} <= errors.keys()
    assert record["n_resumed"] > 0


def test_replay_is_the_same_for_the_same_seed(stream: Path) -> None:
    assert replayed(stream, drop=0.3, seed=5) == replayed(stream, drop=0.3, seed=5)
    assert replayed(stream, drop=0.3, seed=5) != replayed(stream, drop=0.3, seed=6)


def test_replay_prints_a_table(stream: Path) -> None:
    lines = run("replay", stream, "--drop", "1").stdout.splitlines()
    assert lines[0].split() == ["what", "happened", "times"]
    assert {tuple(line.split()) for line in lines} >= {("dropped", "40"), ("deliveries", "0")}


def test_shares_of_more_than_everything_are_the_command_lines_fault(stream: Path) -> None:
    assert run("replay", stream, "--drop", "0.6", "--corrupt", "0.6").exit_code == 2
    assert run("replay", stream, "--drop", "1.5").exit_code == 2

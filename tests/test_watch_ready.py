"""What a folder holds, and whether a checkpoint in it may be read yet."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from incnnr import checkpoints
from incnnr.watch.identity import content_digest
from incnnr.watch.ready import CHANGING, INCOMPLETE, NO_MARKER, reason_to_wait
from incnnr.watch.scan import Candidate, scan, signature_of


def save(path: Path, value: int = 1) -> Path:
    checkpoints.write(path, {"w": np.full(50, value, np.float32)})
    return path


def candidate(path: Path) -> Candidate:
    return Candidate(path.name, path, signature_of(path))


def digest(path: Path) -> str:
    return content_digest(path, signature_of(path))


def mark(path: Path, *, as_new_as: Path) -> None:
    path.touch()
    newest = max(file.mtime_ns for file in signature_of(as_new_as))
    os.utime(path, ns=(newest, newest))


def test_candidates_come_in_the_order_in_which_they_were_made(tmp_path):
    (tmp_path / "checkpoint-500").mkdir()
    save(tmp_path / "checkpoint-500" / "model.safetensors")
    for name in ("step10.npz", "step9.npz", "last.npz", ".step1.npz", "tmp-step2.npz"):
        save(tmp_path / "new.npz").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    assert [c.name for c in scan(tmp_path)] == ["step9.npz", "step10.npz", "checkpoint-500", "last.npz"]


def test_a_checkpoint_without_a_step_stands_behind_the_one_it_was_made_after(tmp_path):
    for seconds, name in enumerate(("step1.npz", "best.npz", "step3.npz", "step2.npz", "last.npz")):
        os.utime(save(tmp_path / name), (0, seconds))
    (tmp_path / "link.npz").symlink_to("step1.npz")
    names = ["step1.npz", "link.npz", "best.npz", "step2.npz", "step3.npz", "last.npz"]
    assert [c.name for c in scan(tmp_path)] == names


def test_match_and_ignore_are_globs_on_relative_names(tmp_path):
    for name in ("step1.npz", "step2.npz", "best.npz"):
        save(tmp_path / name)
    assert [c.name for c in scan(tmp_path, match=["step*", "nothing*"])] == ["step1.npz", "step2.npz"]
    assert [c.name for c in scan(tmp_path, ignore=["*2*", "best*"])] == ["step1.npz"]
    assert [c.name for c in scan(tmp_path, match=["step*"], ignore=["*1.npz"])] == ["step2.npz"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        scan(tmp_path / "nowhere")


def test_a_signature_changes_when_a_file_is_replaced_by_another_of_the_same_size_and_time(tmp_path):
    path = save(tmp_path / "last.npz", 1)
    before, status = signature_of(path), path.stat()
    save(tmp_path / "other.npz", 2).replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert signature_of(path) != before


def test_a_signature_lists_the_files_that_are_there(tmp_path):
    assert signature_of(tmp_path / "nowhere.npz") == ()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert [file.name for file in signature_of(tmp_path)] == ["model.safetensors.index.json"]
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "mod')
    assert signature_of(tmp_path) == ()


def test_the_content_digest_does_not_depend_on_what_a_checkpoint_is_called(tmp_path):
    path = save(tmp_path / "step1.npz", 1)
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    save(folder / "model.safetensors", 1)
    before = digest(path), digest(folder)
    os.link(path, tmp_path / "hard.npz")
    (tmp_path / "soft.npz").symlink_to(path)
    moved = folder.rename(tmp_path / "best")
    assert {digest(tmp_path / "hard.npz"), digest(tmp_path / "soft.npz")} == {before[0]}
    assert digest(moved) == before[1] != before[0]


def test_the_content_digest_depends_on_every_byte_and_on_the_names_inside_a_folder(tmp_path):
    path = tmp_path / "a.npz"
    size = (8 << 20) + 3  # more than one block
    data = bytearray(size)
    path.write_bytes(data)
    digests = {digest(path)}
    for i in (0, (8 << 20) - 1, 8 << 20, size - 1):
        data[i] ^= 1
        path.write_bytes(data)
        digests.add(digest(path))
        data[i] ^= 1
    path.write_bytes(data[:-1])
    digests.add(digest(path))
    assert len(digests) == 6
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    save(folder / "model.safetensors")
    one = digest(folder)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    assert digest(folder) != one


def test_a_checkpoint_is_ready_when_it_is_whole_and_quiet(tmp_path):
    path = save(tmp_path / "a.safetensors")
    assert reason_to_wait(candidate(path), 0.9, 1.0, None) == CHANGING
    assert reason_to_wait(candidate(path), 1.0, 1.0, None) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert reason_to_wait(candidate(path), 1.0, 1.0, None) == INCOMPLETE


@pytest.mark.parametrize(
    ("pattern", "marker"),
    [
        ("*.done", "a=1[x].done"),
        ("*.done", "a=1[x].npz.done"),
        ("{name}.ok", "a=1[x].npz.ok"),
        ("done-{stem}", "done-a=1[x]"),
    ],
)
def test_the_marker_of_a_file_stands_beside_it(tmp_path, pattern, marker):
    path = save(tmp_path / "a=1[x].npz")
    for name in ("b.done", "DONE", "a.ok", "done-a"):
        mark(tmp_path / name, as_new_as=path)
    assert reason_to_wait(candidate(path), 9.0, 1.0, pattern) == NO_MARKER
    mark(tmp_path / marker, as_new_as=path)
    assert reason_to_wait(candidate(path), 0.0, 1.0, pattern) is None


@pytest.mark.parametrize(
    ("pattern", "marker"), [("DONE", "c-1/DONE"), ("{name}.ok", "c-1.ok"), ("{name}.ok", "c-1/c-1.ok")]
)
def test_the_marker_of_a_folder_stands_in_it_or_is_named_after_it(tmp_path, pattern, marker):
    folder = tmp_path / "c-1"
    folder.mkdir()
    save(folder / "model.safetensors")
    mark(tmp_path / "DONE", as_new_as=folder)
    assert reason_to_wait(candidate(folder), 9.0, 1.0, pattern) == NO_MARKER
    mark(tmp_path / marker, as_new_as=folder)
    assert reason_to_wait(candidate(folder), 0.0, 1.0, pattern) is None


def test_a_marker_older_than_the_content_does_not_replace_the_quiet_time(tmp_path):
    path = save(tmp_path / "last.npz")
    mark(tmp_path / "last.done", as_new_as=path)
    os.utime(tmp_path / "last.done", ns=(0, 0))
    assert reason_to_wait(candidate(path), 0.5, 1.0, "*.done") == CHANGING
    assert reason_to_wait(candidate(path), 1.0, 1.0, "*.done") is None


def test_a_marker_does_not_make_an_incomplete_checkpoint_ready(tmp_path):
    path = save(tmp_path / "last.npz")
    path.write_bytes(path.read_bytes()[:-1])
    mark(tmp_path / "last.done", as_new_as=path)
    assert reason_to_wait(candidate(path), 9.0, 1.0, "*.done") == INCOMPLETE

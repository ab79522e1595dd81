from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from incnnr import checkpoints
from incnnr.checkpoints import find, is_checkpoint, step_of
from incnnr.errors import CheckpointError


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("ckpt_0003_step00250.safetensors", 250),
        ("epoch=3-step=250.ckpt", 250),
        ("epoch=3-step=250-v1.ckpt", 250),
        ("global_r07.safetensors", 7),
        ("step_100", 100),
        ("global_step100", 100),
        ("iter_0000100", 100),
        ("weight_v000123", 123),
        ("STEP-12.PT", 12),
        ("12.npz", 12),
        ("epoch_4_loss_0.31.pt", 4),
        ("epoch=02-acc=95.ckpt", 2),
        ("loss-0.31.pt", None),
        ("checkpoint-500-ema.safetensors", 500),
        ("model-00001-of-00003.safetensors", None),
        ("step5-00001-of-00003.safetensors", None),
        ("model.safetensors", None),
        ("last.ckpt", None),
        ("last-v2.ckpt", None),
        ("best", None),
        ("footstep.pt", None),
    ],
)
def test_the_step_is_what_a_reader_of_the_name_would_say(name: str, step: int | None) -> None:
    assert step_of(name) == step


def _touch(folder: Path, *names: str) -> None:
    for seconds, name in enumerate(names):
        (folder / name).touch()
        os.utime(folder / name, (seconds, seconds))


def test_names_with_a_step_come_first_and_the_others_follow_by_time(tmp_path: Path) -> None:
    _touch(tmp_path, "step_10.pt", "zebra.pt", "step_9.pt", "best.pt", "b_step_9.pt")
    assert [path.name for path in find(tmp_path)] == ["b_step_9.pt", "step_9.pt", "step_10.pt", "zebra.pt", "best.pt"]


def test_names_without_a_step_and_with_the_same_time_are_ordered_by_name(tmp_path: Path) -> None:
    _touch(tmp_path, "b.pt", "c.pt", "a.pt")
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    assert [path.name for path in find(tmp_path)] == ["a.pt", "b.pt", "c.pt"]


def test_unfinished_business_shards_and_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        ".tmpAb12.safetensors",
        ".step_1.pt.x.tmp",
        "tmp-step_1.pt",
        "model-00001-of-00003.safetensors",
        "training_args.bin",
        "trainer_state.json",
        "run.incnnr",
    )
    for name in ("tmp-checkpoint-5", ".checkpoint-5.x.old", "runs"):
        (tmp_path / name).mkdir()
    for name in ("tmp-checkpoint-5", ".checkpoint-5.x.old"):
        (tmp_path / name / "model.safetensors").touch()
    assert find(tmp_path) == []


def test_a_subfolder_that_is_a_checkpoint_is_one_and_others_are_not_looked_into(tmp_path: Path) -> None:
    for name, file in (
        ("checkpoint-20", "model.safetensors.index.json"),
        ("checkpoint-3", "adapter_model.safetensors"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "step_1.pt").touch()
    assert [path.name for path in find(tmp_path)] == ["checkpoint-3", "checkpoint-20"]


def test_a_link_counts_as_what_it_points_to(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "step_1.npz", {"w": np.zeros(1)})
    (tmp_path / "last.npz").symlink_to("step_1.npz")
    (tmp_path / "gone.npz").symlink_to("nowhere.npz")
    assert is_checkpoint(tmp_path / "last.npz")
    assert [path.name for path in find(tmp_path)] == ["step_1.npz", "last.npz"]


def test_a_folder_that_is_not_there_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        find(tmp_path / "nowhere")

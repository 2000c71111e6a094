"""Every command that a script prints works as it is printed, in folders whose names have spaces too."""

import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import Result, call
from tiny_checkpoints import hourglass_file, lifter_file


@pytest.fixture
def folder(tiny_mpii, tmp_path, monkeypatch) -> Path:
    """Where the commands run: photos, a clip and checkpoints, with spaces in the names."""
    folder = tmp_path / "a user's folder"
    (folder / "my photos").mkdir(parents=True)
    for path in sorted((tiny_mpii / "images").glob("*.jpg"))[:2]:
        shutil.copy(path, folder / "my photos" / f"photo {path.name}")
    writer = cv2.VideoWriter(str(folder / "my clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in (40, 80):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    hourglass_file(folder / "hourglass.pth.tar")
    lifter = lifter_file(folder / "lifter.pth.tar")
    content = torch.load(lifter, weights_only=True)
    content["normalisation"]["stddev_3d"] = [[400.0] * 3] * 17  # poses of a person's size
    torch.save(content, lifter)
    monkeypatch.chdir(folder)
    return folder


def printed_commands(result: Result) -> list[list[str]]:
    """The words of each command in a script's output."""
    lines = result.succeeded().out.splitlines()
    return [
        shlex.split(found[0]) for line in lines if (found := re.search(r"python (?:train|run|viz|eval)\.py .*", line))
    ]


def require_that_they_work(result: Result, *scripts: str) -> None:
    """Runs what was printed, which has to be these scripts."""
    commands = printed_commands(result)
    assert [words[2] for words in commands] == list(scripts)
    for _, entry, script, *argv in commands:
        call(entry.removesuffix(".py"), script, *argv, "--output_dir", "drawn").succeeded()


HOURGLASS, LIFTER = ("--load", "hourglass.pth.tar"), ("--load", "lifter.pth.tar")
ALIKE = "--output_dir", "my poses", "--device", "cpu", "--workers", 0
BOXES = {"my clip.avi": ("--person_box", "whole"), "my photos": (), "data/mpii": ()}  # the clip shows nobody


def test_run_hourglass_mpii(folder, tiny_mpii):
    (folder / "stacked_hourglass/data").mkdir(parents=True)
    (folder / "stacked_hourglass/data/mpii").symlink_to(tiny_mpii)
    for data in ("my photos", "my clip.avi", "data/mpii"):
        result = call("run", "hourglass_mpii", "--data_dir", data, *HOURGLASS, *BOXES[data], *ALIKE)
        require_that_they_work(result, "2d_overlay")


def test_run_stitched_mpii(folder):
    for data, script in (("my photos", "2d_overlay_3d_pred"), ("my clip.avi", "video")):
        require_that_they_work(call("run", "stitched_mpii", "--data_dir", data, *BOXES[data], *ALIKE), script)


@pytest.mark.long  # test_stitched_run_h36m.py scores its predictions
def test_run_stitched_h36m(folder):
    from utils.sample.human36m import make_h36m

    make_h36m(folder / "my h36m", training=0, validation=4, frames=6)
    result = call("run", "stitched_h36m", "--data_dir", "my h36m", *ALIKE)
    require_that_they_work(result, "2d_overlay_3d_gt_3d_pred")


@pytest.mark.long  # test_lifter_run.py gives what it writes to eval.py and viz.py
def test_run_2d3d_h36m(folder, tiny_h36m):
    (folder / "my h36m").symlink_to(tiny_h36m)
    result = call("run", "2d3d_h36m", "--data_dir", "my h36m", *LIFTER, "--action", "Walking", *ALIKE)
    require_that_they_work(result, "h36m_MPJPE", "2d_gt_3d_gt_3d_pred")


def test_run_2d3d_h36m_on_the_poses_of_a_run(folder):
    call("run", "hourglass_mpii", "--data_dir", "my photos", *ALIKE, "--output_dir", "my 2d poses").succeeded()
    result = call("run", "2d3d_h36m", "--data_dir", "my 2d poses", *LIFTER, *ALIKE)
    require_that_they_work(result, "2d_overlay_3d_pred")

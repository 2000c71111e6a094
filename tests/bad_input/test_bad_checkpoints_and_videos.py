"""Bad checkpoints and videos, through the command line: refused in one line, or left out and counted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from bad_files import RUN_FILES, cut, poses, train
from command_line import EXPERIMENT, files


# ------------------------------------------------------------------------------------------ checkpoints
class RunsCode:
    """Unpickling it makes a folder: harmless here, anything in a hostile file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return Path.mkdir, (self.folder,)


class TestCheckpoints:
    def refused_everywhere(self, path: Path, tiny_mpii: Path, photos: Path, run: Callable, *more: object) -> str:
        """The line of run.py; train.py --load must refuse it too."""
        before = files(photos.parent)
        line = run(photos, *more, load=path).refusal()
        assert str(path) in line
        assert str(path) in train(tiny_mpii, photos.parent, "--load", path, *more).refusal()
        assert files(photos.parent) == before
        return line

    def test_of_another_network(self, tiny_mpii, photos, tmp_path, run):
        lifter = {
            "w1.weight": torch.zeros(1024, 32), "w1.bias": torch.zeros(1024),
            "linear_stages.0.w1.weight": torch.zeros(1024, 1024), "w2.weight": torch.zeros(48, 1024),
        }  # fmt: skip
        torch.save({"state_dict": lifter, "epoch": 200, "lr": 1e-3}, tmp_path / "lifter.pth.tar")
        assert "not an hourglass network" in self.refused_everywhere(
            tmp_path / "lifter.pth.tar", tiny_mpii, photos, run
        )

    def test_with_a_weight_of_another_shape(self, photos, state, tmp_path, run):
        torch.save(state | {"conv1.bias": torch.zeros(3)}, tmp_path / "odd.pth")
        assert "conv1.bias has shape (3,), expected (2,)" in run(photos, load=tmp_path / "odd.pth").refusal()

    def test_of_another_architecture_than_the_option_says(self, tiny_mpii, photos, weights, tmp_path, run):
        line = run(photos, "--features", 256).refusal()
        assert "--features 256" in line
        assert "trained with 8" in line
        line = train(tiny_mpii, tmp_path, "--stacks", 2, "--load", weights).refusal()
        assert "--stacks 2" in line
        assert "trained with 1" in line
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "checkpoints").exists()

    def test_matching_option_is_accepted(self, photos, tmp_path, run):
        assert run(photos, "--features", 8, "--stacks", 1).warnings() == []
        having = poses(tmp_path / "out")
        run(photos).succeeded()
        without = poses(tmp_path / "out")
        assert list(having) == list(without) == ["00001.jpg", "00003.jpg"]
        assert all(torch.equal(having[name], without[name]) for name in having)

    @pytest.mark.parametrize("share", [0, 0.3, 0.999])
    def test_truncated(self, tiny_mpii, photos, weights, tmp_path, run, share):
        path = cut(Path(shutil.copy(weights, tmp_path / "cut.pth")), share)
        assert "truncated" in self.refused_everywhere(path, tiny_mpii, photos, run)

    def test_that_would_run_code(self, tiny_mpii, photos, state, tmp_path, run):
        torch.save({"state_dict": state, "note": RunsCode(tmp_path / "it ran")}, tmp_path / "hostile.pth")
        line = self.refused_everywhere(tmp_path / "hostile.pth", tiny_mpii, photos, run)
        assert "refused" in line
        assert "--allow_unsafe_load" in line
        assert not (tmp_path / "it ran").exists()

    def test_missing(self, photos, tmp_path, run):
        assert "no such checkpoint" in run(photos, load=tmp_path / "none.pth").refusal()
        (tmp_path / "empty").mkdir()
        assert "no checkpoint in this directory" in run(photos, load=tmp_path / "empty").refusal()
        assert not (tmp_path / "out").exists()

    def test_nothing_to_resume(self, tiny_mpii, tmp_path):
        line = train(tiny_mpii, tmp_path, "--resume").refusal()
        assert f"--resume: {tmp_path / 'checkpoints' / EXPERIMENT}" in line
        assert not (tmp_path / "checkpoints").exists()


# ------------------------------------------------------------------------------------------ videos
class TestVideos:
    @pytest.fixture
    def clip(self, tiny_mpii: Path, tmp_path: Path) -> Path:
        photo = cv2.imread(str(tiny_mpii / "images" / "00001.jpg"))
        writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (200, 200))
        for frame in range(6):
            writer.write(np.ascontiguousarray(photo[:200, frame : frame + 200]))
        writer.release()
        return tmp_path / "clip.avi"

    @pytest.mark.parametrize("content", [b"", b"not a video at all " * 50], ids=["empty", "text"])
    def test_no_video(self, tmp_path, run, content):
        (tmp_path / "clip.mp4").write_bytes(content)
        line = run(tmp_path / "clip.mp4").refusal()
        assert f"--data_dir {tmp_path / 'clip.mp4'}" in line
        assert files(tmp_path) == ["clip.mp4"]

    def test_cut_short_gives_the_frames_that_are_there(self, clip, tmp_path, run):
        [warning] = run(cut(clip, 0.6), "--person_box", "whole").warnings()
        assert "it declares 6 frames" in warning
        found = poses(tmp_path / "out")
        assert 1 <= len(found) <= 5
        assert f"{len(found)} were readable" in warning
        assert list(found) == [f"clip/{number:06d}" for number in range(len(found))]
        assert files(tmp_path / "out") == RUN_FILES

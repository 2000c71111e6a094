"""`viz.py 3d_pose_gan`: generated beside real poses, a walk through the latents, the nearest real poses."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import call, files
from shown_options import assert_all_shown

from generative_models.fc_gan import PoseGAN
from generative_models.poses import facing
from generative_models.viz import COMPARED, PANEL, WALK, draw_beside, draw_nearest, draw_walk, nearest_table
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.look.palette import DARK, PAPER

SHOWN_SCRIPTS = [("viz", "3d_pose_gan")]

ACTIONS = ("Sitting", "Walking")


@pytest.fixture(scope="module")
def real(tiny_h36m) -> torch.Tensor:
    """The held-out poses of two actions."""
    return facing(load_pose_set(find_sequences(tiny_h36m), (9, 11), ACTIONS).world)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, real) -> Path:
    """An untrained GAN of two actions."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("gan") / "gan.pth.tar"
    state = PoseGAN(4, 16, 1).fit_scale(real).state_dict()
    torch.save({"script": "3d_pose_gan", "options": {"action": ",".join(ACTIONS)}, "state_dict": state}, path)
    return path


@pytest.fixture
def viz(tiny_h36m, checkpoint, tmp_path):
    """`viz("--nearest")`: the script's result; it writes into `tmp_path / "out"`."""

    def run(*argv: object, load: Path = checkpoint, data_dir: object = tiny_h36m):
        arguments = ("--data_dir", data_dir, "--load", load, "--output_dir", tmp_path / "out", *argv)
        return call("viz", "3d_pose_gan", *arguments, cwd=tmp_path)

    return run


def picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path))


class TestScript:
    def test_every_option_has_a_test(self):
        assert_all_shown(SHOWN_SCRIPTS, [sys.modules[__name__]])

    @pytest.mark.shows("data_dir", "load", "output_dir")
    def test_generated_beside_real_poses(self, viz, tmp_path):
        out = viz().succeeded().out
        assert files(tmp_path / "out") == ["generated.png"]
        assert "generated.png" in out
        height, width = picture(tmp_path / "out/generated.png").shape[:2]
        assert height > 4 * PANEL[1]  # 16 poses, 4 per row
        assert width > 8 * PANEL[0]

    @pytest.mark.shows("num_pictures", "seed")
    def test_number_and_seed(self, viz, tmp_path):
        viz("--num_pictures", 4).succeeded()
        first = picture(tmp_path / "out/generated.png")
        assert first.shape[0] < 2 * PANEL[1]
        viz("--num_pictures", 4, "--seed", 1).succeeded()
        assert (picture(tmp_path / "out/generated.png") != first).any()
        viz("--num_pictures", 4).succeeded()
        assert (picture(tmp_path / "out/generated.png") == first).all()

    @pytest.mark.shows("style")
    def test_style(self, viz, tmp_path):
        """More than 5 % of the picture has the style's background colour."""
        for argv, own, other in (((), DARK, PAPER), (("--style", "paper"), PAPER, DARK)):
            viz("--num_pictures", 1, *argv).succeeded()
            colours = picture(tmp_path / "out/generated.png")[..., ::-1]
            shares = [(colours == palette.ground).all(-1).mean() for palette in (own, other)]
            assert shares[0] > 0.05 > shares[1]

    @pytest.mark.shows("interpolate")
    def test_interpolate(self, viz, tmp_path, real):
        last = len(real) - 1
        out = viz("--num_pictures", 2, "--interpolate", 0, last).succeeded().out
        assert files(tmp_path / "out") == ["generated.png", f"interpolation_0_{last}.png"]
        assert picture(tmp_path / f"out/interpolation_0_{last}.png").shape[1] > (WALK + 2) * PANEL[0]
        printed = re.findall(r"^S(\d+)/(\w+)( \d)?, frame (\d+): fitted to ([\d.]+) mm", out, re.M)
        assert [(subject, action) for subject, action, *_ in printed] == [("9", "Sitting"), ("11", "Walking")]
        assert all(0 < float(error) < 2000 for *_, error in printed)

    @pytest.mark.shows("nearest")
    def test_nearest(self, viz, tmp_path):
        out = viz("--num_pictures", 3, "--nearest").succeeded().out
        assert files(tmp_path / "out") == ["generated.png", "nearest.png"]
        assert "mm to the nearest training pose" in out
        assert f"{COMPARED} generated" in out

    @pytest.mark.shows("debug_traceback")
    def test_debug_traceback_shows_it(self, viz):
        assert "Traceback (most recent call last)" in viz("--interpolate", 0, "--debug_traceback").err

    @pytest.mark.shows("allow_unsafe_load")
    def test_old_pickles_load_only_where_allowed(self, viz, checkpoint, tmp_path):
        old = torch.load(checkpoint, weights_only=True) | {"made": Path("here")}  # an object, not a plain type
        torch.save(old, tmp_path / "old.pth")
        assert "--allow_unsafe_load" in viz(load=tmp_path / "old.pth").refusal()
        viz("--num_pictures", 1, "--allow_unsafe_load", load=tmp_path / "old.pth").succeeded()


class TestBadInput:
    def refused(self, viz, tmp_path, *argv, **settings) -> str:
        line = viz(*argv, **settings).refusal()
        assert not (tmp_path / "out").exists() or files(tmp_path / "out") == []
        return line

    @pytest.mark.parametrize("ends", [(0,), (0, 1, 2)])
    def test_two_poses_to_walk_between(self, viz, tmp_path, ends):
        assert "; expected two, e.g. 0 100" in self.refused(viz, tmp_path, "--interpolate", *ends)

    def test_a_pose_out_of_range(self, viz, tmp_path, real):
        line = self.refused(viz, tmp_path, "--interpolate", 0, len(real))
        assert f"--interpolate {len(real)}: " in line
        assert f"expected 0 to {len(real) - 1}" in line
        assert "--interpolate" in self.refused(viz, tmp_path, "--interpolate", 0, -1)

    def test_a_checkpoint_of_another_kind(self, viz, tmp_path):
        other = {"script": "2d3d_h36m", "state_dict": {"w1.weight": torch.zeros(8, 32)}}
        torch.save(other, tmp_path / "other.pth")
        line = self.refused(viz, tmp_path, load=tmp_path / "other.pth")
        assert "no pose GAN (it was written by train.py 2d3d_h36m)" in line
        assert "give a 3d_pose_gan checkpoint" in line

    def test_a_damaged_checkpoint(self, viz, checkpoint, tmp_path):
        stored = torch.load(checkpoint, weights_only=True)
        del stored["state_dict"]["critic.network.heads.0.bias"]
        torch.save(stored, tmp_path / "damaged.pth")
        assert "missing key critic.network.heads.0.bias" in self.refused(viz, tmp_path, load=tmp_path / "damaged.pth")
        assert "no such checkpoint" in self.refused(viz, tmp_path, load=tmp_path / "nothing.pth")

    def test_no_poses(self, viz, tmp_path):
        assert "no Human3.6M poses" in self.refused(viz, tmp_path, data_dir=tmp_path)


class TestPictures:
    def test_poses_share_one_scale(self, real):
        """A pose half as large fills less of its panel."""
        both = draw_beside(real[:1], 0.5 * real[:1]).raster()
        half = both.shape[1] // 2
        panels = both[60 : 30 + PANEL[1]]  # above the caption
        lit = [(part.max(-1) > 180).any(1).sum() for part in (panels[:, :half], panels[:, half:])]
        assert lit[1] < 0.75 * lit[0]

    def test_a_walk_is_a_row_between_the_real_poses(self, real):
        row = draw_walk(real[1:4], real[:2], [12.0, 34.0], ["a", "b"])
        assert row.size[0] >= 5 * PANEL[0]
        assert row.size[1] < 2 * PANEL[1]

    def test_the_poses_of_a_pair_are_stacked(self, real):
        pair = draw_nearest(real[:1], real[1:2], [5.0])
        assert pair.size[1] >= 2 * PANEL[1]
        assert pair.size[0] == PANEL[0]


def test_a_gan_that_repeats_training_poses_has_distances_of_zero(real):
    class Parrot:
        def sample(self, count, rng):
            return real[torch.randint(len(real), (count,), generator=rng)]

    rng = torch.Generator().manual_seed(0)
    table = nearest_table(Parrot(), real[:5] + 100 * torch.randn(5, 17, 3, generator=rng), real, rng)
    rows = [[float(number) for number in line.split()[-3:]] for line in table.splitlines()[2:]]
    assert max(rows[0]) < 0.1
    assert min(rows[1]) > 50

"""`viz.py 2d_gt_3d_gt_3d_pred`: 2D input, true and predicted 3D pose side by side."""

from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import files

from twod_threed.pose_sequences import ground_truth_of_folder
from twod_threed.viz import draw_comparison, frame_mpjpe, spread_frames, truth_and_prediction
from utils.osutils import UserError
from utils.predictions.prediction_files import save_predictions
from utils.transform import H36M, H36M_2D, MPII

FRAMES = {"S9/Walking 1/54138969": 4, "S9/Walking/54138969": 2, "S11/SittingDown/60457274": 6}
KEY = "S9/Walking 1/54138969"
MOTION = Path("../shared/data/cmu_h36m_layout")
HIP = H36M.index("pelvis")
NO_HIP = [index for index in range(len(H36M)) if index != HIP]


@pytest.fixture
def poses():
    """key -> (frames, 17, 3) mm, hip at the origin and between the hips."""
    generator = torch.Generator().manual_seed(0)
    poses = {key: 200 * torch.randn(frames, 17, 3, generator=generator) for key, frames in FRAMES.items()}
    for value in poses.values():
        value[:, HIP] = 0
        value[:, H36M.index("l_hip")] = -value[:, H36M.index("r_hip")]
    return poses


@pytest.fixture
def options(tmp_path, poses):
    """The files that a run leaves, and where to draw."""
    inputs = {key: value[:, H36M.indices(H36M_2D.joints), :2] + 500 for key, value in poses.items()}
    for name, value in (("2d_truth", inputs), ("3d_truth", poses), ("3d_pred", moved(poses))):
        save_predictions(tmp_path / f"{name}.pt", value)
    return Namespace(
        pose_2d_ground_truths=tmp_path / "2d_truth.pt", pose_3d_ground_truths=tmp_path / "3d_truth.pt",
        pose_3d_estimations=[tmp_path / "3d_pred.pt"], output_dir=tmp_path / "out", num_pictures=24,
        model_names=None, style="dark", views=("turned",), color="side",
    )  # fmt: skip


def moved(poses):
    """The right wrist of every pose 34 mm off."""
    offset = torch.zeros(17, 3)
    offset[H36M.index("r_wrist"), 1] = 34
    return {key: value + offset for key, value in poses.items()}


def rewrite(path, change):
    poses = torch.load(path, weights_only=True)
    save_predictions(path, change(poses) or poses)


def single(paths):
    """The path of an option that takes one file, or the only one of an option that takes several."""
    return paths[0] if isinstance(paths, list) else paths


def refused(options, message):
    with pytest.raises(UserError, match=message) as caught:
        truth_and_prediction(options)
    assert "\n" not in str(caught.value)
    assert not options.output_dir.exists()


def set_nan(poses):
    poses[KEY][1, 3] = torch.nan


class TestFiles:
    def test_one_picture_per_frame_in_folders_named_by_the_sequence(self, options, capsys):
        truth_and_prediction(options)
        expected = [f"{key}/{frame:06d}.png" for key, count in FRAMES.items() for frame in range(count)]
        assert files(options.output_dir) == sorted([*expected, "contact_sheet.png"])
        printed = capsys.readouterr().out
        assert "12 pictures" in printed
        assert "mean over 17 joints, hips at the origin" in printed
        picture = cv2.imread(str(options.output_dir / expected[0]))
        assert picture.shape[1] > 2 * picture.shape[0]
        assert (options.output_dir / "contact_sheet.png").stat().st_size > 1000

    def test_no_more_pictures_than_asked_for(self, options, capsys):
        options.num_pictures = 3
        truth_and_prediction(options)
        # The middles of three parts of 4 frames: the 3rd, the 7th and the 11th of 4 + 2 + 6.
        assert files(options.output_dir) == [
            "S11/SittingDown/60457274/000000.png", "S11/SittingDown/60457274/000004.png",
            "S9/Walking 1/54138969/000002.png", "contact_sheet.png",
        ]  # fmt: skip
        assert "3 pictures in" in capsys.readouterr().out

    def test_16_joints_without_the_hip_and_17_in_2d(self, options, poses, capsys):
        rewrite(options.pose_3d_estimations[0], lambda pred: {key: value[:, NO_HIP] for key, value in pred.items()})
        save_predictions(options.pose_2d_ground_truths, {key: value[..., :2] for key, value in poses.items()})
        options.num_pictures = 1
        truth_and_prediction(options)
        assert "mean over 16 joints" in capsys.readouterr().out

    def test_2d_joints_that_are_nan_are_counted_and_not_drawn(self, options, capsys):
        rewrite(options.pose_2d_ground_truths, set_nan)
        truth_and_prediction(options)
        assert f"1 joint of the 2D poses NaN or infinite, not drawn, in {KEY}" in capsys.readouterr().err

    def test_2d_poses_without_truth_are_left_out(self, options, capsys):
        rewrite(options.pose_2d_ground_truths, lambda poses: poses | {"S9/Eating/54138969": poses[KEY]})
        truth_and_prediction(options)
        assert "1 sequences have no 3D truth" in capsys.readouterr().err


class TestBadInput:
    def test_3d_joints_that_are_nan(self, options):
        rewrite(options.pose_3d_estimations[0], set_nan)
        refused(options, "NaN")

    @pytest.mark.parametrize("name", ["pose_2d_ground_truths", "pose_3d_estimations"])
    def test_a_missing_sequence(self, options, name):
        rewrite(single(getattr(options, name)), lambda poses: {key: poses[key] for key in poses if key != KEY})
        refused(options, f"'{KEY}'")

    @pytest.mark.parametrize("name", ["pose_2d_ground_truths", "pose_3d_estimations"])
    def test_another_number_of_frames(self, options, name):
        rewrite(single(getattr(options, name)), lambda poses: poses | {KEY: poses[KEY][:3]})
        refused(options, "has 3 frames, its .*has 4")

    def test_2d_poses_in_another_order(self, options, poses):
        # The same people with the joints in the order of MPII.
        inputs = {key: torch.zeros(len(value), 16, 2) for key, value in poses.items()}
        names = {"spine": "thorax", "thorax": "upper_neck"}
        order = MPII.indices([names.get(joint, joint) for joint in H36M_2D.joints])
        for key, value in poses.items():
            inputs[key][:, order] = value[:, H36M.indices(H36M_2D.joints), :2]
        save_predictions(options.pose_2d_ground_truths, inputs)
        refused(options, "order")

    def test_3d_poses_as_2d_input(self, options):
        options.pose_2d_ground_truths = options.pose_3d_ground_truths
        refused(options, "17 × 3; expected 16 × 2")

    def test_truth_in_metres(self, options):
        rewrite(options.pose_3d_ground_truths, lambda poses: {key: value / 1000 for key, value in poses.items()})
        refused(options, "metres")

    def test_a_missing_file_and_one_of_another_kind(self, options, tmp_path):
        options.pose_3d_estimations = [tmp_path / "none.pt"]
        refused(options, "none.pt")
        options.pose_3d_estimations = [tmp_path / "preds.mat"]
        refused(options, "--3d_pose_estimations .*unknown suffix")

    def test_keys_that_would_leave_the_folder(self, options):
        for name in ("pose_2d_ground_truths", "pose_3d_ground_truths", "pose_3d_estimations"):
            rewrite(single(getattr(options, name)), lambda poses: {"S9/../..": poses[KEY]})
        refused(options, "leads out of the folder, so nothing is written")

    def test_an_output_folder_that_is_a_file(self, options):
        options.output_dir = options.pose_3d_estimations[0]
        with pytest.raises(UserError, match="is a file"):
            truth_and_prediction(options)


class TestNumbers:
    def test_mpjpe_of_a_frame_by_hand(self, poses):
        truth, prediction = poses[KEY][0], moved(poses)[KEY][0]
        # One joint is 34 mm off: 34 / 17 = 2, and 34 / 16 without the hip; moving a whole pose changes nothing.
        assert frame_mpjpe(prediction, truth) == pytest.approx(2, abs=1e-4)
        assert frame_mpjpe(prediction + 1000, truth - 500) == pytest.approx(2, abs=1e-3)
        assert frame_mpjpe(prediction[NO_HIP], truth) == pytest.approx(34 / 16, abs=1e-4)

    def test_frames_are_spread_evenly(self):
        assert spread_frames({"a": 2, "b": 3}, 24) == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)]
        assert spread_frames({"a": 100}, 2) == [("a", 25), ("a", 75)]
        chosen = spread_frames({f"{n}": 10 for n in range(50)}, 25)
        assert len({key for key, _ in chosen}) == 25


def test_real_motion_is_upright_and_not_mirrored():
    """The right arm and hip are on the same side of the left ones in all three panels as they are to the camera."""
    if not MOTION.is_dir():
        pytest.skip("../shared/data is not here")
    truth = ground_truth_of_folder(MOTION)
    wide = 0
    for pose in (truth[key][len(truth[key]) // 2] for key in list(truth)[::16]):
        across = pose[H36M.index("l_shoulder")] - pose[H36M.index("r_shoulder")]
        if abs(across[0]) < 3 * abs(across[2]):  # seen from the side: turning the view may exchange them
            continue
        wide += 1
        # What may cross is left out.
        arms = pose.clone()
        arms[H36M.indices(["r_knee", "r_ankle", "l_knee", "l_ankle", "r_wrist", "l_wrist"])] = torch.nan
        joints_2d = arms[H36M.indices(H36M_2D.joints), :2]
        picture = draw_comparison(joints_2d, arms, {"": arms}).raster()[60:500].astype(int)  # above the caption
        warmth = picture[..., 0] - picture[..., 2]  # far limbs are darker: told apart by hue
        red, blue = warmth > 60, warmth < -60
        for panel in range(3):
            columns = slice(panel * 426, panel * 426 + 420)
            gap = np.nonzero(blue[:, columns])[1].mean() - np.nonzero(red[:, columns])[1].mean()
            assert np.sign(gap) == np.sign(across[0].item())
    assert wide >= 3

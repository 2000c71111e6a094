"""`viz.py 2d_overlay_3d_pred` and `2d_overlay_3d_gt_3d_pred`: photos with 2D poses, 3D poses beside them."""

import cv2
import numpy as np
import pytest
import torch
from command_line import call, files
from standing_people import joints_of, people, write_photo

from stitched import viz
from stitched.pose_files import load_poses_3d
from stitched.viz import MOST_HEIGHT, MOST_WIDTH, Scene, compose
from utils.imaging.draw3d import POSE_PANEL
from utils.imaging.images import read_image
from utils.look.palette import ERROR_RAMP, person_color
from utils.osutils import UserError
from utils.predictions.prediction_files import save_metas, save_predictions
from utils.transform import H36M, H36M_2D, MPII

NAMES = {"a.png": 1, "sub/b.jpg": 2, "c.png": 0}  # people
PRED, TRUTH = "2d_overlay_3d_pred", "2d_overlay_3d_gt_3d_pred"


@pytest.fixture
def folder(tmp_path):
    """Photos, and what a run leaves: one person, two people, nobody."""
    for name in NAMES:
        write_photo(tmp_path / "photos" / name)
    poses = {name: people(count) for name, count in NAMES.items()}
    save_predictions(tmp_path / "run/2d_pose_estimations.pt", {name: joints_of(p) for name, p in poses.items()})
    save_predictions(tmp_path / "run/3d_pose_estimations.pt", poses)
    save_predictions(tmp_path / "run/3d_pose_ground_truths.pt", {name: moved(p) for name, p in poses.items()})
    save_metas(tmp_path / "run/metas.pt", {name: {"skeleton": "H36M_2D"} for name in NAMES})
    return tmp_path


def moved(poses):
    """The right wrist of every person 170 mm off: an MPJPE of 170 / 17 = 10 mm."""
    poses = poses.clone()
    poses[:, H36M.index("r_wrist"), 1] += 170
    return poses


def draw(folder, script=PRED, *argv):
    truth = ["--3d_pose_ground_truths", folder / "run/3d_pose_ground_truths.pt"] if script == TRUTH else []
    return call(
        "viz", script, "--img_dir", folder / "photos", "--2d_pose_estimations", folder / "run/2d_pose_estimations.pt",
        "--3d_pose_estimations", folder / "run/3d_pose_estimations.pt", *truth, "--output_dir", folder / "out", *argv,
    )  # fmt: skip


def change(folder, name, edit):
    path = folder / "run" / name
    poses = torch.load(path, weights_only=True)
    save_predictions(path, edit(poses) or poses)


def refusal(folder, script=PRED, *argv):
    line = draw(folder, script, *argv).refusal()
    assert files(folder / "out") == []
    return line


def middle(picture, side):
    """(x, y), px, the mean of all pixels in the colour of a side, near and far; NaN without any."""
    warmth = picture[..., 0].astype(int) - picture[..., 2]
    rows, columns = np.nonzero(warmth > 60 if side == "r" else warmth < -60)
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.full(2, np.nan)


def greys(picture):
    """How many px could be a thin grey limb."""
    return ((np.ptp(picture.astype(int), axis=2) < 12) & (np.abs(picture.mean(axis=2) - 125) < 35)).sum()


def composed(image, poses, truth=None, joints=None, **how):
    """The figure of these people, as pixels."""
    joints = joints_of(poses).float() if joints is None else joints
    skeleton = MPII if len(joints) == 0 else how.pop("skeleton", H36M_2D)
    return compose(image, Scene(joints, skeleton, {"": poses}, truth, **how)).raster()


class TestFiles:
    @pytest.mark.parametrize("script", [PRED, TRUTH])
    def test_pictures_have_the_names_of_their_photos(self, folder, script):
        result = draw(folder, script).succeeded()
        assert files(folder / "out") == ["a.png", "c.png", "contact_sheet.png", "sub/b.jpg"]
        assert result.warnings() == []
        assert f"3 pictures in {folder / 'out'}" in result.out
        assert ("mean over 17 joints, hips aligned" in result.out) == (script == TRUTH)

    def test_singular_names_of_the_options_and_metas_decide_the_order(self, folder):
        """The joint order is that of metas.pt; without it, the joints would be taken as MPII's."""
        draw(folder).succeeded()
        expected = composed(read_image(folder / "photos/a.png"), people(1).double())
        np.testing.assert_array_equal(read_image(folder / "out/a.png"), expected)
        call(
            "viz", PRED, "--img_dir", folder / "photos", "--2d_pose_estimation", folder / "run/2d_pose_estimations.pt",
            "--3d_pose_estimation", folder / "run/3d_pose_estimations.pt", "--output_dir", folder / "again",
        ).succeeded()  # fmt: skip
        np.testing.assert_array_equal(read_image(folder / "again/a.png"), expected)
        (folder / "run/metas.pt").unlink()
        draw(folder).succeeded()
        assert (read_image(folder / "out/a.png") != expected).any()

    def test_one_photo_and_a_folder_of_its_own(self, folder):
        draw(folder, PRED, "--img_dir", folder / "photos/a.png").succeeded()
        assert files(folder / "out") == ["a.png"]

    def test_frames_of_a_video(self, folder):
        writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
        for _ in range(3):
            writer.write(np.zeros((240, 320, 3), np.uint8))
        writer.release()
        for name in ("2d_pose_estimations.pt", "3d_pose_estimations.pt"):
            change(folder, name, lambda poses: {f"clip/{n:06d}": poses["a.png"] for n in range(3)})
        draw(folder, PRED, "--img_dir", folder / "clip.avi").succeeded()
        assert files(folder / "out") == [*(f"clip/{n:06d}.png" for n in range(3)), "contact_sheet.png"]

    def test_images_and_joints_that_cannot_be_drawn_are_counted(self, folder):
        def spoil(poses):
            poses["a.png"][0, 3] = torch.nan

        change(folder, "3d_pose_estimations.pt", spoil)
        (folder / "photos/c.png").write_bytes(b"no picture")
        write_photo(folder / "photos/extra.png")
        warnings = draw(folder, TRUTH).warnings()
        assert len(warnings) == 3
        for part in (
            "1 of 4 images without a predicted pose",
            "1 of 3 images unreadable",
            "1 joint of the 3D poses NaN",
        ):
            assert any(part in line for line in warnings), part


class TestFigures:
    """What the options change in the picture of one person."""

    def picture(self, folder, script, *argv):
        draw(folder, script, "--img_dir", folder / "photos/a.png", *argv).succeeded()
        return read_image(folder / "out/a.png")

    def test_models_are_side_by_side_under_their_names(self, folder, monkeypatch):
        titles, one = recorded_titles(monkeypatch), folder / "run/3d_pose_estimations.pt"
        save_predictions(folder / "other/3d_pose_estimations.pt", {n: moved(people(c)) for n, c in NAMES.items()})
        models = ["--3d_pose_estimations", one, folder / "other/3d_pose_estimations.pt"]
        plain = self.picture(folder, TRUTH)
        both = self.picture(folder, TRUTH, *models, "--model_names", "ours", "theirs")
        assert titles == [
            "3D truth", "3D prediction, MPJPE 10 mm", "3D truth", "ours, MPJPE 10 mm", "theirs, MPJPE 0 mm"
        ]  # fmt: skip
        assert both.shape[1] == plain.shape[1] + 6 + POSE_PANEL[0]
        self.picture(folder, PRED, *models)
        assert titles[5:] == ["run", "other"]  # the folders' names
        assert "2 files" in draw(folder, PRED, *models, "--model_names", "ours").refusal()

    @pytest.mark.parametrize("script", [PRED, TRUTH])
    def test_views(self, folder, script, monkeypatch):
        titles = recorded_titles(monkeypatch)
        self.picture(folder, script, "--views", "front,top")
        views = [title.rpartition(", ")[2] for title in titles]
        assert views == sorted(views) == [view for view in ("front", "top") for _ in range(len(titles) // 2)]

    def test_errors_and_paper(self, folder):
        plain, colored = self.picture(folder, TRUTH), self.picture(folder, TRUTH, "--color", "error")
        assert (colored == ERROR_RAMP[-1]).all(axis=2).any()
        assert not (plain == ERROR_RAMP[-1]).all(axis=2).any()
        paper = self.picture(folder, TRUTH, "--style", "paper")
        assert (paper[-1, -1] == 255).all()
        assert files(folder / "out") == ["a.pdf", "a.png", "a.svg"]


class TestPicture:
    image = np.full((480, 640, 3), 128, np.uint8)
    panel = 640 + 6  # where the panels begin

    @pytest.mark.parametrize("facing", [True, False])
    def test_left_is_left_and_up_is_up_in_both(self, facing):
        pose = people(1, facing)
        picture = composed(self.image, pose)
        assert picture.shape[1] == 640 + 6 + POSE_PANEL[0]
        photo, panel = picture[:480, :640], picture[:480, self.panel :]  # above the caption
        for part in (photo, panel):
            right, left = middle(part, "r"), middle(part, "l")
            assert (right[0] < left[0]) == facing
            # The right hand is raised.
            assert right[1] < left[1]

    def test_truth_has_a_panel_of_its_own_of_the_same_scale(self):
        pose = people(1)
        picture = composed(self.image, pose, pose)[:480]
        assert picture.shape[1] == 640 + 2 * (6 + POSE_PANEL[0])
        truth, prediction = picture[90:, self.panel :][:, : POSE_PANEL[0]], picture[90:, -POSE_PANEL[0] :]
        np.testing.assert_allclose(middle(truth, "r"), middle(prediction, "r"), atol=3)
        # The truth is behind the prediction, grey, and shows where they differ.
        other = composed(self.image, pose, moved(pose))[90:480, -POSE_PANEL[0] :]
        assert greys(other) > greys(prediction) + 30

    def test_the_error_is_in_the_title(self, monkeypatch):
        titles = recorded_titles(monkeypatch)
        pose = people(2)
        composed(self.image, pose[:1], moved(pose[:1]))
        assert titles == ["3D truth", "3D prediction, MPJPE 10 mm"]
        titles.clear()
        pose[1, 3] = torch.nan
        joints = joints_of(people(2))
        composed(self.image, pose, moved(pose), joints)
        assert titles == [
            "person 0: truth", "person 0: MPJPE 10 mm",
            "person 1: truth", "person 1: MPJPE unknown, joints missing",
        ]  # fmt: skip

    def test_several_people_are_numbered_alike_in_both(self):
        pose = people(3)
        picture = composed(self.image, pose)
        photo = picture[:, : round(640 * 720 / 480)]
        panels = picture[:, photo.shape[1] + 6 :]
        width, height = round(357 * POSE_PANEL[0] / POSE_PANEL[1]), 357
        for number in range(3):
            mask = (photo == person_color(number)).all(axis=2)
            assert mask.sum() > 50
            row, column = divmod(number, 2)
            panel = panels[row * (height + 6) :, column * (width + 6) :][:height, :width]
            near = (np.abs(panel.astype(int) - person_color(number)).max(axis=2) < 60)[:30]
            assert near.any()

    def test_nobody_is_found(self, monkeypatch):
        titles = recorded_titles(monkeypatch)
        empty = torch.zeros(0, 17, 3)
        picture = composed(self.image, empty, None, torch.zeros(0, 16, 2))
        assert titles == ["no person found"]
        assert (picture[:480, :640] == 128).all()
        composed(self.image, empty, empty, torch.zeros(0, 16, 2))

    def test_only_the_largest_of_a_crowd_are_shown(self, monkeypatch):
        titles = recorded_titles(monkeypatch)
        pose = people(12)
        joints = joints_of(pose) * torch.arange(1, 13)[:, None, None] / 12
        composed(self.image, pose, None, joints)
        assert titles == [f"person {number}: prediction" for number in range(4, 12)]
        titles.clear()
        composed(self.image, pose, pose, joints)
        assert [title.partition(":")[0] for title in titles[::2]] == [f"person {number}" for number in range(8, 12)]

    @pytest.mark.parametrize(("height", "width"), [(40, 30), (30, 300), (3000, 2000), (500, 6000), (300, 100)])
    @pytest.mark.parametrize("count", [1, 3])
    def test_any_size_stays_readable(self, height, width, count):
        pose = people(count)
        picture = composed(np.zeros((height, width, 3), np.uint8), pose)
        assert 480 <= picture.shape[0] <= 1.25 * MOST_HEIGHT
        assert picture.shape[1] <= MOST_WIDTH + 3 * MOST_HEIGHT

    def test_poses_on_the_photo_are_where_they_were_found(self):
        """Also on a smaller copy: an arm centred at (1999.5, 999.5) of 4000 × 2000 px is in the middle of the photo."""
        joints = torch.full((1, 16, 2), torch.nan)
        joints[0, MPII.index("r_wrist")] = torch.tensor([1999.5, 1999.5])
        joints[0, MPII.index("r_elbow")] = torch.tensor([1999.5, -0.5])
        picture = composed(np.zeros((2000, 4000, 3), np.uint8), people(1), None, joints, skeleton=MPII)
        x, y = middle(picture[:640, :MOST_WIDTH], "r")
        assert (x, y) == pytest.approx((639.5, 319.5), abs=0.6)


def recorded_titles(monkeypatch):
    """The titles of the 3D panels that are drawn from here on."""
    titles, original = [], viz.sketch_pose_3d

    def record(pose, skeleton, size, title, **view):
        titles.append(title)
        return original(pose, skeleton, size, title, **view)

    monkeypatch.setattr(viz, "sketch_pose_3d", record)
    return titles


class TestBadInput:
    @pytest.mark.parametrize("lacking", ["2d", "3d"])
    def test_an_image_of_one_file_is_not_in_the_other(self, folder, lacking):
        change(folder, f"{lacking}_pose_estimations.pt", lambda poses: {"a.png": poses["a.png"]})
        line = refusal(folder)
        assert f"--{lacking}_pose_estimations" in line
        assert "lacks 2 of the 3 images of the other file (sub/b.jpg, c.png)" in line

    @pytest.mark.parametrize(("script", "name"), [(PRED, "3d_pose_estimations"), (TRUTH, "3d_pose_ground_truths")])
    def test_another_number_of_people(self, folder, script, name):
        change(folder, f"{name}.pt", lambda poses: poses | {"sub/b.jpg": poses["a.png"]})
        line = refusal(folder, script)
        assert "1 of 3 images have another number of people" in line
        assert "'sub/b.jpg'" in line

    def test_an_image_without_truth(self, folder):
        change(folder, "3d_pose_ground_truths.pt", lambda poses: {"a.png": poses["a.png"]})
        line = refusal(folder, TRUTH)
        assert "--3d_pose_ground_truths" in line
        assert "lacks 2 of the 3 images to draw" in line
        assert "2d_overlay_3d_pred" in line

    def test_exchanged_files_are_recognised(self, folder):
        two, three = (folder / f"run/{n}d_pose_estimations.pt" for n in "23")
        assert "holds 3D poses" in refusal(folder, PRED, "--2d_pose_estimations", three)
        line = refusal(folder, PRED, "--3d_pose_estimations", two)
        assert "--3d_pose_estimations" in line
        assert "its poses are 16 × 2" in line
        assert "--3d_pose_ground_truths" in refusal(folder, TRUTH, "--3d_pose_ground_truths", two)

    def test_no_photo_of_the_folder(self, folder):
        write_photo(folder / "others/z.png")
        line = refusal(folder, PRED, "--img_dir", folder / "others")
        assert "no pose belongs to an image in" in line
        assert "z.png" in line

    def test_photos_are_never_replaced(self, folder):
        before = (folder / "photos/a.png").read_bytes()
        assert "would overwrite the photos" in draw(folder, PRED, "--output_dir", folder / "photos").refusal()
        assert (folder / "photos/a.png").read_bytes() == before

    @pytest.mark.parametrize(
        ("poses", "part"),
        [
            ({}, "holds no poses"),
            ({"a": torch.zeros(1, 16, 3)}, "16 × 3"),
            ({"a": torch.zeros(1, 17, 3), "b": torch.zeros(1, 16, 3)}, "16 × 3, 17 × 3"),
            ({"a": people(1) / 1000}, "metres"),
        ],
    )
    def test_unusable_3d_poses(self, tmp_path, poses, part):
        save_predictions(tmp_path / "p.pt", poses)
        with pytest.raises(UserError, match=part):
            load_poses_3d(tmp_path / "p.pt", "--3d_pose_estimations")

    def test_missing_and_required(self, folder):
        assert "no.pt" in refusal(folder, PRED, "--3d_pose_estimations", folder / "no.pt")
        assert "--3d_pose_ground_truths" in call("viz", TRUTH, "--img_dir", folder).refusal()

    def test_traceback_on_demand(self, folder):
        result = draw(folder, PRED, "--3d_pose_estimations", folder / "no.pt", "--debug_traceback")
        assert result.status == 2
        assert "Traceback" in result.err


def test_hips_are_moved_to_the_origin(tmp_path):
    save_predictions(tmp_path / "p.pt", {"a": people(2) + torch.tensor([100.0, 200, 4000])})
    poses = load_poses_3d(tmp_path / "p.pt", "--3d_pose_estimations")["a"]
    assert poses[:, H36M.index("pelvis")].abs().max() == 0
    assert torch.allclose(poses, people(2).double(), atol=1e-3)

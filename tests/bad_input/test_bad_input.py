"""Bad input, through the command line: each kind has one defined outcome, and nothing is left half-written.

Either the command is refused (status 2, one line that names the fault, no file), or it leaves out what is bad,
says so in one warning that counts it, and does the rest.
"""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from bad_files import ANNOTATED_RUN_FILES, RUN_FILES, cut, poses, train, write_one_pixel, write_text, write_truncated
from command_line import EXPERIMENT, call, files
from PIL import Image

from utils.imaging.images import read_image
from utils.predictions.prediction_arrays import load_prediction_array
from utils.predictions.prediction_files import load_predictions, save_predictions


# ------------------------------------------------------------------------------------------ folders
class TestFolders:
    @pytest.mark.parametrize("kind", ["missing", "empty"])
    def test_image_folder_of_mpii(self, mpii, tmp_path, run, kind):
        shutil.rmtree(mpii / "images")
        if kind == "empty":
            (mpii / "images").mkdir()
        for result in (train(mpii, tmp_path), run(mpii)):
            line = result.refusal()
            assert str(mpii / "images") in line
            assert ("does not exist" if kind == "missing" else "is empty") in line
        assert {path.name for path in tmp_path.iterdir()} == {"mpii"}

    def test_missing_folder_of_photos(self, tmp_path, run):
        (tmp_path / "photos").mkdir()
        assert f"did you mean {tmp_path / 'photos'}?" in run(tmp_path / "photo").refusal()
        assert files(tmp_path) == []

    def test_empty_folder_of_photos(self, tmp_path, run):
        (tmp_path / "photos").mkdir()
        assert "is empty" in run(tmp_path / "photos").refusal()
        assert files(tmp_path) == []

    def test_folders_to_draw_on(self, tmp_path):
        save_predictions(tmp_path / "poses.pt", {"a.jpg": torch.zeros(1, 16, 2)})
        (tmp_path / "empty").mkdir()
        for folder in ("missing", "empty"):
            arguments = ["--img_dir", tmp_path / folder, "--2d_pose_estimations", tmp_path / "poses.pt"]
            result = call("viz", "2d_overlay", *arguments, "--output_dir", tmp_path / "out")
            assert f"--img_dir {tmp_path / folder}" in result.refusal()
        assert files(tmp_path) == ["poses.pt"]

    @pytest.mark.parametrize("option", ["checkpoint_dir", "tb_dir"])
    def test_training_writes_below_no_file(self, mpii, tmp_path, option):
        (tmp_path / "file").write_text("kept")
        before = files(tmp_path)
        line = train(mpii, tmp_path, f"--{option}", tmp_path / "file" / "inside").refusal()
        assert f"--{option} {tmp_path / 'file' / 'inside'}: {tmp_path / 'file'} is a file" in line
        assert files(tmp_path) == before

    def test_an_output_folder_that_is_a_file_is_refused(self, mpii, photos, tmp_path, weights):
        (tmp_path / "out").write_text("kept")
        save_predictions(tmp_path / "poses.pt", {"00001.jpg": torch.zeros(1, 16, 2)})
        (tmp_path / "log.txt").write_text("epoch\tval/loss\n1\t0.5\n")
        before = files(tmp_path)
        for entry, *argv in (
            ("run", "hourglass_mpii", "--load", weights, "--data_dir", photos),
            ("eval", "mpii_PCKh", "--data_dir", mpii, "--prediction_files", tmp_path / "poses.pt"),
            ("viz", "2d_overlay", "--img_dir", photos, "--2d_pose_estimations", tmp_path / "poses.pt"),
            ("viz", "training_curves", "--load", tmp_path / "log.txt"),
        ):
            line = call(entry, *argv, "--output_dir", tmp_path / "out").refusal()
            assert f"--output_dir {tmp_path / 'out'}" in line
        assert files(tmp_path) == before
        assert (tmp_path / "out").read_text() == "kept"


# ------------------------------------------------------------------------------------------ photos
BAD_PHOTOS = {
    "text": (write_text, "not a readable image"),
    "one pixel": (write_one_pixel, "1 × 1 px"),
    "truncated": (write_truncated, "truncated or damaged image"),
}


class TestPhotos:
    @pytest.mark.parametrize("kind", BAD_PHOTOS)
    def test_bad_photo_among_good_ones_is_counted(self, photos, tmp_path, run, kind):
        write, reason = BAD_PHOTOS[kind]
        write(photos / "00002.jpg")
        [warning] = run(photos).warnings()
        assert warning.startswith("warning: 1 of 3 photos unreadable, skipped: ")
        assert f"{photos / '00002.jpg'}: {reason}" in warning
        assert list(poses(tmp_path / "out")) == ["00001.jpg", "00003.jpg"]
        assert files(tmp_path / "out") == RUN_FILES

    @pytest.mark.parametrize("kind", BAD_PHOTOS)
    def test_bad_photo_alone_is_refused(self, tmp_path, run, kind):
        write, reason = BAD_PHOTOS[kind]
        path = write(tmp_path / "only.jpg")
        line = run(path).refusal()
        assert f"--data_dir {path}" in line
        assert reason in line
        assert files(tmp_path) == ["only.jpg"]

    def test_bad_photo_to_draw_on(self, photos, tmp_path):
        save_predictions(
            tmp_path / "poses.pt", {"00001.jpg": torch.zeros(1, 16, 2), "00003.jpg": torch.zeros(1, 16, 2)}
        )
        arguments = ["--2d_pose_estimations", tmp_path / "poses.pt", "--output_dir", tmp_path / "out"]
        cut(photos / "00001.jpg")
        [warning] = call("viz", "2d_overlay", "--img_dir", photos, *arguments).warnings()
        assert "1 of 2 images unreadable, not drawn: " in warning
        assert files(tmp_path / "out") == ["00003.jpg"]
        shutil.rmtree(tmp_path / "out")
        assert "truncated" in call("viz", "2d_overlay", "--img_dir", photos / "00001.jpg", *arguments).refusal()
        assert files(tmp_path / "out") == []

    def test_many_bad_photos_are_one_warning(self, photos, run):
        for number in range(7):
            write_text(photos / f"bad_{number}.jpg")
        [warning] = run(photos).warnings()
        assert warning.startswith("warning: 7 of 9 photos unreadable, skipped: ")
        assert "bad_4.jpg" in warning
        assert "bad_5.jpg" not in warning
        assert warning.endswith("and 2 more")

    def test_grey_16_bit_and_transparent_photos_are_read(self, tiny_mpii, tmp_path, run):
        """Each gives the joints of the plain RGB picture that it shows."""
        folder = tmp_path / "photos"
        folder.mkdir()
        color = read_image(tiny_mpii / "images" / "00001.jpg")
        grey = color.mean(axis=2).astype(np.uint8)
        holed = color.copy()
        holed[:60] = 255
        for name, picture in (("grey_rgb", np.dstack([grey] * 3)), ("grey", grey), ("holed_rgb", holed)):
            Image.fromarray(picture).save(folder / f"{name}.png")
        cv2.imwrite(str(folder / "grey_16.png"), grey.astype(np.uint16) * 257)
        alpha = np.full(grey.shape, 255, np.uint8)
        alpha[:60] = 0
        Image.fromarray(np.dstack([color, alpha])).save(folder / "holed_alpha.png")

        assert run(folder).succeeded().err == ""
        found = poses(tmp_path / "out")
        assert len(found) == 5
        assert torch.equal(found["grey.png"], found["grey_rgb.png"])
        assert torch.equal(found["grey_16.png"], found["grey_rgb.png"])
        assert torch.equal(found["holed_alpha.png"], found["holed_rgb.png"])
        assert not torch.equal(found["grey.png"], found["holed_rgb.png"])


# ------------------------------------------------------------------------------------------ people
class TestPeople:
    def test_boxes_outside_the_photo_are_left_out_and_counted(self, photos, tmp_path, run):
        boxes = {"00001.jpg": [[5000, 5000, 50, 50], [20, 30, 100, 200]], "00003.jpg": [[-90, 0, 80, 80]]}
        (tmp_path / "boxes.json").write_text(json.dumps(boxes))
        warnings = run(photos, "--person_box", tmp_path / "boxes.json").warnings()
        assert len(warnings) == 2
        assert warnings[0] == "warning: 2 boxes wholly outside the photo, left out"
        assert "no person found in 1 photo " in warnings[1]
        assert "00003.jpg" in warnings[1]
        found = poses(tmp_path / "out")
        assert {name: len(people) for name, people in found.items()} == {"00001.jpg": 1, "00003.jpg": 0}
        assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 1

    def test_a_training_without_a_readable_photo_ends_and_keeps_nothing(self, mpii, tmp_path):
        entries = json.loads((mpii / "mpii_annotations.json").read_text())
        for name in {entry["img_paths"] for entry in entries if not entry["isValidation"]}:
            cut(mpii / "images" / name)
        line = train(mpii, tmp_path).refusal()
        assert "none of the 8 training people's photos could be read; are the files damaged?" in line
        assert not list(tmp_path.rglob("*.pth.tar"))

    def test_damaged_mpii(self, mpii, tmp_path, run):
        """Absent and truncated photos, a person without joints, one wholly outside: in training, run and eval."""
        entries = json.loads((mpii / "mpii_annotations.json").read_text())
        outside, without_joints = [-9000.0, -9000.0], [[0.0, 0.0, 0.0]] * 16
        (mpii / "images" / entries[0]["img_paths"]).unlink()
        cut(mpii / "images" / entries[3]["img_paths"])
        entries[4]["joint_self"] = without_joints
        entries[5]["objpos"] = outside
        validation = [entry for entry in entries if entry["isValidation"]]  # the second and third share a photo
        (mpii / "images" / validation[0]["img_paths"]).unlink()
        validation[1]["objpos"] = outside
        validation[2]["joint_self"] = without_joints
        cut(mpii / "images" / validation[3]["img_paths"])
        (mpii / "mpii_annotations.json").write_text(json.dumps(entries))

        at_reading = [
            "warning: 1 of 8 training people dropped: their photos are absent",
            "warning: 1 of 4 validation people have no photo",
            "warning: 1 of 8 training people dropped: no joint of theirs is annotated",
        ]
        result = train(mpii, tmp_path)
        assert result.warnings() == [
            *at_reading,
            "warning: 1 training people's photos are unreadable: excluded from loss and metrics",
            "warning: 2 validation people's photos are unreadable: excluded from loss and metrics",
        ]
        assert result.out.startswith("6 training and 4 validation people")
        trained = tmp_path / "checkpoints" / EXPERIMENT
        expected_nan = [True, False, False, True]
        assert np.isnan(load_prediction_array(trained / "preds_valid.mat")).all(axis=(1, 2)).tolist() == expected_nan

        *before, unread = run(mpii, load=trained).warnings()
        assert before == at_reading
        assert unread.startswith("warning: 2 of 3 photos unreadable, their people's joints are NaN: ")
        assert files(tmp_path / "out") == ANNOTATED_RUN_FILES
        array = load_prediction_array(tmp_path / "out" / "preds_valid.mat")
        assert np.isnan(array).all(axis=(1, 2)).tolist() == expected_nan
        assert np.isfinite(array[1:3]).all()
        truth = load_predictions(tmp_path / "out" / "2d_pose_ground_truths.pt")
        assert truth[validation[2]["img_paths"]].isnan().all(dim=2).sum(dim=1)[1] == 16

        for name in ("preds_valid.mat", "2d_pose_estimations.pt", "predictions.json"):
            arguments = ["--data_dir", mpii, "--prediction_files", tmp_path / "out" / name]
            line = call("eval", "mpii_PCKh", *arguments, "--output_dir", tmp_path / "scores").refusal()
            assert name in line
            assert "32 of 64 joints, of 2 people, are NaN" in line
            assert "person 0 (r_ankle, " in line
            assert "person 3 (r_ankle, " in line
        assert not (tmp_path / "scores").exists()

    def test_joints_that_are_all_hidden_still_count(self, mpii, tmp_path):
        """The visibility flag says that a joint is occluded, not that it is unknown."""
        entries = json.loads((mpii / "mpii_annotations.json").read_text())
        for entry in entries:
            entry["joint_self"] = [[x, y, 0.0] for x, y, _ in entry["joint_self"]]
        (mpii / "mpii_annotations.json").write_text(json.dumps(entries))
        result = train(mpii, tmp_path)
        assert (result.status, result.err) == (0, "")
        assert result.out.startswith("8 training and 4 validation people")

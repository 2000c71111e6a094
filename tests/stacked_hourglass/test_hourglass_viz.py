"""`viz.py 2d_overlay`: poses on their photos and frames."""

from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import files

from stacked_hourglass.viz import overlay_2d, overlay_figure
from utils.imaging.images import read_image
from utils.look.palette import DARK
from utils.osutils import UserError
from utils.predictions.picture_files import SHEET_GAP
from utils.predictions.prediction_files import save_predictions
from utils.transform import LSP, MPII

WIDTH, HEIGHT = 640, 520


def pose(people: int = 1, joints: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(people, joints, 2, generator=generator) * torch.tensor([400.0, 300.0]) + 100


def write_photo(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    return path


def setting(tmp_path: Path, predictions: dict, img_dir: Path | None = None) -> Namespace:
    save_predictions(tmp_path / "run" / "2d_pose_estimations.pt", predictions)
    return Namespace(
        img_dir=img_dir or tmp_path / "photos",
        pose_2d_estimations=tmp_path / "run" / "2d_pose_estimations.pt",
        output_dir=tmp_path / "out",
        min_score=None,
        style="dark",
    )


def refusal(options: Namespace) -> str:
    with pytest.raises(UserError) as caught:
        overlay_2d(options)
    message = str(caught.value)
    assert "\n" not in message
    assert not options.output_dir.exists() or options.output_dir.is_file() or files(options.output_dir) == []
    return message


class TestPhotos:
    def test_pictures_keep_the_names_of_their_photos(self, tmp_path, capsys):
        for name in ("a.png", "sub/a.jpg", "c.JPG"):
            write_photo(tmp_path / "photos" / name)
        options = setting(tmp_path, {"a.png": pose(), "sub/a.jpg": pose(2), "c.JPG": pose()})
        overlay_2d(options)
        assert files(options.output_dir) == ["a.png", "c.JPG", "contact_sheet.png", "sub/a.jpg"]
        expected = overlay_figure(read_image(tmp_path / "photos/a.png"), pose(), MPII).raster()
        np.testing.assert_array_equal(read_image(options.output_dir / "a.png"), expected)
        out, err = capsys.readouterr()
        assert out.splitlines()[0] == f"3 pictures in {options.output_dir}"
        assert "contact_sheet.png" in out
        assert err == ""

    def test_one_photo_of_a_folder_that_was_run(self, tmp_path, capsys):
        path = write_photo(tmp_path / "photos" / "a.png")
        options = setting(tmp_path, {"a.png": pose(), "b.png": pose()}, path)
        overlay_2d(options)
        assert files(options.output_dir) == ["a.png"]
        assert capsys.readouterr().err == ""

    def test_contact_sheet_holds_up_to_sixteen_spread_over_all(self, tmp_path):
        names = [f"{number}.png" for number in range(20)]
        for name in names:
            write_photo(tmp_path / "photos" / name)
        options = setting(tmp_path, {name: pose() for name in names})
        overlay_2d(options)
        assert read_image(options.output_dir / "contact_sheet.png").shape[1] == 4 * 480 + 3 * SHEET_GAP
        assert len(files(options.output_dir)) == 21

    def test_missing_partners_are_counted(self, tmp_path, capsys):
        for name in ("a.png", "b.png", "c.png"):
            write_photo(tmp_path / "photos" / name)
        options = setting(tmp_path, {"a.png": pose(), "gone.png": pose()})
        overlay_2d(options)
        assert files(options.output_dir) == ["a.png"]
        err = capsys.readouterr().err.splitlines()
        assert len(err) == 2
        assert "2 of 3 images without a predicted pose, not drawn" in err[0]
        assert "1 of 2 images with predictions are not in" in err[1]
        assert "gone.png" in err[1]

    def test_nan_joints_are_left_out_and_counted_once(self, tmp_path, capsys):
        photo = read_image(write_photo(tmp_path / "photos" / "a.png"))
        write_photo(tmp_path / "photos" / "b.png")
        holed = pose()
        holed[0, MPII.index("head_top"), 1] = np.nan
        options = setting(tmp_path, {"a.png": holed, "b.png": torch.full((1, 16, 2), np.nan)})
        overlay_2d(options)
        [line] = capsys.readouterr().err.splitlines()
        assert "17 joints of the 2D poses NaN or infinite, not drawn, in a.png, b.png" in line
        np.testing.assert_array_equal(
            read_image(options.output_dir / "a.png"), overlay_figure(photo, holed, MPII).raster()
        )

    def test_photo_without_people_is_drawn_bare(self, tmp_path):
        write_photo(tmp_path / "photos" / "a.png")
        options = setting(tmp_path, {"a.png": torch.zeros(0, 16, 2)})
        overlay_2d(options)
        assert "a.png" in files(options.output_dir)

    def test_unreadable_photos_are_counted(self, tmp_path, capsys):
        write_photo(tmp_path / "photos" / "a.png")
        (tmp_path / "photos" / "b.png").write_bytes(b"")
        options = setting(tmp_path, {"a.png": pose(), "b.png": pose()})
        overlay_2d(options)
        assert files(options.output_dir) == ["a.png"]
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"warning: 1 of 2 images unreadable, not drawn: {tmp_path / 'photos' / 'b.png'}: ")

    def test_photos_that_the_run_skipped_are_unreadable(self, tmp_path, capsys):
        for name in ("a.png", "c.png"):
            write_photo(tmp_path / "photos" / name)
        (tmp_path / "photos" / "b.png").write_bytes(b"")
        overlay_2d(setting(tmp_path, {"a.png": pose()}))
        assert capsys.readouterr().err.splitlines() == [
            "warning: 1 of 3 images unreadable, not drawn: b.png",
            "warning: 1 of 3 images without a predicted pose, not drawn",
        ]

    def test_small_photo_is_enlarged(self, tmp_path):
        (tmp_path / "photos").mkdir()
        cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((50, 100, 3), np.uint8))
        options = setting(tmp_path, {"a.png": pose() / 8})
        overlay_2d(options)
        assert read_image(options.output_dir / "a.png").shape[1] == 512

    def test_photos_are_never_replaced(self, tmp_path):
        photo = write_photo(tmp_path / "photos" / "a.png")
        before = photo.read_bytes()
        options = setting(tmp_path, {"a.png": pose()})
        options.output_dir = tmp_path / "photos"
        with pytest.raises(UserError, match="would overwrite the photos"):
            overlay_2d(options)
        (tmp_path / "link").symlink_to(tmp_path / "photos")
        options.output_dir = tmp_path / "link"
        with pytest.raises(UserError, match="would overwrite the photos"):
            overlay_2d(options)
        assert files(tmp_path / "photos") == ["a.png"]
        assert photo.read_bytes() == before

    def test_sides_are_those_of_the_skeleton(self, tmp_path):
        write_photo(tmp_path / "photos" / "a.png")
        joints = pose(1, 14)
        options = setting(tmp_path, {"a.png": joints})
        overlay_2d(options)
        picture = read_image(options.output_dir / "a.png")
        for joint, side in (("r_wrist", "r"), ("l_wrist", "l"), ("head_top", "c")):
            x, y = joints[0, LSP.index(joint)].round().int().tolist()
            assert tuple(picture[y, x]) == DARK.sides[side]


class TestVideo:
    def test_frames_by_number(self, tmp_path, capsys):
        path = tmp_path / "clip.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
        for number in range(5):
            writer.write(np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8))
        writer.release()
        found = {"clip/000003": pose(), "clip/000001": pose(2), "other/000001": pose(), "clip/000009": pose()}
        options = setting(tmp_path, found, path)
        overlay_2d(options)
        assert files(options.output_dir) == ["clip/000001.png", "clip/000003.png", "contact_sheet.png"]
        assert read_image(options.output_dir / "clip/000003.png")[HEIGHT - 1, -1] == pytest.approx([120] * 3, abs=4)
        assert "other/000001" in capsys.readouterr().err

    def test_frames_of_another_video(self, tmp_path):
        path = tmp_path / "clip.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
        writer.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        writer.release()
        message = refusal(setting(tmp_path, {"other/000000": pose()}, path))
        assert "other/000000" in message
        assert "clip/000000" in message


class TestBadInput:
    def test_no_name_matches(self, tmp_path):
        write_photo(tmp_path / "photos" / "a.png")
        message = refusal(setting(tmp_path, {"images/b.png": pose()}))
        assert "images/b.png" in message
        assert "like a.png" in message

    @pytest.mark.parametrize(
        ("poses", "part"),
        [
            ({}, "holds no poses"),
            ({"a.png": torch.zeros(1, 17, 3)}, "holds 3D poses"),
            ({"a.png": torch.zeros(1, 9, 2)}, "9 joints per person is no known joint order"),
            ({"a.png": torch.zeros(1, 16, 2), "b.png": torch.zeros(1, 14, 2)}, "14, 16 joints"),
        ],
    )
    def test_unusable_predictions(self, tmp_path, poses, part):
        write_photo(tmp_path / "photos" / "a.png")
        assert part in refusal(setting(tmp_path, poses))

    def test_missing_photos_folder(self, tmp_path):
        assert refusal(setting(tmp_path, {"a.png": pose()})).startswith("--img_dir ")

    def test_damaged_predictions(self, tmp_path):
        write_photo(tmp_path / "photos" / "a.png")
        options = setting(tmp_path, {"a.png": pose()})
        options.pose_2d_estimations.write_bytes(b"damaged")
        refusal(options)

    def test_nothing_readable(self, tmp_path):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.png").write_bytes(b"")
        assert "no image could be read" in refusal(setting(tmp_path, {"a.png": pose()}))

    def test_output_folder_is_a_file(self, tmp_path):
        write_photo(tmp_path / "photos" / "a.png")
        options = setting(tmp_path, {"a.png": pose()})
        options.output_dir.write_text("x")
        assert refusal(options).startswith("--output_dir ")

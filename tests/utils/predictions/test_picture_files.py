"""Pictures image by image: joint orders, names, contact sheet, warnings. What is drawn is tested with the scripts."""

import numpy as np
import pytest
import torch

from utils.imaging.captions import captioned, side_keys
from utils.imaging.images import read_image
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch
from utils.look.palette import DARK
from utils.osutils import UserError
from utils.predictions.picture_files import SHEET_GAP, ContactSheet, confident_joints, find_skeleton, warn_about_nan
from utils.predictions.prediction_files import save_metas
from utils.transform import COCO, H36M_2D, LSP, MPII


def pose(people: int = 1, joints: int = 16) -> torch.Tensor:
    return torch.zeros(people, joints, 2)


class TestSkeleton:
    @pytest.mark.parametrize("skeleton", [MPII, LSP, COCO])
    def test_by_the_number_of_joints(self, tmp_path, skeleton):
        path = tmp_path / "2d_pose_estimations.pt"
        assert find_skeleton(path, {"a": pose(1, len(skeleton))}) is skeleton

    def test_metas_of_each_image_decide(self, tmp_path):
        save_metas(tmp_path / "metas.pt", {"a": {"skeleton": "MPII[:10]"}, "b": {"skeleton": "LSP"}})
        path = tmp_path / "2d_pose_estimations.pt"
        assert find_skeleton(path, {"a": pose(1, 10)}) == MPII.first(10)
        assert find_skeleton(path, {"b": pose(1, 14)}) == LSP

    def test_metas_of_the_whole_file_decide(self, tmp_path):
        save_metas(tmp_path / "metas.pt", {"skeleton": "H36M_2D"})
        assert find_skeleton(tmp_path / "2d_pose_estimations.pt", {"a": pose()}) is H36M_2D

    def test_metas_that_do_not_fit_are_passed_over(self, tmp_path):
        save_metas(tmp_path / "metas.pt", {"a": {}, "b": {"skeleton": "MPII[:x]"}})
        assert find_skeleton(tmp_path / "2d_pose_estimations.pt", {"a": pose(), "b": pose()}) is MPII
        save_metas(tmp_path / "metas.pt", {"a": {"skeleton": 3}})
        with pytest.raises(UserError, match="'a': skeleton is 3"):
            find_skeleton(tmp_path / "2d_pose_estimations.pt", {"a": pose()})


class TestContactSheet:
    def test_shows_pictures_spread_over_all(self, tmp_path, capsys):
        sheet = ContactSheet(range(11), pictures=3, columns=2, cell=(200, 100))
        for key in range(11):
            sheet.add(key, np.full((10, 20, 3), 20 * key, np.uint8))
        sheet.save(tmp_path)
        picture = read_image(tmp_path / "contact_sheet.png")
        name = size_for(400) * 8 // 5  # px, the line below a thumbnail
        assert picture.shape == (2 * (100 + name) + SHEET_GAP, 400 + SHEET_GAP, 3)
        below = 100 + name + SHEET_GAP
        inside = ((5, 5), (5, 235), (below + 5, 5))
        assert [picture[*point, 0] for point in inside] == [0, 100, 200]  # the first, middle and last
        assert (picture[100 : 100 + name] > 150).any()  # the name
        assert capsys.readouterr().out == f"3 of them at a glance: {tmp_path / 'contact_sheet.png'}\n"

    def test_text_too_small_to_read_is_left_out(self, tmp_path):
        """Of a thumbnail at half size, on a page twice as wide as a column of text, 9 px are 36 in the figure."""
        columns, width = 2, 830
        sheet = ContactSheet("ab", columns=columns, cell=(width, 200))
        for key, size in zip("ab", (30, 40), strict=True):
            figure = Sketch((2 * width, 400), DARK.ground)
            figure.write("title", (10, 200), size, DARK.ink)
            sheet.add(key, figure)
        sheet.save(tmp_path)
        page = read_image(tmp_path / "contact_sheet.png")[:200]
        assert (page[:, :width] == DARK.ground).all()
        assert (page[:, width + SHEET_GAP :] != DARK.ground).any()

    def test_says_what_all_captions_say(self):
        figures = {name: captioned(np.zeros((90, 90, 3), np.uint8), side_keys(DARK), notes, DARK) for name, notes in (
            ("a", ["floor grid 500 mm", "not drawn: head top", "3D view: front"]),
            ("b", ["floor grid 500 mm", "", "3D view: front"]),
        )}  # fmt: skip
        sheet = ContactSheet(list(figures))
        for name, figure in figures.items():
            sheet.add(name, figure)
        page = sheet.page()
        assert page.sentences == ("floor grid 500 mm", "3D view: front")
        assert page.legend == tuple(side_keys(DARK))

    def test_of_no_picture_and_of_one_nothing_is_written(self, tmp_path, capsys):
        ContactSheet(["a"]).save(tmp_path)
        sheet = ContactSheet(["a"])
        sheet.add("a", np.zeros((10, 20, 3), np.uint8))
        sheet.save(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert capsys.readouterr().out == ""


def test_missing_joints_are_counted_once(capsys):
    poses = {name: torch.zeros(2, 17, 3) for name in "abc"}
    warn_about_nan(poses, "3D")
    assert capsys.readouterr().err == ""
    poses["b"][0, 3:5, 1] = torch.nan
    poses["c"][1, 0] = torch.inf
    warn_about_nan(poses, "3D")
    [line] = capsys.readouterr().err.splitlines()
    assert "3 joints of the 3D poses" in line
    assert line.endswith("in b, c")


class TestConfidentJoints:
    joints = torch.arange(12.0).reshape(2, 3, 2)
    scores = torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.3, torch.nan]])

    def file(self, folder, **meta):
        save_metas(folder / "metas.pt", {"a.jpg": {"scores": self.scores} | meta})
        return folder / "2d_pose_estimations.pt"

    def hidden(self, *arguments):
        shown = confident_joints({"a.jpg": self.joints}, *arguments)[0]["a.jpg"]
        gone = shown.isnan().all(-1)
        assert (shown == self.joints)[~gone].all()
        return gone.tolist()

    def test_joints_below_the_networks_threshold_are_not_drawn(self, tmp_path, capsys):
        gone = [[False, True, False], [True, False, True]]
        assert self.hidden(self.file(tmp_path, score_threshold=0.3), None) == gone
        assert "3 of 6 joints in 2D not drawn: confidence below 0.3; --min_score 0" in capsys.readouterr().out

    def test_the_option_wins(self, tmp_path, capsys):
        path = self.file(tmp_path, score_threshold=0.3)
        assert not any(map(any, self.hidden(path, 0.0)))
        assert capsys.readouterr().out == ""
        assert self.hidden(path, 0.6) == [[False, True, True], [True, True, True]]

    def test_without_scores_all_are_drawn_unless_asked(self, tmp_path):
        assert not any(map(any, self.hidden(tmp_path / "poses.pt", None)))
        with pytest.raises(UserError, match="--min_score: .*metas.pt has no scores of 'a.jpg'"):
            self.hidden(tmp_path / "poses.pt", 0.1)

    def test_scores_of_other_people(self, tmp_path):
        path = self.file(tmp_path, scores=torch.zeros(1, 3))
        with pytest.raises(UserError, match="give files of the same run"):
            self.hidden(path, 0.1)

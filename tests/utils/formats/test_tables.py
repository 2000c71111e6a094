"""`run.py convert --to csv`, read back by NumPy and by Python's csv."""

import csv

import numpy as np
import pytest
import torch
from command_line import call, files
from predictions_folder import clip_folder, joints_of, photo_folder, pose_of

from utils.formats.people import read_people
from utils.predictions.prediction_files import load_metas, load_predictions, save_metas, save_predictions
from utils.transform import H36M, MPII

TABLES = ["poses_2d_long.csv", "poses_2d_wide.csv", "poses_3d_long.csv", "poses_3d_wide.csv"]


def convert(folder, *argv):
    return call("run", "convert", "--data_dir", folder, *argv)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = clip_folder(tmp_path_factory.mktemp("clip"))
    result = convert(folder, "--to", "csv").succeeded()
    assert f"csv: {', '.join(TABLES)} in {folder / 'converted'}" in result.out
    return folder / "converted"


class TestVideo:
    def test_files(self, clip):
        assert files(clip) == TABLES

    def test_a_person_is_its_track_in_every_frame(self, clip):
        found = [(row["person"], row["frame"], row["time_s"]) for row in rows(clip / TABLES[1])]
        assert found == [
            ("0", "0", "0.0"), ("0", "1", "0.04"), ("0", "2", "0.08"), ("0", "3", "0.12"),
            ("1", "0", "0.0"), ("1", "1", "0.04"), ("1", "3", "0.12"),
        ]  # fmt: skip
        assert {row["video"] for row in rows(clip / TABLES[1])} == {"clip"}

    @pytest.mark.parametrize(("kind", "skeleton", "of"), [("2d", MPII, joints_of), ("3d", H36M, pose_of)])
    def test_numbers_of_both_shapes(self, clip, kind, skeleton, of):
        unit, axes = ("px", "xy") if kind == "2d" else ("mm", "xyz")
        wide, long = rows(clip / f"poses_{kind}_wide.csv"), rows(clip / f"poses_{kind}_long.csv")
        assert len(long) == len(wide) * len(skeleton)
        for index, row in enumerate(wide):
            truth = of(int(row["person"]), int(row["frame"])).numpy()
            found = [[float(row[f"{joint}_{axis}_{unit}"]) for axis in axes] for joint in skeleton.joints]
            np.testing.assert_allclose(found, truth, atol=1e-3)
            of_one = long[index * len(skeleton) : (index + 1) * len(skeleton)]
            assert [one["joint"] for one in of_one] == list(skeleton.joints)
            np.testing.assert_allclose([[float(one[f"{axis}_{unit}"]) for axis in axes] for one in of_one], truth)
            if kind == "2d":
                assert {one["score"] for one in of_one} == {"0.5"}

    def test_numpy_reads_them(self, clip):
        table = np.genfromtxt(clip / TABLES[3], delimiter=",", names=True, dtype=None, encoding="utf-8")
        assert table["pelvis_z_mm"].tolist() == [3000] * 7


def test_photos_have_no_frame_and_no_time(tmp_path):
    convert(photo_folder(tmp_path / "run"), "--to", "csv", "--output_dir", tmp_path / "out").succeeded()
    found = rows(tmp_path / "out/poses_2d_wide.csv")
    assert [(row["image"], row["person"]) for row in found] == [
        ("two.jpg", "0"),
        ("two.jpg", "1"),
        ("sub/one.jpg", "0"),
    ]
    assert {(row["video"], row["frame"], row["time_s"]) for row in found} == {("", "", "")}


def test_unknown_numbers_are_empty_cells(tmp_path):
    folder = photo_folder(tmp_path)
    poses = load_predictions(folder / "3d_pose_estimations.pt")
    poses["two.jpg"][1, 0, 0] = torch.nan
    save_predictions(folder / "3d_pose_estimations.pt", poses)
    convert(folder, "--to", "csv").succeeded()
    assert [row["pelvis_x_mm"] for row in rows(folder / "converted/poses_3d_wide.csv")] == ["0.0", "", "0.0"]


def test_times_of_the_video_are_kept(tmp_path):
    folder = clip_folder(tmp_path)
    metas = load_metas(folder / "metas.pt")
    for number, name in enumerate(metas):
        metas[name]["time"] = 0.5 * number
    save_metas(folder / "metas.pt", metas)
    assert read_people(folder)[0].times.tolist() == [0, 0.5, 1, 1.5]


def test_a_sequence_of_poses(tmp_path):
    """Rows of one entry are frames where metas.pt says so, as for run.py 2d3d_h36m."""
    frames = torch.stack([pose_of(0, frame) for frame in range(5)])
    save_predictions(tmp_path / "3d_pose_estimations.pt", {"S9/Walking 1/54138969": frames})
    save_metas(tmp_path / "metas.pt", {"S9/Walking 1/54138969": {"entry": "frames"}})
    [person] = read_people(tmp_path, fps=50)
    assert (person.name, person.rate, len(person)) == ("S9/Walking 1/54138969", 50, 5)
    assert person.times[-1] == pytest.approx(0.08)
    np.testing.assert_array_equal(person.poses, frames)
    assert np.isnan(read_people(tmp_path)[0].rate)


def test_every_other_frame_was_run(tmp_path):
    folder = clip_folder(tmp_path)
    for name in ("2d_pose_estimations.pt", "3d_pose_estimations.pt"):
        poses = load_predictions(folder / name)
        save_predictions(folder / name, {key: poses[key] for key in ("clip/000001", "clip/000003")})
    one, other = read_people(folder)
    assert (one.step, one.rate, one.frames.tolist()) == (2, 12.5, [1, 3])
    assert (one.name, other.name) == ("clip_person1", "clip_person0")
    assert one.poses_on_grid().shape == (2, 17, 3)


def test_names_are_unique(tmp_path):
    joints = {name: torch.zeros(1, 16, 2) for name in ("a.jpg", "a.png", "b/a.jpg")}
    save_predictions(tmp_path / "2d_pose_estimations.pt", joints)
    assert [person.name for person in read_people(tmp_path)] == ["a", "a.png", "b/a"]


class TestBadInput:
    def refusal(self, folder, *argv):
        before = files(folder) if folder.is_dir() else None
        line = convert(folder, *argv).refusal()
        assert before is None or files(folder) == before
        return line

    def test_of_the_command(self, tmp_path):
        folder = photo_folder(tmp_path / "run")
        assert "--to" in self.refusal(folder)
        assert "bvh" in self.refusal(folder, "--to", "bhv")
        assert "did you mean --to?" in self.refusal(folder, "--too", "csv")
        assert "--fps 25: has no effect" in self.refusal(folder, "--to", "csv", "--fps", 25)
        assert "no such file or folder; did you mean" in self.refusal(tmp_path / "rum", "--to", "csv")
        assert "is a file" in self.refusal(folder / "metas.pt", "--to", "csv")
        (tmp_path / "empty").mkdir()
        assert "--output_dir of a run.py script" in self.refusal(tmp_path / "empty", "--to", "csv")

    def test_of_the_files(self, tmp_path):
        folder = clip_folder(tmp_path / "run")
        whole = load_predictions(folder / "3d_pose_estimations.pt")
        save_predictions(folder / "3d_pose_estimations.pt", whole | {"clip/000002": whole["clip/000001"]})
        assert "have different people in 1 images (the first: 'clip/000002')" in self.refusal(folder, "--to", "csv")
        (folder / "3d_pose_estimations.pt").unlink()
        assert "needs 3d_pose_estimations.pt" in self.refusal(folder, "--to", "angles")
        metas = load_metas(folder / "metas.pt")
        metas["clip/000002"]["tracks"] = [0, 1]
        save_metas(folder / "metas.pt", metas)
        assert "'clip/000002' has 2 tracks for 1 people" in self.refusal(folder, "--to", "csv")
        save_predictions(folder / "2d_pose_estimations.pt", {"a.jpg": torch.zeros(0, 16, 2)})
        assert "hold nobody" in self.refusal(folder, "--to", "csv")

"""`run.py 2d3d_h36m` on the 2D poses of a video: tracks, times and sizes are carried over; `--smooth`, `--absolute`."""

import json

import pytest
import torch
from command_line import call
from tiny_checkpoints import lifter_file

import twod_threed
from twod_threed.absolute_people import place_people
from utils.predictions.pose_results import PoseResults
from utils.predictions.prediction_files import load_metas, load_predictions, save_metas, save_predictions
from utils.predictions.smoothed_people import smooth_people
from utils.transform import MPII

SHOWN_SCRIPTS = [("run", "2d3d_h36m")]
FRAMES, FPS, SIZE = 8, 25.0, [640, 480]
TRACKS = {frame: [7] if frame == 3 else [3, 7] for frame in range(FRAMES)}  # person 3 is missing in frame 3
NAMES = [f"clip/{frame:06d}" for frame in range(FRAMES)]


def found() -> PoseResults:
    """What `run.py hourglass_mpii` finds in a clip of two people."""
    generator = torch.Generator().manual_seed(0)
    body = 60 * torch.randn(16, 2, generator=generator)
    body[MPII.index("pelvis")] = body[MPII.indices(["r_hip", "l_hip"])].mean(0)
    results = PoseResults(MPII, score_threshold=0.1, image_kind="frame")
    for frame, name in enumerate(NAMES):
        noise = torch.randn(len(TRACKS[frame]), 16, 2, generator=generator)
        joints = body + noise + torch.tensor([100.0 * track + 2 * frame for track in TRACKS[frame]])[:, None, None]
        meta = {
            "tracks": TRACKS[frame], "fps": FPS, "time": frame / FPS, "size": SIZE, "img_dir": "nowhere/clip.mp4",
            "boxes": torch.cat([joints.amin(1), joints.amax(1)], -1), "box_scores": torch.ones(len(joints)),
        }  # fmt: skip
        results.add(name, meta, joints, torch.rand(len(joints), 16, generator=generator))
    return results


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A lifter, `lifter.pth`, and the folder of a run on a video, `clip`."""
    folder = tmp_path_factory.mktemp("lifted_video")
    lifter_file(folder / "lifter.pth")
    found().save(folder / "clip")
    return folder


@pytest.fixture
def run(work, tmp_path):
    """`run(...)`: lift the people of the clip into `tmp_path / "out"`."""

    def running(*argv, data_dir=work / "clip"):
        argv = ("--load", work / "lifter.pth", "--data_dir", data_dir, "--output_dir", tmp_path / "out", *argv)
        return call("run", "2d3d_h36m", *argv, cwd=tmp_path)

    return running


def lift(work):
    lifter = twod_threed.load_lifter(work / "lifter.pth")
    return lambda joints: twod_threed.lift(joints, lifter, "MPII")


def lifted(work) -> PoseResults:
    """`found`, with the 3D poses that the lifter gives."""
    results = found()
    for name, joints in results.joints.items():
        results.add_3d(name, lift(work)(joints))
    return results


def require_equal(folder, expected: PoseResults) -> None:
    for kind, poses in (("2d", expected.joints), ("3d", expected.joints_3d)):
        written = load_predictions(folder / f"{kind}_pose_estimations.pt")
        assert list(written) == list(poses)
        for name, values in poses.items():
            torch.testing.assert_close(written[name], values, rtol=1e-4, atol=0.05, msg=f"{kind} {name}")


def test_what_the_video_says_is_carried_over(run, work, tmp_path):
    run().succeeded()
    require_equal(tmp_path / "out", lifted(work))
    before, after = load_metas(work / "clip/metas.pt"), load_metas(tmp_path / "out/metas.pt")
    assert list(after) == NAMES
    for name in NAMES:
        changed = {"skeleton_3d": "H36M", "unit": "mm", "root": "hip", "entry": "people"}
        assert str(after[name]) == str(before[name] | changed), "compared as text, since tensors have no truth value"
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [record["track"] for record in records] == [track for tracks in TRACKS.values() for track in tracks]
    assert records[0]["keypoints"][2] == pytest.approx(float(before[NAMES[0]]["scores"][0, 0]))
    call("run", "convert", "--data_dir", tmp_path / "out", "--to", "csv", cwd=tmp_path).succeeded()
    rows = (tmp_path / "out/converted/poses_3d_wide.csv").read_text().splitlines()
    assert len(rows) == 1 + len(records)


@pytest.mark.shows("smooth")
@pytest.mark.parametrize("method", ["one_euro", "zero_phase"])
def test_people_are_smoothed_as_by_the_stitched_script(run, work, tmp_path, method):
    line = run("--smooth", method).succeeded().out
    expected = lifted(work)
    assert smooth_people(expected, method, lift(work)) in line
    require_equal(tmp_path / "out", expected)
    metas = load_metas(tmp_path / "out/metas.pt")
    assert metas[NAMES[3]]["tracks"] == [3, 7]
    assert metas[NAMES[3]]["filled"] == [True, False]
    torch.testing.assert_close(metas[NAMES[0]]["raw_joints"], found().joints[NAMES[0]])
    assert metas[NAMES[0]]["raw_joints_3d"].shape == (2, 17, 3)
    assert "smoothed already" in run("--smooth", method, data_dir=renamed_output(tmp_path)).refusal()


def renamed_output(tmp_path):
    """The folder that `run` has written, renamed so that the next run can read it."""
    return (tmp_path / "out").rename(tmp_path / "before")


@pytest.mark.shows("absolute", "focal")
def test_absolute_positions(run, work, tmp_path):
    out = run("--absolute", "--focal", 900).succeeded().out
    assert "8 frames: 900 px (--focal)" in out
    assert "camera at the origin" in out
    expected = lifted(work)
    place_people(expected, None, 900.0)
    require_equal(tmp_path / "out", expected)
    assert load_metas(tmp_path / "out/metas.pt")[NAMES[0]]["root"] == "camera"
    # Lifted again without --absolute, nothing of the earlier positions is left.
    run(data_dir=renamed_output(tmp_path)).succeeded()
    meta = load_metas(tmp_path / "out/metas.pt")[NAMES[0]]
    assert meta["root"] == "hip"
    assert not {"root_positions", "focal", "focal_source"} & set(meta)


def test_metas_without_times_or_sizes_are_refused(run, work, tmp_path):
    save_predictions(tmp_path / "bare/poses.pt", found().joints)
    bare = tmp_path / "bare/poses.pt"
    assert "--smooth: needs the people of a video" in run("--smooth", "one_euro", data_dir=bare).refusal()
    assert "--absolute: needs the size of each image" in run("--absolute", data_dir=bare).refusal()
    assert "--focal has no effect without --absolute" in run("--focal", 900).refusal()
    assert "--process_as_video lack" in run("--smooth", "one_euro", "--process_as_video").refusal()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field", ["tracks", "scores", "boxes"])
def test_metas_of_other_people_are_refused(run, tmp_path, field):
    results = found()
    save_predictions(tmp_path / "clip/2d_pose_estimations.pt", results.joints)
    results.metas[NAMES[2]][field] = results.metas[NAMES[2]][field][:1]
    save_metas(tmp_path / "clip/metas.pt", results.metas)
    error = run(data_dir=tmp_path / "clip").refusal()
    assert f"{field} for 2 people" in error
    assert "files of the same run" in error

"""`run.py 2d3d_h36m`: what it writes, for Human3.6M and for files of 2D poses, and what it refuses."""

import json
import shlex
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from command_line import call, files

import twod_threed
from twod_threed.model import LinearModel
from twod_threed.mpjpe import mpjpe
from utils.camera_utils import CAMERA_NAMES
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.imaging.draw2d import save_image
from utils.predictions.prediction_files import load_metas, load_predictions, save_metas, save_predictions
from utils.transform import H36M_2D, LSP, MPII

ACTION = ("--action", "Walking")
FILES = ["2d_pose_ground_truths.pt", "3d_pose_estimations.pt", "3d_pose_ground_truths.pt", "metas.pt"]


@pytest.fixture(scope="module")
def training(two_actions_h36m, tmp_path_factory):
    """`training(kind)`: the folder of a short training's checkpoint, by its normalisation."""

    @cache
    def train(kind):
        work = tmp_path_factory.mktemp("trained")
        argv = ("--data_dir", two_actions_h36m, "--linear_size", 32, "--epochs", 2, "--train_batch_size", 128, *ACTION)
        call("train", "2d3d_h36m", *argv, "--dataset_normalization", kind == "dataset", cwd=work).succeeded()
        return work / "model_checkpoints/2d3d_h36m_default"

    return train


@pytest.fixture
def trained(training):
    return training("instance")


@pytest.fixture(params=["instance", "dataset"])
def either_trained(request, training):
    return training(request.param)


@pytest.fixture(scope="module")
def walking(two_actions_h36m):
    return load_pose_set(find_sequences(two_actions_h36m), TEST_SUBJECTS, ["Walking"])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("published") / "ckpt_best.pth.tar"
    torch.save({"state_dict": LinearModel(16, output_size=48).state_dict(), "epoch": 200}, path)
    return path


@pytest.fixture
def run(tmp_path):
    """`run(checkpoint, data, ...)` into `tmp_path / "out"`."""

    def running(checkpoint, data_dir, *argv):
        argv = ("--load", checkpoint, "--data_dir", data_dir, "--output_dir", tmp_path / "out", *argv)
        return call("run", "2d3d_h36m", *argv, cwd=tmp_path)

    return running


@pytest.fixture
def people(walking, tmp_path):
    """2D poses of two "photos", 3 people and 1, in the lifter's order, as `people.pt`."""
    poses = walking.poses(torch.tensor([0, 5, 10, 15]))[0]
    entries = {"a.jpg": poses[:3], "b.jpg": poses[3:]}
    save_predictions(tmp_path / "people.pt", entries)
    return entries


def in_mpii_order(poses):
    """The same people with their joints as the hourglass gives them."""
    result = torch.zeros(len(poses), 16, 2)
    for joint in MPII.joints:
        name = {"thorax": "spine", "upper_neck": "thorax"}.get(joint, joint)
        result[:, MPII.index(joint)] = poses[:, H36M_2D.index(name)]
    return result


def by_hand(checkpoint, poses_2d):
    """(N, 17, 3) mm, by the network and its normalisation."""
    model = twod_threed.load_lifter(checkpoint)
    with torch.no_grad():
        mm = model.normalisation.to_mm(model(model.normalisation.input(poses_2d)))
    return mm - mm[:, :1]


def written(tmp_path, name="3d_pose_estimations.pt"):
    return load_predictions(tmp_path / "out" / name)


# ------------------------------------------------------------------------------------------ Human3.6M


def test_a_folder_gives_predictions_and_truth(run, either_trained, two_actions_h36m, walking, tmp_path):
    result = run(either_trained, two_actions_h36m, *ACTION).succeeded()
    assert files(tmp_path / "out") == sorted([*FILES, "predictions.json"])
    assert f"{len(walking)} poses" in result.out
    assert "mm, camera coordinates" in result.out
    keys = [f"S{s}/{n}/{c}" for s in TEST_SUBJECTS for n in ("Walking", "Walking 1") for c in CAMERA_NAMES]
    inputs, truth, lifted = (written(tmp_path, name) for name in (FILES[0], FILES[2], FILES[1]))
    assert list(inputs) == list(truth) == list(lifted) == keys
    metas = load_metas(tmp_path / "out/metas.pt")
    for key, index in walking.clips():
        poses_2d, poses_3d = walking.poses(index)
        torch.testing.assert_close(inputs[key], poses_2d)
        torch.testing.assert_close(truth[key], poses_3d)
        assert lifted[key].shape == (len(index), 17, 3)
        torch.testing.assert_close(lifted[key], by_hand(either_trained, poses_2d), rtol=1e-4, atol=0.05)  # mm
        assert not lifted[key][:, 0].any()
        assert metas[key]["frames"].tolist() == walking.row[index // 4].tolist()
        assert (metas[key]["skeleton"], metas[key]["skeleton_3d"]) == ("H36M_2D", "H36M")
        assert (metas[key]["unit"], metas[key]["root"]) == ("mm", "hip")


def test_predictions_json_has_every_pose(run, trained, two_actions_h36m, walking, tmp_path):
    run(trained, two_actions_h36m, *ACTION).succeeded()
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert len(records) == len(walking)
    assert len(records[0]["keypoints"]) == 3 * 16
    assert len(records[0]["keypoints_3d"]) == 3 * 17


def test_the_training_people(run, trained, two_actions_h36m, tmp_path):
    run(trained, two_actions_h36m, *ACTION, "--run_with_train").succeeded()
    assert {key.split("/")[0] for key in written(tmp_path)} == {f"S{subject}" for subject in TRAIN_SUBJECTS}


def test_all_actions_by_default(run, trained, tiny_h36m, tmp_path):
    run(trained, tiny_h36m).succeeded()
    assert len(written(tmp_path)) == 2 * 15 * 2 * 4


def test_the_size_of_a_forward_pass_does_not_matter(run, trained, two_actions_h36m, tmp_path):
    run(trained, two_actions_h36m, *ACTION).succeeded()
    whole = written(tmp_path)
    run(trained, two_actions_h36m, *ACTION, "--test_batch_size", 3).succeeded()
    for key, poses in written(tmp_path).items():
        torch.testing.assert_close(poses, whole[key], rtol=1e-4, atol=0.05)


def test_eval_and_viz_take_what_it_writes(run, trained, two_actions_h36m, tmp_path):
    run(trained, two_actions_h36m, *ACTION).succeeded()
    out = tmp_path / "out"
    scored = call(
        "eval", "h36m_MPJPE", "--prediction_files", out / "3d_pose_estimations.pt", "--output_dir", tmp_path / "scores"
    ).succeeded()
    assert "mm" in scored.out
    lifted, truth = (torch.cat(list(written(tmp_path, name).values())) for name in FILES[1:3])
    [scores] = json.loads((tmp_path / "scores/mpjpe.json").read_text()).values()
    assert scores["protocol_1"] == pytest.approx(mpjpe(lifted, truth).item(), rel=1e-4)
    arguments = [text for name in (FILES[0], FILES[2], FILES[1]) for text in (f"--{name[:-3]}", out / name)]
    drawn = ("--num_pictures", 1, "--output_dir", tmp_path / "drawn")
    call("viz", "2d_gt_3d_gt_3d_pred", *arguments, *drawn).succeeded()
    assert any(name.endswith(".png") and name.startswith("S") for name in files(tmp_path / "drawn"))


def test_a_published_checkpoint_on_a_folder_takes_its_statistics(run, published, two_actions_h36m, tmp_path):
    warning = run(published, two_actions_h36m, *ACTION).warnings()
    assert len(warning) == 1
    assert "has no normalisation" in warning[0]
    poses = torch.cat(list(written(tmp_path).values()))
    assert poses.shape[1:] == (17, 3)
    assert not poses[:, 0].any()
    assert poses[:, 1:].abs().amax((0, 2)).min() > 0


@pytest.mark.parametrize(
    "argv", [("--process_as_video",), ("--input_joint_order", "MPII"), ("--smooth", "one_euro"), ("--absolute",)]
)
def test_options_of_a_file_are_refused_for_a_folder(run, trained, two_actions_h36m, argv):
    assert argv[0] in run(trained, two_actions_h36m, *argv).refusal()


# ------------------------------------------------------------------------------------------ files of 2D poses


def test_a_file_in_the_lifters_order(run, either_trained, people, tmp_path):
    run(either_trained, tmp_path / "people.pt").succeeded()
    written_files = ["2d_pose_estimations.pt", "3d_pose_estimations.pt", "metas.pt", "predictions.json"]
    assert files(tmp_path / "out") == written_files
    lifted = written(tmp_path)
    assert list(lifted) == ["a.jpg", "b.jpg"]
    for name, poses in people.items():
        torch.testing.assert_close(lifted[name], by_hand(either_trained, poses), rtol=1e-4, atol=0.05)
    assert load_metas(tmp_path / "out/metas.pt")["a.jpg"]["entry"] == "people"


@pytest.mark.parametrize("given_by", ["option", "metas"])
def test_a_file_in_mpii_order(run, trained, people, tmp_path, given_by):
    run(trained, tmp_path / "people.pt").succeeded()
    expected = written(tmp_path)
    folder = tmp_path / "hourglass"
    save_predictions(folder / "poses.pt", {name: in_mpii_order(poses) for name, poses in people.items()})
    if given_by == "metas":
        save_metas(folder / "metas.pt", {name: {"skeleton": "MPII"} for name in people})
        run(trained, folder / "poses.pt").succeeded()
    else:
        run(trained, folder / "poses.pt", "--input_joint_order", "MPII").succeeded()
    for name, poses in written(tmp_path).items():
        torch.testing.assert_close(poses, expected[name], rtol=1e-4, atol=0.05)


def test_a_file_with_the_nose(run, trained, people, tmp_path):
    run(trained, tmp_path / "people.pt").succeeded()
    expected = written(tmp_path)
    nose = H36M_2D.index("head_top")
    with_nose = {name: torch.cat([p[:, :nose], p[:, :1] + 7, p[:, nose:]], dim=1) for name, p in people.items()}
    save_predictions(tmp_path / "nose.pt", with_nose)
    run(trained, tmp_path / "nose.pt", "--input_joint_order", "H36M").succeeded()
    for name, poses in written(tmp_path).items():
        torch.testing.assert_close(poses, expected[name], rtol=1e-4, atol=0.05)


def test_the_wrong_order_is_refused(run, trained, people, tmp_path):
    save_predictions(tmp_path / "mpii.pt", {name: in_mpii_order(poses) for name, poses in people.items()})
    error = run(trained, tmp_path / "mpii.pt").refusal()
    assert "--input_joint_order" in error
    assert "not in Human3.6M's order" in error
    assert not (tmp_path / "out").exists()


def test_poor_poses_of_a_known_order_are_a_warning(run, trained, people, tmp_path):
    poor, _ = run(trained, tmp_path / "people.pt", "--input_joint_order", "MPII").warnings()
    assert "the pelvis is far from the midpoint of the hips" in poor
    assert "MPII order" in poor
    save_metas(tmp_path / "metas.pt", {name: {"skeleton": "MPII"} for name in people})
    poor, approximate = run(trained, tmp_path / "people.pt").warnings()
    assert "people.pt: in most poses" in poor
    assert "--input_places mpii" in approximate
    assert written(tmp_path)["a.jpg"].shape == (3, 17, 3)


def test_mpii_poses_are_exact_for_a_lifter_trained_on_mpii_positions(run, trained, people, tmp_path):
    content = torch.load(trained / "model_best.pth.tar", weights_only=True)
    torch.save(content | {"input_places": "mpii"}, tmp_path / "lifter.pth.tar")
    save_predictions(tmp_path / "mpii.pt", {name: in_mpii_order(poses) for name, poses in people.items()})
    argv = (tmp_path / "mpii.pt", "--input_joint_order", "MPII")
    assert run(tmp_path / "lifter.pth.tar", *argv).warnings() == []
    assert len(run(trained, *argv).warnings()) == 1


def test_the_folder_of_a_run_is_read_and_the_printed_command_draws(run, trained, people, tmp_path):
    photos, hourglass = tmp_path / "my photos", tmp_path / "hourglass_mpii"
    for name in people:
        save_image(photos / name, np.full((1000, 1000, 3), 90, np.uint8))
    save_predictions(hourglass / "2d_pose_estimations.pt", {k: in_mpii_order(poses) for k, poses in people.items()})
    metas = {name: {"skeleton": "MPII", "img_dir": str(photos)} for name in people}
    save_metas(hourglass / "metas.pt", metas)
    [line] = [line for line in run(trained, hourglass).succeeded().out.splitlines() if line.startswith("draw them: ")]
    python, entry, *argv = shlex.split(line.removeprefix("draw them: "))
    assert (python, entry) == ("python", "viz.py")
    call("viz", *argv, cwd=tmp_path).succeeded()
    assert {"a.jpg", "b.jpg"} <= set(files(tmp_path / "visualizations/2d_overlay_3d_pred"))
    shutil.move(photos, tmp_path / "elsewhere")
    assert "photos of the 2D poses as --img_dir" in run(trained, hourglass).succeeded().out


def test_the_metas_of_the_input_are_not_overwritten(run, trained, people, tmp_path):
    save_predictions(tmp_path / "out/2d_pose_estimations.pt", people)
    save_metas(tmp_path / "out/metas.pt", {name: {"skeleton": "H36M_2D"} for name in people})
    assert "would be overwritten; give another folder" in run(trained, tmp_path / "out").refusal()


def test_options_that_shaped_the_network_are_checked(run, either_trained, people, tmp_path):
    kind = twod_threed.load_lifter(either_trained).normalisation.kind == "dataset"
    right = ("--linear_size", 32, "--num_stage", 2, "--dataset_normalization", kind)
    run(either_trained, tmp_path / "people.pt", *right).succeeded()
    for option, value, stored in (("--linear_size", 64, 32), ("--num_stage", 3, 2)):
        error = run(either_trained, tmp_path / "people.pt", option, value).refusal()
        assert f"{option} {value}: {either_trained} was trained with {stored}" in error
    error = run(either_trained, tmp_path / "people.pt", "--dataset_normalization", not kind).refusal()
    assert "dataset normalisation" in error
    assert "instance normalisation" in error


def test_another_number_of_joints_is_refused(run, trained, tmp_path):
    save_predictions(tmp_path / "lsp.pt", {"a.jpg": torch.rand(2, len(LSP), 2)})
    error = run(trained, tmp_path / "lsp.pt").refusal()
    assert "2 × 14 × 2" in error
    assert "people × 16 × 2" in error
    save_predictions(tmp_path / "3d.pt", {"a.jpg": torch.rand(2, 17, 3)})
    assert "2 × 17 × 3" in run(trained, tmp_path / "3d.pt").refusal()


def test_a_video_is_one_entry_of_frames(run, trained, walking, tmp_path):
    index = next(iter(walking.clips()))[1]
    poses = walking.poses(index)[0]
    save_predictions(tmp_path / "video.pt", {"walk.mp4": poses})
    run(trained, tmp_path / "video.pt", "--process_as_video").succeeded()
    lifted = written(tmp_path)["walk.mp4"]
    torch.testing.assert_close(lifted, by_hand(trained, poses), rtol=1e-4, atol=0.05)
    assert load_metas(tmp_path / "out/metas.pt")["walk.mp4"]["entry"] == "frames"


def test_photos_without_people_and_nan(run, trained, people, tmp_path):
    unseen = people["b.jpg"].clone()
    unseen[0, 5] = torch.nan
    entries = {"a.jpg": people["a.jpg"], "empty.jpg": torch.empty(0, 16, 2), "unseen.jpg": unseen}
    save_predictions(tmp_path / "some.pt", entries)
    run(trained, tmp_path / "some.pt").succeeded()
    lifted = written(tmp_path)
    assert lifted["empty.jpg"].shape == (0, 17, 3)
    assert lifted["unseen.jpg"].isnan().any()
    assert lifted["a.jpg"].isfinite().all()
    assert "NaN" not in (tmp_path / "out/predictions.json").read_text()  # JSON has none
    save_predictions(tmp_path / "nan.pt", {"unseen.jpg": unseen})
    assert "all poses contain NaN" in run(trained, tmp_path / "nan.pt").refusal()


def test_a_published_checkpoint_on_a_file_is_refused(run, published, people, tmp_path):
    assert "published checkpoints store no normalisation" in run(published, tmp_path / "people.pt").refusal()
    assert not (tmp_path / "out").exists()


def test_missing_things_are_refused(run, trained, two_actions_h36m, tmp_path):
    assert "no such checkpoint" in run(tmp_path / "nothing.pth", two_actions_h36m).refusal()
    assert "no such folder" in run(trained, tmp_path / "nowhere").refusal()
    assert "did you mean Walking?" in run(trained, two_actions_h36m, "--action", "walking").refusal()
    without = run(trained, two_actions_h36m, "--use_hg").refusal()
    assert "no detected 2D poses" in without
    assert "omit --use_hg" in without
    (tmp_path / "no.pt").write_text("nothing")
    assert "no.pt" in run(trained, tmp_path / "no.pt").refusal()

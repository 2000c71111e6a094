import json
from argparse import Namespace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from pose_cases import changed, noisy, write
from scipy.io import savemat

from twod_threed import evaluation
from twod_threed.evaluation import GROUND_TRUTH_FILE, h36m_MPJPE
from twod_threed.mpjpe import JOINT_SETS, mpjpe, mpjve, n_mpjpe, p_mpjpe
from twod_threed.pose_sequences import ground_truth_of_folder
from utils.camera_utils import CAMERA_NAMES, Camera, write_cameras_h5
from utils.human36m.files import write_positions
from utils.osutils import UserError
from utils.predictions.prediction_files import save_predictions
from utils.transform import H36M, H36M_SLOTS

WALKS = Path("../shared/data/cmu_h36m_layout/S9/MyPoses/3D_positions")
FRAMES = {
    "S9/Walking 1/54138969": 4,
    "S9/Walking/54138969": 2,
    "S11/Walking 1/60457274": 1,
    "S9/SittingDown 1/54138969": 3,
}
HIP, WRIST = H36M.index("pelvis"), H36M.index("r_wrist")


@pytest.fixture
def truth():
    """key -> (frames, 17, 3) mm, hip at the origin."""
    generator = torch.Generator().manual_seed(0)
    poses = {key: 200 * torch.randn(frames, 17, 3, generator=generator) for key, frames in FRAMES.items()}
    return {key: value - value[:, [HIP]] for key, value in poses.items()}


@pytest.fixture
def folder(tmp_path, truth):
    """A folder with the ground truth, as run.py leaves it."""
    save_predictions(tmp_path / "run" / GROUND_TRUTH_FILE, truth)
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def without_plots(monkeypatch, request):
    """Plots take longer than the scores: one test draws them."""
    if "real_plots" not in request.fixturenames:
        monkeypatch.setattr(evaluation, "draw_plots", lambda models, output_dir: [])


@pytest.fixture
def real_plots():
    """Leaves the drawing of plots as it is."""


def evaluate(folder, *paths, names=None, truth=None, data_dir="data/none", given=()):
    options = Namespace(
        prediction_files=list(paths), model_names=names, pose_3d_ground_truths=truth, data_dir=data_dir,
        output_dir=folder / "out", given=set(given),
    )  # fmt: skip
    h36m_MPJPE(options)
    return json.loads((folder / "out" / "mpjpe.json").read_text())


def refused(folder, *paths, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        evaluate(folder, *paths, **options)
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def row(printed, start, after=""):
    """The numbers of the first printed line that begins with `start`, after the text `after`."""
    lines = printed[printed.index(after) :].splitlines()
    return next(line for line in lines if line.startswith(start))[len(start) :].split()


def wrist_moved_by(distance):
    def change(pose):
        pose[:, WRIST, 0] += distance
        return pose

    return change


def test_plots_are_drawn_as_png_and_pdf(folder, truth, real_plots, capsys):
    paths = [write(folder / f"{name}.pt", noisy(truth, size)) for name, size in (("one", 20), ("_two$", 60))]
    evaluate(folder, *paths)
    expected = {f"mpjpe_{kind}.{suffix}" for kind in ("pck", "joints", "actions") for suffix in ("png", "pdf")}
    assert {path.name for path in (folder / "out").iterdir()} == {"mpjpe.json", *expected}
    assert "mpjpe_pck.png, mpjpe_joints.png, mpjpe_actions.png, each also as PDF" in capsys.readouterr().out


def test_the_pck_curve_by_hand(truth):
    poses = changed(truth, "S9/Walking 1/54138969", wrist_moved_by(34))
    curve = evaluation.score(poses, truth).pck_curve
    frames = sum(map(len, truth.values()))
    assert len(curve) == 31
    assert curve[0] == 0
    assert curve[6] == pytest.approx(100 * (1 - 4 / (17 * frames)), abs=1e-3)  # 34 mm is not below 30
    assert curve[7:] == pytest.approx([100] * 24)


def test_errors_by_hand(folder, truth, capsys):
    # The wrist is off by 34 mm in one sequence of four frames and by 170 mm in one of three, the rest is exact.
    poses = changed(truth, "S9/Walking 1/54138969", wrist_moved_by(34))
    poses = changed(poses, "S9/SittingDown 1/54138969", wrist_moved_by(170))
    result = evaluate(folder, write(folder / "mine.pt", poses))["mine"]
    # 34 / 17 = 2 mm and 170 / 17 = 10 mm per frame.
    assert result["protocol_1"] == pytest.approx((4 * 2 + 3 * 10) / 10)
    assert result["per_action"] == pytest.approx({"Walking": 8 / 7, "SittingDown": 10})
    assert result["protocol_1_action_averaged"] == pytest.approx((8 / 7 + 10) / 2)
    assert result["per_joint"].pop("r_wrist") == pytest.approx((4 * 34 + 3 * 170) / 10)
    assert len(result["per_joint"]) == 16
    assert not any(result["per_joint"].values())
    assert result["pck_150"] == pytest.approx(100 * (1 - 3 / 170))
    # Detected from 5 mm on, 30 of 31 thresholds; from 35 mm on, 24; never.
    assert result["auc"] == pytest.approx(100 * (163 * 30 + 4 * 24 + 3 * 0) / 170 / 31)
    assert result["mpjve"] == pytest.approx(0, abs=1e-4), "both are off by the same in each frame"
    assert (result["joints"], result["frames"], result["sequences"]) == (17, 10, 4)
    assert result["per_action_and_subject"]["SittingDown"] == {"S9": pytest.approx(10), "S11": None}
    assert result["by_number_of_joints"]["14"]["protocol_1"] == pytest.approx((4 * 34 + 3 * 170) / 10 / 14)

    printed = capsys.readouterr().out
    assert "10 frames of 4 sequences" in printed
    assert row(printed, "mine, 17 joints", "frame-averaged")[0] == "3.80"
    assert row(printed, "mine, 14 joints", "action-averaged")[0] == f"{(8 / 7 + 10) / 2 * 17 / 14:.2f}"
    who = ["S9", "S11", "all"]
    assert row(printed, "action ") == [word for name in ("P1", "P2", "N") for one in who for word in (name, one)]
    assert row(printed, "SittingDown")[:3] == ["10.00", "-", "10.00"]
    assert row(printed, "Walking")[:3] == [f"{8 / 6:.2f}", "0.00", f"{8 / 7:.2f}"]
    assert row(printed, "mean of actions")[2] == f"{(8 / 7 + 10) / 2:.2f}"
    assert row(printed, "r_wrist")[0] == "64.60"
    for text in ("Protocol 1: MPJPE", "Protocol 2: P-MPJPE", "N-MPJPE: ", "MPJVE: ", "< 150 mm", "0, 5, ..., 150 mm"):
        assert text in printed


def test_the_values_are_those_of_the_metrics(folder, truth):
    poses = {key: value - value[:, [HIP]] for key, value in noisy(truth).items()}
    result = evaluate(folder, write(folder / "mine.pt", poses))["mine"]
    pred, gt = torch.cat(list(poses.values())), torch.cat(list(truth.values()))
    for name, metric in (("protocol_1", mpjpe), ("protocol_2", p_mpjpe), ("n_mpjpe", n_mpjpe)):
        assert result[name] == pytest.approx(metric(pred, gt).item(), rel=1e-5)
    # Weighted by the steps between frames; no step leads from one sequence to the next.
    steps = {key: frames - 1 for key, frames in FRAMES.items() if frames > 1}
    weighted = sum(mpjve(poses[key], truth[key]).item() * count for key, count in steps.items())
    assert result["mpjve"] == pytest.approx(weighted / sum(steps.values()), rel=1e-5)


def test_poses_are_moved_to_the_hip_with_a_message(folder, truth, capsys):
    said = "hips were up to 5000.0 mm from the origin"
    evaluate(folder, write(folder / "mine.pt", truth))
    assert "from the origin" not in capsys.readouterr().out
    shifted = {key: value + torch.tensor([0.0, 3000, 4000]) for key, value in truth.items()}
    exact = evaluate(folder, write(folder / "mine.pt", shifted))["mine"]
    assert exact["protocol_1"] < 1e-3
    assert said in capsys.readouterr().out
    truth_path = write(folder / "elsewhere.pt", shifted)
    assert evaluate(folder, write(folder / "mine.pt", truth), truth=truth_path)["mine"]["protocol_1"] < 1e-3
    assert said in capsys.readouterr().out


def test_16_joints_are_compared_without_the_hip(folder, truth, capsys):
    poses = {key: value - value[:, [HIP]] for key, value in noisy(truth).items()}
    without_hip = {key: value[:, H36M.indices(JOINT_SETS[16])] for key, value in poses.items()}
    files = [write(folder / "ours.pt", poses), write(folder / "port.pt", without_hip)]
    result = evaluate(folder, *files)
    ours, port = result["ours"], result["port"]
    assert port["joints"] == 16
    assert list(port["by_number_of_joints"]) == ["16", "14"]
    assert port["by_number_of_joints"] == {key: ours["by_number_of_joints"][key] for key in ("16", "14")}
    assert port["protocol_1"] == pytest.approx(ours["protocol_1"] * 17 / 16)
    assert "pelvis" not in port["per_joint"]
    assert "16 joints a pose, without the hip" in capsys.readouterr().out


def test_several_models_each_with_the_truth_beside_it(folder, truth, tmp_path, capsys):
    other = tmp_path / "other"
    one_sequence = {key: value for key, value in truth.items() if key.startswith("S11")}
    save_predictions(other / GROUND_TRUTH_FILE, one_sequence)
    files = [write(folder / "p.pt", truth), write(other / "p.pt", noisy(one_sequence))]
    result = evaluate(folder, *files, names=["a", "b"])
    assert list(result) == ["a", "b"]
    assert (result["a"]["protocol_1"], result["b"]["frames"]) == (0, 1)
    assert result["b"]["mpjve"] is None, "a single frame has no velocity"
    printed = capsys.readouterr().out
    assert f"truth {folder / GROUND_TRUTH_FILE}" in printed
    assert f"truth {other / GROUND_TRUTH_FILE}" in printed
    assert row(printed, "b, 17 joints")[3] == "-"


def test_single_images_have_no_velocity(folder, truth, tmp_path, capsys):
    """As run.py stitched_h36m names them; all else is as for the sequences that they are of."""
    images, predicted = (
        {f"{key}/{number:06d}.jpg": pose[None] for key, poses in each.items() for number, pose in enumerate(poses)}
        for each in (truth, noisy(truth))
    )
    save_predictions(tmp_path / "single" / GROUND_TRUTH_FILE, images)
    files = [write(folder / "whole.pt", noisy(truth)), write(tmp_path / "single" / "single.pt", predicted)]
    result = evaluate(folder, *files)
    whole, single = result["whole"], result["single"]
    assert (single["frames"], single["sequences"]) == (whole["frames"], whole["sequences"]) == (10, 4)
    assert single["mpjve"] is None
    assert whole["mpjve"] > 0
    for measure in ("protocol_1", "protocol_2", "n_mpjpe", "pck_150", "auc", "protocol_1_action_averaged"):
        assert single[measure] == pytest.approx(whole[measure])
    for action, by_subject in whole["per_action_and_subject"].items():
        assert single["per_action_and_subject"][action] == pytest.approx(by_subject)
    assert "10 frames are single images: left out of MPJVE" in capsys.readouterr().out


def test_untrained_poses_of_no_size_are_scored(folder, truth):
    zeros = {key: torch.zeros_like(value) for key, value in truth.items()}
    result = evaluate(folder, write(folder / "mine.pt", zeros))["mine"]
    assert result["n_mpjpe"] == result["protocol_1"] > result["protocol_2"] > 100


@pytest.mark.parametrize("joints", [17, 16])
def test_arrays_score_as_the_sequences_do(folder, truth, joints):
    """All frames in the order of the truth, mm, under the key `preds`."""
    kept = H36M.indices(JOINT_SETS[joints])
    poses = {key: (value - value[:, [HIP]])[:, kept] for key, value in noisy(truth).items()}
    whole = torch.cat([poses[key] for key in truth]).numpy()
    np.savez(folder / "c.npz", preds=whole)
    savemat(folder / "d.mat", {"preds": whole})
    with h5py.File(folder / "e.h5", "w") as file:
        file["preds"] = whole
    shuffled = dict(reversed(poses.items()))
    result = evaluate(folder, write(folder / "b.pt", shuffled), *(folder / name for name in ("c.npz", "d.mat", "e.h5")))
    assert list(result) == ["b", "c", "d", "e"]
    assert result["b"]["protocol_1"] > 10
    assert result["c"] == result["d"] == result["e"] == result["b"]


def test_arrays_must_have_the_truths_frames(folder, truth):
    good = write(folder / "good.pt", truth)
    whole = torch.cat(list(truth.values())).numpy()

    def check(array, message):
        np.savez(folder / "a.npz", preds=array)
        refused(folder, good, folder / "a.npz", message=message)

    check(whole[:9], r"a\.npz: 9 poses for the 10 frames of .*; expected one pose per frame, in the order of the truth")
    check(whole[..., :2], r"a\.npz: 'preds' is .* 10 × 17 × 2 .*expected 'preds', N × joints × 3 \(mm")
    check(whole[:, :14], r"a\.npz: poses are 14 × 3; expected 17 × 3 or 16 × 3")
    check(whole / 1000, r"a\.npz: the median bone")
    whole[5, WRIST] = np.nan
    check(whole, r"a\.npz: 1 of 10 frames .* \(r_wrist\)")


def test_sequences_must_be_those_of_the_truth(folder, truth):
    good = write(folder / "good.pt", truth)
    key = "S9/Walking/54138969"
    fewer = write(folder / "fewer.pt", {name: value for name, value in truth.items() if name != key})
    message = r"fewer\.pt: 1 of the 4 sequences .* are missing, and 0 others are present \('S9/Walking/"
    refused(folder, good, fewer, message=message)
    more = write(folder / "more.pt", truth | {"S9/Eating/54138969": truth[key]})
    message = r"more\.pt: 0 of the 4 sequences .* are missing, and 1 others are present \('S9/Eating/54138969' has no"
    refused(folder, good, more, message=message)
    short = write(folder / "short.pt", changed(truth, key, lambda pose: pose[:1]))
    refused(folder, good, short, message=r"short\.pt: 'S9/Walking/54138969' has 1 frames, its truth in .* has 2")
    images = write(folder / "images.pt", {"015601864.jpg": truth[key]})
    refused(folder, good, images, message=r"images\.pt: '015601864\.jpg' is not a sequence .*'S9/Walking 1/54138969'")
    deeper = write(folder / "deeper.pt", {f"{key}/a/1.jpg": truth[key]})
    refused(folder, good, deeper, message=r"deeper\.pt: 'S9/Walking/54138969/a/1\.jpg' is not a sequence")
    refused(folder, write(folder / "none.pt", {}), message="has no sequences")
    save_predictions(folder / GROUND_TRUTH_FILE, changed(truth, key, lambda pose: pose[:0]))
    refused(folder, good, message=f"{GROUND_TRUTH_FILE}: 'S9/Walking/54138969' has no frame")


def test_nan_is_named(folder, truth):
    def spoil(pose):
        pose[2, WRIST, 1] = torch.nan
        pose[3, HIP] = torch.inf
        return pose

    damaged = changed(truth, "S9/Walking 1/54138969", spoil)
    named = r"2 of 10 frames .* first frame 2 \(from 0\) of 'S9/Walking 1/54138969' \(r_wrist\)"
    refused(folder, write(folder / "nan.pt", damaged), message=rf"nan\.pt: {named}")
    good, wrong = write(folder / "good.pt", truth), write(folder / "truth.pt", damaged)
    refused(folder, good, message=rf"truth\.pt: {named}", truth=wrong)


def test_metres_are_recognised(folder, truth):
    metres = write(folder / "metres.pt", {key: value / 1000 for key, value in truth.items()})
    good = write(folder / "good.pt", truth)
    refused(folder, metres, message=r"metres\.pt: the median bone is 0\.\d+ long, .* metres .* multiply metres by 1000")
    refused(folder, good, message=r"metres\.pt: the median bone", truth=metres)


def test_other_poses_are_refused(folder, truth):
    good = write(folder / "good.pt", truth)
    flat = write(folder / "flat.pt", {key: value[..., :2] for key, value in truth.items()})
    refused(folder, good, flat, message=r"flat\.pt: poses are 17 × 2; expected 17 × 3 or 16 × 3")
    lsp = write(folder / "lsp.pt", {key: value[:, :14] for key, value in truth.items()})
    refused(folder, lsp, message=r"lsp\.pt: poses are 14 × 3")
    mixed = write(folder / "mixed.pt", changed(truth, "S9/Walking/54138969", lambda pose: pose[:, :16]))
    refused(folder, mixed, message=r"mixed\.pt: poses are 16 × 3, 17 × 3")
    port = write(folder / "port.pt", {key: value[:, 1:] for key, value in truth.items()})
    refused(folder, good, message=r"port\.pt: poses are 16 × 3; expected 17 × 3 for every pose \(mm", truth=port)


def test_files_and_names_are_checked(folder, truth, tmp_path):
    good = write(folder / "good.pt", truth)
    refused(folder, good, folder / "none.pt", message=r"none\.pt does not exist")
    (folder / "torn.pt").write_bytes(good.read_bytes()[:200])
    refused(folder, good, folder / "torn.pt", message=r"torn\.pt: truncated")
    refused(
        folder, good, folder / "preds.csv", message=r"preds\.csv: unknown suffix '\.csv'; choose one of \.pt, \.mat"
    )
    refused(folder, good, folder / "preds.mat", message=r"preds\.mat does not exist")
    refused(folder, good, message=r"no\.pt does not exist", truth=folder / "no.pt")
    refused(folder, good, good, message="given twice")
    refused(folder, good, names=["a", "b"], message="2 names for 1")
    alone = write(tmp_path / "alone" / "good.pt", truth)
    refused(folder, alone, message=rf"{GROUND_TRUTH_FILE} does not exist, nor does --data_dir data/none; give --3d")
    (folder / "out").touch()
    with pytest.raises(UserError, match="is a file"):
        evaluate(folder, good)


# Truth from a Human3.6M folder


@pytest.fixture
def h36m_folder(tmp_path):
    """One take of S9 and one of S11 in the files' form, 4 frames each, with two cameras (a subject has four)."""
    generator = torch.Generator().manual_seed(2)
    turned = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    camera = {"f": [1100.0, 1100.0], "c": [500.0, 500.0], "k": [0.0] * 3, "p": [0.0] * 2}
    table, positions = {}, {}
    for subject, name in ((9, "Walking 1"), (11, "WalkingDog")):
        positions[subject] = 300 * torch.randn(4, 32, 3, generator=generator)
        write_positions(tmp_path / f"h36m/S{subject}/MyPoses/3D_positions/{name}.h5", positions[subject].numpy())
        for number, camera_name in enumerate(CAMERA_NAMES, start=1):
            rotation = turned * turned.det() if number > 1 else torch.eye(3, dtype=torch.float64)
            position = torch.tensor([0.0, 0.0, -5000.0], dtype=torch.float64) * rotation[2]
            values = {key: torch.tensor(value, dtype=torch.float64) for key, value in camera.items()}
            table[subject, number] = Camera(R=rotation, T=position, **values, name=camera_name)
    write_cameras_h5(tmp_path / "h36m/cameras.h5", table)
    return tmp_path / "h36m", positions


def test_the_truth_of_a_folder_is_in_camera_coordinates(h36m_folder, tmp_path, capsys):
    data_dir, positions = h36m_folder
    truth = ground_truth_of_folder(data_dir)
    assert list(truth) == [f"{name}/{camera}" for name in ("S9/Walking 1", "S11/WalkDog") for camera in CAMERA_NAMES]
    moving = positions[9][:, list(H36M_SLOTS)]
    # Camera 1 is not turned; whatever the camera, distances stay.
    torch.testing.assert_close(truth["S9/Walking 1/54138969"], moving - moving[:, [HIP]], atol=1e-2, rtol=0)
    other = truth["S9/Walking 1/60457274"]
    torch.testing.assert_close(other.norm(dim=2), (moving - moving[:, [HIP]]).norm(dim=2), atol=1e-2, rtol=0)
    assert (other - moving + moving[:, [HIP]]).norm(dim=2).mean() > 50

    path = write(tmp_path / "run" / "mine.pt", truth)
    result = evaluate(tmp_path, path, data_dir=data_dir)["mine"]
    assert (result["protocol_1"], result["frames"], list(result["per_action"])) == (0, 32, ["Walking", "WalkDog"])
    assert f"truth {data_dir}" in capsys.readouterr().out


def test_which_truth_is_taken(h36m_folder, tmp_path, folder, truth, capsys):
    data_dir, _ = h36m_folder
    path = write(folder / "mine.pt", truth)
    beside = folder / GROUND_TRUTH_FILE
    for options, source in (
        ({}, beside),
        ({"truth": write(tmp_path / "given.pt", truth), "given": ["data_dir"]}, tmp_path / "given.pt"),
    ):
        evaluate(folder, path, data_dir=data_dir, **options)
        assert f"truth {source}" in capsys.readouterr().out
    message = r"mine\.pt: 7 of the 8 sequences of .*h36m are missing, and 3 others are present"
    refused(tmp_path, path, message=message, data_dir=data_dir, given=["data_dir"])
    absent = tmp_path / "absent"
    refused(tmp_path, path, message="--data_dir .*absent: no such folder", data_dir=absent, given=["data_dir"])


def test_real_motion(tmp_path):
    if not WALKS.is_dir():
        pytest.skip("../shared/data is not here")
    truth = {}
    for action in ("Walking", "Walking 1"):
        with h5py.File(WALKS / f"{action}.h5") as file:
            pose = torch.from_numpy(file["3D_positions"][()]).T.reshape(-1, 32, 3)[:, list(H36M_SLOTS)]
        truth[f"S9/{action}/54138969"] = pose - pose[:, [HIP]]
    save_predictions(tmp_path / GROUND_TRUTH_FILE, truth)
    files = [
        write(tmp_path / "scaled.pt", {key: 1.1 * value for key, value in truth.items()}),
        write(tmp_path / "mirrored.pt", {key: value * torch.tensor([-1.0, 1, 1]) for key, value in truth.items()}),
    ]
    result = evaluate(tmp_path, *files)
    distance = torch.cat(list(truth.values())).norm(dim=2).mean().item()
    assert result["scaled"]["protocol_1"] == pytest.approx(0.1 * distance, rel=1e-4)
    assert result["scaled"]["n_mpjpe"] == pytest.approx(0, abs=1e-3)
    assert result["scaled"]["pck_150"] == 100
    assert 20 < result["mirrored"]["protocol_2"] < result["mirrored"]["protocol_1"]

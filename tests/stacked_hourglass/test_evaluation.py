import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import modules_after
from evaluations import assert_refused, evaluated, save_all_forms
from PIL import Image
from scipy.io import loadmat, savemat

from stacked_hourglass import evaluation
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.evaluation import load_mpii_truth, mpii_PCKh
from stacked_hourglass.metrics.validation_predictions import load_validation_predictions
from utils.osutils import UserError
from utils.predictions.coco_results import save_coco_results
from utils.predictions.prediction_arrays import save_prediction_array
from utils.predictions.prediction_files import save_metas, save_predictions
from utils.transform import LSP, MPII, joint_map

SHARED = Path("../shared/data")
# Two people of one photo are not neighbours in the annotations, as in MPII.
PHOTOS = ("a.jpg", "b.jpg", "a.jpg")
HEAD_SIZE = 30.0


@pytest.fixture
def truth():
    """(3, 16, 2) zero-based px."""
    return np.random.default_rng(0).uniform(10, 200, (3, 16, 2))


@pytest.fixture
def data_dir(tmp_path, truth):
    """A small MPII folder: three validation people on two photos, one training person."""
    folder = tmp_path / "mpii"
    folder.mkdir()
    write_truth(folder, truth)
    (folder / "images").mkdir()
    for name in set(PHOTOS):
        Image.new("RGB", (8, 8)).save(folder / "images" / name)
    people = [annotation(name, joints, 1) for name, joints in zip(PHOTOS, truth, strict=True)]
    people.insert(1, annotation("b.jpg", truth[0], 0))
    (folder / "mpii_annotations.json").write_text(json.dumps(people))
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the curves, which take most of an evaluation's time."""
    monkeypatch.setattr(evaluation, "draw_pckh_curves", lambda curves, output_dir: None)


def annotation(name, joints, is_validation):
    flagged = np.concatenate([joints + 1, np.ones((16, 1))], axis=1).tolist()
    return {
        "img_paths": name, "objpos": [90, 90], "scale_provided": 1.0, "joint_self": flagged,
        "isValidation": is_validation, "annolist_index": 0, "people_index": 0,
    }  # fmt: skip


def write_truth(folder, truth, **changes):
    box = np.array([[10.0, 10.0], [40.0, 50.0]])  # diagonal 50
    content = {
        "pos_gt_src": np.moveaxis(truth, 0, -1) + 1,
        "jnt_missing": np.zeros((16, len(truth)), np.uint8),
        "headboxes_src": np.repeat(box[..., None], len(truth), axis=2),
    }
    content |= changes
    savemat(folder / "detections_our_format.mat", {key: value for key, value in content.items() if value is not None})


evaluate = partial(evaluated, mpii_PCKh, "pckh.json")
refused = partial(assert_refused, evaluate)


def by_image(array):
    tensor = torch.from_numpy(array)
    return {"b.jpg": tensor[[1]], "a.jpg": tensor[[0, 2]]}


def test_every_form_of_file_scores_the_same(data_dir, truth, tmp_path, capsys, undrawn):
    array = truth.copy()
    array[0, MPII.index("head_top"), 0] += 0.49 * HEAD_SIZE
    array[1, MPII.index("head_top"), 0] += 0.51 * HEAD_SIZE
    array[2, MPII.index("l_knee"), 1] -= 0.2 * HEAD_SIZE
    result = evaluate(data_dir, save_all_forms(tmp_path, array, by_image(array)))
    assert list(result) == ["mat_form", "h5_form", "npz_form", "pt_form", "json_form"]
    for table in result.values():
        assert table["PCKh@0.5"]["head"] == pytest.approx(200 / 3)
        assert table["PCKh@0.5"]["knee"] == 100
        assert table["PCKh@0.1"]["head"] == pytest.approx(100 / 3)
        assert table["PCKh@0.1"]["knee"] == pytest.approx(500 / 6)
        assert table["PCKh@0.5"]["mean"] == pytest.approx((13 * 100 + 200 / 3) / 14)
        assert table["AUC"] == pytest.approx(result["mat_form"]["AUC"], abs=0.5)  # ties at threshold 0 may fall
    printed = capsys.readouterr().out
    for text in ("3 validation people", "0.6 × head-box diagonal", "jnt_missing", "plain mean of 14", "mean_by_count"):
        assert text in printed
    assert printed.count("pt_form") == 3


def test_poses_of_another_skeleton_are_converted_by_name(data_dir, truth, tmp_path, caplog, undrawn):
    """LSP's 14 joints are all that PCKh counts; metas.pt beside the poses names the order."""
    save_predictions(tmp_path / "lsp.pt", by_image(truth[:, joint_map(MPII, LSP)]))
    save_metas(tmp_path / "metas.pt", {"skeleton": "LSP"})
    table = evaluate(data_dir, [tmp_path / "lsp.pt"])["lsp"]
    assert table["PCKh@0.1"]["mean"] == 100
    assert "lsp.pt: LSP poses, converted to MPII by the joints' names; pelvis, thorax are approximate" in caplog.text


def test_poses_that_lack_joints_are_refused(data_dir, truth, tmp_path):
    """H36M_2D has as many joints as MPII, but not the same ones."""
    save_predictions(tmp_path / "poses.pt", by_image(truth))
    save_metas(tmp_path / "metas.pt", {"skeleton": "H36M_2D"})
    refused(data_dir, [tmp_path / "poses.pt"], "H36M_2D poses can't be scored as MPII: H36M_2D has no joint")


def test_missing_joints_do_not_count_and_their_rates_are_null(data_dir, truth, capsys, undrawn):
    missing = np.zeros((16, 3), np.uint8)
    missing[MPII.index("head_top")] = 1
    missing[MPII.index("l_hip"), 0] = 1
    write_truth(data_dir, truth, jnt_missing=missing)
    array = truth.copy()
    array[0, MPII.index("l_hip")] += 500
    array[:, MPII.index("head_top")] += 500
    save_prediction_array(data_dir / "preds.mat", array)
    table = evaluate(data_dir, [data_dir / "preds.mat"])["preds"]
    assert table["PCKh@0.5"]["head"] is None
    assert table["PCKh@0.5"]["hip"] == table["PCKh@0.5"]["mean"] == 100
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("preds "))
    assert row.split()[1] == "-"


@pytest.mark.long  # nine figures; test_coco_evaluation.py draws fewer
def test_curves_are_drawn_whatever_the_names_and_without_torch(data_dir, truth, tmp_path):
    """Of files of every form but .pt."""
    paths = [path for path in save_all_forms(tmp_path, truth, by_image(truth)) if path.suffix != ".pt"]
    names = ("--model_names", "_hidden", "$x_1$ 50%", "third", "fourth")
    arguments = ["--data_dir", data_dir, "--prediction_files", *paths, *names, "--output_dir", data_dir / "out"]
    assert "torch" not in modules_after("eval", "mpii_PCKh", *arguments)
    written = {path.name for path in (data_dir / "out").iterdir()}
    columns = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean", "all")
    assert written == {"pckh.json", *(f"pckh_{column}.{kind}" for column in columns for kind in ("png", "pdf"))}
    with Image.open(data_dir / "out" / "pckh_all.png") as picture:
        assert picture.width > 1500
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    # The first two line colours; a perfect model's line is the same for both, but the legend shows each.
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (colours == colour).all(axis=1).sum() > 100


def test_one_bad_file_among_good_ones_stops_all(data_dir, truth, tmp_path):
    good = tmp_path / "good.mat"
    save_prediction_array(good, truth)
    save_prediction_array(tmp_path / "short.mat", truth[:2])
    save_prediction_array(tmp_path / "joints.h5", truth[:, :14])
    with_nan = truth.copy()
    with_nan[1, MPII.index("l_elbow"), 0] = np.nan
    save_prediction_array(tmp_path / "nan.npz", with_nan)
    refused(data_dir, [good, tmp_path / "short.mat"], r"short\.mat: 2 predictions for 3 validation people")
    refused(data_dir, [good, tmp_path / "joints.h5"], r"joints\.h5: 14 joints per person; MPII has 16")
    refused(data_dir, [good, tmp_path / "nan.npz"], r"nan\.npz: 1 of 48 joints.* person 1 \(l_elbow\)")
    refused(data_dir, [good, tmp_path / "none.mat"], r"none\.mat does not exist")
    refused(data_dir, [good, tmp_path / "preds.csv"], r"unknown suffix '\.csv'; choose one of \.pt")
    refused(data_dir, [], "no file given")


def test_bad_names_are_refused(data_dir, truth, tmp_path):
    files = [tmp_path / "a.mat", tmp_path / "b.mat"]
    for path in files:
        save_prediction_array(path, truth)
    refused(data_dir, files, "1 names for 2", ["one"])
    refused(data_dir, files, "'same' is given twice", ["same", "same"])
    refused(data_dir, [files[0], files[0]], r"a\.mat is given twice")
    (data_dir / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        evaluate(data_dir, files, output_dir=data_dir / "file")


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_files_by_image_must_hold_each_person_once(data_dir, truth, tmp_path, suffix):
    def check(predictions, message):
        path = tmp_path / f"poses{suffix}"
        (save_predictions if suffix == ".pt" else save_coco_results)(path, predictions)
        refused(data_dir, [path], message)

    poses = by_image(truth)
    check({"a.jpg": poses["a.jpg"]}, r"2 predictions for 3 validation people.* b\.jpg has none")
    check(poses | {"b.jpg": poses["a.jpg"]}, r"4 predictions for 3 .* b\.jpg has 2 people, expected 1")
    check(poses | {"a.jpg": poses["b.jpg"]}, r"2 predictions for 3 .* a\.jpg has 1 people, expected 2")
    check(poses | {"c.jpg": poses["b.jpg"]}, r"4 predictions for 3 .* c\.jpg has 1 people, expected 0")
    check(poses | {"b.jpg": poses["b.jpg"][:, :14]}, "14 × 2, 16 × 2; expected 16 × 2 px for every person")
    check({name: tensor[:, :14] for name, tensor in poses.items()}, "14 joints per person")
    check({}, "no image")


def test_3d_poses_and_nan_by_image_are_refused(data_dir, truth, tmp_path):
    save_predictions(tmp_path / "3d.pt", {"a.jpg": torch.zeros(2, 17, 3), "b.jpg": torch.zeros(1, 17, 3)})
    refused(data_dir, [tmp_path / "3d.pt"], "a person is 17 × 3")
    truth[2, 0] = np.nan
    save_coco_results(tmp_path / "nan.json", by_image(truth))
    refused(data_dir, [tmp_path / "nan.json"], r"person 2 \(r_ankle\)")


def test_names_within_subfolders_are_found(tmp_path):
    save_predictions(tmp_path / "a.pt", {"s1/x.jpg": torch.full((1, 16, 2), 1.0), "x.jpg": torch.full((1, 16, 2), 2.0)})
    images = [Path("data/images/x.jpg"), Path("data/images/s1/x.jpg")]
    assert load_validation_predictions(tmp_path / "a.pt", images, 2, MPII)[:, 0, 0].tolist() == [2, 1]


def test_annotations_of_another_number_of_people_are_refused(data_dir, truth, tmp_path):
    save_predictions(tmp_path / "a.pt", by_image(truth))
    people = json.loads((data_dir / "mpii_annotations.json").read_text())
    (data_dir / "mpii_annotations.json").write_text(json.dumps(people[:-1]))
    refused(data_dir, [tmp_path / "a.pt"], "expected equal numbers")


# Ground truth


def test_ground_truth_is_zero_based(data_dir, truth):
    loaded = load_mpii_truth(data_dir / "detections_our_format.mat")
    np.testing.assert_allclose(loaded.joints, truth)
    np.testing.assert_allclose(loaded.head_sizes, HEAD_SIZE)
    assert (loaded.missing.shape, loaded.missing.any(), len(loaded)) == ((3, 16), False, 3)


def test_ground_truth_of_one_person_without_a_last_axis(tmp_path, truth):
    write_truth(tmp_path, truth[:1], pos_gt_src=truth[0] + 1, jnt_missing=np.zeros((16, 1)))
    assert load_mpii_truth(tmp_path / "detections_our_format.mat").joints.shape == (1, 16, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jnt_missing": None}, "has no 'jnt_missing'"),
        ({"jnt_missing": np.zeros((16, 4))}, "numbers of people"),
        ({"pos_gt_src": np.zeros((3, 16, 2))}, "'pos_gt_src' is"),
        ({"pos_gt_src": np.full((16, 2, 3), np.nan)}, "r_ankle of person 0 .* is NaN"),
        ({"headboxes_src": np.ones((2, 2, 3))}, "head box of person 0"),
    ],
)
def test_wrong_ground_truth_is_refused(data_dir, truth, changes, message):
    write_truth(data_dir, truth, **changes)
    save_prediction_array(data_dir / "a.mat", truth)
    refused(data_dir, [data_dir / "a.mat"], message)


def test_absent_and_truncated_ground_truth_is_refused(data_dir, truth):
    save_prediction_array(data_dir / "a.mat", truth)
    path = data_dir / "detections_our_format.mat"
    path.write_bytes(path.read_bytes()[:300])
    refused(data_dir, [data_dir / "a.mat"], "truncated, damaged")
    path.unlink()
    refused(data_dir, [data_dir / "a.mat"], r"does not exist; --data_dir must hold .* --data_dir sample")


def test_the_default_folder_is_that_of_train_and_run(data_dir, truth, tmp_path, monkeypatch, undrawn):
    """With the default `data/mpii` the hourglass's own folder counts, as for `load_mpii`."""
    save_prediction_array(tmp_path / "a.mat", truth)
    save_predictions(tmp_path / "b.pt", by_image(truth))
    root = tmp_path / "project"
    (root / "stacked_hourglass" / "data").mkdir(parents=True)
    data_dir.rename(root / "stacked_hourglass" / "data" / "mpii")
    monkeypatch.chdir(root)
    result = evaluate(Path("data/mpii"), [tmp_path / "a.mat", tmp_path / "b.pt"], output_dir=tmp_path / "out")
    assert result["a"]["PCKh@0.5"]["mean"] == result["b"]["PCKh@0.5"]["mean"] == 100
    with pytest.raises(UserError, match="--data_dir elsewhere/mpii: no such folder"):
        evaluate(Path("elsewhere/mpii"), [tmp_path / "a.mat"], output_dir=tmp_path / "out")


# Real data


def test_known_scores_on_mpii(tmp_path, capsys, undrawn):
    truth_path = SHARED / "mpii" / "detections_our_format.mat"
    if not truth_path.is_file():
        pytest.skip("../shared/data is not here")
    table = evaluate(SHARED / "mpii", [truth_path], output_dir=tmp_path)["detections_our_format"]
    known = [95.60, 92.71, 83.36, 76.74, 81.93, 73.36, 65.45, 81.46, 82.34]
    assert list(table["PCKh@0.5"].values()) == pytest.approx(known, abs=0.01)
    assert all(table["PCKh@0.1"][column] < table["AUC"][column] < rate for column, rate in table["PCKh@0.5"].items())
    assert "95.60     92.71     83.36     76.74     81.93     73.36     65.45     81.46          82.34" in (
        capsys.readouterr().out
    )


def test_files_by_image_agree_with_arrays_on_real_annotations(tmp_path):
    data_dir = SHARED / "lspet_as_mpii"
    if not data_dir.is_dir():
        pytest.skip("../shared/data is not here")
    validation = load_mpii(data_dir)[1]
    truth = load_mpii_truth(data_dir / "detections_our_format.mat")
    np.testing.assert_allclose(validation.joints, truth.joints, atol=1e-3)
    assert (loadmat(data_dir / "detections_our_format.mat")["jnt_missing"] == 0).all()
    array = truth.joints + np.random.default_rng(0).normal(0, 8, truth.joints.shape)
    names = [path.name for path in validation.image_paths]
    shuffled = np.random.default_rng(1).permutation(len(names))
    save_predictions(tmp_path / "a.pt", {names[i]: torch.from_numpy(array[i : i + 1]) for i in shuffled})
    loaded = load_validation_predictions(tmp_path / "a.pt", validation.image_paths, len(truth), MPII)
    np.testing.assert_allclose(loaded, array)

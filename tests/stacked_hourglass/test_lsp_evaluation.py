import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call, modules_after
from evaluations import assert_refused, evaluated, save_all_forms
from PIL import Image
from scipy.io import savemat

from stacked_hourglass import lsp_evaluation
from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.lsp_evaluation import lsp_PCK
from stacked_hourglass.metrics.lsp_pck import lsp_tables
from utils.predictions.prediction_arrays import save_prediction_array
from utils.predictions.prediction_files import save_predictions
from utils.transform import LSP

SHARED = Path("../shared/data")
METRICS = ("PCK@0.2", "PCKh@0.5")
PICTURES = {f"{metric}_{side}_centric.png" for metric in ("pck", "pckh") for side in ("person", "observer")}


@pytest.fixture
def joints():
    """(6, 14, 2) zero-based px; the last three people are validated on."""
    return np.random.default_rng(0).uniform(10, 200, (6, 14, 2))


@pytest.fixture
def data_dir(tmp_path, joints):
    """LSP's own form, without photos."""
    folder = tmp_path / "lsp"
    folder.mkdir()
    occluded = np.zeros((6, 14, 1))
    savemat(folder / "joints.mat", {"joints": np.concatenate([joints + 1, occluded], axis=2).transpose(2, 1, 0)})
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the curves, which take most of an evaluation's time."""
    monkeypatch.setattr(lsp_evaluation, "draw_lsp_curves", lambda curves, output_dir: [])


evaluate = partial(evaluated, lsp_PCK, "lsp_pck.json")
refused = partial(assert_refused, evaluate)


def by_photo(array, first=4):
    return {f"im{first + row:04d}.jpg": torch.from_numpy(pose[None]) for row, pose in enumerate(array)}


def test_every_form_of_file_scores_the_same(data_dir, joints, tmp_path, capsys, undrawn):
    truth = joints[3:]
    pred = truth.copy()
    pred[0] = truth[0, LSP.flip_order]  # left and right exchanged
    expected = lsp_tables(pred, truth)
    result = evaluate(data_dir, save_all_forms(tmp_path, pred, by_photo(pred)))
    assert list(result) == ["mat_form", "h5_form", "npz_form", "pt_form", "json_form"]
    for tables in result.values():
        assert list(tables) == ["person_centric", "observer_centric"]
        for convention, by_metric in tables.items():
            assert list(by_metric) == list(METRICS)
            for metric, by_column in by_metric.items():
                assert by_column == pytest.approx(expected[convention][metric])
        assert tables["observer_centric"]["PCK@0.2"]["mean"] == 100 > tables["person_centric"]["PCK@0.2"]["mean"]
    printed = capsys.readouterr().out
    for text in (
        "3 validation people", "0.2 × torso (right shoulder to left hip)", "0.5 × head size (neck to head top",
        "person-centric: left and right as annotated", "observer-centric: labels as if everybody faced the camera",
        "plain mean of 14 joints", "PCK@0.2, observer-centric", "in %",
    ):  # fmt: skip
        assert text in printed
    assert printed.count("pt_form") == 4


@pytest.mark.long  # four figures of eight panels; test_coco_evaluation.py draws fewer
def test_curves_and_no_torch(data_dir, joints, tmp_path):
    files = [path for path in save_all_forms(tmp_path, joints[3:], by_photo(joints[3:])) if path.suffix != ".pt"]
    arguments = ["--data_dir", data_dir, "--prediction_files", *files, "--output_dir", tmp_path / "out"]
    assert "torch" not in modules_after("eval", "lsp_PCK", *arguments)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "lsp_pck.json",
        *PICTURES,
        *(f"{name[:-3]}pdf" for name in PICTURES),
    }
    with Image.open(tmp_path / "out" / "pck_observer_centric.png") as picture:
        assert picture.width > 1500


def test_observer_centric_annotations_are_recognised(data_dir, joints, tmp_path, capsys, undrawn):
    order = lsp_evaluation.observer_order(joints)
    relabelled = joints[np.arange(6)[:, None], order]
    values = np.concatenate([relabelled + 1, np.zeros((6, 14, 1))], axis=2)
    savemat(data_dir / "joints.mat", {"joints": values.transpose(2, 1, 0)})
    save_prediction_array(tmp_path / "a.npz", relabelled[3:])
    tables = evaluate(data_dir, [tmp_path / "a.npz"])["a"]
    assert tables["person_centric"] == tables["observer_centric"]
    assert "the annotations are observer-centric already" in capsys.readouterr().out


def test_predictions_of_training_photos_are_ignored(data_dir, joints, tmp_path, caplog, undrawn):
    """As run.py writes them for the whole folder of photos."""
    save_predictions(tmp_path / "a.pt", by_photo(joints, first=1))
    assert evaluate(data_dir, [tmp_path / "a.pt"])["a"]["person_centric"]["PCK@0.2"]["mean"] == 100
    assert "a.pt: predictions of 3 training photos ignored" in caplog.text


def test_bad_input_is_refused(data_dir, joints, tmp_path):
    good = tmp_path / "good.mat"
    save_prediction_array(good, joints[3:])
    save_prediction_array(tmp_path / "short.mat", joints[4:])
    save_prediction_array(tmp_path / "mpii.npz", np.zeros((3, 16, 2)))
    damaged = joints[3:].copy()
    damaged[1, LSP.index("neck")] = np.nan
    save_prediction_array(tmp_path / "nan.h5", damaged)
    save_predictions(tmp_path / "other.pt", by_photo(joints[3:], first=5))
    refused(
        data_dir, [good, tmp_path / "short.mat"], r"short\.mat: 2 predictions for 3 validation people; expected one"
    )
    refused(data_dir, [good, tmp_path / "mpii.npz"], r"mpii\.npz: 16 joints per person; LSP has 14")
    refused(data_dir, [good, tmp_path / "nan.h5"], r"nan\.h5: 1 of 42 joints.* person 1 \(neck\)")
    refused(data_dir, [good, tmp_path / "other.pt"], r"other\.pt: 3 predictions for 3 .*: im0004\.jpg has none")
    refused(data_dir, [good, good], "given twice")
    refused(tmp_path / "nowhere", [good], "nowhere: no such folder")
    (data_dir / "joints.mat").write_bytes(b"no MATLAB")
    refused(data_dir, [good], "no readable array 'joints'")


def test_predictions_of_a_training_on_the_sample(tmp_path, sample_lsp, undrawn):
    """The predictions of train.py hourglass_lsp can be scored, and PCK equals that of the log."""
    small = ["--stacks", 1, "--features", 8, "--epochs", 1, "--workers", 0, "--train_batch_size", 4]
    folders = ["--checkpoint_dir", tmp_path / "checkpoints", "--tb_dir", tmp_path / "tb"]
    call("train", "hourglass_lsp", "--data_dir", sample_lsp, *small, *folders).succeeded()
    [predictions] = (tmp_path / "checkpoints").glob("*/preds_valid.mat")
    scored = ["--prediction_files", predictions, "--output_dir", tmp_path / "out"]
    result = call("eval", "lsp_PCK", "--data_dir", sample_lsp, *scored).succeeded()
    tables = json.loads((tmp_path / "out" / "lsp_pck.json").read_text())["preds_valid"]
    assert f"{len(load_lsp(sample_lsp)[1])} validation people" in result.out
    header, values = (predictions.parent / "log.txt").read_text().splitlines()
    log = dict(zip(header.split("\t"), values.split("\t"), strict=True))
    [logged] = [float(value) for name, value in log.items() if name.endswith("PCK@0.2")]
    rate = tables["person_centric"]["PCK@0.2"]["mean"]
    assert rate == pytest.approx(logged, abs=0.01)


@pytest.fixture
def sample_lsp(tiny_mpii, tmp_path):
    from utils.sample.lsp import make_lsp

    make_lsp(tmp_path / "lsp_sample", tiny_mpii)
    return tmp_path / "lsp_sample"


# Real data


def test_real_annotations(tmp_path, capsys, undrawn):
    """LSP-extended, whose crowd workers exchanged some left and right."""
    data_dir = SHARED / "lspet"
    if not data_dir.is_dir():
        pytest.skip("../shared/data is not here")
    validation = load_lsp(data_dir)[1]
    noise = np.random.default_rng(0).normal(0, 4, validation.joints.shape)
    exchanged = validation.joints[:, LSP.flip_order]
    for name, array in (("noisy", validation.joints + noise), ("exchanged", exchanged)):
        save_prediction_array(tmp_path / f"{name}.mat", array)
    result = evaluate(data_dir, [tmp_path / "noisy.mat", tmp_path / "exchanged.mat"], output_dir=tmp_path)
    noisy, exchanged = result["noisy"], result["exchanged"]
    assert noisy["person_centric"]["PCK@0.2"]["mean"] > 85
    assert exchanged["person_centric"]["PCK@0.2"]["wrist"] < 30
    assert exchanged["person_centric"]["PCK@0.2"]["head"] == pytest.approx(100)
    # Below 100: where one joint of a pair is not annotated, its position is meaningless.
    assert exchanged["observer_centric"]["PCK@0.2"]["wrist"] > 80
    assert f"{len(validation)} validation people" in capsys.readouterr().out

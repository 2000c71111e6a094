"""The demo weights of the repository: their format, their use without options, and their score on real photos."""

import json
from pathlib import Path

import pytest
import torch
from command_line import ROOT, call
from scipy.io import loadmat, savemat

from stacked_hourglass import evaluation
from stacked_hourglass.annotations.mpii import mpii_images
from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stitched.loading import load_network
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.transform import H36M, MPII

PHOTOS = ROOT / "docs" / "photos"
EVERY = 4  # of the real photos
REAL = ROOT.parent / "shared" / "data" / "lspet_as_mpii"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    """The folder of a run over the repository's pictures, with no option but where they are."""
    folder = tmp_path_factory.mktemp("found")
    result = call("run", "stitched_mpii", "--data_dir", PHOTOS, "--output_dir", folder, "--workers", 0).succeeded()
    assert "the demo weights" in result.out
    assert "viz.py 2d_overlay_3d_pred" in result.out
    return folder


def test_the_file_is_small_and_in_half_precision():
    assert DEMO_WEIGHTS.stat().st_size < 20_000_000
    state = torch.load(DEMO_WEIGHTS, weights_only=True)["state_dict"]
    assert {value.dtype for name, value in state.items() if name.endswith("weight")} == {torch.float16}
    network = load_network(DEMO_WEIGHTS)
    assert 0 < network.score_threshold < 1
    assert network.normalisation.kind == "instance"


def test_a_walking_person_is_upright(found):
    """In the picture and in 3D: the head above the hips, the hips above the feet, and a person's height."""
    name = "rendered_walking.jpg"
    [joints], [pose] = (load_predictions(found / f"{kind}_pose_estimations.pt")[name] for kind in ("2d", "3d"))
    for skeleton, points in ((MPII, joints), (H36M, pose)):
        heights = [points[skeleton.index(joint), 1] for joint in ("head_top", "pelvis", "r_ankle", "l_ankle")]
        assert heights[0] < heights[1] < min(heights[2:])
    assert 1000 < pose[:, 1].max() - pose[:, 1].min() < 2000
    meta = load_metas(found / "metas.pt")[name]
    assert meta["scores"].shape == (1, 16)
    assert meta["score_threshold"] > 0


@pytest.fixture
def real_photos(tmp_path) -> Path:
    """An MPII folder of every fourth of the 400 validation people."""
    folder = tmp_path / "mpii"
    folder.mkdir()
    (folder / "images").symlink_to(mpii_images(REAL).resolve())
    people = json.loads((REAL / "mpii_annotations.json").read_text())
    chosen = [person for person in people if person["isValidation"]][::EVERY]
    (folder / "mpii_annotations.json").write_text(json.dumps(chosen))
    truth = loadmat(REAL / "detections_our_format.mat")
    per_person = ("jnt_missing", "pos_gt_src", "headboxes_src")
    kept = {name: truth[name][..., ::EVERY] for name in per_person} | {"dataset_joints": truth["dataset_joints"]}
    savemat(folder / "detections_our_format.mat", kept)
    return folder


@pytest.mark.skipif(not REAL.is_dir(), reason="the real photos of ../shared/data are not here")
def test_on_real_photos(real_photos, tmp_path, monkeypatch):
    """At least 55 % PCKh@0.5 (of all 400: docs/model_card.md), even without flip test."""
    monkeypatch.setattr(evaluation, "draw_pckh_curves", lambda curves, output_dir: None)  # slow
    call("run", "stitched_mpii", "--data_dir", real_photos, "--output_dir", tmp_path, "--workers", 0).succeeded()
    files = "--prediction_files", tmp_path / "preds_valid.mat"
    call("eval", "mpii_PCKh", "--data_dir", real_photos, *files, "--output_dir", tmp_path / "pckh").succeeded()
    [table] = json.loads((tmp_path / "pckh" / "pckh.json").read_text()).values()
    assert table["PCKh@0.5"]["mean"] > 55

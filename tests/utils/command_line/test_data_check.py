"""`--check_data` through the command line: what it prints, its exit status, and that it writes nothing."""

import json

import numpy as np
import pytest
from command_line import call, files, modules_after
from scipy.io import savemat

from options import SCRIPTS

EVERY_SCRIPT = [(entry, name) for entry, scripts in SCRIPTS.items() for name in scripts]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("entry", "name"), EVERY_SCRIPT, ids=[f"{e}-{n}" for e, n in EVERY_SCRIPT])
def test_every_script_checks_its_data_without_required_options(empty, entry, name):
    """Nothing is there: a script with a data folder says what is missing, another that nothing is."""
    script = SCRIPTS[entry][name]
    result = call(entry, name, "--check_data")
    for option in set(script.required) - {"data_dir", "to"}:
        assert f"--{option}: not given; the script needs it" in result.out
    if "data_dir" in script.defaults:
        assert "data" in result.refusal()
        assert "\n  missing: " in "\n" + result.out
    else:
        assert result.status == 0
        assert result.out.endswith("nothing that is needed is missing\n")
    assert files(empty) == []


def test_no_check_data_still_requires(empty):
    assert "--load is required" in call("run", "2d3d_h36m", "--no_check_data").refusal()


@pytest.mark.parametrize("name", ["hourglass_mpii", "hourglass_lsp", "hourglass_coco", "2d3d_h36m"])
def test_a_sample_that_is_not_made_is_not_missing_and_is_not_made(empty, name):
    result = call("train", name, "--data_dir", "sample", "--check_data")
    assert result.status == 0
    assert "not made yet" in result.out
    assert files(empty) == []


def test_checkpoints(empty):
    (empty / "folder").mkdir()
    (empty / "model.pth.tar").write_bytes(b"x" * 2_000_000)
    assert "no checkpoint in this directory" in call("run", "export", "--check_data", "--load", "folder").refusal()
    assert "no such checkpoint" in call("run", "export", "--check_data", "--load", "nothing").refusal()
    assert "--load_2d3d missing" in call("run", "export", "--check_data", "--load_hourglass", "model.pth.tar").refusal()
    found = call("run", "export", "--check_data", "--load", "model.pth.tar").succeeded()
    assert "model.pth.tar: 2.0 MB" in found.out


def test_files_of_predictions(empty):
    (empty / "a.pt").write_bytes(b"x")
    result = call("viz", "2d_overlay", "--check_data", "--img_dir", ".", "--2d_pose_estimations", "b.pt")
    assert "b.pt: no such file or folder" in result.refusal()
    assert ".: a folder of 1 entry" in result.out


def mpii(folder, photos=2):
    (folder / "images").mkdir(parents=True)
    person = {"objpos": [10, 10], "scale_provided": 1.0, "joint_self": [[5, 5, 1]] * 16}
    entries = [person | {"img_paths": f"{i}.jpg", "isValidation": float(i > 1)} for i in range(3)]
    (folder / "mpii_annotations.json").write_text(json.dumps(entries))
    for i in range(photos):
        (folder / "images" / f"{i}.jpg").write_bytes(b"")


def test_mpii_counts_people_and_photos(empty):
    mpii(empty / "data")
    result = call("train", "hourglass_mpii", "--check_data", "--data_dir", "data").succeeded()
    assert "training: 2 people (22,246 in the full set)" in result.out
    assert "validation: 1 people (2,958 in the full set)" in result.out
    assert "head boxes: no detections_our_format.mat" in result.out
    assert "photos: 1 of 3 with annotated people missing: 2.jpg" in result.out


def test_mpii_without_any_of_its_photos(empty):
    mpii(empty / "data", photos=0)
    (empty / "data" / "images" / "other.jpg").write_bytes(b"")
    assert (
        "data/images: none of the photos"
        in call("train", "hourglass_mpii", "--check_data", "--data_dir", "data").refusal()
    )


def test_a_further_folder_needs_no_validation_people(empty):
    mpii(empty / "data")
    mpii(empty / "more")
    entries = json.loads((empty / "more" / "mpii_annotations.json").read_text())
    (empty / "more" / "mpii_annotations.json").write_text(json.dumps(entries[:2]))
    result = call("train", "hourglass_mpii", "--check_data", "--data_dir", "data", "more", "none")
    assert "none: no such folder" in result.refusal()
    assert result.out.count("training: 2 people") == 2
    assert result.out.count("\n  missing: ") == 1


def test_lsp_counts_its_people_for_a_run(empty):
    (empty / "lsp/images").mkdir(parents=True)
    savemat(empty / "lsp/joints.mat", {"joints": np.random.default_rng(0).uniform(1, 99, (3, 14, 4)).round()})
    for number in range(1, 5):
        (empty / f"lsp/images/im{number:04d}.jpg").touch()
    result = call("run", "hourglass_mpii", "--check_data", "--data_dir", "lsp").succeeded()
    assert "LSP form: lsp" in result.out
    assert "training: 2 people; validation: 2" in result.out


def test_a_folder_of_photos(empty):
    (empty / "photos").mkdir()
    for name in ("1.jpg", "2.jpg", "note.txt"):
        (empty / "photos" / name).write_bytes(b"")
    result = call("run", "stitched_mpii", "--check_data", "--data_dir", "photos").succeeded()
    assert "2 photos" in result.out
    assert "1 file ignored, not photos by name: note.txt" in result.out


def test_listed_frames_of_human36m(empty):
    np.savez(empty / "poses.npz", frame=np.ones(1))
    assert (
        "no images such as S9/Walking 1/" in call("run", "stitched_h36m", "--check_data", "--data_dir", ".").refusal()
    )
    (empty / "images/S9/Walking 1/54138969").mkdir(parents=True)
    (empty / "images/S9/Walking 1/54138969/000001.jpg").write_bytes(b"")
    result = call("run", "stitched_h36m", "--check_data", "--data_dir", ".").succeeded()
    assert "images: 1 in 1 clips" in result.out


def test_a_truth_beside_the_predictions_needs_no_human36m(empty):
    (empty / "3d_pose_ground_truths.pt").write_bytes(b"")
    (empty / "p.pt").write_bytes(b"")
    result = call("eval", "h36m_MPJPE", "--check_data", "--prediction_files", "p.pt").succeeded()
    assert "not read: ground truth is 3d_pose_ground_truths.pt" in result.out


def test_it_imports_no_torch(empty):
    mpii(empty / "data")
    assert "torch" not in modules_after("train", "hourglass_mpii", "--check_data", "--data_dir", empty / "data")

"""The sample on disk: MPII's form, exact projection, determinism, whole or not at all."""

import json
import multiprocessing

import cv2
import numpy as np
import pytest
import scipy.io
from command_line import digests

from utils.osutils import UserError
from utils.sample import sample_data
from utils.sample.sample_data import MAKERS, SampleMaker, ensure_sample, make_mpii
from utils.transform import MPII

TRAINING, VALIDATION = 5, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "mpii"
    make_mpii(folder, training=TRAINING, validation=VALIDATION, seed=0)
    return folder


@pytest.fixture(scope="module")
def people(folder):
    return json.loads((folder / "mpii_annotations.json").read_text())


def test_fields_and_counts(people):
    assert len(people) == TRAINING + VALIDATION
    assert [person["isValidation"] for person in people] == [0.0] * TRAINING + [1.0] * VALIDATION
    fields = {
        "dataset", "isValidation", "img_paths", "img_width", "img_height", "objpos", "joint_self", "scale_provided",
        "annolist_index", "people_index", "numOtherPeople",
    }  # fmt: skip
    for person in people:
        assert fields <= set(person)
        joints = np.array(person["joint_self"])
        assert joints.shape == (16, 3)
        assert set(joints[:, 2]) <= {0.0, 1.0}
        assert 110 < 200 * person["scale_provided"] < 400


def test_several_people_of_one_image(people):
    images = [person["img_paths"] for person in people]
    shared = [person for person in people if images.count(person["img_paths"]) > 1]
    assert shared
    assert {person["people_index"] for person in shared} == {1.0, 2.0}
    assert all(person["numOtherPeople"] == 1 for person in shared)
    first, second = shared[:2]
    assert first["joint_others"] == second["joint_self"]
    assert first["annolist_index"] == second["annolist_index"]


def test_images_are_as_annotated(folder, people):
    for person in people:
        picture = cv2.imread(str(folder / "images" / person["img_paths"]))
        assert picture.shape == (person["img_height"], person["img_width"], 3)
        assert picture.shape[0] != picture.shape[1]
        assert 256 <= min(picture.shape[:2]) <= max(picture.shape[:2]) <= 401
        assert picture.std() > 10


def test_annotations_are_the_one_based_projection_of_the_3d_pose(folder, people):
    poses = np.load(folder / "poses_3d.npz")
    assert poses["joints_3d_camera_mm"].shape == (len(people), 17, 3)
    joints = np.array([person["joint_self"] for person in people])
    size = np.array([[person["img_width"], person["img_height"]] for person in people])[:, None]
    for points, expected in (
        (poses["joints_3d_camera_mm_mpii"], joints[..., :2] - 1),
        (poses["joints_3d_camera_mm"], poses["joints_2d"]),
    ):
        pixels = points[..., :2] / points[..., 2:] * poses["focal"][:, None] + poses["centre"][:, None]
        inside = np.all((pixels >= -0.5) & (pixels < size - 0.5), axis=-1)
        assert inside.mean() > 0.8
        assert np.abs(pixels - expected)[inside].max() < 0.01
        if points.shape[1] == len(MPII):
            assert np.all(joints[~inside] == 0)
            assert np.all(np.any(joints[inside] != 0, axis=-1))


def test_world_pose_from_the_camera(folder):
    """R (P - T) undone: feet near the floor, head above them."""
    poses = np.load(folder / "poses_3d.npz")
    points, rotation = poses["joints_3d_camera_mm_mpii"], poses["camera_rotation"]
    world = np.einsum("nba,njb->nja", rotation, points) + poses["camera_position"][:, None]
    ankles = world[:, MPII.indices(["r_ankle", "l_ankle"]), 2]
    assert np.all((ankles.min(1) > 20) & (ankles.min(1) < 250))
    assert np.all(world[:, MPII.index("head_top"), 2] > 700)


def test_detections_file(folder, people):
    found = scipy.io.loadmat(folder / "detections_our_format.mat")
    joints = np.array([person["joint_self"] for person in people if person["isValidation"]])
    assert found["jnt_missing"].shape == (16, VALIDATION)
    assert found["pos_gt_src"].shape == (16, 2, VALIDATION)
    assert found["headboxes_src"].shape == (2, 2, VALIDATION)
    np.testing.assert_array_equal(found["jnt_missing"].T.astype(bool), np.all(joints == 0, axis=-1))
    np.testing.assert_array_equal(found["pos_gt_src"], joints[..., :2].transpose(1, 2, 0))
    names = [str(name[0]) for name in found["dataset_joints"][0]]
    assert names[0] == "rank"
    assert names[MPII.index("head_top")] == "head"
    assert names[MPII.index("l_wrist")] == "lwri"


def test_head_boxes_hold_heads_and_have_mpiis_proportion(tmp_path):
    make_mpii(tmp_path / "mpii", training=0, validation=12, seed=5)
    found = scipy.io.loadmat(tmp_path / "mpii" / "detections_our_format.mat")
    low, high = found["headboxes_src"]
    top, neck = (found["pos_gt_src"][MPII.index(name)] for name in ("head_top", "upper_neck"))
    present = ~found["jnt_missing"][MPII.indices(["head_top", "upper_neck"])].any(0)
    length = np.linalg.norm(top - neck, axis=0)
    middle = (top + neck) / 2
    assert np.all(((low < middle) & (middle < high))[:, present])
    ratio = 0.6 * np.linalg.norm(high - low, axis=0)[present] / length[present]
    assert 0.7 < np.median(ratio) < 0.8


def test_same_bytes_again_with_two_processes(folder, tmp_path):
    make_mpii(tmp_path / "again", training=TRAINING, validation=VALIDATION, seed=0, workers=2)
    assert digests(tmp_path / "again") == digests(folder)


def test_another_seed_is_other_data(folder, tmp_path):
    make_mpii(tmp_path / "other", training=1, validation=0, seed=1)
    assert digests(tmp_path / "other")["images/00001.jpg"] != digests(folder)["images/00001.jpg"]


@pytest.fixture
def small(monkeypatch):
    """`ensure_sample("mpii")` makes three people, in this process; counts how often."""
    calls = []

    def make(folder, training, validation, seed, workers):
        calls.append(folder)
        make_mpii(folder, training, validation, seed, workers=1)

    monkeypatch.setitem(MAKERS, "mpii", SampleMaker(make, version=7, training=2, validation=1))
    return calls


def test_made_once(small, tmp_path, capsys):
    folder = ensure_sample("mpii", tmp_path / "data")
    assert folder == tmp_path / "data" / "mpii"
    assert (folder / "mpii_annotations.json").is_file()
    assert capsys.readouterr().out.count("\n") == 1
    ensure_sample("mpii", tmp_path / "data")
    assert len(small) == 1
    assert capsys.readouterr().out == ""
    assert {path.name for path in folder.parent.iterdir()} == {"mpii", ".mpii.lock"}


def test_another_version_is_replaced(small, tmp_path):
    folder = ensure_sample("mpii", tmp_path)
    (folder / sample_data.MARKER).write_text('{"version": 6}')
    (folder / "stale").touch()
    ensure_sample("mpii", tmp_path)
    assert len(small) == 2
    assert not (folder / "stale").exists()


def test_a_failure_leaves_nothing(monkeypatch, tmp_path):
    def half(folder, *args, **kwargs):
        make_mpii(folder, 1, 0)
        raise KeyboardInterrupt

    monkeypatch.setitem(MAKERS, "mpii", SampleMaker(half, version=7, training=2, validation=1))
    with pytest.raises(KeyboardInterrupt):
        ensure_sample("mpii", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".mpii.lock"}


def test_leftovers_of_a_killed_run_are_removed(small, tmp_path):
    (tmp_path / ".mpii.abc.making" / "new").mkdir(parents=True)
    ensure_sample("mpii", tmp_path)
    assert not (tmp_path / ".mpii.abc.making").exists()


def test_several_processes_at_once(small, tmp_path):
    context = multiprocessing.get_context("fork")  # the children inherit the small maker
    children = [context.Process(target=ensure_sample, args=("mpii", tmp_path)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert json.loads((tmp_path / "mpii" / sample_data.MARKER).read_text())["version"] == 7
    assert {path.name for path in tmp_path.iterdir()} == {"mpii", ".mpii.lock"}


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no sample data called 'hands'.*mpii"):
        ensure_sample("hands", tmp_path)
    (tmp_path / "mpii").mkdir()
    with pytest.raises(UserError, match="exists but is not generated sample data"):
        ensure_sample("mpii", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write sample data"):
        ensure_sample("mpii", tmp_path / "file")

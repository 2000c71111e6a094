"""MPII's annotation files: forms, coordinates, crops, head sizes, and every kind of broken input."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from stacked_hourglass.annotations.mpii import load_mpii, require_photos
from stacked_hourglass.annotations.people import People
from utils.osutils import UserError
from utils.transform import MPII

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def person(image="a.jpg", validation=0, joints=None, **changes):
    """An entry of mpii_annotations.json; joints is {name: [x, y, visible]}, the rest is not annotated."""
    marked = [[0.0, 0.0, 0.0] for _ in MPII.joints]
    for name, values in (joints if joints is not None else {"r_knee": [11.0, 21.0, 1.0]}).items():
        marked[MPII.index(name)] = values
    entry = {"img_paths": image, "isValidation": validation, "objpos": [51.0, 61.0], "scale_provided": 2.0}
    return entry | {"joint_self": marked} | changes


def simple_person(image="a.jpg", **changes):
    """An entry of the Simple Baselines form, every joint at (7, 9) and annotated."""
    entry = {"image": image, "center": [51.0, 61.0], "scale": 2.0, "joints": [[7.0, 9.0]] * 16, "joints_vis": [1] * 16}
    return entry | changes


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(content).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def folder(tmp_path):
    """A data folder with photos a.jpg and b.jpg (never decoded here) and no annotations."""
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).touch()
    return tmp_path


def refusal(folder, *parts):
    with pytest.raises(UserError) as caught:
        load_mpii(folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


@pytest.mark.parametrize("name", ["mpii_annotations.json", "mpii_annotations.json.gz", "annot/mpii_annotations.json"])
def test_release_form_by_hand(folder, name):
    joints = {"r_knee": [11.0, 21.0, 0.0], "l_knee": [0.0, 5.0, 1.0], "head_top": [4.0, 5.0, 1.0]}
    write(folder / name, [person("a.jpg", 1, joints), person("b.jpg"), person("a.jpg", 1.0)])
    training, validation = load_mpii(folder)
    assert (len(training), len(validation)) == (1, 2)
    assert validation.image_paths == [folder / "images" / "a.jpg"] * 2
    assert validation.source == (folder / name,)
    knee, other_knee, head = MPII.indices(["r_knee", "l_knee", "head_top"])
    np.testing.assert_array_equal(validation.joints[0, [knee, other_knee]], [[10, 20], [-1, 4]])  # zero-based
    assert np.flatnonzero(validation.annotated[0]).tolist() == sorted([knee, other_knee, head])
    assert np.flatnonzero(validation.visible[0]).tolist() == sorted([other_knee, head])
    np.testing.assert_array_equal(validation.center[0], [50, 60 + 15 * 2])
    assert validation.side.tolist() == [500.0, 500.0]  # 1.25 × 200 × 2
    assert {a.dtype.name for a in (training.joints, training.center, training.side, training.head_size)} == {"float32"}


@pytest.mark.parametrize("subfolder", ["", "annot"])
def test_simple_baselines_form(folder, subfolder):
    flags = [0, 1] + [1] * 14
    write(folder / subfolder / "train.json", [simple_person("b.jpg")])
    write(folder / subfolder / "valid.json", [simple_person(joints_vis=flags), simple_person()])
    training, validation = load_mpii(folder)
    assert (len(training), len(validation)) == (1, 2)
    assert validation.annotated[0].tolist() == [bool(flag) for flag in flags]  # although (7, 9) is not (0, 0)
    np.testing.assert_array_equal(validation.visible, validation.annotated)
    np.testing.assert_array_equal(validation.joints[0, 1], [6, 8])
    np.testing.assert_array_equal(validation.center[0], [50, 90])


def test_a_file_without_split_serves_as_both(folder, capsys):
    write(folder / "annotations.json", [simple_person("b.jpg"), simple_person()])
    training, validation = load_mpii(folder)
    assert training.image_paths == validation.image_paths
    assert len(validation) == 2
    assert capsys.readouterr().err.count("no split") == 1


def test_root_key_and_single_release_form_beat_the_pair(folder):
    write(folder / "mpii_annotations.json", {"root": [person("a.jpg", 1)]})
    write(folder / "train.json", [simple_person()])
    training, validation = load_mpii(folder)
    assert (len(training), len(validation)) == (0, 1)


def test_head_sizes_from_boxes_and_from_the_neck(folder, capsys):
    head = {"upper_neck": [10.0, 50.0, 1.0], "head_top": [10.0, 10.0, 0.0]}  # 40 px apart
    write(folder / "mpii_annotations.json", [person(), person(joints=head), person("b.jpg", 1, head)])
    training, validation = load_mpii(folder)
    np.testing.assert_array_equal(training.head_size, np.float32([np.nan, 30]))
    assert validation.head_size.tolist() == [30.0]
    assert capsys.readouterr().err.count("approximated") == 1

    box = np.array([[[1.0], [1.0]], [[31.0], [41.0]]])  # corners × xy × people: diagonal 50
    savemat(folder / "gt_valid.mat", {"headboxes_src": box})
    training, validation = load_mpii(folder)
    np.testing.assert_allclose(validation.head_size, [30.0])
    assert training.head_size[1] == 30.0
    assert validation.source[-1] == folder / "gt_valid.mat"
    assert capsys.readouterr().err == ""

    savemat(folder / "detections_our_format.mat", {"headboxes_src": np.zeros((2, 2, 3))})
    refusal(folder, "3 people", "1 validation people")
    (folder / "detections_our_format.mat").write_bytes(b"MATLAB 5.0")
    refusal(folder, "headboxes_src")


def test_unusable_training_people_are_dropped_and_counted(folder, capsys):
    people = [person(joints={}), person("gone.jpg"), person("b.jpg"), person(joints={})]
    write(folder / "mpii_annotations.json", people + [entry | {"isValidation": 1} for entry in people])
    training, validation = load_mpii(folder)
    assert [path.name for path in training.image_paths] == ["b.jpg"]
    assert len(validation) == 4  # predictions are matched by position
    errors = capsys.readouterr().err
    assert "1 of 4 training people dropped: their photos" in errors
    assert "2 of 4 training people dropped: no joint" in errors
    assert "1 of 4 validation people have no photo" in errors


def test_no_photo_at_all(folder):
    write(folder / "mpii_annotations.json", [person("gone.jpg", 1), person("gone.jpg")])
    refusal(folder, "none of the photos", "gone.jpg")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"scale_provided": 0.0}, ["scale_provided", "above 0"]),
        ({"scale_provided": -2.0}, ["scale_provided", "above 0"]),
        ({"scale_provided": float("nan")}, ["scale_provided", "one finite number"]),
        ({"scale_provided": [2.0]}, ["scale_provided", "one finite number"]),
        ({"scale_provided": 1e300}, ["scale_provided", "one finite number"]),  # beyond float32
        ({"scale_provided": int("9" * 400)}, ["scale_provided", "one finite number"]),
        ({"objpos": [1.0]}, ["objpos", "2 finite numbers"]),
        ({"objpos": None}, ["objpos"]),
        ({"objpos": [1.0, float("inf")]}, ["objpos"]),
        ({"joint_self": [[1.0, 2.0, 1.0]] * 15}, ["joint_self", "16 × 3"]),
        ({"joint_self": [[1.0, 2.0]] * 16}, ["joint_self", "16 × 3"]),
        ({"joint_self": "none"}, ["joint_self"]),
        ({"joint_self": {"a": 1}}, ["joint_self"]),
        ({"img_paths": 7}, ["img_paths"]),
        ({"img_paths": ""}, ["img_paths"]),
    ],
)
def test_a_broken_entry_is_named(folder, changes, parts):
    write(folder / "mpii_annotations.json", [person(), person("b.jpg", 1, **changes)])
    refusal(folder, "entry 1 (from 0)", *parts)


@pytest.mark.parametrize("key", ["img_paths", "objpos", "scale_provided", "joint_self", "isValidation"])
def test_a_missing_key_is_named(folder, key):
    broken = person("b.jpg", 1)
    del broken[key]
    write(folder / "mpii_annotations.json", [person(validation=1), person(), broken])
    refusal(folder, "entry 2 (from 0)", key, "missing")


def test_simple_form_without_position(folder):
    write(folder / "annotations.json", [simple_person(), simple_person(center=[-1.0, -1.0], scale=-1.0)])
    refusal(folder, "entry 1 (from 0)", "center is -1")


@pytest.mark.parametrize("content", [[], {}, "text", 7, [1], {"root": []}])
def test_json_that_is_not_a_list_of_people(folder, content):
    write(folder / "mpii_annotations.json", content)
    refusal(folder, "mpii_annotations.json", "expected")


@pytest.mark.parametrize("name", ["mpii_annotations.json", "mpii_annotations.json.gz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_truncated_file(folder, name, share):
    write(folder / name, [person(), person("b.jpg", 1)])
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(share * len(data))])
    refusal(folder, name, "JSON")


def test_no_validation_people(folder):
    write(folder / "mpii_annotations.json", [person()])
    refusal(folder, "isValidation")


def test_missing_folder_and_files(folder, tmp_path):
    refusal(tmp_path / "nowhere", "nowhere", "--data_dir sample", "mpii_annotations.json")
    refusal(folder, "no annotations", "train.json")
    write(folder / "train.json", [simple_person()])
    refusal(folder, "has train.json but no valid.json")
    (folder / "mpii_human_pose_v1_u12_2").mkdir()
    (folder / "mpii_human_pose_v1_u12_2" / "mpii_human_pose_v1_u12_1.mat").touch()
    refusal(folder, "python scripts/convert_mpii.py", "mpii_human_pose_v1_u12_1.mat", f"--output_dir {folder}")


def test_missing_or_empty_image_folder(tmp_path):
    write(tmp_path / "mpii_annotations.json", [person(validation=1)])
    refusal(tmp_path, "images does not exist", "mpii_human_pose_v1.tar.gz", "--data_dir sample")
    (tmp_path / "images").mkdir()
    refusal(tmp_path, "images is empty", "mpii_human_pose_v1.tar.gz")


def test_images_as_a_link_or_as_gits_text_file_of_a_link(folder):
    (folder / "images").rename(folder / "photos")
    write(folder / "mpii_annotations.json", [person(validation=1)])
    (folder / "images").write_text("photos\n")
    assert load_mpii(folder)[1].image_paths[0].is_file()
    (folder / "images").write_text("elsewhere")
    refusal(folder, "images does not exist")
    (folder / "images").unlink()
    (folder / "images").symlink_to("photos")
    assert load_mpii(folder)[1].image_paths[0].is_file()


def test_default_folder_finds_the_images_of_the_hourglass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = Path("stacked_hourglass/data/mpii/images")
    images.mkdir(parents=True)
    (images / "a.jpg").touch()
    write(Path("data/mpii/mpii_annotations.json"), [person(validation=1)])
    assert load_mpii("data/mpii")[1].image_paths == [images / "a.jpg"]
    Path("data/mpii/mpii_annotations.json").rename(images.parent / "mpii_annotations.json")
    Path("data/mpii").rmdir()
    assert len(load_mpii("data/mpii")[1]) == 1


def people_of(count):
    rows = np.arange(count, dtype=np.float32)
    joints = np.broadcast_to(rows[:, None, None], (count, len(MPII), 2)).astype(np.float32)
    flags = np.ones((count, len(MPII)), bool)
    paths = [Path(f"{i}.jpg") for i in range(count)]
    return People(MPII, paths, joints, flags, flags, joints[:, 0], rows, rows, (Path("x"),))


@given(st.integers(0, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, max(n - 1, 0)), max_size=n))))
def test_select_keeps_all_fields_together(case):
    count, indices = case
    chosen = people_of(count).select(indices)
    assert len(chosen) == len(indices)
    assert [int(path.stem) for path in chosen.image_paths] == indices
    for values in (chosen.joints[:, 0, 0], chosen.center[:, 0], chosen.side, chosen.head_size):
        assert values.astype(int).tolist() == indices


def test_select_by_flags_and_first_joints():
    people = people_of(3).select(np.array([True, False, True]))
    assert [path.name for path in people.image_paths] == ["0.jpg", "2.jpg"]
    fewer = people.first_joints(6)
    assert fewer.joints.shape == (2, 6, 2)
    assert fewer.annotated.shape == fewer.visible.shape == (2, 6)
    assert fewer.skeleton.joints == MPII.joints[:6]
    with pytest.raises(UserError, match="--num_classes 5"):
        people.first_joints(5)


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip("../shared/data is not here")
    return SHARED / name


@pytest.mark.long  # reads 25,204 people
def test_real_annotations_agree_with_those_of_the_simple_baselines(tmp_path, capsys):
    """All of MPII's annotations with the five available photos: the same five people in both forms."""
    real, sample = shared("mpii"), shared("mpii/mmpose_sample")
    for name in ("mpii_annotations.json.gz", "detections_our_format.mat"):
        (tmp_path / name).symlink_to(real / name)
    (tmp_path / "images").symlink_to(sample / "images")
    training, validation = load_mpii(tmp_path)
    assert (len(training), len(validation)) == (0, 2958)
    assert "22246 of 22246 training people dropped" in capsys.readouterr().err
    assert np.isfinite(validation.head_size).all()

    _, five = load_mpii(sample)
    assert len(five) == 5
    for i, path in enumerate(five.image_paths):
        candidates = [k for k, other in enumerate(validation.image_paths) if other.name == path.name]
        k = min(candidates, key=lambda k: np.abs(validation.center[k] - five.center[i]).max())
        np.testing.assert_array_equal(validation.annotated[k], five.annotated[i])
        marked = five.annotated[i]
        np.testing.assert_allclose(validation.joints[k, marked], five.joints[i, marked], atol=6e-4)  # 3 decimals
        np.testing.assert_allclose(validation.center[k], five.center[i], atol=0.01)
        np.testing.assert_allclose(validation.side[k], five.side[i], atol=0.15)  # scale has 3 decimals: × 250
        # The box of the head against the distance from neck to head top.
        np.testing.assert_allclose(validation.head_size[k], five.head_size[i], rtol=0.01)


def test_lspet_as_mpii_is_whole():
    training, validation = load_mpii(shared("lspet_as_mpii"))
    assert (len(training), len(validation)) == (5600, 400)
    assert validation.annotated.all()
    assert all(path.is_file() for path in validation.image_paths[:3])
    for people in (training, validation):
        inside = np.abs(people.joints - people.center[:, None]).max(axis=-1) <= 0.78 * people.side[:, None] / 2
        assert inside[people.annotated].all()


def test_photos_that_do_not_exist_are_refused_and_so_is_the_default_folder(tmp_path):
    for good in (tmp_path, "0"):
        require_photos(good)
    with pytest.raises(UserError, match="^--data_dir .*/nope: no such file or folder"):
        require_photos(tmp_path / "nope")
    default = tmp_path / "data" / "mpii"
    with pytest.raises(UserError, match="--data_dir sample, which needs no download"):
        require_photos(default)
    (tmp_path / "stacked_hourglass" / "data" / "mpii").mkdir(parents=True)
    require_photos(default)

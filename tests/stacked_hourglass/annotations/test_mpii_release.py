"""The converter of the official MPII file, on small files with the official nesting and its irregularities."""

import json

import h5py
import numpy as np
import pytest
from command_line import call_script, files, load_script
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.mpii_release import _number, convert_release, write_converted
from utils.osutils import UserError
from utils.transform import MPII

CONVERTER = load_script("scripts", "convert_mpii")
EMPTY = np.zeros((0, 0))


def structs(*dicts):
    """A MATLAB 1 × n struct array; a field that one of them lacks is [] there, as in MATLAB."""
    keys = list(dict.fromkeys(key for entry in dicts for key in entry))
    array = np.empty((1, len(dicts)), dtype=[(key, object) for key in keys])
    for i, entry in enumerate(dicts):
        array[0, i] = tuple(entry.get(key, EMPTY) for key in keys)
    return array


def points(joints):
    """annopoints of {name: (x, y) or (x, y, is_visible)}."""
    rows = []
    for name, values in joints.items():
        flag = {"is_visible": values[2]} if len(values) > 2 else {}
        rows.append({"x": float(values[0]), "y": float(values[1]), "id": float(MPII.index(name))} | flag)
    return structs({"point": structs(*rows)})


def rectangle(joints, position=(50.0, 60.0), scale=2.0, head=(1.0, 2.0, 31.0, 42.0)):
    corners = dict(zip(("x1", "y1", "x2", "y2"), head, strict=True))
    objpos = structs(dict(zip("xy", position, strict=True)))
    return corners | {"annopoints": points(joints), "objpos": objpos, "scale": scale}


HEAD_ONLY = {"x1": 5.0, "y1": 5.0, "x2": 9.0, "y2": 9.0}
KNEE = {"r_knee": (11, 21, 1.0)}


def release(path, images):
    """images: (name, is training image, rectangles or None) each."""
    annolist = []
    for name, _, rectangles in images:
        annorect = {} if rectangles is None else {"annorect": structs(*rectangles) if rectangles else EMPTY}
        annolist.append({"image": structs({"name": name})} | annorect)
    singles = np.empty((len(images), 1), dtype=object)
    for i in range(len(images)):
        singles[i, 0] = np.array([[1.0]]) if i % 2 else EMPTY
    train = np.array([[int(training) for _, training, _ in images]], dtype=np.uint8)
    savemat(path, {"RELEASE": structs({"annolist": structs(*annolist), "img_train": train, "single_person": singles})})
    return path


@pytest.fixture
def official(tmp_path):
    """Six images: one person, three people (one without joints), no annorect, a test image, and two more."""
    full = {name: (100.0 + 3 * j, 200.0 + 2 * j, float(j % 2)) for j, name in enumerate(MPII.joints)}
    full["upper_neck"], full["head_top"] = (10.5, 50.25), (10.5, 10.25)  # never with is_visible
    return release(
        tmp_path / "mpii_human_pose_v1_u12_1.mat",
        [
            ("one.jpg", 1, [rectangle(full, (300.0, 310.0), 3.021)]),
            (
                "three.jpg",
                1,
                [
                    rectangle({"r_knee": (11, 21, "0"), "l_knee": (12, 22, "1"), "r_hip": (13, 23, "")}),
                    HEAD_ONLY,
                    rectangle({"l_hip": (31, 32, EMPTY), "r_wrist": (0.0, 33, 0.0)}, (90.0, 95.0), 1.5),
                ],
            ),
            ("empty.jpg", 1, []),
            ("test.jpg", 0, [HEAD_ONLY | {"objpos": structs({"x": 1.0, "y": 2.0}), "scale": 1.0}]),
            ("two.jpg", 1, [rectangle(KNEE, (400.0, 100.0)), rectangle({"l_ankle": (7, 8, 1.0)}, (430.0, 100.0))]),
            ("incomplete.jpg", 1, [{"annopoints": points(KNEE)} | HEAD_ONLY]),
        ],
    )


def identity(entry):
    return entry["img_paths"], entry["annolist_index"], entry["people_index"]


def split_file(path, content):
    path.write_text(json.dumps(content))
    return path


def reference(entry, **changes):
    keys = ("img_paths", "objpos", "annolist_index", "people_index")
    return {key: entry[key] for key in keys} | {"isValidation": 1.0} | changes


@pytest.fixture
def entries(official, tmp_path):
    """All five people; the two of two.jpg are validation."""
    chosen = [
        {"img_paths": "two.jpg", "objpos": [430, 100], "isValidation": 1},
        {"img_paths": "two.jpg", "objpos": [400, 100], "isValidation": 1},
        {"img_paths": "one.jpg", "objpos": [300, 310], "isValidation": 0},
    ]
    return convert_release(official, split_file(tmp_path / "split.json", chosen))


def test_people_kept_and_their_order(capsys, entries):
    assert [identity(entry) for entry in entries] == [
        ("one.jpg", 1, 1),
        ("three.jpg", 2, 1),
        ("three.jpg", 2, 3),
        ("two.jpg", 5, 2),
        ("two.jpg", 5, 1),
    ]
    assert [entry["isValidation"] for entry in entries] == [0, 0, 0, 1, 1]
    assert "1 people dropped: they have joints but no position" in capsys.readouterr().err


def test_fields_by_hand(entries):
    one, first, third = entries[:3]
    assert one["objpos"] == [300.0, 310.0]
    assert one["scale_provided"] == 3.021
    assert one["head_box"] == [1.0, 2.0, 31.0, 42.0]
    assert one["joint_self"][MPII.index("upper_neck")] == [10.5, 50.25, 1.0]  # one-based, as on file
    assert [row[2] for row in one["joint_self"][:6]] == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert (one["numOtherPeople"], one["joint_others"]) == (0, [])

    marked = {name: first["joint_self"][MPII.index(name)] for name in ("r_knee", "l_knee", "r_hip", "l_hip")}
    assert marked == {"r_knee": [11, 21, 0], "l_knee": [12, 22, 1], "r_hip": [13, 23, 1], "l_hip": [0, 0, 0]}
    assert first["numOtherPeople"] == 1
    assert first["joint_others"] == [third["joint_self"]]
    assert first["objpos_other"] == [third["objpos"]]
    assert first["scale_provided_other"] == [1.5]
    assert third["joint_self"][MPII.index("l_hip")] == [31, 32, 1]
    assert third["joint_self"][MPII.index("r_wrist")] == [0, 33, 0]


def test_round_trip_through_the_reader(entries, tmp_path, capsys):
    json_path, boxes_path = write_converted(entries, tmp_path / "mpii")
    (tmp_path / "mpii" / "images").mkdir()
    for name in ("one.jpg", "three.jpg", "two.jpg"):
        (tmp_path / "mpii" / "images" / name).touch()
    capsys.readouterr()
    training, validation = load_mpii(tmp_path / "mpii")
    assert capsys.readouterr().err == ""
    assert (len(training), len(validation)) == (3, 2)
    assert validation.source == (json_path, boxes_path)
    np.testing.assert_allclose(validation.head_size, 0.6 * 50)  # the box is 30 × 40
    np.testing.assert_array_equal(validation.center, [[429, 99 + 30], [399, 99 + 30]])
    neck, wrist = MPII.indices(["upper_neck", "r_wrist"])
    np.testing.assert_array_equal(training.joints[0, neck], [9.5, 49.25])
    assert training.annotated.sum(axis=1).tolist() == [16, 3, 2]
    assert training.annotated[2, wrist]
    assert not training.visible[2, wrist]

    boxes = loadmat(boxes_path)
    assert boxes["jnt_missing"].shape == (16, 2)
    assert boxes["pos_gt_src"].shape == (16, 2, 2)
    assert boxes["pos_gt_src"][MPII.index("r_knee"), :, 1].tolist() == [11, 21]
    assert boxes["jnt_missing"].sum(axis=0).tolist() == [15, 15]
    assert boxes["headboxes_src"][:, :, 0].tolist() == [[1, 2], [31, 42]]
    codes = [str(code[0]) for code in boxes["dataset_joints"][0]]
    assert " ".join(codes) == "rank rkne rhip lhip lkne lank pelv thor neck head rwri relb rsho lsho lelb lwri"


def test_a_person_without_a_head_rectangle(tmp_path):
    bare = {key: value for key, value in rectangle(KNEE).items() if key not in ("x1", "y1", "x2", "y2")}
    path = release(tmp_path / "release.mat", [("a.jpg", 1, [bare])])
    split = split_file(tmp_path / "valid.json", [{"image": "a.jpg", "center": [50.0, 60.0]}])
    _, boxes = write_converted(convert_release(path, split), tmp_path)
    assert np.isnan(loadmat(boxes)["headboxes_src"]).all()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    assert np.isnan(load_mpii(tmp_path)[1].head_size).tolist() == [True]


def test_a_split_with_damaged_numbers_is_refused(official, tmp_path):
    """Found by the mutation harness."""
    index = {"RELEASE_img_index": np.array([np.inf, 1.0]), "RELEASE_person_index": np.array([1.0, 1.0])}
    huge = split_file(tmp_path / "huge.json", [{"image": "a.jpg", "center": [10**400, 60.0]}])
    savemat(tmp_path / "infinite.mat", index)
    savemat(tmp_path / "unequal.mat", index | {"RELEASE_person_index": np.ones(3)})
    with h5py.File(tmp_path / "scalar.h5", "w") as file:
        file["imgname"], file["center"] = 1.0, np.ones((2, 2))
    for path, fault in {
        huge: "every entry needs image and center",
        tmp_path / "infinite.mat": r"person 0 \(from 0\) is not among",
        tmp_path / "unequal.mat": "RELEASE_img_index and RELEASE_person_index are not equally many numbers",
        tmp_path / "scalar.h5": "1 image names and 2 positions",
    }.items():
        with pytest.raises(UserError, match=f"--split_from {path}: {fault}"):
            convert_release(official, path)


def write_split(kind, chosen, path):
    """The people of `chosen`, in that order, in one of the forms that --split_from reads."""
    names = [entry["img_paths"] for entry in chosen]
    centers = np.array([entry["objpos"] for entry in chosen])
    shifted = centers + [[0, 15 * entry["scale_provided"]] for entry in chosen]
    if kind == "release json":
        split_file(path.with_suffix(".json"), [reference(entry) for entry in chosen])
        return path.with_suffix(".json")
    if kind == "simple json":
        split_file(
            path.with_suffix(".json"),
            [{"image": n, "center": c.tolist()} for n, c in zip(names, centers, strict=True)],
        )
        return path.with_suffix(".json")
    if kind == "index mat":
        keys = ("annolist_index", "people_index")
        images, people = (np.array([[entry[key] for entry in chosen]]) for key in keys)
        savemat(path.with_suffix(".mat"), {"RELEASE_img_index": images, "RELEASE_person_index": people})
        return path.with_suffix(".mat")
    if kind == "joints mat":
        joints = np.array([entry["joint_self"] for entry in chosen])[..., :2].transpose(1, 2, 0)
        savemat(path.with_suffix(".mat"), {"pos_gt_src": joints + 1e-5 * (joints != 0)})
        return path.with_suffix(".mat")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        if kind == "coded h5":
            width = max(map(len, names)) + 2
            file["imgname"] = [[ord(c) for c in name.ljust(width, "\0")] for name in names]
        else:
            file["imgname"] = names
        file["center"] = np.floor(shifted)
    return path.with_suffix(".h5")


SPLIT_KINDS = ("release json", "simple json", "index mat", "joints mat", "named h5", "coded h5")


@pytest.mark.parametrize("kind", SPLIT_KINDS)
@pytest.mark.parametrize("order", [[0], [4, 2], [2, 0, 1]])
def test_every_form_of_split_gives_its_people_in_its_order(official, entries, tmp_path, capsys, kind, order):
    capsys.readouterr()
    chosen = [entries[i] for i in order]
    result = convert_release(official, write_split(kind, chosen, tmp_path / "listed"))
    validation = [entry for entry in result if entry["isValidation"]]
    assert [identity(entry) for entry in validation] == [identity(entry) for entry in chosen]
    training_images = {entry["img_paths"] for entry in result if not entry["isValidation"]}
    assert not training_images & {entry["img_paths"] for entry in validation}
    beside = len(entries) - len(result)
    warned = f"{beside} people dropped: they share an image with validation people" in capsys.readouterr().err
    assert warned == (beside > 0)


def test_joints_match_despite_wrong_coordinates(official, entries, tmp_path):
    """A few coordinates of the published ground truth are 0; most joints decide."""
    joints = np.array(entries[0]["joint_self"])[None, :, :2].transpose(1, 2, 0)
    joints[:3, 0] = 0
    savemat(tmp_path / "split.mat", {"pos_gt_src": joints})
    result = convert_release(official, tmp_path / "split.mat")
    assert [entry["img_paths"] for entry in result if entry["isValidation"]] == ["one.jpg"]


def test_hash_split_is_by_image_and_stable(tmp_path, capsys):
    images = [(f"{i:09d}.jpg", 1, [rectangle(KNEE), rectangle(KNEE, (90.0, 95.0))]) for i in range(200)]
    path = release(tmp_path / "release.mat", images)
    result = convert_release(path)
    assert capsys.readouterr().err.count("not comparable") == 1
    validation = {entry["img_paths"] for entry in result if entry["isValidation"]}
    assert validation.isdisjoint(entry["img_paths"] for entry in result if not entry["isValidation"])
    assert len(result) == 400
    assert 10 <= len(validation) <= 40  # 12 % of 200, within four deviations
    fewer = convert_release(release(tmp_path / "fewer.mat", images[:100]))
    assert {entry["img_paths"] for entry in fewer if entry["isValidation"]} == validation & {i[0] for i in images[:100]}


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_in_every_disguise(value):
    expected = value if np.isfinite(value) else None
    for disguise in (value, np.float64(value), np.array([[value]]), str(value), np.array([str(value)])):
        assert _number(disguise) == expected
    for nothing in ("", "x", None, np.array([]), np.array([], dtype="<U1"), np.array([value, value])):
        assert _number(nothing) is None


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ([{"image": "unknown.jpg", "center": [1, 2]}], "person 0"),
        ([{"image": "one.jpg", "center": [300, 310]}, {"image": "one.jpg", "center": [100, 310]}], "person 1"),
        ([{"image": "one.jpg", "center": [300, 310]}] * 2, "more than once"),
        ([{"image": "one.jpg"}], "center"),
        ([{"img_paths": "one.jpg", "objpos": [300], "isValidation": 1}], "objpos"),
        ([{"img_paths": "one.jpg", "objpos": [300, 310], "isValidation": 0}], "no validation people"),
        ("nothing", "expected a list"),
    ],
)
def test_a_split_that_does_not_fit(official, tmp_path, content, part):
    with pytest.raises(UserError, match=part):
        convert_release(official, split_file(tmp_path / "split.json", content))


def test_a_split_file_of_another_kind(official, tmp_path):
    savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    savemat(tmp_path / "short.mat", {"pos_gt_src": np.zeros((14, 2, 3))})
    savemat(tmp_path / "nobody.mat", {"pos_gt_src": np.zeros((16, 2, 3))})
    savemat(tmp_path / "index.mat", {"RELEASE_img_index": [[9]], "RELEASE_person_index": [[1]]})
    (tmp_path / "broken.mat").write_bytes(b"no")
    (tmp_path / "broken.h5").write_bytes(b"no")
    (tmp_path / "split.pkl").write_bytes(b"no")
    with h5py.File(tmp_path / "uneven.h5", "w") as file:
        file["imgname"], file["center"] = ["a.jpg"], np.zeros((2, 2))
    for name, part in (
        ("other.mat", "lists no validation people"),
        ("short.mat", "16 × 2 × people"),
        ("nobody.mat", "person 0"),
        ("index.mat", "person 0"),
        ("broken.mat", "not a readable MATLAB file"),
        ("broken.h5", "no readable imgname"),
        ("uneven.h5", "1 image names and 2 positions"),
        ("split.pkl", "not a file of validation people"),
        ("absent.json", "no such file"),
    ):
        with pytest.raises(UserError, match=part) as caught:
            convert_release(official, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_release_file_of_another_kind(tmp_path):
    path = tmp_path / "release.mat"
    with pytest.raises(UserError, match=r"no such file.*mpii_human_pose_v1_u12_1\.mat"):
        convert_release(path)
    path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(300))
    with pytest.raises(UserError, match="not the official MPII file"):
        convert_release(path)
    savemat(path, {"RELEASE": structs({"version": "12"})})
    with pytest.raises(UserError, match="not the official MPII file"):
        convert_release(path)
    with pytest.raises(UserError, match="no training image has a person"):
        convert_release(release(path, [("a.jpg", 1, None), ("b.jpg", 0, [rectangle(KNEE)])]))


def test_the_script(official, entries, tmp_path):
    split = write_split("simple json", entries[:1], tmp_path / "split")
    result = call_script(CONVERTER, official, "--output-dir", tmp_path / "out", "--split_from", split).succeeded()
    assert "4 training and 1 validation people" in result.out
    assert files(tmp_path / "out") == ["detections_our_format.mat", "mpii_annotations.json"]


def test_bad_input_to_the_script_is_one_line_and_status_2(official, tmp_path):
    (tmp_path / "file").touch()
    split = split_file(tmp_path / "split.json", [{"image": "one.jpg", "center": [300, 310]}])
    for arguments, part in (
        ([tmp_path / "absent.mat", "--output_dir", tmp_path / "none"], "absent.mat"),
        ([official, "--split_from", tmp_path / "absent.json"], "absent.json"),
        ([official, "--output_dir", tmp_path / "file", "--split_from", split], "file"),
        ([official, "--no_such_option"], "no_such_option"),
        ([], "release"),
    ):
        result = call_script(CONVERTER, *arguments)
        assert result.status == 2
        [line] = [line for line in result.err.splitlines() if not line.startswith("warning:")]
        assert part in line
    assert not (tmp_path / "none").exists()

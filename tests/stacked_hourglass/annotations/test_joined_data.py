"""Several folders as one training set: joints by name, midpoints, and photos that are left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coco_files import make as make_coco
from coco_files import person
from hypothesis import given
from hypothesis import strategies as st
from lsp_files import make as make_lsp

from stacked_hourglass.annotations.joined import in_skeleton, load_joined, load_training
from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from utils.osutils import UserError
from utils.transform import COCO, LSP, MPII

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def make_people(skeleton, count=1):
    """Joint j of person n is at (100 n + j, 10 j); all annotated, visible but for the right hip."""
    j, n = np.meshgrid(np.arange(len(skeleton)), np.arange(count))
    joints = np.stack([100 * n + j, 10 * j], axis=-1).astype(np.float32)
    annotated = np.ones(j.shape, bool)
    visible = annotated.copy()
    visible[:, skeleton.index("r_hip")] = False
    return People(
        skeleton, [Path(f"{i}.jpg") for i in range(count)], joints, annotated, visible,
        np.zeros((count, 2), np.float32), np.ones(count, np.float32), np.full(count, np.nan, np.float32), (),
    )  # fmt: skip


def make_mpii(folder, training, validation):
    """An MPII folder; names of the photos of the training and validation people."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries = []
    for split, names in enumerate((training, validation)):
        for name in names:
            (folder / "images" / name).touch()
            entries.append({
                "img_paths": name, "isValidation": float(split), "objpos": [30.0, 40.0], "scale_provided": 1.0,
                "joint_self": [[5.0 + i, 6.0, 1.0] for i in range(16)],
            })  # fmt: skip
    (folder / "mpii_annotations.json").write_text(json.dumps(entries))
    return folder


def test_coco_in_mpii_by_hand():
    coco = make_people(COCO)
    mpii = in_skeleton(coco, MPII)
    assert mpii.skeleton is MPII
    for joint in ("r_ankle", "l_wrist", "r_shoulder"):
        np.testing.assert_array_equal(mpii.joints[0, MPII.index(joint)], coco.joints[0, COCO.index(joint)])
    # COCO's shoulders are 5 and 6, its hips 11 and 12.
    np.testing.assert_array_equal(mpii.joints[0, MPII.indices(["thorax", "pelvis"])], [[5.5, 55], [11.5, 115]])
    assert {MPII.joints[i] for i in np.flatnonzero(~mpii.annotated[0])} == {"upper_neck", "head_top"}
    assert {MPII.joints[i] for i in np.flatnonzero(mpii.annotated[0] & ~mpii.visible[0])} == {"r_hip", "pelvis"}


def test_a_midpoint_needs_both_ends():
    coco = make_people(COCO, 2)
    coco.annotated[1, COCO.index("l_shoulder")] = False
    mpii = in_skeleton(coco, MPII)
    assert mpii.annotated[:, MPII.index("thorax")].tolist() == [True, False]
    assert mpii.annotated[:, MPII.index("pelvis")].tolist() == [True, True]


def test_lsp_and_mpii_share_neck_and_head():
    mpii = in_skeleton(make_people(LSP), MPII)
    assert mpii.annotated.all()
    np.testing.assert_array_equal(mpii.joints[0, MPII.index("upper_neck")], [12, 120])
    lsp = in_skeleton(make_people(MPII), LSP)
    assert lsp.annotated.all()
    np.testing.assert_array_equal(lsp.joints[0, LSP.index("neck")], [8, 80])
    coco = in_skeleton(make_people(MPII), COCO)
    assert coco.annotated.sum() == 12  # eyes, ears and nose are lacking


@given(st.sampled_from([MPII, LSP, COCO]), st.sampled_from([MPII, LSP, COCO]), st.data())
def test_conversion_commutes_with_the_flip(source, target, data):
    people = make_people(source, 3)
    flags = data.draw(st.lists(st.booleans(), min_size=3 * len(source), max_size=3 * len(source)))
    people = replace(people, annotated=np.array(flags).reshape(3, -1))
    order = source.flip_order
    flipped = replace(people, joints=people.joints[:, order], annotated=people.annotated[:, order])
    first, second = in_skeleton(people, target), in_skeleton(flipped, target)
    np.testing.assert_array_equal(first.joints[:, target.flip_order], second.joints)
    np.testing.assert_array_equal(first.annotated[:, target.flip_order], second.annotated)


def test_three_forms_in_one(tmp_path, capsys):
    first = make_mpii(tmp_path / "mpii", ["a.jpg", "b.jpg"], ["v.jpg"])
    (tmp_path / "coco").mkdir()
    coco = make_coco(tmp_path / "coco", training=[person()], validation=[person(2)])
    lsp = make_lsp(tmp_path / "lsp", 4, extended=False)
    more = make_mpii(tmp_path / "more", ["c.jpg"], [])  # nobody to validate on
    training, validation = load_joined([first, coco, lsp, more], load_mpii)
    names = ["a.jpg", "b.jpg", "000000000007.jpg", "im0001.jpg", "im0002.jpg", "c.jpg"]
    assert [path.name for path in training.image_paths] == names
    assert [path.name for path in validation.image_paths] == ["v.jpg"]
    assert training.skeleton is validation.skeleton is MPII
    assert training.annotated.sum(1).tolist() == [16, 16, 14, 16, 16, 16]
    assert len(training.source) == 4
    assert {path.name for path in training.source} == {
        "mpii_annotations.json", "person_keypoints_train2017.json", "joints.mat",
    }  # fmt: skip
    assert np.isfinite(training.side).all()
    lines = [line for line in capsys.readouterr().err.splitlines() if "head sizes" not in line]
    assert lines == []


def test_the_first_folder_decides_the_joints(tmp_path):
    lsp = make_lsp(tmp_path / "lsp", 4, extended=False)
    training, validation = load_joined([lsp, make_mpii(tmp_path / "mpii", ["a.jpg"], ["v.jpg"])], load_lsp)
    assert training.skeleton is LSP
    assert (len(training), len(validation)) == (3, 2)


@pytest.mark.parametrize("linked", ["folder", "photos"])
def test_validation_photos_are_never_trained_on(tmp_path, capsys, linked):
    first = make_mpii(tmp_path / "first", ["a.jpg"], ["v.jpg", "w.jpg"])
    second = make_mpii(tmp_path / "second", ["a.jpg", "v.jpg"], [])
    for path in (second / "images").iterdir():
        path.unlink()
        if linked == "photos":
            path.symlink_to(first / "images" / path.name)
    if linked == "folder":
        (second / "images").rmdir()
        (second / "images").symlink_to(first / "images")
    training, _ = load_joined([first, second], load_mpii)
    assert [path.name for path in training.image_paths] == ["a.jpg", "a.jpg"]
    assert "1 of 3 training people dropped: their photos are validation photos" in capsys.readouterr().err


def test_people_without_a_common_joint_are_left_out(tmp_path, capsys):
    (tmp_path / "coco").mkdir()
    coco = make_coco(tmp_path / "coco", training=[person(1), person(2, joints=5)])  # the head alone
    training, _ = load_joined([make_mpii(tmp_path / "mpii", ["a.jpg"], ["v.jpg"]), coco], load_mpii)
    assert len(training) == 2
    assert f"1 of 2 people of {coco} dropped" in capsys.readouterr().err


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--data_dir .*nowhere: no such folder; give folders in the MPII, LSP or COCO"):
        load_training(tmp_path / "nowhere")


def test_people_of_two_orders_do_not_join():
    with pytest.raises(ValueError, match="people of MPII, LSP; expected one skeleton"):
        make_people(MPII).joined(make_people(LSP))


@pytest.mark.skipif(not (SHARED / "lspet_more_as_mpii").is_dir(), reason="needs the shared data")
def test_real_folders():
    folders = [SHARED / name for name in ("lspet_as_mpii", "lspet_more_as_mpii", "coco_people")]
    training, validation = load_joined(folders, load_mpii)
    assert len(validation) == 400
    assert len(training) > 5600 + 2311 + 100
    assert not {*validation.image_paths} & {*training.image_paths}

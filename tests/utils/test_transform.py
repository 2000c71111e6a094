import numpy as np
import pytest

from utils.osutils import UserError
from utils.transform import (
    COCO,
    EVA,
    H36M,
    H36M_2D,
    H36M_SLOTS,
    LSP,
    MPII,
    SKELETONS,
    Skeleton,
    convert_joints,
    joint_map,
    joint_terms,
    joint_weights,
    made_joints,
)

# The orders of the file formats, spelt out once more from their descriptions.
FORMATS = {
    "MPII": "r_ankle r_knee r_hip l_hip l_knee l_ankle pelvis thorax upper_neck head_top "
    "r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist",
    "LSP": "r_ankle r_knee r_hip l_hip l_knee l_ankle r_wrist r_elbow r_shoulder l_shoulder l_elbow l_wrist "
    "neck head_top",
    "COCO": "nose l_eye r_eye l_ear r_ear l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist l_hip r_hip "
    "l_knee r_knee l_ankle r_ankle",
    "H36M": "pelvis r_hip r_knee r_ankle l_hip l_knee l_ankle spine thorax nose head_top "
    "l_shoulder l_elbow l_wrist r_shoulder r_elbow r_wrist",
    "H36M_2D": "pelvis r_hip r_knee r_ankle l_hip l_knee l_ankle spine thorax head_top "
    "l_shoulder l_elbow l_wrist r_shoulder r_elbow r_wrist",
    "EVA": "pelvis thorax l_shoulder l_elbow l_wrist r_shoulder r_elbow r_wrist l_hip l_knee l_ankle r_hip r_knee "
    "r_ankle head",
}
# The slots of Human3.6M's files that move, and our names of their joints.
H36M_FILE_SLOTS = {
    0: "pelvis", 1: "r_hip", 2: "r_knee", 3: "r_ankle", 6: "l_hip", 7: "l_knee", 8: "l_ankle", 12: "spine",
    13: "thorax", 14: "nose", 15: "head_top", 17: "l_shoulder", 18: "l_elbow", 19: "l_wrist", 25: "r_shoulder",
    26: "r_elbow", 27: "r_wrist",
}  # fmt: skip

each_skeleton = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


def test_every_skeleton_has_its_order_above():
    assert set(SKELETONS) == set(FORMATS)


@each_skeleton
def test_joints_are_in_file_order(skeleton):
    assert skeleton.joints == tuple(FORMATS[skeleton.name].split())


def test_human36m_slots():
    assert dict(zip(H36M_SLOTS, H36M.joints, strict=True)) == H36M_FILE_SLOTS


def test_mpii_pairs():
    pairs = {(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)}
    assert set(MPII.flip_pairs) == pairs
    assert MPII.flip_order.tolist() == [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]


@each_skeleton
def test_the_flip_exchanges_sides_by_name_and_undoes_itself(skeleton):
    order = skeleton.flip_order
    np.testing.assert_array_equal(order[order], np.arange(len(skeleton)))
    for joint, other in zip(skeleton.joints, (skeleton.joints[i] for i in order), strict=True):
        opposite = {"r": "l", "l": "r", "c": "c"}[skeleton.side(joint)]
        assert skeleton.side(other) == opposite
        assert other.removeprefix(f"{opposite}_") == joint.removeprefix(f"{skeleton.side(joint)}_")


@each_skeleton
def test_bones_touch_all_joints_and_are_the_same_left_and_right(skeleton):
    assert len(set(map(frozenset, skeleton.bones))) == len(skeleton.bones)
    assert {i for bone in skeleton.bone_indices for i in bone} == set(range(len(skeleton)))
    mirrored = {frozenset(skeleton.flip_order[list(bone)].tolist()) for bone in skeleton.bone_indices}
    assert mirrored == set(map(frozenset, skeleton.bone_indices))


def test_names_and_positions():
    assert len(MPII) == 16
    assert MPII.index("r_wrist") == 10
    assert MPII.indices(["head_top", "r_ankle"]) == [9, 0]
    assert [MPII.side(joint) for joint in ("r_hip", "l_hip", "pelvis")] == ["r", "l", "c"]
    assert LSP.side("neck") == "c"
    with pytest.raises(KeyError, match="LSP has no joint 'pelvis'; it has r_ankle, r_knee"):
        LSP.index("pelvis")


def test_mpii_to_human36m_is_the_published_list():
    by_name = dict(zip(H36M_2D.joints, joint_map(MPII, H36M_2D), strict=True))
    assert by_name == {
        "pelvis": 6, "r_hip": 2, "r_knee": 1, "r_ankle": 0, "l_hip": 3, "l_knee": 4, "l_ankle": 5, "spine": 7,
        "thorax": 8, "head_top": 9, "l_shoulder": 13, "l_elbow": 14, "l_wrist": 15, "r_shoulder": 12, "r_elbow": 11,
        "r_wrist": 10,
    }  # fmt: skip


def test_a_conversion_takes_points_to_where_their_names_are():
    points = np.arange(16)[None, :, None] * np.ones((2, 1, 2))  # every joint holds its own index
    converted = points[:, joint_map(MPII, LSP)]
    assert converted[1, LSP.index("neck"), 0] == MPII.index("upper_neck")
    assert converted[0, LSP.index("l_wrist"), 1] == MPII.index("l_wrist")
    assert joint_map(H36M, H36M_2D) == [i for i in range(17) if i != H36M.index("nose")]


@each_skeleton
def test_a_conversion_to_itself_changes_nothing(skeleton):
    assert joint_map(skeleton, skeleton) == list(range(len(skeleton)))


def test_a_joint_that_the_source_lacks_is_an_error():
    with pytest.raises(KeyError, match="pelvis"):
        joint_map(LSP, MPII)


def test_the_human36m_input_draws_the_head_without_the_nose():
    assert ("thorax", "head_top") in H36M_2D.bones
    assert len(H36M_2D.bones) == len(H36M.bones) - 1


def test_fewer_joints_must_be_whole_pairs():
    assert MPII.first(16) is MPII
    for count in (6, 7, 8, 9, 10):
        fewer = MPII.first(count)
        assert fewer.joints == MPII.joints[:count]
        assert all(set(bone) <= set(fewer.joints) for bone in fewer.bones)
        assert sorted(fewer.flip_order) == list(range(count))
    assert len(MPII.first(10).bones) == 9
    for count in (-1, 0, 1, 5, 11, 15, 17):
        with pytest.raises(UserError, match=rf"--num_classes {count}: .*choose one of 6, 7, 8, 9, 10, 16$"):
            MPII.first(count)
    assert [n for n in range(1, 18) if _has_first(COCO, n)] == [1, 3, 5, 7, 9, 11, 13, 15, 17]


def _has_first(skeleton: Skeleton, count: int) -> bool:
    try:
        return len(skeleton.first(count)) == count
    except UserError:
        return False


# ------------------------------------------------------------------------------------------ joints made from others
def test_coco_to_mpii_by_hand():
    """Hips at 0 and 4, shoulders at 8 and 16, ears at 20 and 24."""
    points = np.full((1, 17, 1), 100.0)
    points[0, COCO.indices(["r_hip", "l_hip", "r_shoulder", "l_shoulder", "r_ear", "l_ear"]), 0] = 0, 4, 8, 16, 20, 24
    points[0, COCO.index("r_wrist"), 0] = 7
    converted = dict(zip(MPII.joints, convert_joints(points, COCO, MPII)[0, :, 0].tolist(), strict=True))
    assert converted["pelvis"] == 2
    assert converted["thorax"] == 12
    assert converted["upper_neck"] == 17  # halfway from shoulders (12) to ears (22)
    assert converted["head_top"] == 27  # as far above the ears as the neck is below
    assert converted["r_wrist"] == 7
    assert made_joints(joint_weights(COCO, MPII), MPII) == ["pelvis", "thorax", "upper_neck", "head_top"]


def test_humaneva_to_mpii_by_hand():
    points = np.zeros((1, 15, 1))
    points[0, EVA.indices(["pelvis", "thorax", "head"]), 0] = 1, 2, 6
    converted = convert_joints(points, EVA, MPII)[0, :, 0]
    assert converted[MPII.indices(["pelvis", "thorax", "head_top", "upper_neck"])].tolist() == [1, 2, 6, 4]


@pytest.mark.parametrize("target", [MPII, H36M_2D, LSP], ids=lambda one: one.name)
@pytest.mark.parametrize("source", [COCO, EVA, LSP, MPII], ids=lambda one: one.name)
def test_conversions_move_with_the_person_and_keep_sides(source, target):
    weights = joint_weights(source, target)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights[target.flip_order][:, source.flip_order], weights)
    indices, factors = joint_terms(weights)
    rebuilt = np.zeros_like(weights)
    np.add.at(rebuilt, (np.arange(len(target))[:, None], indices), factors)
    np.testing.assert_allclose(rebuilt, weights)


def test_a_conversion_by_name_alone_is_the_permutation():
    indices, factors = joint_terms(joint_weights(MPII, H36M_2D))
    assert indices[:, 0].tolist() == joint_map(MPII, H36M_2D)
    assert (factors == 1).all()


def test_nan_affects_only_joints_made_from_it():
    points = np.ones((1, 17, 2))
    points[0, COCO.index("l_ear")] = np.nan
    damaged = np.isnan(convert_joints(points, COCO, MPII)).any(axis=2)[0]
    assert [joint for joint, bad in zip(MPII.joints, damaged, strict=True) if bad] == ["upper_neck", "head_top"]


def test_impossible_conversions_are_errors():
    with pytest.raises(KeyError, match="MPII has no joint 'nose', nor what it could be made from"):
        joint_weights(MPII, COCO)

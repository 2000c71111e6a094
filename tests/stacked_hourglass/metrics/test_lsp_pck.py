import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_hourglass.metrics import lsp_pck
from stacked_hourglass.metrics.lsp_pck import counted_people, lsp_curves, lsp_tables, observer_order
from utils.transform import LSP

PC, OC = lsp_pck.CONVENTIONS


def standing(people=1):
    """(N, 14, 2) px, facing the camera: right joints at smaller x. Torso 50 px, neck to head top 20 px."""
    places = {
        "shoulder": (15, 0), "elbow": (25, 20), "wrist": (30, 40),
        "hip": (15, 40), "knee": (16, 80), "ankle": (17, 120),
    }  # fmt: skip
    sides = (("r", -1), ("l", 1))
    pose = {f"{side}_{joint}": (sign * x, y) for joint, (x, y) in places.items() for side, sign in sides}
    pose |= {"neck": (0, -5), "head_top": (0, -25)}
    joints = np.array([pose[joint] for joint in LSP.joints], float) + 100
    return np.tile(joints, (people, 1, 1))


def moved(poses, joint, x, person=0):
    poses = poses.copy()
    poses[person, LSP.index(joint), 0] += x
    return poses


def turned_away(poses):
    """The same positions with left and right exchanged."""
    return poses[:, LSP.flip_order]


def relabelled(poses, annotated=None):
    return poses[np.arange(len(poses))[:, None], observer_order(poses, annotated)]


def test_by_hand():
    truth = standing(2)
    # Torso: from (-15, 0) to (15, 40) is 50, a fifth of it 10. Head 20, half of it 10 as well: strict, so 10 is a miss.
    pred = moved(moved(truth, "l_wrist", 9.99), "r_knee", 10)
    table = lsp_tables(pred, truth)[PC]
    for metric in ("PCK@0.2", "PCKh@0.5"):
        assert table[metric]["wrist"] == 100
        assert table[metric]["knee"] == pytest.approx(100 * 3 / 4)
        assert table[metric]["mean"] == table[metric]["mean_by_count"] == pytest.approx(100 * 27 / 28)
    # A longer head makes PCKh more forgiving, and leaves PCK as it is.
    longer = moved(truth, "head_top", 0)
    longer[:, LSP.index("head_top"), 1] -= 20
    table = lsp_tables(moved(longer, "r_knee", 10), longer)[PC]
    assert (table["PCK@0.2"]["knee"], table["PCKh@0.5"]["knee"]) == (75, 100)


def test_head_is_neck_and_head_top():
    truth = standing()
    table = lsp_tables(moved(truth, "neck", 30), truth)
    assert table[PC]["PCKh@0.5"]["head"] == table[OC]["PCK@0.2"]["head"] == 50
    assert list(table[PC]["PCK@0.2"]) == [
        "head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean", "mean_by_count",
    ]  # fmt: skip


def test_exchanged_sides_are_an_error_only_person_centrically():
    truth = turned_away(standing(2))
    pred = truth.copy()
    pred[0] = standing()[0]  # as if the person faced the camera
    tables = lsp_tables(pred, truth)
    # Shoulders and hips are 30 px apart, three times the radius; only neck and head top of that person are right.
    for metric in tables[PC]:
        assert tables[PC][metric]["wrist"] == 50
        assert tables[PC][metric]["head"] == 100
        assert tables[OC][metric]["mean"] == 100


def test_observer_centric_labels_by_hand():
    facing = standing()
    assert (observer_order(facing) == np.arange(14)).all()
    np.testing.assert_array_equal(relabelled(turned_away(facing)), facing)
    # Wrists that cross keep the labels of their arms: the shoulders decide.
    arms_crossed = moved(moved(facing, "r_wrist", 50), "l_wrist", -50)
    assert (observer_order(arms_crossed) == np.arange(14)).all()
    # A twisted person: the arms exchange sides, the legs do not.
    arms = LSP.indices([f"{side}_{joint}" for side in "rl" for joint in ("shoulder", "elbow", "wrist")])
    twisted = facing.copy()
    twisted[:, arms] = turned_away(facing)[:, arms]
    np.testing.assert_array_equal(relabelled(twisted), facing)
    assert (observer_order(twisted)[0] != np.arange(14)).sum() == 6
    # Equal x: labels stay.
    side_view = facing.copy()
    side_view[..., 0] = 100
    assert (observer_order(side_view) == np.arange(14)).all()


def test_the_first_whole_pair_decides():
    away = turned_away(standing())
    annotated = np.ones((1, 14), bool)
    annotated[0, LSP.index("r_shoulder")] = False
    away[0, LSP.index("r_shoulder")] = -999  # meaningless; would say that the labels are right
    order = observer_order(away, annotated)
    assert order[0, LSP.index("r_wrist")] == LSP.index("l_wrist")
    assert order[0, LSP.index("l_shoulder")] == LSP.index("r_shoulder"), "the whole limb is relabelled"
    # Without a whole pair in the arms they stay; the legs are relabelled.
    annotated[0, LSP.indices(["l_elbow", "r_wrist"])] = False
    order = observer_order(away, annotated)[0]
    assert order[LSP.index("r_elbow")] == LSP.index("r_elbow")
    assert order[LSP.index("r_knee")] == LSP.index("l_knee")


def test_flags_are_relabelled_with_their_joints():
    truth = turned_away(standing())
    annotated = np.ones((1, 14), bool)
    annotated[0, LSP.index("r_wrist")] = False
    pred = moved(truth, "r_wrist", 500)
    for convention, by_metric in lsp_tables(pred, truth, annotated).items():
        assert by_metric["PCKh@0.5"]["wrist"] == 100, convention


def test_people_without_torso_or_head_are_excluded():
    truth = standing(3)
    annotated = np.ones((3, 14), bool)
    annotated[0, LSP.index("l_hip")] = False  # no torso
    truth[1, LSP.index("neck")] = truth[1, LSP.index("head_top")]  # no head
    pred = moved(moved(truth, "r_wrist", 500, person=0), "l_ankle", 500, person=1)
    table = lsp_tables(pred, truth, annotated)[PC]
    assert table["PCK@0.2"]["wrist"] == 100
    assert table["PCK@0.2"]["ankle"] == 75
    assert table["PCKh@0.5"]["wrist"] == 75
    assert table["PCKh@0.5"]["ankle"] == 100
    assert counted_people(truth, annotated) == {"PCK@0.2": 2, "PCKh@0.5": 2}
    nobody = lsp_tables(pred[:1], truth[:1], np.zeros((1, 14), bool))
    assert np.isnan(nobody[OC]["PCK@0.2"]["mean"])


def test_curves_end_at_the_tables_rates():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 200, (20, 14, 2))
    pred = truth + rng.normal(0, 12, truth.shape)
    tables, curves = lsp_tables(pred, truth), lsp_curves(pred, truth)
    for convention, by_metric in curves.items():
        for metric, by_column in by_metric.items():
            threshold = lsp_pck.LSP_METRICS[metric][2][-1]
            assert metric.endswith(f"@{threshold}")
            for column, curve in by_column.items():
                assert curve[0] == 0
                assert (np.diff(curve) >= 0).all()
                assert curve[-1] == tables[convention][metric][column]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_relabelling_is_idempotent_and_ignores_the_labels(seed):
    rng = np.random.default_rng(seed)
    poses, annotated = rng.uniform(0, 200, (5, 14, 2)), rng.random((5, 14)) < 0.8
    once = relabelled(poses, annotated)
    moved_flags = annotated[np.arange(5)[:, None], observer_order(poses, annotated)]
    np.testing.assert_array_equal(relabelled(once, moved_flags), once)
    whole = np.ones((5, 14), bool)
    np.testing.assert_array_equal(relabelled(turned_away(poses), whole), relabelled(poses, whole))


def test_other_shapes_are_refused():
    poses = standing(2)
    for pred, truth in ((poses[:1], poses), (poses[:, :13], poses[:, :13]), (poses[0], poses[0])):
        with pytest.raises(ValueError, match=r"expected \(N, 14, 2\)"):
            lsp_tables(pred, truth)

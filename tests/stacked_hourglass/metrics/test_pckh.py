import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_hourglass.metrics import pckh
from utils.transform import MPII

NOBODY_MISSING = np.zeros((1, 16), bool)


def errors_of(**by_joint):
    """(1, 16) errors, 9 (a miss at every threshold) except for the joints named."""
    errors = np.full((1, 16), 9.0)
    for joint, error in by_joint.items():
        errors[0, MPII.index(joint)] = error
    return errors


def random_case(seed, people=7):
    rng = np.random.default_rng(seed)
    return rng.exponential(0.4, (people, 16)), rng.random((people, 16)) < 0.2


def test_errors_are_fractions_of_the_head_size():
    head_sizes = pckh.head_box_sizes(np.array([[[10.0, 20.0], [40.0, 60.0]]]))
    assert head_sizes == pytest.approx([0.6 * 50])
    pred, truth = np.zeros((1, 16, 2)), np.zeros((1, 16, 2))
    pred[0, 3] = 9, 12
    assert pckh.normalised_errors(pred, truth, head_sizes)[0, 3] == pytest.approx(0.5)


def test_arrays_of_joints_in_one_call():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, (5, 16, 2))
    predicted = truth + rng.normal(0, 4, truth.shape)
    truth[0, 3], predicted[1, 4] = np.nan, np.nan  # not annotated; not predicted
    missing = np.zeros((5, 16), bool)
    missing[0, 3] = True
    errors = pckh.normalised_errors(predicted, truth, np.full(5, 10.0))
    expected = pckh.pckh_table(errors, missing)
    assert pckh.pckh(predicted, truth, np.full(5, 10.0)) == expected
    assert pckh.pckh(*map(torch.from_numpy, (predicted, truth, np.full(5, 10.0)))) == expected
    assert pckh.pckh(predicted, np.nan_to_num(truth), np.full(5, 10.0), missing) == expected
    assert expected["PCKh@0.5"]["mean"] < 100


def test_the_comparison_is_strict_and_a_missing_joint_does_not_count():
    errors = np.array([[0.5, 0.49, 0.51], [0.0, 0.0, 0.0]])
    missing = np.array([[False, False, False], [False, True, True]])
    rates = pckh.pckh_per_joint(errors, missing, [0.5, 0.0, 0.51])
    np.testing.assert_array_equal(rates, [[50, 100, 0], [0, 0, 0], [100, 100, 0]])


def test_a_nan_error_that_counts_is_a_miss():
    assert pckh.pckh_per_joint(np.array([[np.nan], [0.1]]), np.zeros((2, 1), bool), [0.5]) == [[50]]


def test_pckh_at_a_tenth_is_not_at_eleven_hundredths():
    table = pckh.pckh_table(errors_of(head_top=0.105, r_wrist=0.099), NOBODY_MISSING)
    assert table["PCKh@0.1"]["head"] == 0
    assert table["PCKh@0.1"]["wrist"] == 50
    assert table["PCKh@0.5"]["head"] == 100
    assert 0.1 in pckh.CURVE_THRESHOLDS
    assert (len(pckh.CURVE_THRESHOLDS), pckh.CURVE_THRESHOLDS[0], pckh.CURVE_THRESHOLDS[-1]) == (51, 0, 0.5)


def test_auc_by_hand():
    # Detected from threshold 0.26 on: half a step, then 24 whole ones, of 50.
    table = pckh.pckh_table(errors_of(head_top=0.25), NOBODY_MISSING)
    assert table["AUC"]["head"] == pytest.approx(49)
    assert table["AUC"]["mean"] == pytest.approx(49 / 14)
    assert pckh.pckh_table(np.zeros((1, 16)), NOBODY_MISSING)["AUC"]["mean"] == pytest.approx(99)


def test_the_columns_of_each_joint():
    def columns_of(joint):
        rates = pckh.pckh_table(errors_of(**{joint: 0.0}), NOBODY_MISSING)["PCKh@0.5"]
        return {column: round(rate, 6) for column, rate in rates.items() if rate}

    means = {"mean": round(100 / 14, 6), "mean_by_count": round(100 / 14, 6)}
    assert columns_of("head_top") == {"head": 100, **means}
    assert columns_of("upper_neck") == means
    assert columns_of("pelvis") == columns_of("thorax") == {}
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        for side in "rl":
            assert columns_of(f"{side}_{joint}") == {joint: 50, **means}


def test_the_two_means_and_the_mean_of_sides():
    # 2 people; head counts for both and hits once; r_hip counts once and hits, l_hip counts twice and misses.
    errors, missing = np.full((2, 16), 9.0), np.ones((2, 16), bool)
    head, right, left = MPII.indices(["head_top", "r_hip", "l_hip"])
    missing[:, [head, left]] = False
    missing[0, right] = False
    errors[0, [head, right]] = 0
    rates = pckh.pckh_table(errors, missing)["PCKh@0.5"]
    assert rates["head"] == 50
    assert rates["hip"] == 50
    assert rates["mean"] == pytest.approx((50 + 100 + 0) / 3)
    assert rates["mean_by_count"] == pytest.approx(100 * 2 / 5)
    assert np.isnan(rates["knee"])


def test_without_any_counted_joint_rates_are_nan():
    table = pckh.pckh_table(np.zeros((2, 16)), np.ones((2, 16), bool))
    assert all(np.isnan(rate) for rates in table.values() for rate in rates.values())


def test_the_table_has_its_layout():
    table = pckh.pckh_table(*random_case(0))
    assert list(table) == ["PCKh@0.5", "PCKh@0.1", "AUC"]
    columns = ["head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "mean", "mean_by_count"]
    assert all(list(rates) == columns for rates in table.values())


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_rates_rise_with_the_threshold_and_ignore_the_order_of_people(seed):
    errors, missing = random_case(seed)
    curves = pckh.pckh_curves(errors, missing)
    order = np.random.default_rng(seed).permutation(len(errors))
    for column, curve in pckh.pckh_curves(errors[order], missing[order]).items():
        np.testing.assert_allclose(curve, curves[column])
        assert ((curve >= 0) & (curve <= 100 + 1e-9)).all()
        assert (np.diff(curve) >= -1e-9).all()


def test_every_joint_counts_by_default():
    errors, _ = random_case(3)
    nobody = np.zeros(errors.shape, bool)
    assert pckh.pckh_table(errors) == pckh.pckh_table(errors, nobody)
    np.testing.assert_array_equal(pckh.pckh_curves(errors)["mean"], pckh.pckh_curves(errors, nobody)["mean"])


def test_nothing_is_broadcast():
    poses = np.zeros((3, 16, 2))
    for pred, truth, sizes in (
        (poses[:1], poses, np.ones(3)),
        (poses, poses, np.ones(1)),
        (poses[0], poses[0], np.ones(16)),
    ):
        with pytest.raises(ValueError, match="expected"):
            pckh.normalised_errors(pred, truth, sizes)

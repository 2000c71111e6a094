"""MPJPE and related metrics: small cases by hand, invariants, averages, and real motion."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pose_cases import poses
from scipy.spatial.transform import Rotation

from twod_threed import mpjpe as metrics
from twod_threed.mpjpe import (
    JOINT_SETS,
    Labels,
    auc_3d,
    average,
    joint_errors,
    joint_velocity_errors,
    mpjpe,
    mpjve,
    n_mpjpe,
    p_mpjpe,
    pck_3d,
    procrustes_align,
    scale_align,
)
from utils.transform import H36M, H36M_SLOTS

WALK = Path("../shared/data/cmu_h36m_layout/S9/MyPoses/3D_positions/Walking 1.h5")
several_seeds = settings(max_examples=25)


def rotations(seed, count):
    return torch.from_numpy(Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix())


def similar(points, seed):
    """`points` (N, J, 3), each pose turned, scaled and moved at random."""
    rng = np.random.default_rng(seed)
    scales = torch.from_numpy(rng.uniform(0.1, 10, (len(points), 1, 1)))
    moves = torch.from_numpy(rng.normal(0, 2000, (len(points), 1, 3)))
    return scales * points @ rotations(seed, len(points)) + moves


# Protocol 1


def test_mpjpe_by_hand():
    gt = torch.zeros(2, 2, 3)
    pred = torch.tensor([[[3.0, 4, 0], [0, 0, 0]], [[0, 0, 1], [2, 3, 6]]])
    assert joint_errors(pred, gt).tolist() == [[5, 0], [1, 7]]
    assert mpjpe(pred, gt) == 13 / 4
    moved = torch.tensor([0.0, 0, 10])
    assert mpjpe(gt + moved, gt) == 10, "the root is not aligned here"


# Protocol 2


def test_procrustes_by_hand():
    # A square of side 2 in the plane; predicted turned by 90°, three times as large, and elsewhere.
    gt = torch.tensor([[[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]]])
    pred = torch.tensor([[[10.0, 0, 5], [10, 6, 5], [4, 6, 5], [4, 0, 5]]])
    torch.testing.assert_close(procrustes_align(pred, gt), gt, atol=1e-5, rtol=0)
    assert mpjpe(pred, gt) > 5
    # Any two points fit any other two.
    assert p_mpjpe(torch.tensor([[[0.0, 0, 0], [0, 4, 0]]]), torch.tensor([[[0.0, 0, 0], [2, 0, 0]]])) < 1e-6


def test_the_best_scale_by_hand():
    # Errors of a line of three points, the middle one displaced across it: no turn helps, the scale is 8 / (8 + 6).
    gt = torch.tensor([[[-2.0, 0, 0], [0, 0, 0], [2, 0, 0]]], dtype=torch.float64)
    pred = gt + torch.tensor([[[0.0, -1, 0], [0, 2, 0], [0, -1, 0]]])
    scale = 8 / 14
    expected = torch.tensor([[[-2 * scale, -scale, 0], [0, 2 * scale, 0], [2 * scale, -scale, 0]]], dtype=torch.float64)
    torch.testing.assert_close(procrustes_align(pred, gt), expected)
    torch.testing.assert_close(scale_align(pred, gt), expected)
    side = (4 * (1 - scale) ** 2 + scale**2) ** 0.5
    assert p_mpjpe(pred, gt).item() == pytest.approx((2 * side + 2 * scale) / 3)


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_protocol_2_ignores_similarity_transforms(seed):
    pred, gt = poses(seed), poses(seed + 1)
    torch.testing.assert_close(procrustes_align(similar(gt, seed), gt), gt, atol=1e-6, rtol=0)
    torch.testing.assert_close(p_mpjpe(similar(pred, seed), gt), p_mpjpe(pred, gt))
    # Turning or moving the truth turns or moves the fit with it.
    turned = gt @ rotations(seed, 1) + 100
    torch.testing.assert_close(p_mpjpe(pred, turned), p_mpjpe(pred, gt))


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_a_reflection_is_not_undone(seed):
    gt = poses(seed)
    mirrored = gt * torch.tensor([-1.0, 1, 1])
    aligned = procrustes_align(mirrored, gt)
    assert (joint_errors(aligned, gt).mean(dim=1) > 20).all()
    handedness = torch.linalg.det((aligned - aligned.mean(dim=1, keepdim=True))[:, :3])
    before = torch.linalg.det((mirrored - mirrored.mean(dim=1, keepdim=True))[:, :3])
    assert (handedness.sign() == before.sign()).all()


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_procrustes_agrees_with_scipy(seed):
    pred, gt = poses(seed, count=1)[0], poses(seed + 1, count=1)[0]
    a, b = (points - points.mean(dim=0) for points in (pred, gt))
    rotation = torch.from_numpy(Rotation.align_vectors(b.numpy(), a.numpy())[0].as_matrix())
    turned = a @ rotation.T
    expected = (turned * b).sum() / turned.square().sum() * turned + gt.mean(dim=0)
    torch.testing.assert_close(procrustes_align(pred[None], gt[None])[0], expected)


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_each_alignment_lowers_the_squared_error(seed):
    pred, gt = poses(seed), poses(seed + 1)
    pred = torch.where(((pred * gt).sum(dim=(1, 2)) < 0)[:, None, None], -pred, pred)  # a positive scale fits
    squares = [joint_errors(aligned, gt).square().sum(dim=1) for aligned in (
        procrustes_align(pred, gt), scale_align(pred, gt), pred
    )]  # fmt: skip
    assert (squares[0] <= squares[1] + 1e-6).all()
    assert (squares[1] <= squares[2] + 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("where", [0.0, 0.1, -1234.567])
def test_all_joints_in_one_place_go_to_the_mean_of_the_truth(dtype, where):
    gt = poses(0, count=2).to(dtype)
    pred = poses(1, count=2).to(dtype)
    pred[0] = where
    expected = gt[0].mean(dim=0).expand(17, 3)
    torch.testing.assert_close(procrustes_align(pred, gt)[0], expected)
    torch.testing.assert_close(procrustes_align(pred, gt)[1], procrustes_align(pred[1:], gt[1:])[0])
    # A truth in one place is met.
    assert p_mpjpe(gt[1:], pred[:1]) < 1e-3
    assert p_mpjpe(pred[:1], pred[:1]) < 1e-3


def test_poses_on_a_line_or_in_a_plane_are_fitted():
    flat, line = poses(0), poses(1)
    flat[..., 2] = 0
    line[..., 1:] = 0
    for gt in (flat, line):
        assert p_mpjpe(similar(gt, 0), gt) < 1e-6
        assert p_mpjpe(gt * torch.tensor([-1.0, 1, 1]), gt) < 1e-6, "in space a flat mirror image is a turned pose"


# N-MPJPE


def test_n_mpjpe_by_hand():
    gt = torch.tensor([[[0.0, 0, 0], [2, 0, 0]]])
    assert n_mpjpe(3 * gt, gt) == 0
    pred = torch.tensor([[[0.0, 0, 0], [1, 1, 0]]])
    # <pred, gt> / <pred, pred> = 2 / 2
    assert n_mpjpe(2 * pred, gt).item() == pytest.approx(2**0.5 / 2)
    assert n_mpjpe(torch.zeros_like(gt), gt) == 1, "a pose at the origin stays there"
    assert n_mpjpe(-gt, gt) == 0, "the best scale may be negative"


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_n_mpjpe_ignores_scale(seed):
    pred, gt = poses(seed), poses(seed + 1)
    scales = torch.from_numpy(np.random.default_rng(seed).uniform(0.01, 100, (len(pred), 1, 1)))
    torch.testing.assert_close(n_mpjpe(scales * pred, gt), n_mpjpe(pred, gt))


# Velocity


def test_mpjve_by_hand():
    gt = torch.zeros(3, 2, 3)
    gt[:, 0, 0] = torch.tensor([0.0, 1, 5])
    pred = gt.clone() + 77  # a constant offset moves nothing
    pred[2, 1] += torch.tensor([0, 3, 4])
    assert joint_velocity_errors(pred, gt).tolist() == [[0, 0], [0, 5]]
    assert mpjve(pred, gt) == 5 / 4
    with pytest.raises(ValueError, match="at least 2 frames, not 1"):
        mpjve(pred[:1], gt[:1])


# PCK and AUC


def test_pck_is_strict_and_in_percent():
    gt = torch.zeros(1, 4, 3)
    pred = torch.tensor([[[149.9, 0, 0], [0, 150, 0], [0, 0, 150.1], [0, 0, 0]]])
    assert pck_3d(pred, gt) == 50
    assert pck_3d(pred, gt, threshold=150.05) == 75
    assert pck_3d(pred, gt, threshold=0) == 0


def test_auc_by_hand():
    gt = torch.zeros(1, 1, 3)
    assert (len(metrics.AUC_THRESHOLDS), metrics.AUC_THRESHOLDS[-1]) == (31, 150)
    for error, above in ((0.0, 30), (4.9, 30), (5.0, 29), (7.0, 29), (149.0, 1), (150.0, 0), (1e9, 0), (np.nan, 0)):
        pred = gt + torch.tensor([error, 0, 0])
        assert auc_3d(pred, gt).item() == pytest.approx(100 * above / 31)


@several_seeds
@given(seed=st.integers(0, 10_000))
def test_auc_is_the_mean_of_pck(seed):
    pred, gt = poses(seed, size=40), poses(seed + 1, size=40)
    rates = [pck_3d(pred, gt, threshold).item() for threshold in metrics.AUC_THRESHOLDS]
    assert rates == sorted(rates)
    assert auc_3d(pred, gt).item() == pytest.approx(np.mean(rates))


# Averages


def test_joint_sets():
    assert {count: len(set(joints)) for count, joints in JOINT_SETS.items()} == {17: 17, 16: 16, 14: 14}
    assert set(H36M.joints) - set(JOINT_SETS[16]) == {"pelvis"}
    assert set(H36M.joints) - set(JOINT_SETS[14]) == {"pelvis", "spine", "nose"}


def test_averages_by_hand():
    scores = torch.tensor([[1.0, 3], [2, 4], [10, 20], [100, 200]])
    actions = Labels.repeat(["Sitting", "Walking", "Sitting"], [2, 1, 1])
    subjects = Labels.repeat(["S9", "S11"], [3, 1])
    result = average(scores, ("r_hip", "l_hip"), actions, subjects)
    assert result.frame_averaged == pytest.approx((2 + 3 + 15 + 150) / 4)
    assert result.per_action == pytest.approx({"Sitting": 155 / 3, "Walking": 15})
    assert result.action_averaged == pytest.approx((155 / 3 + 15) / 2)
    assert result.per_joint == pytest.approx({"r_hip": 113 / 4, "l_hip": 227 / 4})
    assert result.per_action_and_subject["Sitting"] == pytest.approx({"S9": 2.5, "S11": 150})
    assert result.per_action_and_subject["Walking"] == pytest.approx({"S9": 15, "S11": np.nan}, nan_ok=True)
    assert (result.number_of_joints, result.number_of_frames) == (2, 4)


def test_averages_of_wrong_lengths_are_refused():
    labels = Labels.repeat(["Walking"], [4])
    with pytest.raises(ValueError, match=r"scores \(4, 17\) with .* labelled \(16, 4, 4\)"):
        average(torch.zeros(4, 17), JOINT_SETS[16], labels, labels)
    with pytest.raises(ValueError, match=r"labelled \(17, 4, 3\)"):
        average(torch.zeros(4, 17), H36M.joints, labels, Labels.repeat(["S9"], [3]))


# Real motion


def test_real_motion():
    if not WALK.is_file():
        pytest.skip("../shared/data is not here")
    with h5py.File(WALK) as file:
        walk = torch.from_numpy(file["3D_positions"][()]).T.reshape(-1, 32, 3)[:, list(H36M_SLOTS)]
    walk = walk - walk[:, :1]
    noisy = 1.1 * walk + torch.from_numpy(np.random.default_rng(0).normal(0, 10, walk.shape)).float()
    # The mean length of a vector of three normal deviates is 1.596 standard deviations; the best scale is 1 / 1.1.
    assert n_mpjpe(noisy, walk).item() == pytest.approx(15.96 / 1.1, rel=0.02)
    assert p_mpjpe(noisy, walk) < n_mpjpe(noisy, walk) < mpjpe(noisy, walk)
    assert mpjve(noisy, walk).item() == pytest.approx(2**0.5 * 15.96, rel=0.02)
    turned = walk.double() @ rotations(0, 1)
    assert p_mpjpe(turned, walk) < 1e-6
    assert mpjpe(turned, walk) > 100

"""MPJPE and related metrics: gradients, types, shapes, NaN, and arrays in place of tensors."""

import numpy as np
import pytest
import torch
from pose_cases import poses

from twod_threed import mpjpe as metrics
from twod_threed.mpjpe import (
    auc_3d,
    from_hip,
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
from utils.transform import H36M

MEANS = (mpjpe, p_mpjpe, n_mpjpe, mpjve, pck_3d, auc_3d)


@pytest.mark.parametrize("function", [joint_errors, procrustes_align, p_mpjpe, n_mpjpe, joint_velocity_errors])
def test_gradients(function):
    pred, gt = (poses(seed, count=3, joints=5, size=1.0).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(function, (pred, gt))
    mirrored = (gt.detach() * torch.tensor([-1.0, 1, 1])).requires_grad_()
    if function is procrustes_align:
        assert torch.autograd.gradcheck(function, (mirrored, gt)), "where the best orthogonal matrix is a reflection"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [mpjpe, p_mpjpe, n_mpjpe, mpjve])
def test_gradients_are_finite_at_zero_error_and_for_degenerate_poses(function, dtype):
    gt = poses(0, count=6)
    pred = poses(1, count=6)
    pred[0] = gt[0]
    pred[1], pred[2], gt[3] = 0, 5.1, 0  # in one place
    pred[4, :, 1:] = gt[4, :, 1:] = 0  # on a line
    gt[5] = pred[5] * torch.tensor([-1.0, 1, 1])
    pred, gt = pred.to(dtype).requires_grad_(), gt.to(dtype).requires_grad_()
    function(pred, gt).backward()
    assert pred.grad.isfinite().all()
    assert gt.grad.isfinite().all()
    same = gt.detach().clone().requires_grad_()
    mpjpe(same, gt.detach()).backward()
    assert (same.grad == 0).all()


def test_gradient_descent_on_protocol_2_reaches_the_truth():
    pred, gt = poses(0, count=2, size=1.0).requires_grad_(), poses(1, count=2, size=1.0)
    before = p_mpjpe(pred, gt).item()
    for step in range(200):
        [slope] = torch.autograd.grad(p_mpjpe(pred, gt), pred)
        pred = (pred - 4 * (1 - step / 200) * slope).detach().requires_grad_()
    assert p_mpjpe(pred, gt).item() < 0.1 * before


@pytest.mark.parametrize("function", MEANS)
def test_the_type_is_single_unless_an_input_is_double(function):
    pred, gt = poses(0), poses(0) + 30 * poses(1, size=1.0)
    exact = function(pred, gt)
    assert exact.dtype == torch.float64
    single = function(pred.float(), gt.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=0.2 if function in (pck_3d, auc_3d) else 1e-3)
    assert function(pred.float(), gt).dtype == torch.float64
    halves = pred.bfloat16(), gt.bfloat16()
    assert function(*halves).dtype == torch.float32
    assert function(*halves) == function(*(half.float() for half in halves))
    assert function(pred.int(), gt.int()) == function(pred.int().float(), gt.int().float())


@pytest.mark.parametrize("function", MEANS)
def test_autocast_does_not_round_the_errors(function):
    pred, gt = poses(0).float(), (poses(0) + 30 * poses(1, size=1.0)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = function(pred, gt)
    assert inside.dtype == torch.float32
    assert inside == function(pred, gt)


@pytest.mark.parametrize("function", MEANS)
def test_other_shapes_are_refused(function):
    good = torch.zeros(4, 17, 3)
    for other in (torch.zeros(1, 17, 3), torch.zeros(4, 1, 3), torch.zeros(17, 3), torch.zeros(4, 51)):
        with pytest.raises(ValueError, match=r"expected equal shapes \(N, J, 3\)"):
            function(good, other)
        with pytest.raises(ValueError, match=r"expected equal shapes \(N, J, 3\)"):
            function(other, good)
    with pytest.raises(ValueError, match="expected equal shapes"):
        function(torch.zeros(4, 17, 2), torch.zeros(4, 17, 2))


def test_nan_stays_with_its_pose():
    pred, gt = poses(0), poses(1)
    clean = metrics.pose_scores(pred, gt)
    pred[2, 5] = torch.nan
    scores = metrics.pose_scores(pred, gt)
    for measure in scores:
        others = [0, 1, 3, 4, 5]
        torch.testing.assert_close(scores[measure][others], clean[measure][others])
    assert scores["protocol_1"][2].isnan().nonzero().tolist() == [[5]]
    assert scores["protocol_2"][2].isnan().all()
    assert scores["n_mpjpe"][2].isnan().all()
    assert (scores["pck_150"][2, 5], scores["auc"][2, 5]) == (0, 0)


def test_no_pose_has_no_mean():
    nothing = torch.zeros(0, 17, 3)
    assert all(function(nothing, nothing).isnan() for function in (mpjpe, p_mpjpe, n_mpjpe, pck_3d, auc_3d))


# NumPy arrays, and the root


@pytest.mark.parametrize("metric", MEANS)
def test_arrays_score_as_tensors_do(metric):
    pred, gt = poses(1), poses(2)
    score = metric(pred.numpy(), gt.numpy())
    assert isinstance(score, np.float64)
    assert score == metric(pred, gt).item()
    assert isinstance(metric(pred, gt), torch.Tensor)
    assert isinstance(metric(pred.float().numpy(), gt.float().numpy()), np.float32)


def test_alignments_and_joint_errors_of_arrays():
    pred, gt = poses(1).numpy(), poses(2).numpy()
    for function in (joint_errors, joint_velocity_errors, procrustes_align, scale_align):
        result = function(pred, gt)
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, function(torch.from_numpy(pred), torch.from_numpy(gt)))
    assert all(isinstance(values, np.ndarray) for values in metrics.pose_scores(pred, gt).values())


def test_whole_numbers_are_scored_and_other_types_refused():
    assert mpjpe(np.zeros((1, 1, 3), int), np.array([[[0, 3, 4]]])) == 5
    with pytest.raises(TypeError, match="expected a numeric NumPy array or a tensor, got a list"):
        mpjpe([[[0.0, 0, 0]]], [[[0.0, 3, 4]]])
    with pytest.raises(TypeError, match="mpjpe: expected NumPy arrays or tensors, got both"):
        mpjpe(poses(1), poses(2).numpy())


@pytest.mark.parametrize("shape", [(17, 3), (2, 17, 3), (2, 5, 17, 3)])
def test_from_hip(shape):
    pose = 100 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    hip = H36M.index("pelvis")
    moved = from_hip(pose)
    assert moved.dtype == np.float64
    np.testing.assert_array_equal(moved, pose.astype(float) - pose[..., [hip], :])
    without_hip = np.delete(moved, hip, axis=-2)
    np.testing.assert_array_equal(from_hip(torch.from_numpy(without_hip)), moved)
    with pytest.raises(ValueError, match=r"14, 3\): expected \(…, 17, 3\)"):
        from_hip(pose[..., :14, :])

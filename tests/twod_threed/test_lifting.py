"""`lift`: 2D poses as arrays or tensors to 3D poses; a loaded lifter as one object."""

import numpy as np
import pytest
import torch
from tiny_checkpoints import lifter_file

from twod_threed import lift, load_lifter
from twod_threed.model import LinearModel
from twod_threed.normalisation import TENSORS
from utils.osutils import UserError
from utils.transform import H36M, H36M_2D, MPII, joint_map

POSES = 500 + 100 * torch.randn(5, 16, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["instance", "dataset"])
def lifter(request, tmp_path):
    return load_lifter(lifter_file(tmp_path / "lifter.pth.tar", request.param))


def by_hand(lifter, poses):
    with torch.no_grad():
        mm = lifter.normalisation.to_mm(lifter(lifter.normalisation.input(poses)))
    return mm - mm[:, :1]


def test_tensors_and_arrays_are_lifted_in_kind(lifter):
    expected = by_hand(lifter, POSES)
    lifted = lift(POSES, lifter)
    assert lifted.shape == (5, 17, 3)
    assert not lifted.requires_grad
    torch.testing.assert_close(lifted, expected)
    array = lift(POSES.double().numpy(), lifter)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-3)
    whole = POSES.long()
    np.testing.assert_allclose(lift(whole.numpy(), lifter), by_hand(lifter, whole.float()), atol=1e-3)


def test_joint_orders_are_given_by_name(lifter):
    in_mpii = torch.zeros_like(POSES)
    in_mpii[:, joint_map(MPII, H36M_2D)] = POSES
    torch.testing.assert_close(lift(in_mpii, lifter, joint_order="MPII"), by_hand(lifter, POSES))
    with_nose = torch.zeros(5, 17, 2)
    with_nose[:, joint_map(H36M, H36M_2D)] = POSES
    torch.testing.assert_close(lift(with_nose, lifter, "H36M"), by_hand(lifter, POSES))


def test_batches_nan_and_nobody(lifter):
    torch.testing.assert_close(lift(POSES, lifter, batch_size=2), lift(POSES, lifter), rtol=1e-4, atol=1e-3)
    damaged = POSES.clone()
    damaged[1, 4] = torch.nan
    lifted = lift(damaged, lifter)
    assert lifted[1].isnan().any()
    assert lifted[[0, 2, 3, 4]].isfinite().all()
    assert lift(POSES[:0], lifter).shape == lift(POSES[:0].numpy(), lifter).shape == (0, 17, 3)


@pytest.mark.parametrize(
    ("poses", "settings", "message"),
    [
        (POSES[0], {}, "poses_2d is 16 × 2; expected N × 16 × 2 for joints in H36M_2D order"),
        (POSES, {"joint_order": "H36M"}, "poses_2d is 5 × 16 × 2; expected N × 17 × 2"),
        (POSES, {"joint_order": "BODY_25"}, "joint order 'BODY_25': expected one of H36M_2D, H36M, MPII, COCO"),
        (POSES, {"precision": "fp8"}, "expected one of fp32"),
        (POSES, {"batch_size": 0}, "expected at least 1"),
    ],
)
def test_other_arguments_are_refused(lifter, poses, settings, message):
    with pytest.raises(ValueError, match=message):
        lift(poses, lifter, **settings)


def test_a_list_and_a_lifter_that_cannot_lift_are_refused(lifter):
    with pytest.raises(TypeError, match="expected a NumPy array or a tensor, got a list"):
        lift(POSES.tolist(), lifter)
    with pytest.raises(ValueError, match="training mode"):
        lift(POSES, lifter.train())
    with pytest.raises(ValueError, match="no normalisation"):
        lift(POSES, LinearModel(8, 1).eval())


def test_the_normalisation_follows_the_network(lifter):
    expected = by_hand(lifter, POSES)
    doubled = lifter.double()
    assert {getattr(doubled.normalisation, name).dtype for name in TENSORS} == {torch.float64}
    assert lift(POSES, doubled).dtype == torch.float64
    torch.testing.assert_close(lift(POSES, doubled).float(), expected, rtol=1e-4, atol=1e-3)
    moved = lifter.to("meta")
    assert {getattr(moved.normalisation, name).device.type for name in TENSORS} == {"meta"}


def test_the_normalisation_is_not_part_of_the_weights(lifter):
    assert not [name for name in lifter.state_dict() if "normalisation" in name]


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_available_is_refused_in_one_line(tmp_path, device):
    with pytest.raises(UserError, match=f"--device {device}: "):
        load_lifter(lifter_file(tmp_path / "lifter.pth.tar"), device=device)

"""Errors of a 2D network, added to the lifter's input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twod_threed.detector_errors import DetectorErrors, load_errors, measure_errors, person_size, save_errors
from utils.osutils import UserError
from utils.transform import H36M_2D

R_WRIST, L_WRIST = H36M_2D.indices(["r_wrist", "l_wrist"])


def some_poses(count: int, seed: int = 0) -> torch.Tensor:
    return 100 * torch.randn(count, 16, 2, generator=torch.Generator().manual_seed(seed)) + 500


def bank(*wrists: tuple[float, float]) -> DetectorErrors:
    """People whose only error is at the right wrist."""
    errors = torch.zeros(len(wrists), 16, 2)
    errors[:, R_WRIST] = torch.tensor(wrists)
    return DetectorErrors(errors)


def test_the_size_of_a_person_by_hand():
    pose = torch.zeros(1, 16, 2)
    pose[0, 1] = torch.tensor([3.0, 4.0])  # 15 joints at the hip but one, 5 px away
    assert person_size(pose + 7).item() == pytest.approx((25 / 15) ** 0.5)


def test_measured_errors_added_to_the_truth_give_what_was_found():
    truth, found = some_poses(6).numpy().astype(np.float64), some_poses(6, 1).numpy().astype(np.float64)
    errors = measure_errors(found, truth)
    sizes = person_size(torch.from_numpy(truth)).numpy()
    np.testing.assert_allclose(truth + errors * sizes, found, rtol=1e-5)


def test_training_takes_every_other_person_and_validation_the_rest():
    errors = bank((1, 0), (2, 0), (1, 0), (2, 0))
    poses = some_poses(50)
    sizes = person_size(poses)[:, 0]
    in_training = errors.added(poses, torch.Generator().manual_seed(0)) - poses
    in_validation = errors.added_for_validation(poses, torch.arange(50)) - poses
    for moved, length in ((in_training, 1), (in_validation, 2)):
        wrists = moved[:, [R_WRIST, L_WRIST]].norm(dim=-1) / sizes
        torch.testing.assert_close(wrists.amax(1), torch.full((50,), float(length)), rtol=1e-4, atol=1e-4)
        assert wrists.amin(1).max() < 1e-4
        sides = wrists.argmax(1).float().mean()
        assert 0.2 < sides < 0.8  # mirrored errors are at the other wrist
        moved[:, [R_WRIST, L_WRIST]] = 0
        assert moved.abs().max() < 1e-3


def test_directions_go_all_around():
    errors, poses = bank((1, 0), (1, 0)), some_poses(400)
    in_training = errors.added(poses, torch.Generator().manual_seed(0))
    for moved in (in_training, errors.added_for_validation(poses, torch.arange(400))):
        towards = ((moved - poses) / person_size(poses)).sum(1)  # unit vectors
        assert towards.mean(0).norm() < 0.15


def test_validation_depends_only_on_the_sample():
    errors, poses = bank((1, 0), (2, 0), (3, 0), (4, 1)), some_poses(8)
    index = torch.arange(8)
    whole = errors.added_for_validation(poses, index)
    torch.testing.assert_close(errors.added_for_validation(poses[3:], index[3:]), whole[3:])


@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_errors_grow_with_the_person_and_do_not_depend_on_the_place(scale, shift):
    errors, poses = bank((1, 2), (3, 4)), some_poses(4).double()
    added = errors.added_for_validation(poses, torch.arange(4)) - poses
    again = errors.added_for_validation(poses * scale + shift, torch.arange(4)) - (poses * scale + shift)
    torch.testing.assert_close(again, added * scale, rtol=1e-4, atol=1e-3)


def test_files(tmp_path):
    errors = np.random.default_rng(0).normal(size=(5, 16, 2)).astype(np.float32)
    save_errors(tmp_path / "errors.npz", errors)
    np.testing.assert_array_equal(load_errors(tmp_path / "errors.npz").errors.numpy(), errors)
    assert [path.name for path in tmp_path.iterdir()] == ["errors.npz"]


def test_unusable_files_are_refused(tmp_path):
    whole = np.zeros((3, 16, 2), np.float32)
    joints = np.array(H36M_2D.joints)
    (tmp_path / "text.npz").write_text("no archive")
    save_errors(tmp_path / "cut.npz", whole)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:200])
    np.savez(tmp_path / "other.npz", preds=whole)
    np.savez(tmp_path / "short.npz", errors=whole[:, :14], joints=joints)
    np.savez(tmp_path / "order.npz", errors=whole, joints=joints[::-1])
    np.savez(tmp_path / "single.npz", errors=whole[:1], joints=joints)
    np.savez(tmp_path / "nan.npz", errors=np.full_like(whole, np.nan), joints=joints)
    np.savez(tmp_path / "pickle.npz", errors=np.array([object()]), joints=joints)
    for name in ("missing.npz", *sorted(path.name for path in tmp_path.iterdir())):
        with pytest.raises(UserError, match=f"--detector_errors .*{name}.*scripts/measure_detector_errors.py"):
            load_errors(tmp_path / name)

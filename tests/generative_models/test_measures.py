"""The three measures on cases worked by hand."""

import pytest
import torch

from generative_models.measures import (
    bone_asymmetry,
    bone_spread,
    measure,
    nearest_neighbour_accuracy,
    nearest_poses,
    sliced_wasserstein,
)
from generative_models.poses import BONES
from utils.transform import H36M


def normal(count: int, seed: int, size: tuple[int, ...] = (17, 3)) -> torch.Tensor:
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed))


class TestNearestNeighbour:
    def test_by_hand(self):
        real, generated = torch.tensor([[0.0], [1.0], [10.0], [20.0]]), torch.tensor([[10.4], [20.3], [20.4], [30.0]])
        # real: 0 and 1 find each other, 10 and 20 find generated ones; 10.4 finds real, 20.3, 20.4 and 30 generated.
        on_real, on_generated = nearest_neighbour_accuracy(real, generated)
        assert (on_real.item(), on_generated.item()) == (50, 75)

    def test_samples_of_one_distribution_give_about_a_half(self):
        on_real, on_generated = nearest_neighbour_accuracy(normal(1000, 0, (2,)), normal(1000, 1, (2,)))
        assert on_real.item() == pytest.approx(50, abs=5)
        assert on_generated.item() == pytest.approx(50, abs=5)

    def test_distant_samples_are_all_told_apart(self):
        both = nearest_neighbour_accuracy(normal(50, 0), normal(50, 1) + 100)
        assert [value.item() for value in both] == [100, 100]

    def test_near_copies_are_never_told_apart(self):
        real = normal(50, 0)
        both = nearest_neighbour_accuracy(real, real + 1e-3)
        assert [value.item() for value in both] == [0, 0]

    def test_missing_modes_show_on_the_real_poses(self):
        real = normal(200, 0, (2,)) * 0.1 + 10 * torch.arange(200)[:, None] % 50
        generated = normal(200, 1, (2,)) * 0.1
        on_real, _ = nearest_neighbour_accuracy(real, generated)
        assert on_real > 75


class TestSlicedWasserstein:
    def test_equal_samples_in_any_order(self):
        sample = normal(40, 0)
        assert sliced_wasserstein(sample, sample[torch.randperm(40)]) == 0

    def test_a_shift_by_hand(self):
        """Every projection moves by shift · line, whose mean square is |shift|² / coordinates."""
        sample, shift = normal(40, 0, (51,)), torch.zeros(51)
        shift[3], shift[7] = 30, 40
        assert sliced_wasserstein(sample, sample + shift, lines=20000).item() == pytest.approx(50 / 51**0.5, rel=0.03)

    def test_one_dimension_by_hand(self):
        one, other = torch.tensor([[1.0], [5.0]]), torch.tensor([[8.0], [1.0]])
        assert sliced_wasserstein(one, other).item() == pytest.approx((9 / 2) ** 0.5)

    def test_symmetric_in_the_unit_of_the_sample_and_the_same_each_time(self):
        one, other = normal(30, 0), 2 * normal(30, 1)
        distance = sliced_wasserstein(one, other)
        assert sliced_wasserstein(other, one) == distance
        assert sliced_wasserstein(one, other) == distance
        torch.testing.assert_close(sliced_wasserstein(10 * one, 10 * other), 10 * distance)

    def test_lost_correlation_is_measured(self):
        """Only the marginals are equal."""
        one = normal(2000, 0, (1,)).expand(-1, 2)
        other = torch.stack([one[:, 0], one[torch.randperm(2000, generator=torch.Generator().manual_seed(0)), 1]], 1)
        assert sliced_wasserstein(one, other) > 0.2


@pytest.mark.parametrize("function", [nearest_neighbour_accuracy, sliced_wasserstein])
def test_samples_of_different_size_are_refused(function):
    with pytest.raises(ValueError, match="equal sizes"):
        function(normal(3, 0), normal(4, 1))


class TestBones:
    def pose(self, **joints: float) -> torch.Tensor:
        pose = torch.zeros(17, 3)
        for name, x in joints.items():
            pose[H36M.index(name), 0] = x
        return pose

    def test_asymmetry_by_hand(self):
        """Forearms of 6 and 2: one of six pairs is 4 off; the other pose is symmetric."""
        poses = torch.stack([self.pose(l_wrist=6, r_wrist=-2), self.pose(l_wrist=5, r_wrist=-5)])
        assert bone_asymmetry(poses).item() == pytest.approx(4 / 6 / 2, abs=1e-4)

    def test_spread_by_hand(self):
        """Forearms of 6 and 2 in two poses: a deviation of 2, one of sixteen bones."""
        poses = torch.stack([self.pose(l_wrist=6), self.pose(l_wrist=2)])
        assert bone_spread(poses).item() == pytest.approx(2 / len(BONES), abs=1e-4)
        assert bone_spread(poses[[0, 0]]).item() == pytest.approx(0, abs=1e-6)


def test_all_measures_by_name():
    real, generated = normal(60, 0), normal(60, 1)
    values = measure(real, generated)
    assert set(values) == {"1-NN_real", "1-NN_generated", "SW", "asymmetry", "spread"}
    assert values["asymmetry"] == bone_asymmetry(generated)
    assert values["spread"] == bone_spread(generated)


def test_nearest_poses_by_hand():
    others = normal(40, 0)
    poses = torch.stack([others[7], others[3] + torch.tensor([3.0, 0, 4]), others[39]])
    for at_once in (1, 2, 16):
        index, distances = nearest_poses(poses, torch.cat([others, others + 1000]), at_once)
        assert index.tolist()[0::2] == [7, 39]
        torch.testing.assert_close(distances[[0, 2]], torch.zeros(2))
    index, distances = nearest_poses(poses[1:2], others[3:4])
    assert (index.item(), distances.item()) == (0, pytest.approx(5))

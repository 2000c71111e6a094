"""The cycle GAN's networks and losses by hand, values and gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from twod_threed.cycle_gan import CycleGAN, Poses, depths_turned, passing, place, still_statistics
from twod_threed.model import Discriminator, FullyConnectedProjection, LinearModel, ProjectNet
from utils.data_utils import LIFTER_INPUT_JOINTS, normalise_instance
from utils.transform import H36M, H36M_2D

SEEDS = st.integers(0, 1000)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_poses(count: int = 5, joints: int = 17, dimensions: int = 3, seed: int = 0) -> torch.Tensor:
    """Hip first and at zero."""
    poses = torch.randn(count, joints, dimensions, generator=rng(seed))
    return poses - poses[:, :1]


class Linear(nn.Module):
    """A critic whose score is the sum of all coordinates, times a weight."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, poses):
        return self.weight * poses.flatten(1).sum(1)


def small_gan(critic_2d=None, critic_3d=None) -> CycleGAN:
    torch.manual_seed(0)
    gan = CycleGAN(LinearModel(16, 1, 0, without_hip=True), ProjectNet(), scale=500.0)
    if critic_2d:
        gan.companions["critic_2d"], gan.companions["critic_3d"] = critic_2d, critic_3d
    return gan


# ------------------------------------------------------------------------------------------ networks
class TestProjectNet:
    def test_it_starts_from_the_camera_that_looks_along_z(self):
        pose = torch.full((1, 17, 3), 7.0)  # all joints where the hip is,
        pose[0, H36M.index("head_top")] += torch.tensor([3.0, -4.0, 50.0])  # but the head
        shape = ProjectNet()(pose)
        expected = torch.zeros(1, 16, 2)
        # The mean over the 15 other joints of the squared distance from the hip is 25 / 15.
        expected[0, H36M_2D.index("head_top")] = torch.tensor([3.0, -4.0]) / math.sqrt(25 / 15)
        torch.testing.assert_close(shape, expected)

    def test_it_gives_the_joints_of_the_lifters_input(self):
        poses = random_poses()
        torch.testing.assert_close(ProjectNet()(poses), normalise_instance(poses[:, LIFTER_INPUT_JOINTS, :2]))

    @pytest.mark.parametrize(
        ("vector", "across", "down"),
        [
            ((math.pi / 2, 0, 0), (1, 0, 0), (0, 0, -1)),  # about x: y goes to z, so what is seen as y is -z
            ((0, math.pi / 2, 0), (0, 0, 1), (0, 1, 0)),
            ((0, 0, math.pi / 2), (0, -1, 0), (1, 0, 0)),
        ],
    )
    def test_the_rotation(self, vector, across, down):
        net, poses = ProjectNet(), random_poses()
        net.rotation.data = torch.tensor(vector, dtype=torch.float32)
        seen = poses[:, LIFTER_INPUT_JOINTS] @ torch.tensor([across, down], dtype=torch.float32).T
        torch.testing.assert_close(net(poses), normalise_instance(seen))

    def test_the_aspect(self):
        net, poses = ProjectNet(), random_poses()
        before = net(poses)
        net.log_aspect.data = torch.tensor(math.log(2))
        torch.testing.assert_close(net(poses), normalise_instance(before * torch.tensor([2.0, 1.0])))

    @given(SEEDS, st.floats(0.01, 100), st.floats(-1000, 1000))
    def test_scale_and_position_do_not_matter(self, seed, scale, shift):
        net, poses = ProjectNet().double(), random_poses(seed=seed).double()
        net.rotation.data += 0.3
        torch.testing.assert_close(net(scale * poses + shift), net(poses))

    def test_gradients(self):
        net, poses = ProjectNet().double(), random_poses(2).double().requires_grad_()

        def project(poses, rotation, log_aspect):
            return torch.func.functional_call(net, {"rotation": rotation, "log_aspect": log_aspect}, (poses,))

        view = torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64, requires_grad=True)
        aspect = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(project, (poses, view, aspect))
        net(poses).square()[:, 3].sum().backward()  # from zero, where it starts
        assert net.rotation.grad.isfinite().all()
        assert net.rotation.grad.norm() > 0

    def test_poses_with_opposite_depths_look_alike(self):
        poses = random_poses()
        torch.testing.assert_close(ProjectNet()(depths_turned(poses)), ProjectNet()(poses))
        assert torch.equal(depths_turned(poses)[..., 2], -poses[..., 2])


class TestFullyConnectedProjection:
    def network(self):
        torch.manual_seed(0)
        return FullyConnectedProjection(linear_size=16, num_stage=2, dropout=0.1)

    def test_it_gives_shapes(self):
        shapes = self.network()(random_poses(8))
        assert shapes.shape == (8, 16, 2)
        assert torch.equal(shapes[:, 0], torch.zeros(8, 2))
        torch.testing.assert_close(shapes, normalise_instance(shapes))

    def test_it_ignores_size_and_position(self):
        net, poses = self.network().eval(), random_poses(8)
        torch.testing.assert_close(net(300 * poses + 40), net(poses), rtol=1e-4, atol=1e-5)

    def test_every_parameter_learns(self):
        net = self.network()
        (net(random_poses(8)) * torch.randn(8, 16, 2)).sum().backward()
        silent = {name for name, parameter in net.named_parameters() if not parameter.grad.abs().sum() > 0}
        assert {name for name in silent if "norm" in name or name.endswith("weight")} == set()


class TestDiscriminator:
    def test_it_scores_joints_and_lengths_of_bones(self):
        """A linear critic with one weight at the last bone: its length, whose gradient is the bone's direction."""
        critic, poses = Discriminator(H36M, 3), random_poses()
        critic.layers = nn.Linear(48 + 16, 1, bias=False)
        critic.layers.weight.data = torch.zeros(1, 64)
        critic.layers.weight.data[0, -1] = 1.0
        poses.requires_grad_()
        scores = critic(poses)
        start, end = H36M.bone_indices[-1]
        bone = (poses[:, end] - poses[:, start]).detach()
        torch.testing.assert_close(scores, bone.norm(dim=1))
        scores.sum().backward()
        torch.testing.assert_close(poses.grad[:, end], bone / bone.norm(dim=1, keepdim=True))
        torch.testing.assert_close(poses.grad.sum(1), torch.zeros(5, 3))

    def test_in_2d_there_are_no_depths(self):
        scores = Discriminator(H36M_2D, 2)(random_poses(6, 16, 2))
        assert scores.shape == (6,)

    def test_a_score_depends_only_on_its_own_pose(self):
        """As the gradient penalty requires; so there is no batch norm."""
        torch.manual_seed(0)
        critic, poses = Discriminator(H36M, 3).train(), random_poses(6)
        torch.testing.assert_close(critic(poses)[:2], critic(poses[:2]))
        assert not [module for module in critic.modules() if "Norm" in type(module).__name__]

    def test_every_parameter_learns(self):
        torch.manual_seed(0)
        critic = Discriminator(H36M, 3)
        critic(random_poses()).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in critic.parameters())


# ------------------------------------------------------------------------------------------ losses
class TestLosses:
    def poses(self, value_2d, value_3d, count=4):
        return Poses(torch.full((count, 16, 2), value_2d), torch.full((count, 17, 3), value_3d))

    def test_distances(self):
        """Sums over 32 and 51 coordinates, times the critics' weights; real minus generated."""
        gan = small_gan(Linear(2.0), Linear(-1.0))
        first, second = gan.distances(self.poses(1.0, 1.0), self.poses(0.5, 3.0))
        assert first.item() == pytest.approx(2 * 32 * 0.5)
        assert second.item() == pytest.approx(-51 * (1 - 3))

    def test_the_penalty_of_both(self):
        """The gradient of a sum of n coordinates has the length √n."""
        gan = small_gan(Linear(2.0), Linear(-1.0))
        penalty = gan.penalty(self.poses(1.0, 1.0), self.poses(0.0, 0.0), rng())
        assert penalty.item() == pytest.approx((2 * math.sqrt(32) - 1) ** 2 + (math.sqrt(51) - 1) ** 2, rel=1e-5)

    def test_the_loss_of_the_generators(self):
        gan = small_gan(Linear(2.0), Linear(-1.0))
        fake = Poses(*(poses.requires_grad_() for poses in self.poses(0.5, 3.0)))
        loss = gan.adversarial_loss(fake)
        assert loss.item() == pytest.approx(-2 * 32 * 0.5 + 51 * 3)
        loss.backward()
        torch.testing.assert_close(fake.shape.grad, torch.full((4, 16, 2), -2 / 4))
        torch.testing.assert_close(fake.pose.grad, torch.full((4, 17, 3), 1 / 4))
        assert [parameter.grad for parameter in gan.critic_parameters()] == [None, None]
        assert all(parameter.requires_grad for parameter in gan.critic_parameters())

    def test_every_network_is_in_one_of_the_groups(self):
        gan = small_gan()
        grouped = [*gan.generator_parameters(), *gan.critic_parameters()]
        assert {id(one) for one in grouped} == {id(one) for one in gan.parameters()}
        assert len(grouped) == len(list(gan.parameters()))


class TestPlace:
    def test_by_hand(self):
        like = torch.full((1, 16, 2), 100.0)
        like[0, 3] = torch.tensor([100.0, 400.0])  # 300 px from the hip; root mean square over 15 joints
        shape = torch.zeros(1, 16, 2)
        shape[0, 5] = torch.tensor([2.0, -1.0])
        placed = place(shape, like)
        size = 300 / math.sqrt(15)
        torch.testing.assert_close(placed[0, 5], torch.tensor([100 + 2 * size, 100 - size]))
        torch.testing.assert_close(placed[0, 0], torch.tensor([100.0, 100.0]))

    @given(SEEDS)
    def test_it_undoes_the_normalisation(self, seed):
        poses = 300 * torch.rand(3, 16, 2, generator=rng(seed), dtype=torch.float64)
        torch.testing.assert_close(place(normalise_instance(poses), poses), poses)

    @given(SEEDS)
    def test_the_shape_is_kept(self, seed):
        shapes = normalise_instance(random_poses(3, 16, 2, seed).double())
        like = 300 * torch.rand(3, 16, 2, generator=rng(seed + 1), dtype=torch.float64)
        torch.testing.assert_close(normalise_instance(place(shapes, like)), shapes)


# ------------------------------------------------------------------------------------------ states of networks
def statistics(network):
    return {name: value.clone() for name, value in network.state_dict().items() if "running" in name or "num" in name}


def test_still_statistics_use_those_of_the_batch_and_leave_the_running_ones():
    gan, inputs = small_gan().train(), random_poses(8, 16, 2)
    before = statistics(gan)
    with still_statistics(gan):
        quiet = gan.lifter(inputs)
    assert all(torch.equal(value, before[name]) for name, value in statistics(gan).items())
    torch.testing.assert_close(gan.lifter(inputs), quiet)
    assert not torch.equal(gan.lifter.batch_norm1.running_mean, before["lifter.batch_norm1.running_mean"])


def test_still_statistics_leave_evaluation_as_it_is():
    gan, inputs = small_gan().train(), random_poses(8, 16, 2)
    gan.lifter(inputs)
    gan.eval()
    expected = gan.lifter(inputs)
    with still_statistics(gan):
        assert torch.equal(gan.lifter(inputs), expected)


def test_networks_learn_again_after_an_error():
    layer = nn.Linear(2, 1)

    def fail():
        with passing(layer):
            assert not layer.weight.requires_grad
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert layer.weight.requires_grad

"""Generator and critic of the pose GAN, clipping, the running average."""

import pytest
import torch
from torch import nn

from generative_models.fc_gan import AVERAGE_DECAY, Critic, Generator, PoseGAN, clip_weights, sample_latents
from generative_models.poses import BONE_INDICES, chain_matrix
from utils.data_utils import bone_lengths
from utils.training.wgan import generator_loss, gradient_penalty


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_poses(count: int = 50) -> torch.Tensor:
    """Poses in mm, hip at the origin."""
    return chain_matrix() @ (200 * torch.randn(count, 16, 3, generator=rng(9)))


def small_gan() -> PoseGAN:
    torch.manual_seed(0)
    return PoseGAN(latent_size=4, width=8, blocks=1).fit_scale(some_poses())


def test_clipping_by_hand():
    layer = nn.Linear(2, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[0.5, -0.003]]), torch.tensor([-7.0])
    clip_weights(layer, 0.01)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[0.01, -0.003]]))
    assert layer.bias.item() == pytest.approx(-0.01)


def test_latents_are_uniform_from_minus_one_to_one():
    latents = sample_latents(4000, 3, rng())
    assert latents.shape == (4000, 3)
    assert -1 <= latents.min() < -0.99
    assert 0.99 < latents.max() <= 1
    assert latents.mean(0).abs().max() < 0.05
    assert latents.var().item() == pytest.approx(1 / 3, rel=0.03)


class TestNetworks:
    def test_generator_gives_poses_with_the_hip_at_the_origin(self):
        poses = Generator(4, 8, 1)(sample_latents(6, 4, rng()))
        assert poses.shape == (6, 17, 3)
        assert (poses[:, 0] == 0).all()
        assert poses.isfinite().all()

    def test_the_heads_give_directions_and_lengths(self):
        generator, latents = Generator(4, 8, 1), sample_latents(6, 4, rng())
        before = generator(latents)
        _, lengths = generator.network(latents)
        torch.testing.assert_close(bone_lengths(before, BONE_INDICES), (0.1 * lengths).exp())
        with torch.no_grad():
            generator.network.heads[0].weight.mul_(3)
            generator.network.heads[0].bias.mul_(3)
        torch.testing.assert_close(generator(latents), before)  # the length of a direction has no effect

    def test_untrained_poses_have_the_mean_bone_lengths_of_the_training_poses(self):
        model = small_gan()
        expected = bone_lengths(some_poses(), BONE_INDICES).mean(0)
        lengths = bone_lengths(model.sample(200, rng()), BONE_INDICES).mean(0)
        torch.testing.assert_close(lengths, expected, rtol=0.15, atol=0)

    def test_every_parameter_learns(self):
        model = small_gan()
        generator_loss(model.critic(model.generator(sample_latents(6, 4, rng())))).backward()
        for name, parameter in (*model.generator.named_parameters(), *model.critic.named_parameters()):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_every_critic_weight_learns_from_the_penalty(self):
        """The last bias adds the same to all scores, so it has no gradient."""
        critic = small_gan().critic
        gradient_penalty(critic, torch.randn(6, 17, 3), torch.randn(6, 17, 3), rng()).backward()
        weights = {name: p.grad for name, p in critic.named_parameters() if name.endswith("weight")}
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in weights.values())

    def test_scores_are_not_confined_to_probabilities(self):
        scores = Critic(8, 1)(1000 * torch.randn(6, 17, 3))
        assert scores.shape == (6,)
        assert scores.abs().max() > 1

    def test_critic_and_generator_have_no_batch_norm(self):
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in small_gan().modules())


class TestPoseGAN:
    def test_the_average_starts_equal_to_the_generator_and_gets_no_gradient(self):
        model, latents = small_gan(), sample_latents(3, 4, rng())
        torch.testing.assert_close(model.average(latents), model.generator(latents))
        assert not any(parameter.requires_grad for parameter in model.average.parameters())

    def test_the_average_by_hand(self):
        model = small_gan()
        weight, mean = model.generator.network.first.bias.data, model.average.network.first.bias.data
        expected = mean.clone()
        for step in range(1, 4):
            weight.fill_(step)
            model.update_average()
            share = 10 / (9 + step)  # of the new weights: at first all, less with each step
            expected = (1 - share) * expected + share * step
            torch.testing.assert_close(mean, expected)

    def test_after_many_updates_the_decay_is_constant(self):
        model = small_gan()
        model.updates.fill_(1e6)
        model.generator.network.first.bias.data.fill_(1)
        model.average.network.first.bias.data.fill_(0)
        model.update_average()
        torch.testing.assert_close(model.average.network.first.bias.data, torch.full((8,), 1 - AVERAGE_DECAY))

    def test_samples_come_from_the_average_and_are_in_mm(self):
        model = small_gan()
        expected = model.scale * model.average(sample_latents(7, 4, rng(5)))
        torch.testing.assert_close(model.sample(7, rng(5)), expected)
        torch.testing.assert_close(model.sample(7, rng(5), at_once=2), expected, atol=1e-3, rtol=0)

    def test_decoding_has_a_gradient_in_the_latents(self):
        latents = sample_latents(2, 4, rng()).requires_grad_()
        small_gan().decode(latents).sum().backward()
        assert latents.grad.abs().sum() > 0

    def test_scale_by_hand(self):
        poses = torch.zeros(2, 17, 3)
        poses[0, 1:] = 30
        assert PoseGAN(4, 8, 1).fit_scale(poses).scale.item() == pytest.approx((900 / 2) ** 0.5)

    def test_scale_and_lengths_are_stored_with_the_weights(self):
        other, latents = PoseGAN(4, 8, 1), sample_latents(3, 4, rng())
        other.load_state_dict(small_gan().state_dict())
        torch.testing.assert_close(other.decode(latents), small_gan().decode(latents))

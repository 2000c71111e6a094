"""The Wasserstein objective and its gradient penalty by hand, values and gradients."""

import pytest
import torch
from torch import nn

from utils.training.wgan import generator_loss, gradient_penalty, wasserstein


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestLosses:
    def test_scores_are_subtracted_as_they_are(self):
        """No sigmoid, no logarithm: a constant falls out, a factor stays."""
        real, fake = torch.tensor([3.0, 5.0]), torch.tensor([-1.0, 2.0, 2.0])
        assert wasserstein(real, fake).item() == pytest.approx(3)
        assert wasserstein(real + 100, fake + 100).item() == pytest.approx(3)
        assert wasserstein(1000 * real, 1000 * fake).item() == pytest.approx(3000)
        assert generator_loss(fake).item() == pytest.approx(-1)

    def test_gradients_of_the_scores(self):
        real, fake = torch.zeros(4, requires_grad=True), torch.zeros(2, requires_grad=True)
        wasserstein(real, fake).backward()
        assert real.grad.tolist() == [0.25] * 4
        assert fake.grad.tolist() == [-0.5] * 2

    def test_the_distance_of_two_points(self):
        """The best critic of Lipschitz constant 1 for points at 0 and 3 is x, and its value their distance."""
        critic, real, fake = nn.Linear(1, 1), torch.full((8, 1), 3.0), torch.zeros(8, 1)
        critic.weight.data.fill_(0.5)
        for step in range(20):
            loss = -wasserstein(critic(real), critic(fake)) + 10 * gradient_penalty(critic, real, fake, rng(step))
            critic.weight.data -= 0.04 * torch.autograd.grad(loss, critic.weight)[0]
        # w maximises 3 w - 10 (w - 1)²: w = 1 + 3 / 20.
        assert wasserstein(critic(real), critic(fake)).item() == pytest.approx(3 * 1.15, abs=1e-3)


class TestGradientPenalty:
    def test_of_a_linear_critic(self):
        """Its gradient is its weight everywhere."""
        critic = nn.Linear(3, 1, bias=False)
        critic.weight.data = torch.tensor([[1.0, 2.0, 2.0]])
        penalty = gradient_penalty(critic, torch.randn(5, 3), torch.randn(5, 3), rng())
        assert penalty.item() == pytest.approx((3 - 1) ** 2)
        penalty.backward()  # d/dw (|w| - 1)² = 2 (|w| - 1) w / |w|
        torch.testing.assert_close(critic.weight.grad, 2 * 2 * critic.weight.detach() / 3)

    def test_it_is_two_sided(self):
        critic = nn.Linear(1, 1)
        critic.weight.data.fill_(0.25)
        assert gradient_penalty(critic, torch.ones(2, 1), torch.zeros(2, 1), rng()).item() == pytest.approx(0.75**2)

    def test_it_is_taken_between_the_pairs(self):
        """The gradient of x²/2 is x: at uniform points from 2 to 4 the mean of (x - 1)² is the integral, 13 / 3."""

        class Square(nn.Module):
            def forward(self, x):
                return x.square() / 2

        real, fake = torch.full((20000, 1), 4.0), torch.full((20000, 1), 2.0)
        assert gradient_penalty(Square(), real, fake, rng()).item() == pytest.approx(13 / 3, rel=0.02)

    def test_no_gradient_reaches_the_generator(self):
        fake = torch.randn(4, 17, 3, requires_grad=True)
        critic = nn.Sequential(nn.Flatten(), nn.Linear(51, 1))
        gradient_penalty(critic, torch.randn(4, 17, 3), fake, rng()).backward()
        assert critic[1].weight.grad is not None
        assert fake.grad is None

"""From poses back to latents: a generated pose is found again; the walk is straight."""

import pytest
import torch

from generative_models.fc_gan import PoseGAN, sample_latents
from generative_models.latents import fit_latents, straight_walk
from generative_models.measures import joint_distance


@pytest.fixture
def model() -> PoseGAN:
    torch.manual_seed(0)
    model = PoseGAN(3, 16, 1).eval()
    model.scale.fill_(300)
    return model


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_generated_pose_is_found_again(model):
    latents = sample_latents(3, 3, rng(7))
    with torch.no_grad():
        poses = model.decode(latents)
    found, errors = fit_latents(model, poses, rng(), starts=8, steps=150)
    assert found.shape == (3, 3)
    assert errors.max() < 0.5  # mm
    torch.testing.assert_close(found, latents, atol=0.02, rtol=0)


def test_errors_are_those_of_the_latents_found(model):
    poses = 100 * torch.randn(2, 17, 3, generator=rng(3))
    found, errors = fit_latents(model, poses, rng(), starts=4, steps=20)
    with torch.no_grad():
        torch.testing.assert_close(joint_distance(model.decode(found), poses), errors)
    assert found.abs().max() <= 1


def test_more_starts_are_never_worse(model):
    poses = 100 * torch.randn(2, 17, 3, generator=rng(3))
    _, few = fit_latents(model, poses, rng(), starts=1, steps=30)
    _, many = fit_latents(model, poses, rng(), starts=16, steps=30)
    assert (many <= few + 1e-3).all()


def test_the_network_is_not_changed(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit_latents(model, torch.zeros(1, 17, 3), rng(), starts=2, steps=3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_straight_walk():
    walk = straight_walk(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.5]), 5)
    torch.testing.assert_close(walk, torch.tensor([[-1, 0], [-0.5, 0.125], [0, 0.25], [0.5, 0.375], [1, 0.5]]))

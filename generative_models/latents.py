"""Inversion of the generator (poses to latents), and linear interpolation between latents."""

import torch
from torch import Tensor

from generative_models.fc_gan import PoseGAN, sample_latents
from generative_models.measures import joint_distance

# The error has many local minima: several starts help more than many steps.
LATENT_STARTS, LATENT_STEPS, LATENT_RATE = 32, 300, 0.05


def fit_latents(
    model: PoseGAN, poses: Tensor, rng: torch.Generator, starts: int = LATENT_STARTS, steps: int = LATENT_STEPS
) -> tuple[Tensor, Tensor]:
    """Find the latents that best reproduce given poses: Adam on the squared error, from several random starts.

    Args:
        poses: (N, 17, 3) mm, in the frame of `generative_models.poses`.
        rng: draws the starts, uniform in [-1, 1]. Latents stay in this range, as in training.

    Returns: (N, latent_size), the best latents over all starts; and (N,) their errors, mm: the mean distance over 17
    joints, including the hip, whose error is always zero.
    """
    size = model.generator.latent_size
    latents = sample_latents(starts * len(poses), size, rng).requires_grad_()
    targets = poses.repeat(starts, 1, 1)
    optimizer = torch.optim.Adam([latents], LATENT_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LATENT_RATE * (1 - step / steps)
        loss = ((model.decode(latents) - targets) / model.scale).square().sum()
        (latents.grad,) = torch.autograd.grad(loss, latents)
        optimizer.step()
        with torch.no_grad():
            latents.clamp_(-1, 1)
    with torch.no_grad():
        errors = joint_distance(model.decode(latents), targets).view(starts, len(poses))
    best, poses_numbers = errors.min(dim=0), torch.arange(len(poses))
    return latents.detach().view(starts, len(poses), size)[best.indices, poses_numbers], best.values


def straight_walk(start: Tensor, end: Tensor, count: int) -> Tensor:
    """(count, latent_size): latents at equal steps from `start` to `end`, both (latent_size,) and included."""
    shares = torch.linspace(0, 1, count).to(start)[:, None]
    return torch.lerp(start, end, shares)

"""A fully connected Wasserstein GAN over 3D poses. `utils.training.wgan` has the losses.

Poses are (B, 17, 3), hip at the origin, in the frame of `generative_models.poses`, divided by the GAN's scale.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generative_models.base_network import ResidualNetwork
from generative_models.poses import BONE_INDICES, BONES, chain_matrix
from utils.compute.batch_parts import uniform
from utils.data_utils import bone_lengths

AVERAGE_DECAY = 0.999  # of the generator's running average, per generator step
LENGTH_GAIN = 0.1  # small, so that bones start at about their mean length


class Generator(nn.Module):
    """Latents (B, latent_size) -> poses (B, 17, 3).

    One head predicts bone directions (the pose), the other bone lengths relative to the mean (the person). Joints are
    sums of bones from the hip outwards. Coordinates would mix the two, which makes rigid bones hard to learn.
    """

    def __init__(self, latent_size: int, width: int, blocks: int):
        super().__init__()
        self.latent_size = latent_size
        self.network = ResidualNetwork(latent_size, [3 * len(BONES), len(BONES)], width, blocks)
        self.register_buffer("mean_lengths", torch.ones(len(BONES)))
        self.register_buffer("chains", chain_matrix(), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        directions, lengths = (head.float() for head in self.network(latents))
        directions = F.normalize(directions.unflatten(1, (-1, 3)), dim=-1)  # (B, 16, 3)
        lengths = self.mean_lengths * (LENGTH_GAIN * lengths).exp()  # (B, 16)
        return self.chains @ (directions * lengths[..., None])


class Critic(nn.Module):
    """Poses (B, 17, 3) -> scores (B,), the higher the more real.

    The input includes bone lengths: they are constant for a real person but account for little of the coordinates'
    variance.
    """

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.network = ResidualNetwork(4 * len(BONES), [1], width, blocks)

    def forward(self, poses: Tensor) -> Tensor:
        (scores,) = self.network(torch.cat([poses[:, 1:].flatten(1), bone_lengths(poses, BONE_INDICES)], dim=1))
        return scores[:, 0]


class PoseGAN(nn.Module):
    """Generator, critic, the generator's running average, and the scale between network units and mm.

    Args:
        latent_size: dimensions of a latent vector, each uniform in [-1, 1].
        width, blocks: of both networks.

    `scale` is in mm per network unit. `fit_scale` sets it, and it is stored with the weights.
    """

    apart = ("generator", "critic")  # see `Processes.wrap_model`

    def __init__(self, latent_size: int, width: int, blocks: int):
        super().__init__()
        self.generator = Generator(latent_size, width, blocks)
        self.critic = Critic(width, blocks)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("updates", torch.tensor(0.0))

    def fit_scale(self, poses: Tensor) -> "PoseGAN":
        """Set the scale and the mean bone lengths from training poses (N, 17, 3), mm.

        The scale is the root mean square of all coordinates except the hip's. A single number keeps millimetres
        comparable across coordinates for the critic, whose slope is bounded.
        """
        self.scale.copy_(poses[:, 1:].square().mean().sqrt())
        for generator in (self.generator, self.average):
            generator.mean_lengths.copy_(bone_lengths(poses, BONE_INDICES).mean(0) / self.scale)
        return self

    @torch.no_grad()
    def update_average(self) -> None:
        """Update the running average of the generator's weights, which `decode` uses.

        Early in training the window covers only the last nine tenths of the steps, so that initial weights fade fast.
        """
        self.updates += 1
        weight = torch.clamp(10 / (9 + self.updates), min=1 - AVERAGE_DECAY, max=1)
        for mean, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(new, weight)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, latent_size) -> poses (B, 17, 3), mm, from the averaged generator. Differentiable in the latents."""
        return self.average(latents) * self.scale

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, at_once: int = 4096) -> Tensor:
        """Generate poses (count, 17, 3), mm, on the device of `generator`, `at_once` per forward pass."""
        latents = sample_latents(count, self.generator.latent_size, generator)
        return torch.cat([self.decode(part) for part in latents.split(at_once)])


def sample_latents(count: int, latent_size: int, generator: torch.Generator) -> Tensor:
    """(count, latent_size), uniform in [-1, 1]."""
    return 2 * uniform(count, latent_size, generator=generator) - 1


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float) -> None:
    """Clip weights to [-limit, limit], which bounds the critic's slope (Arjovsky, Chintala, Bottou, ICML 2017)."""
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)

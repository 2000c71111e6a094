"""A cycle GAN between unpaired 2D and 3D poses.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017,
with Wasserstein critics (`utils.training.wgan`). The generators are the lifter (2D -> 3D) and a projection (3D -> 2D).

A 3D pose with its hip at the origin does not determine the person's position and size in the image. So the projection,
the 2D critic and the 2D cycle use only the shape of 2D poses: hip at zero, unit size. `place` moves a shape to the
position and size of another pose, for a lifter whose input is in px of the image.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from twod_threed.model import Discriminator, LinearModel
from utils.data_utils import centre_on_hip, instance_scale
from utils.training.wgan import generator_loss, gradient_penalty, wasserstein
from utils.transform import H36M, H36M_2D


class Poses(NamedTuple):
    """Inputs of the critics; the two need not be paired.

    Attributes:
        shape: (B, 16, 2), hip at zero, unit size.
        pose: (B, 17, 3), hip at zero, mm divided by `CycleGAN.scale`.
    """

    shape: Tensor
    pose: Tensor


class CycleGAN(nn.Module):
    """The lifter and the networks that train it: `projection`, `critic_2d`, `critic_3d`.

    Args:
        lifter: 2D to 3D.
        projection: poses (B, 17, 3), camera coordinates, to shapes (B, 16, 2).
        scale: mm per unit of the 3D critic; about the size of a person.
    """

    apart = ("lifter", "companions.projection", "companions.critic_2d", "companions.critic_3d")

    def __init__(self, lifter: LinearModel, projection: nn.Module, scale: float):
        super().__init__()
        self.lifter, self.scale = lifter, scale
        self.companions = nn.ModuleDict(
            {"projection": projection, "critic_2d": Discriminator(H36M_2D, 2), "critic_3d": Discriminator(H36M, 3)}
        )

    @property
    def projection(self) -> nn.Module:
        return self.companions["projection"]

    @property
    def critic_2d(self) -> Discriminator:
        return self.companions["critic_2d"]

    @property
    def critic_3d(self) -> Discriminator:
        return self.companions["critic_3d"]

    def critics(self) -> tuple[Discriminator, Discriminator]:
        return self.critic_2d, self.critic_3d

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.lifter.parameters(), *self.projection.parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        return [*self.critic_2d.parameters(), *self.critic_3d.parameters()]

    def distances(self, real: Poses, fake: Poses) -> tuple[Tensor, Tensor]:
        """`wasserstein` of the 2D and of the 3D critic, in the critics' units."""
        return tuple(
            wasserstein(*critic(torch.cat(both)).float().split(len(both[0])))
            for critic, both in zip(self.critics(), zip(real, fake, strict=True), strict=True)
        )

    def penalty(self, real: Poses, fake: Poses, rng: torch.Generator) -> Tensor:
        """Sum of the critics' gradient penalties."""
        pairs = zip(self.critics(), real, fake, strict=True)
        return sum(gradient_penalty(critic, *ends, rng) for critic, *ends in pairs)

    def adversarial_loss(self, fake: Poses) -> Tensor:
        """Sum of the two generators' losses. The critics get no gradients."""
        with passing(*self.critics()):
            return sum(
                generator_loss(critic(poses).float()) for critic, poses in zip(self.critics(), fake, strict=True)
            )


def place(shapes: Tensor, like: Tensor) -> Tensor:
    """Move shapes (B, 16, 2), hip at zero and unit size, to the hip and size of the 2D poses `like`, in px."""
    return like[:, :1] + shapes * instance_scale(centre_on_hip(like, 0))


@contextmanager
def passing(*networks: nn.Module) -> Iterator[None]:
    """Context in which gradients pass through the networks but are not computed for their parameters."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Context in which batch norm uses batch statistics, as in training, without updating running statistics.

    The lifter's running statistics then describe real 2D poses only, not projected ones.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.track_running_stats = not network.training
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def depths_turned(poses: Tensor) -> Tensor:
    """Negate the depths of poses (B, 17, 3) mm, hip at zero: the same image under weak perspective."""
    return poses * poses.new_tensor([1, 1, -1])

"""The 3D pose baseline, a fully connected residual network from 2D to 3D poses; and the networks of its cycle GAN.

Martinez, Hossain, Romero, Little, "A Simple yet Effective Baseline for 3D Human Pose Estimation", ICCV 2017. Module
names follow the public PyTorch port, so that its checkpoints load as they are.
"""

import torch
from torch import Tensor, nn

from twod_threed.normalisation import Normalisation
from utils.compute.arrays import network_in_kind
from utils.data_utils import LIFTER_INPUT_JOINTS, bone_lengths, normalise_instance, select_joints
from utils.transform import Skeleton

INPUT_JOINTS = 16
OUTPUT_JOINTS = 17


class Dropout(nn.Dropout):
    """`nn.Dropout` that draws 16 random bits per number on a CPU; its probability is accurate to 1 in 65,536.

    PyTorch's version draws one double per number, sequentially: a fifth of a training step at batch 64 on two cores.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or self.p in (0, 1):
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= round(self.p * 2**16) - 2**15
        return x * kept.to(x.dtype).div_(1 - self.p)


class ResidualStage(nn.Module):
    """Two layers of linear, batch norm, ReLU, dropout, added to the input: (B, size) -> (B, size)."""

    def __init__(self, size: int, dropout: float):
        super().__init__()
        self.w1 = nn.Linear(size, size)
        self.batch_norm1 = nn.BatchNorm1d(size)
        self.w2 = nn.Linear(size, size)
        self.batch_norm2 = nn.BatchNorm1d(size)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(self.relu(self.batch_norm1(self.w1(x))))
        return x + self.dropout(self.relu(self.batch_norm2(self.w2(y))))


class LinearModel(nn.Module):
    """The network from normalised 2D poses to normalised 3D poses.

    Forward: (B, 32) -> (B, 51), or (B, 16, 2) -> (B, 17, 3); without the hip in the output (B, 48) or (B, 16, 3).
    Input joints are Human3.6M's without the nose, output joints Human3.6M's 17 (`utils.transform`). An array gives an
    array.

    Args:
        linear_size: width of the hidden layers.
        num_stage: number of residual blocks.
        dropout: dropout probability of hidden units.
        without_hip: for poses with the hip at zero: the network takes 15 joints and predicts 16, and the hip's zeros
            are inserted. Otherwise it takes all 16 joints.
        output_size: size of the output: 51, or 48 in the public port's checkpoints.

    Attributes:
        normalisation: `Normalisation` from px to the network's input and from its output to mm, or None. It moves with
            the network but is not in its state dict.
        input_places: position of the input's spine and thorax joints: "h36m" or "mpii" (`lifter_input_joints`).
    """

    normalisation: Normalisation | None

    def __init__(
        self,
        linear_size: int = 1024,
        num_stage: int = 2,
        dropout: float = 0.5,
        without_hip: bool = False,
        output_size: int = 3 * OUTPUT_JOINTS,
    ):
        super().__init__()
        self.without_hip, self.input_places = without_hip, "h36m"
        self.register_module("normalisation", None)
        inside = 2 * INPUT_JOINTS - 2 * without_hip
        self.w1 = nn.Linear(inside, linear_size)
        self.batch_norm1 = nn.BatchNorm1d(linear_size)
        self.linear_stages = nn.ModuleList(ResidualStage(linear_size, dropout) for _ in range(num_stage))
        self.w2 = nn.Linear(linear_size, output_size - 3 * without_hip)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = Dropout(dropout)
        self.apply(_kaiming)

    @network_in_kind
    def forward(self, poses: Tensor) -> Tensor:
        x = poses.flatten(1)  # (B, 32): the hip comes first
        if self.without_hip:
            x = x[:, 2:]
        x = self.dropout(self.relu(self.batch_norm1(self.w1(x))))
        for stage in self.linear_stages:
            x = stage(x)
        x = self.w2(x)
        if self.without_hip:
            x = nn.functional.pad(x, (3, 0))  # the hip
        return x.unflatten(1, (-1, 3)) if poses.ndim == 3 else x

    def architecture(self) -> dict[str, int]:
        """The architecture by the option names of `train.py 2d3d_h36m`."""
        return {"linear_size": self.w1.out_features, "num_stage": len(self.linear_stages)}

    @torch.no_grad()
    def constrain(self, max_norm: float) -> None:
        """Limit the norm of every unit's incoming weights to `max_norm`.

        Martinez et al., section 3.2, mention a maximum norm; this is the one of Srivastava et al. (JMLR 2014), per
        unit. A single norm per layer makes weights smaller than Adam's steps: training on motion capture then stalls at
        about 100 mm.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.renorm_(2, 0, max_norm)


class ProjectNet(nn.Module):
    """Project 3D poses to 2D with a weak-perspective camera whose view is learned: (B, 17, 3) -> (B, 16, 2).

    Camera coordinates in any unit, with the hip anywhere -> hip at zero and unit size (`normalise_instance`). Weak
    perspective is a rotation, dropping the depth, a scale and a translation. Scale and translation are not parameters:
    hip at zero and unit size determine them for each pose. Learned are the rotation (rotation vector, radians) and the
    logarithm of the pixel aspect ratio (width to height). They start from a camera that looks along z. Unpaired 2D
    poses are consistent with several views, including mirrored ones; this start is close to the true one.
    """

    def __init__(self):
        super().__init__()
        self.rotation = nn.Parameter(torch.zeros(3))
        self.log_aspect = nn.Parameter(torch.zeros(()))

    def forward(self, poses: Tensor) -> Tensor:
        x, y, z = self.rotation.unbind()
        zero = torch.zeros_like(x)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)  # cross @ v is the cross product
        right, down, _ = torch.linalg.matrix_exp(cross)
        axes = torch.stack([right * self.log_aspect.exp(), down])  # (2, 3)
        joints = select_joints(poses, LIFTER_INPUT_JOINTS)
        return normalise_instance((joints.unsqueeze(-2) * axes).sum(-1))


class FullyConnectedProjection(nn.Module):
    """A projection network like the lifter: (B, 17, 3) -> (B, 16, 2), in the same frames as `ProjectNet`."""

    def __init__(self, linear_size: int, num_stage: int, dropout: float):
        super().__init__()
        self.w1 = nn.Linear(3 * (OUTPUT_JOINTS - 1), linear_size)
        self.batch_norm1 = nn.BatchNorm1d(linear_size)
        self.linear_stages = nn.Sequential(*(ResidualStage(linear_size, dropout) for _ in range(num_stage)))
        self.w2 = nn.Linear(linear_size, 2 * (INPUT_JOINTS - 1))
        self.dropout = Dropout(dropout)
        self.apply(_kaiming)

    def forward(self, poses: Tensor) -> Tensor:
        x = normalise_instance(poses)[:, 1:].flatten(1)  # the hip comes first
        x = self.dropout(torch.relu(self.batch_norm1(self.w1(x))))
        x = self.w2(self.linear_stages(x)).float().unflatten(1, (-1, 2))
        return normalise_instance(torch.cat([torch.zeros_like(x[:, :1]), x], dim=1))


class Discriminator(nn.Module):
    """A Wasserstein critic: poses (B, J, D), hip first and at zero -> scores (B,); higher is more real.

    The input includes bone lengths: they account for little of the coordinates' variance but reveal wrong depths. No
    batch norm: the gradient penalty applies to each sample separately (Gulrajani et al., NIPS 2017, section 4).
    """

    def __init__(self, skeleton: Skeleton, dimensions: int, width: int = 256):
        super().__init__()
        self.bones = skeleton.bone_indices
        inputs = dimensions * (len(skeleton) - 1) + len(self.bones)
        hidden = [nn.Sequential(nn.Linear(size, width), nn.LeakyReLU(0.2)) for size in (inputs, width, width)]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, poses: Tensor) -> Tensor:
        return self.layers(torch.cat([poses[:, 1:].flatten(1), bone_lengths(poses, self.bones)], dim=1))[:, 0]


def with_hip(poses: Tensor) -> Tensor:
    """A network's output with 17 joints (B, 17, 3): adds the hip's zeros if it has 16, as in published checkpoints."""
    if poses.shape[1] == OUTPUT_JOINTS:
        return poses
    return torch.cat([torch.zeros_like(poses[:, :1]), poses], dim=1)


def _kaiming(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight)

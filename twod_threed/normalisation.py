"""The two normalisations of the 3D baseline's input and output, and their inverses.

instance (default)   Per 2D pose: hip at zero, root mean square distance of the joints from it one. So the network does
                     not see the person's position and size in the image. The 3D pose, hip at zero, is divided by one
                     number, the deviation over the training set, since a person's size in mm is unknown in a photo.
dataset              Every coordinate, of 2D in px and of hip-centred 3D in mm, minus its mean over the training set,
                     divided by its standard deviation (Martinez et al., ICCV 2017).

All deviations are population deviations (ddof 0).
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from utils.compute.cache import cached
from utils.compute.distributed import ALONE, Processes
from utils.data_utils import normalise_instance
from utils.files.schema import numbers, text
from utils.human36m_dataset import PoseSet

NORMALISATION_KINDS = ("instance", "dataset")
PLAIN = {"kind": text(*NORMALISATION_KINDS)} | {
    f"{name}_{dims}d": numbers(joints, dims, low=low, high=1e7)  # px and mm
    for name, low in (("mean", -1e7), ("stddev", 1e-6))
    for joints, dims in ((16, 2), (17, 3))
}
TENSORS = ("mean_2d", "stddev_2d", "mean_3d", "stddev_3d")


class Normalisation(nn.Module):
    """Conversion between px or mm and network units. It is part of the network and follows `.to(device)`.

    Its numbers are not in the network's state dict; a checkpoint stores `plain`.

    Attributes:
        kind: "instance" or "dataset".
        mean_2d, stddev_2d: (16, 2), px; not used by "instance".
        mean_3d, stddev_3d: (17, 3), mm; zero and one common number in "instance".
    """

    mean_2d: Tensor
    stddev_2d: Tensor
    mean_3d: Tensor
    stddev_3d: Tensor

    def __init__(self, kind: str, mean_2d: Tensor, stddev_2d: Tensor, mean_3d: Tensor, stddev_3d: Tensor):
        super().__init__()
        self.kind = kind
        for name, value in zip(TENSORS, (mean_2d, stddev_2d, mean_3d, stddev_3d), strict=True):
            self.register_buffer(name, value, persistent=False)

    def input(self, poses: Tensor) -> Tensor:
        """(B, 16, 2) px -> network input of the same shape."""
        return normalise_instance(poses) if self.kind == "instance" else (poses - self.mean_2d) / self.stddev_2d

    def target(self, poses: Tensor) -> Tensor:
        """(B, 17, 3) mm, hip at zero -> the network's target."""
        return (poses - self.mean_3d) / self.stddev_3d

    def to_mm(self, output: Tensor) -> Tensor:
        """The network's output (B, 17, 3) -> mm, hip at zero."""
        return output * self.stddev_3d + self.mean_3d

    def plain(self) -> dict:
        """Plain types for checkpoints; the inverse of `from_plain`."""
        return {"kind": self.kind} | {name: getattr(self, name).tolist() for name in TENSORS}


def from_plain(content: Mapping) -> Normalisation:
    return Normalisation(content["kind"], *(torch.tensor(content[name], dtype=torch.float32) for name in TENSORS))


def fit(poses: PoseSet, kind: str, processes: Processes = ALONE) -> Normalisation:
    """Statistics of a training set, cached under a hash of its content."""
    compute = lambda: _fit(poses, kind).plain()  # noqa: E731
    return from_plain(cached("pose_statistics", _identity(poses, kind), compute, processes=processes, schema=PLAIN))


def _identity(poses: PoseSet, kind: str) -> Iterator[str]:
    """The cache key's parts; a generator, since the digest takes a while and is not always needed."""
    yield kind
    yield poses.digest()


def _fit(poses: PoseSet, kind: str) -> Normalisation:
    (mean_2d, stddev_2d, _), (mean_3d, stddev_3d, square_3d) = _moments(poses)
    if kind == "instance":
        scale = (square_3d.sum() / (len(square_3d) - 1)).sqrt()
        return Normalisation(
            kind,
            torch.zeros_like(mean_2d),
            torch.ones_like(mean_2d),
            torch.zeros_like(mean_3d),
            torch.ones_like(mean_3d) * scale,
        )
    # The hip of the 3D pose is always zero.
    return Normalisation(kind, mean_2d, _not_zero(stddev_2d), mean_3d, _not_zero(stddev_3d))


def _moments(poses: PoseSet) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(mean, deviation, mean square) of every coordinate, float64, for the 2D and the 3D poses, computed in parts."""
    # Relative to a pose of the set, to avoid cancellation between squares of large numbers.
    origins = [part.double() for part in poses.poses(torch.zeros(1, dtype=torch.int64, device=poses.device))]
    sums, squares = ([torch.zeros_like(origin[0]) for origin in origins] for _ in range(2))
    for parts in poses.parts():
        for i, (part, origin) in enumerate(zip(parts, origins, strict=True)):
            off = part.double() - origin
            sums[i] += off.sum(0)
            squares[i] += off.square().sum(0)
    moments = []
    for total, square, origin in zip(sums, squares, origins, strict=True):
        off, mean = total / len(poses), origin[0] + total / len(poses)
        variance = (square / len(poses) - off.square()).clamp(min=0)
        moments.append((mean, variance.sqrt(), variance + mean.square()))
    return moments


def _not_zero(deviation: Tensor) -> Tensor:
    return torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))

"""Paired 2D and 3D poses as arrays: training data of the 3D baseline without cameras."""

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from utils.data_utils import centre_on_hip
from utils.human36m_dataset import SAMPLES_AT_ONCE
from utils.transform import H36M, H36M_2D


class PosePairs:
    """N samples with the interface of a `PoseSet`, except that poses cannot be rotated and projected again.

    Attributes:
        poses_2d: (N, 16, 2) float32 px, in the order of `H36M_2D`.
        poses_3d: (N, 17, 3) float32 mm, camera coordinates, in the order of `H36M`, the hip at the origin.
        places: position of the 2D poses' spine and thorax, see `utils.data_utils.lifter_input_joints`.
    """

    sequences = ()  # no actions

    def __init__(self, poses_2d: np.ndarray | Tensor, poses_3d: np.ndarray | Tensor, places: str = "h36m"):
        """The hip may be anywhere. Raises ValueError for other shapes, and for NaN or infinite values."""
        self.poses_2d = torch.as_tensor(poses_2d, dtype=torch.float32)
        self.poses_3d = torch.as_tensor(poses_3d, dtype=torch.float32)
        self.places = places
        shapes = tuple(self.poses_2d.shape), tuple(self.poses_3d.shape)
        count = shapes[0][0] if shapes[0] else 0
        if not count or shapes != ((count, len(H36M_2D), 2), (count, len(H36M), 3)):
            raise ValueError(f"poses of {shapes[0]} and {shapes[1]}; expected (N, 16, 2) px and (N, 17, 3) mm")
        if not (self.poses_2d.isfinite().all() and self.poses_3d.isfinite().all()):
            raise ValueError("poses contain NaN or infinite values; leave these samples out")
        self.poses_3d = centre_on_hip(self.poses_3d)

    def __len__(self) -> int:
        return len(self.poses_2d)

    @property
    def device(self) -> torch.device:
        return self.poses_2d.device

    def to(self, device: torch.device | str) -> "PosePairs":
        return PosePairs(self.poses_2d.to(device), self.poses_3d.to(device), self.places)

    def poses(self, index: Tensor, augmentation=None, generator=None) -> tuple[Tensor, Tensor]:
        """2D and 3D poses of the samples `index` (B,). Raises ValueError for an augmentation: it needs cameras."""
        if augmentation is not None:
            raise ValueError("augmentation needs world coordinates and cameras; use a PoseSet")
        return self.poses_2d[index], self.poses_3d[index]

    def parts(self) -> Iterable[tuple[Tensor, Tensor]]:
        """`poses` of all samples, in order, in batches."""
        return zip(self.poses_2d.split(SAMPLES_AT_ONCE), self.poses_3d.split(SAMPLES_AT_ONCE), strict=True)

    def digest(self) -> str:
        """A hash of the poses."""
        digest = hashlib.sha256()
        for part in (self.poses_2d, self.poses_3d):
            digest.update(part.cpu().numpy().tobytes())
        return digest.hexdigest()

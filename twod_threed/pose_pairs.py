"""2D and 3D poses that belong together, as arrays: what the 3D baseline trains on where there are no cameras."""

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from utils.data_utils import centre_on_hip
from utils.human36m_dataset import SAMPLES_AT_ONCE
from utils.transform import H36M, H36M_2D


class PosePairs:
    """N samples; to a trainer it looks as a `PoseSet` does, but poses can't be turned and projected anew.

    Attributes:
        poses_2d: (N, 16, 2) float32 px, in the order of `H36M_2D`.
        poses_3d: (N, 17, 3) float32 mm, camera coordinates, in the order of `H36M`, the hip at the origin.
        places: where spine and thorax of the 2D poses lie, see `utils.data_utils.lifter_input_joints`.
    """

    sequences = ()  # no actions to tell apart

    def __init__(self, poses_2d: np.ndarray | Tensor, poses_3d: np.ndarray | Tensor, places: str = "h36m"):
        """Poses may have their hip anywhere. ValueError for other shapes, and for numbers that are not finite."""
        self.poses_2d = torch.as_tensor(poses_2d, dtype=torch.float32)
        self.poses_3d = torch.as_tensor(poses_3d, dtype=torch.float32)
        self.places = places
        shapes = tuple(self.poses_2d.shape), tuple(self.poses_3d.shape)
        count = shapes[0][0] if shapes[0] else 0
        if not count or shapes != ((count, len(H36M_2D), 2), (count, len(H36M), 3)):
            raise ValueError(f"poses of {shapes[0]} and {shapes[1]}; expected (N, 16, 2) px and (N, 17, 3) mm")
        if not (self.poses_2d.isfinite().all() and self.poses_3d.isfinite().all()):
            raise ValueError("poses have numbers that are not finite; leave these samples out")
        self.poses_3d = centre_on_hip(self.poses_3d)

    def __len__(self) -> int:
        return len(self.poses_2d)

    @property
    def device(self) -> torch.device:
        return self.poses_2d.device

    def to(self, device: torch.device | str) -> "PosePairs":
        return PosePairs(self.poses_2d.to(device), self.poses_3d.to(device), self.places)

    def poses(self, index: Tensor, augmentation=None, generator=None) -> tuple[Tensor, Tensor]:
        """2D and 3D poses of the samples `index` (B,). ValueError for an augmentation, which needs cameras."""
        if augmentation is not None:
            raise ValueError("poses can be augmented only in world coordinates with cameras; give a PoseSet")
        return self.poses_2d[index], self.poses_3d[index]

    def parts(self) -> Iterable[tuple[Tensor, Tensor]]:
        """`poses` of every sample, in order, some at once."""
        return zip(self.poses_2d.split(SAMPLES_AT_ONCE), self.poses_3d.split(SAMPLES_AT_ONCE), strict=True)

    def digest(self) -> str:
        """Tells sets of poses apart."""
        digest = hashlib.sha256()
        for part in (self.poses_2d, self.poses_3d):
            digest.update(part.cpu().numpy().tobytes())
        return digest.hexdigest()

"""From crops to 2D and 3D poses, batched on the device."""

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from stacked_hourglass.inference import Predictor
from stitched.stitched_network import StitchedNetwork
from utils.compute.devices import autocast
from utils.transform import H36M


class StitchedPredictor:
    """A stitched network with its pre- and post-processing: crops in, joints in photo pixels and mm out.

    Attributes:
        skeleton: joint order of the 2D joints.
        score_threshold: threshold of the network.
    """

    def __init__(self, network: StitchedNetwork, precision: str = "fp32", flip: bool = False, compiled: bool = False):
        """`network`: from `load_network`, in eval mode; it stays on its device."""
        self.skeleton = network.skeleton
        self.score_threshold = network.score_threshold
        self._network, self._precision = network, precision
        self._hourglass = Predictor(network.hourglass, precision, flip, compiled)
        if compiled:
            network.lifter.compile()

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self._network.mean.device

    @property
    def over_time(self) -> bool:
        """Whether the hourglass has attention over time."""
        return self._hourglass.over_time

    def in_video(self) -> "StitchedPredictor":
        """See `Predictor.in_video`."""
        predictor = copy(self)
        predictor._hourglass = self._hourglass.in_video()
        return predictor

    @torch.inference_mode()
    def __call__(
        self, crops: Tensor, to_photo: Tensor, tracks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """2D joints, their scores, and 3D joints, on the CPU.

        The flip test averages the heat maps before the joints are located.

        Args:
            crops: (B, 3, 256, 256) uint8 RGB; B may be 0.
            to_photo: (B, 2, 3), crop pixels -> photo pixels.
            tracks: see `Predictor.heatmaps`.

        Returns:
            joints: (B, J, 2) photo pixels, order `skeleton`.
            scores: (B, J) heights of the heat maps' peaks.
            joints_3d: (B, 17, 3) mm, camera frame, hip at the origin, order H36M.
        """
        if not len(crops):
            joints = len(self.skeleton)
            return torch.empty(0, joints, 2), torch.empty(0, joints), torch.empty(0, len(H36M), 3)
        network = self._network
        maps = self._hourglass.heatmaps(crops, tracks)
        with autocast(self.device, self._precision):
            joints = network.locate(maps, to_photo.to(self.device))
            lifted = network.lift(joints)
        return joints.cpu(), maps.amax((-2, -1)).cpu(), lifted.cpu()

    @torch.inference_mode()
    def lift(self, joints: Tensor) -> Tensor:
        """Joints (B, 16, 2) photo pixels, MPII order -> (B, 17, 3) mm on the CPU, as `__call__` gives them."""
        with autocast(self.device, self._precision):
            return self._network.lift(joints.to(self.device)).cpu()

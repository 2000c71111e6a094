"""From crops to 2D and 3D poses, batched on the device."""

import torch
from torch import Tensor

from stacked_hourglass.inference import Predictor
from stitched.stitched_network import StitchedNetwork
from utils.compute.devices import autocast
from utils.transform import H36M


class StitchedPredictor:
    """A stitched network with everything around it: crops in, joints in photo pixels and mm out."""

    def __init__(
        self,
        network: StitchedNetwork,
        device: torch.device,
        precision: str = "fp32",
        flip: bool = False,
        compiled: bool = False,
    ):
        """`network` is as `load_stitched` gives it: in eval mode, on `device`."""
        self.device, self.skeleton = device, network.skeleton
        self.score_threshold = network.score_threshold
        self._network, self._precision = network, precision
        self._hourglass = Predictor(network.bare_hourglass(), device, precision, flip, compiled)
        if compiled:
            network.lifter.compile()

    @torch.inference_mode()
    def __call__(self, crops: Tensor, to_photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """2D joints (B, 16, 2) in photo pixels, MPII order; their scores (B, 16), the heights of the heat maps' peaks;
        3D joints (B, 17, 3) mm, camera frame, hip at the origin, order H36M. On the CPU.

        The flip test takes the mean of the heat maps, before their joints are looked for.

        Args:
            crops: (B, 3, 256, 256) uint8 RGB; B may be 0.
            to_photo: (B, 2, 3), crop pixels -> photo pixels.
        """
        if not len(crops):
            joints = len(self.skeleton)
            return torch.empty(0, joints, 2), torch.empty(0, joints), torch.empty(0, len(H36M), 3)
        network = self._network
        maps = self._hourglass.heatmaps(crops)
        with autocast(self.device, self._precision):
            joints = network.locate(maps, to_photo.to(self.device))
            lifted = network.lift(joints)
        return joints.cpu(), maps.amax((-2, -1)).cpu(), lifted.cpu()

"""Hourglass, soft-argmax and 3D baseline as one differentiable network: images to 2D and 3D poses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import skeleton_of
from stacked_hourglass.inference import to_photo as map_to_photo
from stitched.soft_argmax import SoftArgmax2D
from twod_threed.joint_order import input_terms, mix_joints
from twod_threed.model import LinearModel, with_hip
from twod_threed.normalisation import Normalisation
from utils.data_utils import centre_on_hip, instance_scale
from utils.imaging.heatmaps import heatmap_to_crop

# The best temperature is about a fifth of the peak height. Peaks are 1 in the targets, 0.05 to 0.3 in real photos for a
# network with a PCKh of 43; 0.05 is in between. On 400 such photos it is as accurate as quarter-pixel decoding (mean
# error 39.3 against 39.4 crop px; 7.87 against 7.89 for joints within 16 px), and between 0.01 and 0.2 the error hardly
# changes. Without a window the background pulls every joint towards the centre of the map.
#
# Smoothing raises PCKh@0.5 from 58.7 to 59.6, PCKh@0.1 from 11.8 to 12.0 for a network with a PCKh of 58.7 on these
# photos; with σ = 1.5 they are 60.0 and 11.4. For a peak of height 1 and σ = 1 px, the error by its place between two
# pixels falls from 0.20 to 0.06 px (root mean square).
SOFT_ARGMAX = {"window_fn": "Parzen", "window_width": 10.0, "softmax_temp": 0.05, "smoothing": 1.0}
IMAGE_SCALES = ("any", "human36m")


class StitchedOutput(NamedTuple):
    """The stitched network's output for B crops.

    Attributes:
        heatmaps: one (B, J, 64, 64) per stack, order `StitchedNetwork.skeleton`.
        pose_2d: (B, J, 2) px of the image, the same order.
        pose_3d: (B, 17, 3) mm, camera frame, hip at the origin, order H36M.
    """

    heatmaps: list[Tensor]
    pose_2d: Tensor
    pose_3d: Tensor


class StitchedNetwork(nn.Module):
    """Crops of people to 2D and 3D poses.

    Soft-argmax finds the joints in the last stack's heat maps. They are mapped to px of the image, put by name into the
    3D baseline's order, normalised as in that network's training, and lifted. MPII's thorax and upper neck stand in for
    Human3.6M's spine and thorax. Joints that the hourglass lacks, such as COCO's pelvis and head top, are made from
    others (`twod_threed.joint_order.approximate_inputs`), which is approximate.

    `image_scale` only affects a lifter with "dataset" normalisation, which was trained on the positions and sizes in
    Human3.6M's images: 1000 px, people 4 to 5 m away. "human36m" uses px unchanged. "any" moves each hip to the mean
    hip of the training set, and scales each pose to the size of the training set (`at_training_scale`).

    Normalisation and mean are buffers that follow `.to(device)` and `.double()`.

    Attributes:
        hourglass, lifter: the two networks.
        mean: (3,) mean of the hourglass, to subtract from RGB in [0, 1].
        normalisation: converts px and mm to the lifter's input and output, and back.
        soft_argmax: in px of the heat map.
        skeleton: of `heatmaps` and `pose_2d`, the J joints of the hourglass.
        score_threshold: the hourglass's, see `HourglassNet`.
    """

    def __init__(
        self,
        hourglass: HourglassNet,
        lifter: LinearModel,
        normalisation: Normalisation,
        soft_argmax: SoftArgmax2D | None = None,
        image_scale: str = "any",
    ):
        """Raises ValueError for an hourglass that lacks joints of the 3D baseline, and for an unknown `image_scale`."""
        super().__init__()
        self.skeleton = skeleton_of(hourglass)
        try:
            indices, factors = input_terms(self.skeleton, lifter.input_places)
        except KeyError as error:
            raise ValueError(f"the hourglass predicts {self.skeleton.name} joints: {error.args[0]}") from None
        if image_scale not in IMAGE_SCALES:
            raise ValueError(f"image_scale {image_scale!r}: choose one of {', '.join(IMAGE_SCALES)}")
        self.hourglass, self.lifter = hourglass, lifter
        self.normalisation, self.image_scale = normalisation, image_scale
        self.soft_argmax = soft_argmax or SoftArgmax2D(**SOFT_ARGMAX)
        self.register_buffer("_input_indices", indices, persistent=False)
        self.register_buffer("_input_factors", factors, persistent=False)

    @property
    def mean(self) -> Tensor:
        return self.hourglass.mean

    @property
    def score_threshold(self) -> float:
        return self.hourglass.score_threshold

    def forward(self, images: Tensor, to_photo: Tensor) -> StitchedOutput:
        """
        Args:
            images: (B, 3, 256, 256), RGB in [0, 1] minus `mean`.
            to_photo: (B, 2, 3), crop px to image px.
        """
        heatmaps = self.hourglass(images)
        pose_2d = self.locate(heatmaps[-1], to_photo)
        return StitchedOutput(heatmaps, pose_2d, self.lift(pose_2d))

    def locate(self, heatmaps: Tensor, to_photo: Tensor) -> Tensor:
        """Joints in heat maps (B, J, H, W) by soft-argmax: (B, J, 2) px of the image."""
        # Half precision is too coarse for px in the thousands.
        with torch.autocast(heatmaps.device.type, enabled=False):
            return map_to_photo(to_photo, heatmap_to_crop(self.soft_argmax(heatmaps)))

    def lift(self, pose_2d: Tensor) -> Tensor:
        """(B, J, 2) image px -> (B, 17, 3) mm, camera frame, hip at the origin, order H36M."""
        joints = self.lifter_input(pose_2d)
        if self.normalisation.kind == "dataset" and self.image_scale != "human36m":
            joints = at_training_scale(joints, self.normalisation)
        output = with_hip(self.lifter(self.normalisation.input(joints)))
        return centre_on_hip(self.normalisation.to_mm(output))

    def lifter_input(self, pose_2d: Tensor) -> Tensor:
        """(B, J, 2) image px -> (B, 16, 2), order `H36M_2D`."""
        return mix_joints(pose_2d, self._input_indices, self._input_factors)


def at_training_scale(poses: Tensor, normalisation: Normalisation) -> Tensor:
    """Move and scale poses (B, 16, 2), px of any photo, to the range that "dataset" normalisation expects.

    The hip moves to the training set's mean hip. The size (`utils.data_utils.instance_scale`) becomes that of the
    training set (`training_size`). This discards information that position and size carry in Human3.6M's own images: on
    motion capture in Human3.6M's cameras (S9 and S11 of `cmu_h36m_layout`, true 2D) MPJPE rises from 62.0 to 65.7 mm,
    almost entirely due to position. Without it, an image at half the size with the person shifted by 200 px has 113 mm.
    """
    centred = centre_on_hip(poses)
    return centred * (training_size(normalisation) / instance_scale(centred)) + normalisation.mean_2d[:1]


def training_size(normalisation: Normalisation) -> Tensor:
    """() px: RMS size of the training poses, estimated from "dataset" statistics.

    A joint is the hip plus an offset. The mean square of the offset is its squared mean plus its variance, which is the
    joint's variance minus the hip's, since position hardly depends on the pose. For the training poses above this gives
    101.9 px; their true size is 104.1 px (mean), 106.4 px (RMS).
    """
    mean, variance = normalisation.mean_2d, normalisation.stddev_2d.square()
    square = (mean - mean[:1]).square() + (variance - variance[:1]).clamp(min=0)
    return (square.sum() / (len(mean) - 1)).sqrt()

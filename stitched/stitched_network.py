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

# The best temperature is about a fifth of a peak's height. Peaks are 1 in the targets, and 0.05 to 0.3 in real photos
# for a network with a PCKh of 43; 0.05 lies between. On 400 such photos it is as accurate as the highest pixel moved by
# a quarter (mean error 39.3 against 39.4 crop px; of joints found to 16 px 7.87 against 7.89). From 0.01 to 0.2 that
# hardly changes. Without a window the background of the whole map draws every joint to the middle.
WINDOW_FN, WINDOW_WIDTH, SOFTMAX_TEMP = "Parzen", 10.0, 0.05
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

    `image_scale` matters only to a lifter of "dataset" normalisation, which was trained on the positions and sizes in
    Human3.6M's images: 1000 px, people 4 to 5 m away. "human36m" takes px as they are. "any" moves each pose so that
    its hip is at the training set's mean hip, and scales it to the training set's size (`at_training_scale`).

    The normalisation and the mean follow `.to(device)` and `.double()` as the weights do.

    Attributes:
        hourglass, lifter: the two networks.
        mean: (3,) the hourglass's, to be subtracted from RGB in [0, 1].
        normalisation: between px or mm and the lifter's input and output.
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
        self.soft_argmax = soft_argmax or SoftArgmax2D(
            window_fn=WINDOW_FN, window_width=WINDOW_WIDTH, softmax_temp=SOFTMAX_TEMP
        )
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
        # Autocast's precision is too low for px in the thousands.
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
    """Move and scale poses of any photo to what "dataset" normalisation expects: (B, 16, 2) px -> the same.

    The hip goes to the training set's mean hip. The size, the deviation of the joints about the hip
    (`utils.data_utils.instance_scale`), becomes the training set's (`training_size`). This loses what position and size
    tell in Human3.6M's own images, where the camera is known: on motion capture in Human3.6M's cameras (S9 and S11 of
    `cmu_h36m_layout`, true 2D) MPJPE rises from 62.0 to 65.7 mm, nearly all of it by the position. Without it, an image
    at half the size with the person 200 px aside has 113 mm.
    """
    centred = centre_on_hip(poses)
    return centred * (training_size(normalisation) / instance_scale(centred)) + normalisation.mean_2d[:1]


def training_size(normalisation: Normalisation) -> Tensor:
    """() px: root mean square size of the training poses, from "dataset" statistics.

    A joint is the hip plus an offset. The mean square of the offset is its mean's square plus its variance. The
    variance is the joint's minus the hip's, since a person's position hardly depends on the pose. For the training
    poses above this gives 101.9 px; their true size is 104.1 px (mean), 106.4 px (root mean square).
    """
    mean, variance = normalisation.mean_2d, normalisation.stddev_2d.square()
    square = (mean - mean[:1]).square() + (variance - variance[:1]).clamp(min=0)
    return (square.sum() / (len(mean) - 1)).sqrt()

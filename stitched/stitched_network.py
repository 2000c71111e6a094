"""Hourglass, soft-argmax and 3D baseline as one differentiable network: images to 2D and 3D poses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import to_photo as map_to_photo
from stitched.soft_argmax import SoftArgmax2D
from twod_threed.model import LinearModel, with_hip
from twod_threed.normalisation import Normalisation
from utils.data_utils import centre_on_hip, instance_scale
from utils.imaging.heatmaps import heatmap_to_crop
from utils.transform import H36M_2D, MPII, joint_map

# The best temperature is about a fifth of a peak's height. Peaks are 1 in the targets, and 0.05 to 0.3 in real photos
# for a network with a PCKh of 43; 0.05 lies between. On 400 such photos it is as accurate as the highest pixel moved by
# a quarter (mean error 39.3 against 39.4 crop px; of joints found to 16 px 7.87 against 7.89). From 0.01 to 0.2 that
# hardly changes. Without a window the background of the whole map draws every joint to the middle.
WINDOW_FN, WINDOW_WIDTH, SOFTMAX_TEMP = "Parzen", 10.0, 0.05
IMAGE_SCALES = ("any", "human36m")


class StitchedOutput(NamedTuple):
    """The stitched network's output for B crops.

    Attributes:
        heatmaps: one (B, 16, 64, 64) per stack, MPII order.
        pose_2d: (B, 16, 2) px of the image, MPII order.
        pose_3d: (B, 17, 3) mm, camera frame, hip at the origin, order H36M.
    """

    heatmaps: list[Tensor]
    pose_2d: Tensor
    pose_3d: Tensor


class StitchedNetwork(nn.Module):
    """Crops of people to 2D and 3D poses.

    Soft-argmax finds the joints in the last stack's heat maps. They are mapped to px of the image, put by name into the
    3D baseline's order (MPII's thorax and upper neck stand in for Human3.6M's spine and thorax), normalised as in that
    network's training, and lifted.

    `image_scale` matters only to a lifter of "dataset" normalisation, which was trained on the positions and sizes in
    Human3.6M's images: 1000 px, people 4 to 5 m away. "human36m" takes px as they are. "any" moves each pose so that
    its hip is at the training set's mean hip, and scales it to the training set's size (`at_training_scale`).

    The normalisation and the mean follow `.to(device)` and `.double()` as the weights do.

    Attributes:
        hourglass, lifter: the two networks.
        mean: (3,) the hourglass's, to be subtracted from RGB in [0, 1].
        normalisation: between px or mm and the lifter's input and output.
        soft_argmax: in px of the heat map.
        skeleton: of `heatmaps` and `pose_2d`.
        score_threshold: the hourglass's, see `HourglassNet`.
    """

    skeleton = MPII

    def __init__(
        self,
        hourglass: HourglassNet,
        lifter: LinearModel,
        normalisation: Normalisation,
        soft_argmax: SoftArgmax2D | None = None,
        image_scale: str = "any",
    ):
        """Raises ValueError for an hourglass without MPII's 16 joints, and for an unknown `image_scale`."""
        super().__init__()
        joints = hourglass.architecture.num_classes
        if joints != len(MPII) or hourglass.skeleton != MPII.name:
            raise ValueError(
                f"the hourglass predicts {joints} joints in {hourglass.skeleton} order, expected MPII's 16"
            )
        if image_scale not in IMAGE_SCALES:
            raise ValueError(f"image_scale {image_scale!r}: choose one of {', '.join(IMAGE_SCALES)}")
        self.hourglass, self.lifter = hourglass, lifter
        self.normalisation, self.image_scale = normalisation, image_scale
        self.soft_argmax = soft_argmax or SoftArgmax2D(
            window_fn=WINDOW_FN, window_width=WINDOW_WIDTH, softmax_temp=SOFTMAX_TEMP
        )
        order = torch.tensor(joint_map(MPII, H36M_2D))
        self.register_buffer("_lifter_order", order, persistent=False)

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
        """Joints in heat maps (B, 16, H, W) by soft-argmax: (B, 16, 2) px of the image, MPII order."""
        # Autocast's precision is too low for px in the thousands.
        with torch.autocast(heatmaps.device.type, enabled=False):
            return map_to_photo(to_photo, heatmap_to_crop(self.soft_argmax(heatmaps)))

    def lift(self, pose_2d: Tensor) -> Tensor:
        """(B, 16, 2) image px in MPII order -> (B, 17, 3) mm, camera frame, hip at the origin, order H36M."""
        joints = pose_2d.index_select(1, self._lifter_order)
        if self.normalisation.kind == "dataset" and self.image_scale != "human36m":
            joints = at_training_scale(joints, self.normalisation)
        output = with_hip(self.lifter(self.normalisation.input(joints)))
        return centre_on_hip(self.normalisation.to_mm(output))


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

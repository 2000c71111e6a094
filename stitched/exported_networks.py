"""The networks as exported: from plain inputs to decoded poses, with all processing inside the graph.

    ExportedHourglass    images (B, 3, 256, 256)                      -> heatmaps, joints, scores
    ExportedLifter       joints_2d (B, 16, 2)                         -> joints_3d
    ExportedStitched     images (B, 3, 256, 256), to_photo (B, 2, 3)  -> heatmaps, joints_2d, scores, joints_3d

Mean subtraction, soft-argmax, joint orders and normalisation are inside. Every output and input is float32.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from stacked_hourglass.hourglass import HourglassNet
from stitched.stitched_network import StitchedNetwork
from twod_threed.model import LinearModel, with_hip
from utils.data_utils import centre_on_hip
from utils.imaging.heatmaps import STRIDE, decode_heatmaps, heatmap_to_crop
from utils.imaging.images import CROP_SIZE
from utils.transform import H36M, H36M_2D, SKELETONS

MAP_SIZE = CROP_SIZE // STRIDE
PIXELS = "zero-based, pixel centres at integers, x right, y down"
IMAGES = {
    "images": {
        "shape": ["batch", 3, CROP_SIZE, CROP_SIZE],
        "what": "RGB crops in [0, 1], each with a person in the centre who fills about 4/5 of its height or width",
    }
}
SCORES = "peak heights of the heat maps, about 0 to 1"
JOINTS_3D = {
    "joints_3d": {
        "shape": ["batch", len(H36M), 3],
        "what": "mm, camera frame: x right, y down, z away from the camera; the hip is the origin",
        "joints": list(H36M.joints),
    }
}


class ExportedNetwork(nn.Module):
    """Base class of the exported networks.

    Attributes:
        kind: "hourglass", "lifter" or "stitched".
        inputs, outputs: name -> `shape`, description `what`, and the order of the `joints`.
        notes: further metadata, by name.
    """

    kind: str
    inputs: dict[str, dict]
    outputs: dict[str, dict]
    notes: dict[str, str]

    @abstractmethod
    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Random inputs."""

    @abstractmethod
    def stages(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Given inputs and outputs, recompute each output from the inputs and the outputs before it."""


class ExportedHourglass(ExportedNetwork):
    """Heat maps of the last stack, and joints decoded as in `run.py hourglass_mpii`."""

    kind = "hourglass"

    def __init__(self, network: HourglassNet):
        """`network`: from `load_hourglass`."""
        super().__init__()
        self.network = network
        skeleton = SKELETONS[network.skeleton].first(network.architecture.num_classes)
        self.inputs, self.outputs = IMAGES, _outputs_2d(skeleton, "joints", "crop")
        self.notes = {"decoding": "highest pixel, moved a quarter pixel towards its higher neighbour along each axis"}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        heatmaps = self.heatmaps(images)
        return heatmaps, *self.decode(heatmaps)

    def heatmaps(self, images: Tensor) -> Tensor:
        return self.network(images - self.network.mean[:, None, None])[-1]

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        points, scores = decode_heatmaps(heatmaps)
        return heatmap_to_crop(points), scores

    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (_blotches(batch, generator),)

    def stages(self, images: Tensor, heatmaps: Tensor, joints: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        return self.heatmaps(images), *self.decode(heatmaps)


class ExportedLifter(ExportedNetwork):
    """2D poses in px to 3D poses in mm."""

    kind = "lifter"

    def __init__(self, network: LinearModel):
        """`network`: from `load_lifter`, with a normalisation."""
        super().__init__()
        self.network = network
        what = "px of Human3.6M's images" if network.normalisation.kind == "dataset" else "px of any image"
        joints = {"shape": ["batch", len(H36M_2D), 2], "what": f"{what}, x right, y down"}
        self.inputs, self.outputs = {"joints_2d": joints | {"joints": list(H36M_2D.joints)}}, JOINTS_3D
        self.notes = {"normalisation": network.normalisation.kind}

    def forward(self, joints_2d: Tensor) -> tuple[Tensor]:
        normalisation = self.network.normalisation
        output = with_hip(self.network(normalisation.input(joints_2d)))
        return (centre_on_hip(normalisation.to_mm(output)),)

    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (400 + 200 * torch.rand(batch, len(H36M_2D), 2, generator=generator),)

    def stages(self, joints_2d: Tensor, joints_3d: Tensor) -> tuple[Tensor]:
        return self(joints_2d)


class ExportedStitched(ExportedNetwork):
    """Crops to heat maps of the last stack, 2D poses in the photo's px, and 3D poses in mm."""

    kind = "stitched"

    def __init__(self, network: StitchedNetwork):
        super().__init__()
        self.network = network
        to_photo = {"shape": ["batch", 2, 3], "what": f"affine maps of crop px to photo px, both {PIXELS}"}
        self.inputs = IMAGES | {"to_photo": to_photo}
        self.outputs = _outputs_2d(network.skeleton, "joints_2d", "photo") | JOINTS_3D
        self.notes = {
            "decoding": f"soft-argmax: {network.soft_argmax.extra_repr()}",
            "normalisation": network.normalisation.kind,
            "image_scale": network.image_scale,
        }

    def forward(self, images: Tensor, to_photo: Tensor) -> tuple[Tensor, ...]:
        heatmaps = self.heatmaps(images)
        joints_2d = self.network.locate(heatmaps, to_photo)
        return heatmaps, joints_2d, heatmaps.amax((-2, -1)), self.network.lift(joints_2d)

    def heatmaps(self, images: Tensor) -> Tensor:
        return self.network.hourglass(images - self.network.mean[:, None, None])[-1]

    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        scale = 0.5 + 2 * torch.rand(batch, 1, 1, generator=generator)
        corner = 500 * torch.rand(batch, 2, 1, generator=generator)
        return _blotches(batch, generator), torch.cat([scale * torch.eye(2), corner], 2)

    def stages(self, images, to_photo, heatmaps, joints_2d, scores, joints_3d) -> tuple[Tensor, ...]:
        located = self.network.locate(heatmaps, to_photo)
        return self.heatmaps(images), located, heatmaps.amax((-2, -1)), self.network.lift(joints_2d)


def _outputs_2d(skeleton, name: str, frame: str) -> dict[str, dict]:
    joints = {"joints": list(skeleton.joints)}
    count = len(skeleton)
    return {
        "heatmaps": {
            "shape": ["batch", count, MAP_SIZE, MAP_SIZE],
            "what": f"last stack; px u of a map is px {STRIDE} u + {(STRIDE - 1) / 2} of the crop",
        }
        | joints,
        name: {"shape": ["batch", count, 2], "what": f"px of the {frame}, {PIXELS}"} | joints,
        "scores": {"shape": ["batch", count], "what": SCORES} | joints,
    }


def _blotches(batch: int, generator: torch.Generator) -> Tensor:
    """(batch, 3, 256, 256) in [0, 1]: random colours with smooth transitions, closer to a photo than noise."""
    colours = torch.rand(batch, 3, 16, 16, generator=generator)
    return nn.functional.interpolate(colours, size=(CROP_SIZE, CROP_SIZE), mode="bilinear")

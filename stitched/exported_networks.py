"""The networks as exported: from plain inputs to decoded poses, with all processing inside the graph.

    ExportedHourglass    images (B, 3, 256, 256)                      -> heatmaps, joints, scores
    ExportedLifter       joints_2d (B, 16, 2)                         -> joints_3d
    ExportedStitched     images (B, 3, 256, 256), to_photo (B, 2, 3)  -> heatmaps, joints_2d, scores, joints_3d

With attention over time, the last two have a history as two more inputs and outputs: `ExportedHourglassOverTime` and
`ExportedStitchedOverTime` are of one video frame.

Mean subtraction, soft-argmax, joint orders and normalisation are inside. Every output and input is float32, but for
`history_frames`, which is int64.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from stacked_hourglass.attention import History
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
HISTORY_NOTE = {
    "history": "per person: zeros and history_frames 0 before the first frame, then next_history and "
    "next_history_frames of the frame before"
}
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


class ExportedHourglassOverTime(ExportedHourglass):
    """`ExportedHourglass` of the next frame of a video: with the history of each person as input and output."""

    def __init__(self, network: HourglassNet):
        super().__init__(network)
        self.inputs = self.inputs | _history_of(network, "")
        self.outputs = self.outputs | _history_of(network, "next_")
        self.notes = self.notes | HISTORY_NOTE

    def forward(self, images: Tensor, history: Tensor, history_frames: Tensor) -> tuple[Tensor, ...]:
        heatmaps, *following = self.step(images, history, history_frames)
        return heatmaps, *self.decode(heatmaps), *following

    def step(self, images: Tensor, history: Tensor, history_frames: Tensor) -> tuple[Tensor, ...]:
        return _step(self.network, images, history, history_frames)

    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return *super().example(batch, generator), *_random_history(self.network, batch, generator)

    def stages(self, images, history, history_frames, heatmaps, joints, scores, *_) -> tuple[Tensor, ...]:
        found, *following = self.step(images, history, history_frames)
        return found, *self.decode(heatmaps), *following


class ExportedStitchedOverTime(ExportedStitched):
    """`ExportedStitched` of the next frame of a video: with the history of each person as input and output."""

    def __init__(self, network: StitchedNetwork):
        super().__init__(network)
        self.inputs = self.inputs | _history_of(network.hourglass, "")
        self.outputs = self.outputs | _history_of(network.hourglass, "next_")
        self.notes = self.notes | HISTORY_NOTE

    def forward(self, images: Tensor, to_photo: Tensor, history: Tensor, history_frames: Tensor) -> tuple[Tensor, ...]:
        heatmaps, *following = _step(self.network.hourglass, images, history, history_frames)
        joints_2d = self.network.locate(heatmaps, to_photo)
        return heatmaps, joints_2d, heatmaps.amax((-2, -1)), self.network.lift(joints_2d), *following

    def example(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return *super().example(batch, generator), *_random_history(self.network.hourglass, batch, generator)

    def stages(
        self, images, to_photo, history, history_frames, heatmaps, joints_2d, scores, joints_3d, *_
    ) -> tuple[Tensor, ...]:
        found, *following = _step(self.network.hourglass, images, history, history_frames)
        located = self.network.locate(heatmaps, to_photo)
        return found, located, heatmaps.amax((-2, -1)), self.network.lift(joints_2d), *following


def exported_hourglass(network: HourglassNet) -> ExportedHourglass:
    """The form that fits the network."""
    return (ExportedHourglassOverTime if network.architecture.history_length else ExportedHourglass)(network)


def exported_stitched(network: StitchedNetwork) -> ExportedStitched:
    """The form that fits the network."""
    over_time = network.hourglass.architecture.history_length > 0
    return (ExportedStitchedOverTime if over_time else ExportedStitched)(network)


def _step(network: HourglassNet, images: Tensor, history: Tensor, history_frames: Tensor) -> tuple[Tensor, ...]:
    """The last stack's heat maps, and the two parts of the next history."""
    heatmaps, following = network.stream(images - network.mean[:, None, None], History(history, history_frames))
    return heatmaps[-1], *following


def _history_of(network: HourglassNet, prefix: str) -> dict[str, dict]:
    shape = network.empty_history(torch.empty(1, 3, CROP_SIZE, CROP_SIZE)).memory.shape
    return {
        f"{prefix}history": {
            "shape": ["batch", *shape[1:]],
            "what": "keys and values of the attention of each hourglass in the last frames, the latest last",
        },
        f"{prefix}history_frames": {"shape": ["batch"], "what": "how many of these frames were seen, the latest ones"},
    }


def _random_history(network: HourglassNet, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    shape = _history_of(network, "")["history"]["shape"][1:]
    frames = torch.randint(network.architecture.history_length + 1, (batch,), generator=generator)
    return torch.randn(batch, *shape, generator=generator), frames


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

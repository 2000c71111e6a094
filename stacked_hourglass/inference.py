"""From crops to joints in the photo, batched on the device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy

import torch
from torch import Tensor, nn

from stacked_hourglass.folding import for_inference
from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.streaming import PastOfTracks
from utils.compute.devices import autocast
from utils.imaging.heatmaps import DECODINGS, flip_test, heatmap_to_crop
from utils.transform import SKELETONS, Skeleton


class Predictor:
    """A trained network from crops to joints in photo pixels, on the network's device.

    In fp32 on a CPU the heat maps are ONNX Runtime's (`OnnxNetwork`), else PyTorch's.

    Attributes:
        skeleton: joint order, J joints.
        score_threshold: joints with a lower score should not be drawn.
    """

    def __init__(
        self,
        model: HourglassNet,
        precision: str = "fp32",
        flip: bool = False,
        compiled: bool = False,
        decoding: str = "quarter",
    ):
        """
        Args:
            model: from `load_hourglass`, in eval mode; later changes of its weights have no effect.
            precision: fp32, bf16 or fp16.
            flip: flip test: average the heat maps of a crop and its mirror image.
            compiled: compile the network: slower start, faster steps.
            decoding: of peaks, "quarter" (`decode_heatmaps`) or "dark" (`decode_dark`).
        """
        self.skeleton = skeleton_of(model)
        self.score_threshold = model.score_threshold
        self._precision, self._flip, self._decode = precision, flip, DECODINGS[decoding]
        fixed = isinstance(model, HourglassNet) and not model.training
        self._model = for_inference(model) if fixed else model.to(memory_format=torch.channels_last)
        self._past: tuple[PastOfTracks, ...] = ()
        self._in_onnx = None
        if compiled:
            self._model.compile()
        elif precision == "fp32" and fixed and _onnx_runtime_is_for(model):
            from stacked_hourglass.onnx_network import OnnxNetwork  # noqa: PLC0415 - 0.3 s, which GPUs do without

            self._in_onnx = OnnxNetwork(self._model)

    @property
    def device(self) -> torch.device:
        return self._model.mean.device

    @property
    def over_time(self) -> bool:
        """Whether the network has attention over time."""
        return self._model.architecture.history_length > 0

    def in_video(self) -> "Predictor":
        """The same for the frames of one video, one after the other: calls with `tracks` give each person a history."""
        predictor = copy(self)
        predictor._past = tuple(PastOfTracks(self._model) for _ in range(2 if self._flip else 1))
        return predictor

    @torch.inference_mode()
    def heatmaps(self, crops: Tensor, tracks: Sequence[int] | None = None) -> Tensor:
        """uint8 RGB crops (B, 3, H, W) -> the last stack's heat maps (B, J, H / 4, W / 4), float32, on the device.

        `tracks`: the numbers of a frame's people, for `in_video`.
        """
        crops = _checked(crops).to(self.device)
        views = (crops, crops.flip(-1)) if self._flip else (crops,)
        with autocast(self.device, self._precision):
            if self._past and tracks is not None:
                images = (as_input(self._model, view) for view in views)
                found = [past.heatmaps(view, tracks) for view, past in zip(images, self._past, strict=True)]
            else:  # the mirror images in the same batch: one pass is faster than two, above all for a few crops
                found = self._of_single_images(torch.cat(views) if self._flip else crops).split(len(crops))
        maps = [one.float() for one in found]
        return flip_test(*maps, self.skeleton.flip_order) if self._flip else maps[0]

    def _of_single_images(self, crops: Tensor) -> Tensor:
        if self._in_onnx:
            return self._in_onnx(crops)
        images = as_input(self._model, crops).contiguous(memory_format=torch.channels_last)
        return self._model(images)[-1]

    def __call__(
        self, crops: Tensor, to_photo_matrices: Tensor, tracks: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Joints (B, J, 2) in photo pixels and their scores (B, J), on the CPU.

        Args:
            crops: (B, 3, 256, 256) uint8 RGB; B may be 0.
            to_photo_matrices: (B, 2, 3), crop pixels -> photo pixels.
            tracks: see `heatmaps`.
        """
        if not len(crops):
            return torch.empty(0, len(self.skeleton), 2), torch.empty(0, len(self.skeleton))
        points, scores = self._decode(self.heatmaps(crops, tracks))
        return to_photo(to_photo_matrices, heatmap_to_crop(points).cpu()), scores.cpu()


def _onnx_runtime_is_for(model: HourglassNet) -> bool:
    """Whether `OnnxNetwork` takes this network in eval mode: one with batch norm, on a CPU in fp32."""
    on_cpu = (model.mean.device.type, model.mean.dtype) == ("cpu", torch.float32)
    return on_cpu and not model.architecture.use_layer_norm


def skeleton_of(model: HourglassNet) -> Skeleton:
    """The joints of an hourglass's heat maps, in their order."""
    return SKELETONS[model.skeleton].first(model.architecture.num_classes)


def as_input(model: HourglassNet, crops: Tensor) -> Tensor:
    """uint8 RGB crops (B, 3, H, W) -> network input: RGB in [0, 1] minus the mean, in the network's device and dtype.

    Raises ValueError for crops of another shape or type.
    """
    mean = model.mean[:, None, None]
    return (_checked(crops).to(mean.device).float() / 255 - mean.float()).to(mean.dtype)


def _checked(crops: Tensor) -> Tensor:
    if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[1] != 3:
        raise ValueError(f"crops are {crops.dtype} {tuple(crops.shape)}; expected uint8 (B, 3, H, W) RGB")
    return crops


def to_photo(matrices: Tensor, points: Tensor) -> Tensor:
    """Map crop pixels (B, J, 2) to photo pixels by (B, 2, 3) affine maps."""
    return points @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]


@contextmanager
def batch_statistics(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Context in which batch norm uses batch statistics; the running statistics are not changed."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)] if enabled else []
    former = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, track) in zip(norms, former, strict=True):
            norm.training, norm.track_running_stats = training, track

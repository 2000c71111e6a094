"""Detectors of people in photos: YOLOX-Nano, Faster R-CNN, and OpenCV's HOG."""

import functools
import urllib.error
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.finding.tracking import overlaps
from utils.compute.onnx_sessions import cpu_session
from utils.imaging.images import shrink_for
from utils.osutils import UserError

YOLOX_WEIGHTS = Path(__file__).parent / "pretrained" / "yolox_nano.onnx"


class YoloxFinder(PersonFinder):
    """YOLOX-Nano trained on COCO (Ge et al., arXiv:2107.08430), run by ONNX Runtime on one thread.

    Its weights come with the project. OpenCV's DNN module gives the same output to 2e-5 and takes four times as long.
    """

    title = "YOLOX-Nano"

    # The photo's longer side is scaled to this, px. On 40 photos of coco_people, at threshold 0.4: 416, 512, 640 px
    # find 108, 110, 111 of 138 people, with 31, 37, 42 false positives; of videos see docs/results.md.
    LONG_SIDE = 512
    STRIDES = (8, 16, 32)  # px of the scaled photo between the cells of each grid, in the order of the output's rows
    PADDING = 114  # grey level of the padding at the right and bottom, as in training
    OVERLAP = 0.5  # intersection over union above which two boxes are the same person
    PERSON = 5  # output column of this class; 0 to 3 are the box, 4 is objectness

    def __init__(self, threshold: float, long_side: int = LONG_SIDE) -> None:
        self.threshold, self.long_side = threshold, long_side
        if not YOLOX_WEIGHTS.is_file():
            raise UserError(f"--person_box yolox: {YOLOX_WEIGHTS} is missing; restore it from the repository")

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        padded, scale = self._scaled(image)
        blob = cv2.dnn.blobFromImage(padded, swapRB=True)  # it was trained on BGR from 0 to 255
        output = _yolox().run(None, {"images": blob})[0][0]
        scores = output[:, 4] * output[:, self.PERSON]
        likely = scores >= self.threshold
        boxes, scores = self._boxes(output, *padded.shape[:2])[likely] / scale, scores[likely]
        kept, _ = suppress_overlaps(boxes, scores, self.OVERLAP)
        return (boxes[kept] - 0.5).astype(np.float32), scores[kept]  # in the network pixel i spans i … i + 1

    def _scaled(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The photo scaled to `long_side`, padded to whole cells of all grids; and the scale of x, y, x, y."""
        scaled, scale = scaled_to(image, self.long_side)
        below, right = (-side % self.STRIDES[-1] for side in scaled.shape[:2])
        grey = (self.PADDING,) * 3
        return cv2.copyMakeBorder(scaled, 0, below, 0, right, cv2.BORDER_CONSTANT, value=grey), np.tile(scale, 2)

    def _boxes(self, output: np.ndarray, height: int, width: int) -> np.ndarray:
        """Edges (cells, 4) in px of the scaled photo, where pixel i spans i … i + 1.

        A cell predicts its box's centre relative to the cell's corner, and the logarithm of its size, both in strides.
        """
        corners, strides = _yolox_cells(height, width, self.STRIDES)
        center, half = output[:, :2] * strides + corners, np.exp(output[:, 2:4]) * strides / 2
        return np.concatenate([center - half, center + half], axis=1)


class HogFinder(PersonFinder):
    """OpenCV's people detector: histograms of oriented gradients and a linear SVM (Dalal and Triggs, CVPR 2005).

    Works fairly well for people who stand or walk in full view and are not small; expect errors otherwise.
    """

    LONG_SIDE = (320, 800)  # px, range of the scaled longer side; a person needs about 100 px
    BORDER = 0.2  # of the longer side, repeated edge pixels: a window must fit round a person who fills the photo
    OVERLAP = 0.5  # intersection over union from which two windows mean the same person
    SUPPORT = 2  # windows that must agree; a lone one is mostly a false alarm

    # The window leaves a margin about the person. Medians over 17 matched people (upright ones of LSP-extended, and
    # MPII and COCO photos): height 0.75 and width 0.7 of the window, centre 0.04 of its height above its own.
    HEIGHT, WIDTH, RAISE = 0.75, 0.70, 0.04

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        _hog()

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        scaled, scale = scaled_to(image, int(np.clip(max(image.shape[:2]), *self.LONG_SIDE)))
        border = round(self.BORDER * max(scaled.shape[:2]))
        bordered = cv2.copyMakeBorder(scaled, border, border, border, border, cv2.BORDER_REPLICATE)
        windows, scores = _hog().detectMultiScale(
            cv2.cvtColor(bordered, cv2.COLOR_RGB2BGR), winStride=(8, 8), padding=(0, 0), scale=1.05, groupThreshold=0
        )
        windows = np.asarray(windows, dtype=np.float32).reshape(-1, 4)
        scores = np.asarray(scores, dtype=np.float32).reshape(-1)
        edges = np.concatenate([windows[:, :2], windows[:, :2] + windows[:, 2:]], axis=1) - border
        kept, support = suppress_overlaps(edges, scores, self.OVERLAP)
        kept = kept[(support >= self.SUPPORT) & (scores[kept] >= self.threshold)]
        # OpenCV's edges: pixel i spans i … i + 1.
        return self._tighten(edges[kept] / np.tile(scale, 2) - 0.5).astype(np.float32), scores[kept]

    def _tighten(self, boxes: np.ndarray) -> np.ndarray:
        """Windows (P, 4) -> boxes of the people in them (P, 4)."""
        extent = boxes[:, 2:] - boxes[:, :2]
        center = (boxes[:, :2] + boxes[:, 2:]) / 2 - [0, self.RAISE] * extent
        half = extent * [self.WIDTH, self.HEIGHT] / 2
        return np.concatenate([center - half, center + half], axis=1)


class DetectorFinder(PersonFinder):
    """torchvision's Faster R-CNN (MobileNetV3-Large, FPN) trained on COCO; weights in torchvision's own cache.

    Raises UserError on construction if the weights are neither cached nor downloadable.
    """

    title = "torchvision's Faster R-CNN"
    needs_device = True

    def __init__(self, threshold: float, device: Any) -> None:
        self.threshold = threshold
        self.device = device
        self._model = _load_detector().to(device)

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        import torch  # noqa: PLC0415 - the other finders do without

        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(self.device)
        with torch.inference_mode():
            [found] = self._model([pixels.float() / 255])
        kept = (found["labels"] == 1) & (found["scores"] >= self.threshold)
        boxes, scores = found["boxes"][kept].cpu().numpy(), found["scores"][kept].cpu().numpy()
        return boxes - np.float32(0.5), scores  # COCO's edges: pixel i spans i … i + 1


def scaled_to(image: np.ndarray, long_side: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo (H, W, 3) with its longer side scaled to `long_side` px, and the scale in x and y.

    It is averaged over boxes of a power of two, then resampled bilinearly by less than two; averages over fractions of
    pixels take five times as long.
    """
    size = np.array(image.shape[1::-1])
    target = np.maximum(1, np.rint(size * (long_side / size.max()))).astype(int)
    shrink = min(shrink_for(size.max(), long_side), int(size.min()))
    kept = size // shrink * shrink  # whole boxes
    if shrink > 1:
        image = cv2.resize(image[: kept[1], : kept[0]], kept // shrink, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, target, interpolation=cv2.INTER_LINEAR), target / kept


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) edges, px.
        scores: (N,).
        overlap: intersection over union above which the box with the lower score is dropped.

    Returns: indices (K,) of the kept boxes, best first, and how many boxes each represents (K,).
    """
    left = np.argsort(-scores, kind="stable")
    kept, support = [], []
    while len(left):
        same = overlaps(boxes[left[:1]], boxes[left])[0] >= overlap
        same[0] = True
        kept.append(left[0])
        support.append(same.sum())
        left = left[~same]
    return np.array(kept, dtype=int), np.array(support, dtype=int)


@functools.cache
def _yolox() -> Any:
    """The network, one per process (it can't be sent to a worker), on one thread: photos are found side by side."""
    return cpu_session(YOLOX_WEIGHTS)


@functools.lru_cache(maxsize=8)
def _yolox_cells(height: int, width: int, strides: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (cells, 2) as x, y in px, and strides (cells, 1), of the cells of all grids over a picture."""
    grids = [np.indices((height // stride, width // stride))[::-1].reshape(2, -1).T * stride for stride in strides]
    sizes = [np.full((len(grid), 1), stride) for grid, stride in zip(grids, strides, strict=True)]
    return np.concatenate(grids), np.concatenate(sizes)


@functools.cache
def _hog() -> Any:
    """The detector, one per process (it can't be sent to a worker)."""
    if not hasattr(cv2, "HOGDescriptor"):
        raise UserError(
            f"--person_box hog: OpenCV {cv2.__version__} has no people detector (4.x has); "
            "install opencv-python-headless<5, or use --person_box yolox"
        )
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    return hog


def _load_detector() -> Any:
    """The Faster R-CNN with its weights, on the CPU, in eval mode."""
    import torch  # noqa: PLC0415
    from torchvision.models import detection  # noqa: PLC0415

    weights = detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT
    file_name, folder = weights.url.rsplit("/", 1)[-1], Path(torch.hub.get_dir(), "checkpoints")
    instead = "or use --person_box yolox, which needs no download"
    try:
        state = torch.hub.load_state_dict_from_url(weights.url, map_location="cpu", weights_only=True, check_hash=True)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"--person_box detect: torchvision's weights {file_name} can't be downloaded here ({error}); "
            f"put that file into {folder}, {instead}"
        ) from error
    except Exception as error:  # a damaged file makes the unpickler raise nearly anything
        raise UserError(
            f"--person_box detect: {folder / file_name} is damaged or can't be written "
            f"({type(error).__name__}); delete it to have it downloaded again, {instead}"
        ) from error
    model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"--person_box detect: {folder / file_name} holds no weights of this detector; "
            f"delete it to have it downloaded again, {instead}"
        ) from error
    return model.eval()


def detector_is_cached() -> bool:
    """Whether torchvision's weights are in its cache, so that "detect" needs no download."""
    import torch  # noqa: PLC0415

    return any(Path(torch.hub.get_dir(), "checkpoints").glob("fasterrcnn_mobilenet_v3_large_fpn-*.pth"))

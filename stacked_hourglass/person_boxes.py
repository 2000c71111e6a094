"""Where the people are in a photo without annotations: `--person_box whole`, `hog`, `detect` or a JSON file.

A box is (x0, y0, x1, y1): its edges in zero-based px, pixel i spanning i - 0.5 … i + 0.5. A finder turns one
photo into `FoundPeople`: boxes, scores, and the square crop that the hourglass looks at for each.
"""

import difflib
import functools
import re
import urllib.error
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from stacked_hourglass.box_file import read_box_file
from stacked_hourglass.people import crop_of_box
from stacked_hourglass.tracking import overlaps
from utils.osutils import UserError, counted, warn

KINDS = ("whole", "hog", "detect")

# Scores below these are dropped, unless `make_finder` gets another threshold. HOG's score is a distance to the SVM's
# margin, the others are probabilities.
SCORE_THRESHOLDS = {"hog": 0.65, "detect": 0.7, "json": 0.5}


class FoundPeople(NamedTuple):
    """The people of one photo, best score first where the finder gives scores; P may be 0.

    Attributes:
        boxes: (P, 4) float32, edges x0, y0, x1, y1, zero-based px; may reach beyond the photo.
        scores: (P,) float32.
        centers: (P, 2) float64, middles of the square crops, zero-based px.
        sides: (P,) float64, sides of the square crops, px.
        outside: how many further boxes were dropped since they lie wholly outside the photo.
    """

    boxes: np.ndarray
    scores: np.ndarray
    centers: np.ndarray
    sides: np.ndarray
    outside: int = 0


def whole_image_crop(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The crop that is the photo itself: middle (1, 2), and side (1,) = its longer side, px."""
    center = np.array([[(width - 1) / 2, (height - 1) / 2]])
    return center, np.array([max(width, height)], dtype=np.float64)


def inside_image(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """(P,) bool: which of (P, 4) boxes share any area with a photo of this size."""
    return (boxes[:, :2] < [width - 0.5, height - 0.5]).all(axis=1) & (boxes[:, 2:] > -0.5).all(axis=1)


class PersonFinder:
    """A callable: `finder(image, name)` gives the `FoundPeople` of an (H, W, 3) uint8 RGB photo."""

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        height, width = image.shape[:2]
        boxes, scores = self.find(image, name)
        inside = inside_image(boxes, width, height)
        boxes, scores = boxes[inside], scores[inside]
        return FoundPeople(boxes, scores, *self.crop(boxes, width, height), outside=int((~inside).sum()))

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (P, 4) and scores (P,), float32."""
        raise NotImplementedError

    def crop(self, boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Middles (P, 2) and sides (P,) of the crops."""
        return crop_of_box(boxes)

    def check_names(self, names: Iterable[str]) -> None:
        """Compare the photos to come with what the finder knows by name; only a JSON file does."""


class WholeImage(PersonFinder):
    """The photo is the person, and is the crop."""

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        box = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]], dtype=np.float32)
        return box, np.ones(1, dtype=np.float32)

    def crop(self, boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        return whole_image_crop(width, height)


class HogFinder(PersonFinder):
    """OpenCV's people detector: histograms of oriented gradients and a linear SVM (Dalal and Triggs, CVPR 2005).

    Fair for people who stand or walk in full view and are not small; expect misses and false boxes otherwise.
    """

    LONG_SIDE = (320, 800)  # px that a photo is scaled to lie between; a person then needs about 100 px
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
        size = np.array([image.shape[1], image.shape[0]])
        scaled_size = np.maximum(1, np.rint(size * (np.clip(size.max(), *self.LONG_SIDE) / size.max()))).astype(int)
        filter_ = cv2.INTER_AREA if scaled_size.max() < size.max() else cv2.INTER_LINEAR
        scaled = cv2.resize(image, tuple(scaled_size.tolist()), interpolation=filter_)
        border = round(self.BORDER * scaled_size.max())
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
        return self._tighten(edges[kept] * np.tile(size / scaled_size, 2) - 0.5).astype(np.float32), scores[kept]

    def _tighten(self, boxes: np.ndarray) -> np.ndarray:
        """Windows (P, 4) to the people in them (P, 4)."""
        extent = boxes[:, 2:] - boxes[:, :2]
        center = (boxes[:, :2] + boxes[:, 2:]) / 2 - [0, self.RAISE] * extent
        half = extent * [self.WIDTH, self.HEIGHT] / 2
        return np.concatenate([center - half, center + half], axis=1)


class DetectorFinder(PersonFinder):
    """torchvision's Faster R-CNN (MobileNetV3-Large, FPN) trained on COCO; weights in torchvision's own cache.

    Raises UserError at once where the weights are neither cached nor available.
    """

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


class BoxFile(PersonFinder):
    """Boxes from a JSON file, in either form that `box_file` reads.

    An entry names its photo relative to the folder, or by its file name alone; an integer `image_id` is the photo
    whose file stem ends in that number (000000000785.jpg is 785). x, y is the top-left corner as in COCO: pixel 0
    spans 0 … 1.
    """

    def __init__(self, path: Path, threshold: float) -> None:
        self.path = path
        found = read_box_file(path)
        self._boxes = {key: _above(boxes, scores, threshold) for key, (boxes, scores) in found.items()}

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        key = self._key(name)
        if key is None:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return self._boxes[key]

    def check_names(self, names: Iterable[str]) -> None:
        """Warn with a count where the file names photos that are not there.

        Raises UserError if it names none of `names`, or where one entry fits two photos.
        """
        by_key = defaultdict(list)
        names = list(names)
        if not names:  # a video that does not say how long it is
            return
        for name in names:
            by_key[self._key(name)].append(name)
        without = by_key.pop(None, [])
        if not by_key:
            raise UserError(
                f"--person_box {self.path}: no box is for an image here; it names {_shown(self._boxes)}, the images "
                f"are {_shown(names)}"
            )
        for key, sharing in by_key.items():
            if len(sharing) > 1:
                raise UserError(
                    f"--person_box {self.path}: {key!r} fits {len(sharing)} photos ({_shown(sharing)}); "
                    "name each by its path relative to the folder"
                )
        lost = [key for key in self._boxes if key not in by_key]
        if lost:
            warn(f"{self.path} has boxes for {counted(len(lost), 'image')} not here: {_shown(lost)}")
        if without:
            warn(f"{self.path} has no boxes for {len(without)} of {counted(len(names), 'image')}: {_shown(without)}")

    def _key(self, name: str) -> str | int | None:
        """The key of the file under which the boxes of a photo are."""
        base = name.rsplit("/", 1)[-1]
        numbers = re.findall(r"[0-9]+", base.rsplit(".", 1)[0])
        keys = [name, base] + [int(number) for number in numbers[-1:]]
        return next((key for key in keys if key in self._boxes), None)


def make_finder(person_box: str, device: Any = "cpu", score_threshold: float | None = None) -> PersonFinder:
    """The finder for a value of `--person_box`.

    Args:
        person_box: "whole", "hog", "detect" or the path of a JSON file of boxes.
        device: where "detect" computes.
        score_threshold: people with a lower score are dropped; None takes `SCORE_THRESHOLDS`. A box without a
            score has score 1.

    Raises UserError: an unknown value, a file that can't be read or holds no usable boxes, weights of
    "detect" that are not available, an OpenCV without the people detector.
    """

    def threshold(kind: str) -> float:
        return SCORE_THRESHOLDS[kind] if score_threshold is None else score_threshold

    if person_box == "whole":
        return WholeImage()
    if person_box == "hog":
        return HogFinder(threshold("hog"))
    if person_box == "detect":
        return DetectorFinder(threshold("detect"), device)
    path = Path(person_box)
    if path.is_file():
        return BoxFile(path, threshold("json"))
    if path.is_dir():
        raise UserError(f"--person_box {person_box}: a folder; give a JSON file of boxes, or {', '.join(KINDS)}")
    close = difflib.get_close_matches(person_box.lower(), KINDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(KINDS)} or a JSON file of boxes"
    raise UserError(f"--person_box {person_box}: no such file; {hint}")


def suppress_overlaps(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) edges, px.
        scores: (N,).
        overlap: intersection over union from which the box of lower score goes.

    Returns: indices (K,) of the boxes that stay, best first, and how many boxes each stands for (K,).
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
def _hog() -> Any:
    """The detector, one per process (it can't be sent to a worker)."""
    if not hasattr(cv2, "HOGDescriptor"):
        raise UserError(
            f"--person_box hog: OpenCV {cv2.__version__} has no people detector (4.x has); "
            "install opencv-python-headless<5, or use --person_box whole or detect"
        )
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    return hog


def _load_detector() -> Any:
    """The detector with its weights, on the CPU, in eval mode."""
    import torch  # noqa: PLC0415
    from torchvision.models import detection  # noqa: PLC0415

    weights = detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.DEFAULT
    file_name, folder = weights.url.rsplit("/", 1)[-1], Path(torch.hub.get_dir(), "checkpoints")
    instead = "or use --person_box hog or whole"
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


def _above(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    kept = scores >= threshold
    return boxes[kept], scores[kept]


def _shown(names: Iterable) -> str:
    """The first three of many names, for messages."""
    names = [str(name) for name in names]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

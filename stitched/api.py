"""The Python API: 2D and 3D poses in NumPy images, in one call.

import cv2
from stitched import estimate_poses, load_network

photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
poses = estimate_poses(photo)                                    # with the demo weights
poses.joints_3d                                                  # (1, 17, 3) mm

network = load_network("model_checkpoints/stitched_fine_tune_default", device="cuda")
for poses in estimate_poses(photos, network, flip=True):
    print(poses.boxes, poses.joints_2d, poses.scores)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from stacked_hourglass.annotations.people import crop_of_box
from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.finding.boxes import PERSON_BOX_KINDS, make_finder
from stacked_hourglass.finding.finder import FoundPeople, PersonFinder, inside_image
from stacked_hourglass.finding.photo_crops import crop_people
from stacked_hourglass.photos import predict_photos
from stitched.crop_predictor import StitchedPredictor
from stitched.loading import load_network
from stitched.stitched_network import StitchedNetwork
from utils.compute.devices import DTYPES


class PoseEstimates(NamedTuple):
    """Poses of the P people of one image; P may be 0. All float32.

    Attributes:
        joints_2d: (P, J, 2) px of the image, zero-based, x right, y down, in the order of the network's `skeleton`:
            `utils.transform.MPII` (J = 16) but for a network with an hourglass of other joints.
        scores: (P, J) confidence: heights of the heat maps' peaks, about 0 to 1.
        joints_3d: (P, 17, 3) mm, camera frame (x right, y down, z forward), hip at the origin, in the order of
            `utils.transform.H36M`.
        boxes: (P, 4) corners x0, y0, x1, y1, px of the image; pixel i spans i - 0.5 to i + 0.5.
        box_scores: (P,) scores of the person detector; 1 without one.
    """

    joints_2d: np.ndarray
    scores: np.ndarray
    joints_3d: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray


@overload
def estimate_poses(images: np.ndarray, *arguments: Any, **settings: Any) -> PoseEstimates: ...
@overload
def estimate_poses(images: Sequence[np.ndarray], *arguments: Any, **settings: Any) -> list[PoseEstimates]: ...
def estimate_poses(
    images: np.ndarray | Sequence[np.ndarray],
    network: StitchedNetwork | None = None,
    *,
    load: str | Path | None = None,
    load_hourglass: str | Path | None = None,
    load_2d3d: str | Path | None = None,
    person_box: str | None = None,
    boxes: np.ndarray | Sequence[np.ndarray] | None = None,
    flip: bool = False,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    batch_size: int = 16,
) -> PoseEstimates | list[PoseEstimates]:
    """2D and 3D poses of the people in an image (H, W, 3), uint8 RGB, or in a list of images of any sizes.

    An image gives one `PoseEstimates`, a list gives a list.

    Args:
        network: from `load_network`; it stays on its device. Without it, one is loaded for this call.
        load, load_hourglass, load_2d3d: the checkpoints to load, as `load_network` takes them. Without these and
            without a network, the project's demo weights are used, and a log message says so.
        person_box: where the people are: "auto" (the default: the best detector that is installed, and the whole image
            where it finds nobody), "whole" (one person, who fills the image), "yolox" (YOLOX-Nano), "detect"
            (torchvision's detector, which downloads its weights once), "hog" (OpenCV's people detector).
        boxes: in place of `person_box`: (P, 4) corners x0, y0, x1, y1 in px, as in `PoseEstimates`; for a list of
            images a list of such arrays. The JSON file of --person_box has x, y, width, height instead. The results
            are in the order of the boxes.
        flip: flip test: twice the time, slightly more accurate.
        device: to load a network to: auto, cpu, cuda, cuda:N, mps.
        precision: of the networks' arithmetic: fp32, bf16 or fp16.
        batch_size: people in one forward pass.

    Raises ValueError for an image of another shape or type, for boxes outside their image or not in this form, and for
    arguments that contradict one another; UserError for unusable checkpoints (see `load_network`), and for a device or
    detector that is not available.
    """
    single = isinstance(images, np.ndarray) and images.ndim < 4
    photos = [images] if single else list(images)
    if boxes is not None:
        boxes = [boxes] if single else list(boxes)
    _check_images(photos)
    if network is not None:
        _check_network(network, (load, load_hourglass, load_2d3d), torch.device(device) if device != "auto" else None)
    _check_people(person_box, boxes)
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r}: choose one of {', '.join(DTYPES)}")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: expected a whole number of at least 1")
    finder = None if boxes is None else GivenBoxes(boxes, photos)
    if network is None:
        load = weights_to_load(load, load_hourglass, load_2d3d)
        network = load_network(load, load_hourglass, load_2d3d, device=device)
    device = network.mean.device
    finder = finder or make_finder(person_box or "auto", device)
    predictor = StitchedPredictor(network, precision, flip)
    crops = (crop_people(str(number), photo, finder) for number, photo in enumerate(photos))
    found = [
        PoseEstimates(*(part.numpy() for part in poses), photo.boxes, photo.box_scores)
        for photo, *poses in predict_photos(predictor, crops, batch_size)
    ]
    return found[0] if single else found


class GivenBoxes(PersonFinder):
    """The people of image number k, named "k", are at `boxes[k]` (P, 4), in this order."""

    def __init__(self, boxes: Sequence[np.ndarray], images: Sequence[np.ndarray]):
        """Raises ValueError unless there is one array per image, of the right shape, each box within its image."""
        if len(boxes) != len(images):
            raise ValueError(f"{len(boxes)} arrays of boxes for {len(images)} images, expected one array per image")
        self._boxes = [_checked(edges, image) for edges, image in zip(boxes, images, strict=True)]

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        boxes = self._boxes[int(name)]
        return FoundPeople(boxes, np.ones(len(boxes), np.float32), *crop_of_box(boxes))


def _checked(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Boxes (P, 4) as float32. Raises ValueError for a box that is not x0, y0, x1, y1 within the image."""
    boxes = np.asarray(boxes, dtype=np.float32)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}, expected (P, 4); for a list of images a list of such arrays")
    height, width = image.shape[:2]
    ordered = (boxes[:, 2:] > boxes[:, :2] + 1).all(1) & np.isfinite(boxes).all(1)
    usable = ordered & inside_image(boxes, width, height)
    if not usable.all():
        index = int((~usable).argmax())
        fault = "is empty or at most one pixel wide or high"
        if ordered[index]:
            fault = f"is outside the image of {width} × {height} px"
        raise ValueError(
            f"box {boxes[index].tolist()} {fault}; expected corners x0, y0, x1, y1 in px{_hint(boxes, width, height)}"
        )
    return boxes


def _hint(boxes: np.ndarray, width: int, height: int) -> str:
    """A hint if boxes (P, 4) look like x, y, width, height in px, or like fractions of the image size."""
    if (boxes >= 0).all() and (boxes <= 1).all():
        return ": these look like fractions of the image size; multiply by its width and height"
    as_corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    sizes = (boxes[:, 2:] > 0).all() and (as_corners[:, 2:] <= [width + 1, height + 1]).all()
    if sizes and inside_image(as_corners, width, height).all():
        return f": these look like x, y, width, height; the first box would be {as_corners[0].tolist()}"
    return ""


def _check_images(images: Iterable[np.ndarray]) -> None:
    for image in images:
        shape, kind = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
        if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or not image.size:
            hint = f"; {_conversion(image)}" if isinstance(image, np.ndarray) else ""
            raise ValueError(f"an image is {kind} {shape or ''}, expected uint8 (H, W, 3) RGB{hint}")


def _conversion(image: np.ndarray) -> str:
    """How to convert a grey, transparent or float image to RGB."""
    if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (1,)):
        return "it is grey: cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) converts it"
    if image.dtype == np.uint8 and image.shape[2:] == (4,):
        return "it has four channels: image[..., :3] drops the fourth"
    if image.dtype.kind == "f" and image.shape[2:] == (3,):
        return "values from 0 to 1: (255 * image).round().astype(np.uint8) converts them"
    return "one array per image, of at least one pixel"


def _check_network(network: StitchedNetwork, paths: Iterable[str | Path | None], device: torch.device | None) -> None:
    place = network.mean.device
    if any(paths):
        raise ValueError("network and checkpoints are both given; give one of the two")
    if device and (device.type != place.type or device.index not in (None, place.index)):
        raise ValueError(f"device {device}: the network is on {place}; move it there with network.to(device)")


def _check_people(person_box: str | None, boxes: Sequence[np.ndarray] | None) -> None:
    if person_box not in (None, *PERSON_BOX_KINDS):
        raise ValueError(f"person_box {person_box!r}: choose one of {', '.join(PERSON_BOX_KINDS)}, or give boxes")
    if boxes is not None and person_box is not None:
        raise ValueError(f"person_box {person_box!r} and boxes are both given; give one of the two")

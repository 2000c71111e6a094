"""Poses in NumPy images, as one call.

import cv2
from stitched import estimate_poses, load_network

photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
people = estimate_poses(photo)                                   # the demo weights, where they are there
people.joints_3d                                                 # (1, 17, 3) mm

network = load_network("model_checkpoints/stitched_fine_tune_default", device="cuda")
for people in estimate_poses(photos, network, person_box="hog", flip=True):
    print(people.boxes, people.joints_2d, people.scores)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.person_boxes import KINDS, FoundPeople, PersonFinder, crop_of_box, inside_image, make_finder
from stacked_hourglass.photo_crops import crop_people
from stacked_hourglass.photos import predict_photos
from stitched.crop_predictor import StitchedPredictor
from stitched.loading import load_network
from stitched.stitched_network import StitchedNetwork
from utils.compute.devices import DTYPES, pick_device


class People(NamedTuple):
    """The P people of one image; P may be 0. All float32.

    Attributes:
        joints_2d: (P, 16, 2) px of the image, zero-based, x right, y down, in the order of `utils.transform.MPII`.
        scores: (P, 16) confidence: heights of the heat maps' peaks, about 0 to 1.
        joints_3d: (P, 17, 3) mm, camera frame (x right, y down, z forward), hip at the origin, in the order of
            `utils.transform.H36M`.
        boxes: (P, 4) edges x0, y0, x1, y1 of the people, px of the image, pixel i spanning i - 0.5 to i + 0.5.
        box_scores: (P,) the person detector's; 1 where there is none.
    """

    joints_2d: np.ndarray
    scores: np.ndarray
    joints_3d: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray


@overload
def estimate_poses(images: np.ndarray, *arguments: Any, **settings: Any) -> People: ...
@overload
def estimate_poses(images: Sequence[np.ndarray], *arguments: Any, **settings: Any) -> list[People]: ...
def estimate_poses(
    images: np.ndarray | Sequence[np.ndarray],
    network: StitchedNetwork | None = None,
    *,
    load: str | Path | None = None,
    load_hourglass: str | Path | None = None,
    load_2d3d: str | Path | None = None,
    person_box: str = "whole",
    boxes: np.ndarray | Sequence[np.ndarray] | None = None,
    flip: bool = False,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    batch_size: int = 16,
) -> People | list[People]:
    """2D and 3D poses of the people of an image (H, W, 3), uint8 RGB; or of a list of them, of any sizes.

    An image gives a `People`, a list a list of them.

    Args:
        network: as `load_network` gives it; it stays where it is. Without it, one is loaded for this call.
        load, load_hourglass, load_2d3d: the checkpoints to load, as `load_network` takes them. Where no network and
            none of them is given, the project's demo weights are used, which a line on stdout says.
        person_box: who is in an image: "whole" (one person, who fills it), "hog" (OpenCV's people detector), "detect"
            (torchvision's, which downloads its weights once).
        boxes: in place of `person_box`, the people's edges (P, 4), as in `People`; for a list of images a list of them.
            The people come in their order.
        flip: flip test: twice the time, a little nearer.
        device: where a network is loaded to: auto, cpu, cuda, cuda:N, mps.
        precision: of the networks' arithmetic: fp32, bf16 or fp16.
        batch_size: people that the networks see at once.

    Raises ValueError for an image of another shape or type, for boxes that are none of an image's, and for arguments
    that contradict one another; UserError for checkpoints that can't be used (see `load_network`), a device that is
    not there, and a detector that is not to be had.
    """
    single = isinstance(images, np.ndarray) and images.ndim == 3
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
        raise ValueError(f"batch_size {batch_size}: a whole number of at least 1 is right")
    finder = None if boxes is None else GivenBoxes(boxes, photos)
    if network is None:
        load = weights_to_load(load, load_hourglass, load_2d3d)
        network = load_network(load, load_hourglass, load_2d3d, device=pick_device(str(device)))
    place = network.mean.device
    finder = finder or make_finder(person_box, place)
    predictor = StitchedPredictor(network, place, precision, flip)
    crops = (crop_people(str(number), photo, finder) for number, photo in enumerate(photos))
    found = [
        People(*(part.numpy() for part in poses), photo.boxes, photo.box_scores)
        for photo, *poses in predict_photos(predictor, crops, batch_size)
    ]
    return found[0] if single else found


class GivenBoxes(PersonFinder):
    """The people of image k, whose name is "k", are those of `boxes[k]` (P, 4), in their order."""

    def __init__(self, boxes: Sequence[np.ndarray], images: Sequence[np.ndarray]):
        """Raises ValueError for another number of arrays than images, another shape, and boxes that hold nothing of
        their image."""
        if len(boxes) != len(images):
            raise ValueError(f"{len(boxes)} arrays of boxes for {len(images)} images")
        self._boxes = [_checked(edges, image) for edges, image in zip(boxes, images, strict=True)]

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        boxes = self._boxes[int(name)]
        return FoundPeople(boxes, np.ones(len(boxes), np.float32), *crop_of_box(boxes))


def _checked(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Boxes (P, 4) as float32."""
    boxes = np.asarray(boxes, dtype=np.float32)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have shape {boxes.shape}, not (P, 4); for a list of images a list of such arrays")
    height, width = image.shape[:2]
    usable = (boxes[:, 2:] > boxes[:, :2]).all(1) & np.isfinite(boxes).all(1) & inside_image(boxes, width, height)
    if not usable.all():
        wrong = boxes[~usable][0].tolist()
        raise ValueError(f"box {wrong} holds nothing of an image of {width} × {height} px; edges are x0, y0, x1, y1")
    return boxes


def _check_images(images: Iterable[np.ndarray]) -> None:
    for image in images:
        shape, kind = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
        if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or not image.size:
            raise ValueError(f"an image is {kind} {shape or ''}, not uint8 (H, W, 3) RGB")


def _check_network(network: StitchedNetwork, paths: Iterable[str | Path | None], device: torch.device | None) -> None:
    place = network.mean.device
    if any(paths):
        raise ValueError("a network and checkpoints are given; give one of the two")
    if device and (device.type != place.type or device.index not in (None, place.index)):
        raise ValueError(f"device {device}: the network is on {place}; move it there with network.to(device)")


def _check_people(person_box: str, boxes: Sequence[np.ndarray] | None) -> None:
    if person_box not in KINDS:
        raise ValueError(f"person_box {person_box!r}: choose one of {', '.join(KINDS)}, or give boxes")
    if boxes is not None and person_box != "whole":
        raise ValueError(f"person_box {person_box!r} and boxes are given; give one of the two")

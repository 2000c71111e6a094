"""Interface of person finders: boxes, scores, and the square crop of each person for the hourglass.

A box is (x0, y0, x1, y1): its edges in zero-based px, pixel i spanning i - 0.5 … i + 0.5.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from stacked_hourglass.annotations.people import crop_of_box


class FoundPeople(NamedTuple):
    """The people of one photo, best score first where the finder gives scores; P may be 0.

    Attributes:
        boxes: (P, 4) float32, edges x0, y0, x1, y1, zero-based px; may reach beyond the photo.
        scores: (P,) float32.
        centers: (P, 2) float64, centres of the square crops, zero-based px.
        sides: (P,) float64, sides of the square crops, px.
        outside: number of boxes dropped because they are entirely outside the photo.
        whole: nobody was found, and the whole photo was taken as one person instead.
    """

    boxes: np.ndarray
    scores: np.ndarray
    centers: np.ndarray
    sides: np.ndarray
    outside: int = 0
    whole: bool = False


def whole_image_crop(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The crop of a whole photo: centre (1, 2), and side (1,) = its longer side, px."""
    center = np.array([[(width - 1) / 2, (height - 1) / 2]])
    return center, np.array([max(width, height)], dtype=np.float64)


def inside_image(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """(P,) bool: which of (P, 4) boxes share any area with a photo of this size."""
    return (boxes[:, :2] < [width - 0.5, height - 0.5]).all(axis=1) & (boxes[:, 2:] > -0.5).all(axis=1)


class PersonFinder:
    """A callable: `finder(image, name)` returns the `FoundPeople` of an (H, W, 3) uint8 RGB photo."""

    title = ""  # of a detector, for people to read
    needs_device = False  # it computes on the device, so it must run in the main process

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
        """Centres (P, 2) and sides (P,) of the crops."""
        return crop_of_box(boxes)

    def check_names(self, names: Iterable[str]) -> None:
        """Check the names of the photos, for finders that know photos by name (a JSON file)."""


class WholeImage(PersonFinder):
    """Takes the whole photo as one person, and as the crop."""

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        box = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]], dtype=np.float32)
        return box, np.ones(1, dtype=np.float32)

    def crop(self, boxes: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        return whole_image_crop(width, height)

"""Crops of people in photos without annotations; the work of worker processes in `run.py`."""

from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from stacked_hourglass.finding.finder import FoundPeople, PersonFinder
from utils.imaging.base_source import FrameSource
from utils.imaging.images import CROP_SIZE, ImageError, crop_decoded, crop_matrix, invert_affine
from utils.imaging.photo_source import PhotoSource


@dataclass
class PhotoPeople:
    """The P people of one photo or video frame.

    Not tensors, because each tensor from a worker would keep a file open, and a long video would exceed the limit.

    Attributes:
        name: name of the photo, from `utils.imaging.image_sources`.
        crops: (P, 256, 256, 3) uint8 RGB.
        to_photo: (P, 2, 3) float32, crop pixels -> photo pixels.
        boxes: (P, 4) float32, edges x0, y0, x1, y1, zero-based px.
        box_scores: (P,) float32.
        size: (width, height) of the photo, px.
        outside: number of boxes dropped because they are entirely outside the photo.
        error: why the photo can't be used, or None; with an error P is 0.
        tracks: (P,) numbers of the people, the same in all frames of a video; None for a photo.
        whole: nobody was found, and the whole photo was taken as one person instead.
    """

    name: str
    crops: np.ndarray
    to_photo: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    size: tuple[int, int] = (0, 0)
    outside: int = 0
    error: str | None = None
    tracks: np.ndarray | None = None
    whole: bool = False

    def __len__(self) -> int:
        return len(self.crops)

    def in_order_of(self, tracks: np.ndarray) -> "PhotoPeople":
        """The same people with their track numbers (P,), sorted by them."""
        order = np.argsort(tracks)
        arrays = {name: getattr(self, name)[order] for name in ("crops", "to_photo", "boxes", "box_scores")}
        return replace(self, tracks=tracks[order], **arrays)


def crop_people(name: str, image: np.ndarray | ImageError, finder: PersonFinder) -> PhotoPeople:
    """Find the people of a photo and crop each with one warp."""
    if isinstance(image, ImageError):
        size, error = (0, 0), str(image)
        people = FoundPeople(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 2)), np.empty(0))
    else:
        size, error = (image.shape[1], image.shape[0]), None
        people = finder(image, name)
    crops = np.empty((len(people.boxes), CROP_SIZE, CROP_SIZE, 3), np.uint8)
    to_photo = np.empty((len(people.boxes), 2, 3), np.float32)
    for person, (center, side) in enumerate(zip(people.centers, people.sides, strict=True)):
        matrix = crop_matrix(center, side)
        crops[person], to_photo[person] = crop_decoded(image, matrix), invert_affine(matrix)
    return PhotoPeople(
        name, crops, to_photo, people.boxes, people.scores, size, people.outside, error, whole=people.whole
    )


class PhotoCrops(Dataset):
    """One `PhotoPeople` per photo."""

    def __init__(self, source: PhotoSource, finder: PersonFinder):
        self._source, self._finder, self._names = source, finder, source.names()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> PhotoPeople:
        name = self._names[index]
        return crop_people(name, self._source.read(name), self._finder)


class VideoCrops(IterableDataset):
    """One `PhotoPeople` per video frame, streamed in order by a single process."""

    def __init__(self, source: FrameSource, finder: PersonFinder):
        self._source, self._finder = source, finder

    def __iter__(self):
        worker = get_worker_info()
        if worker is None or worker.id == 0:
            yield from (crop_people(name, image, self._finder) for name, image in self._source)


class FoundBefore(PersonFinder):
    """The people that another finder found earlier, in the main process (a network on a GPU)."""

    def __init__(self, finder: PersonFinder, images):
        self._people = {name: finder(image, name) for name, image in images if not isinstance(image, ImageError)}

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        return self._people[name]

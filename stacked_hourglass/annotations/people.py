"""Annotated people as arrays: the output of every annotation reader, and the training data of networks.

    people = People.from_arrays(photos, joints)  # paths or (H, W, 3) uint8 RGB arrays; (N, 16, 2) px

No torch import here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from utils.imaging.images import CROP_MARGIN, JOINTS_MARGIN
from utils.osutils import file_digest
from utils.transform import EVA, LSP, MPII, Skeleton

# PCKh's reference length is 0.6 × the head box's diagonal, which in MPII is 0.75 × the distance from upper neck to
# head top (over the 2,958 validation people the median ratio is 0.7500, and 98 % lie within 0.745 to 0.757).
NECK_TO_TOP_FACTOR = 0.75
# HumanEva marks no neck. With shoulders at 0.82, chin at 0.87 and head top at 1.00 of the stature (Drillis and Contini
# 1966) MPII's length is 0.75 × 0.13 / 0.18 = 0.54 of that from thorax to head.
HEADS = {
    MPII.name: (("upper_neck", "head_top"), NECK_TO_TOP_FACTOR),
    LSP.name: (("neck", "head_top"), 1.0),
    EVA.name: (("thorax", "head"), 0.54),
}


@dataclass(frozen=True)
class People:
    """N annotated people; coordinates are original image pixels, zero-based, pixel centres at integers.

    Attributes:
        skeleton: joint order, J joints.
        image_paths: N paths; a photo with several people occurs several times.
        joints: (N, J, 2) float32 x, y; undefined where not annotated.
        annotated: (N, J) bool.
        visible: (N, J) bool, annotated and flagged visible.
        center: (N, 2) float32 x, y of the crop's centre.
        side: (N,) float32 side of the square crop, px.
        head_size: (N,) float32 reference length of PCKh, px; NaN where unknown.
        source: the files read, for cache keys.
        images: N photos in memory, (H, W, 3) uint8 RGB, only named by `image_paths`; None for files.
        clip: (N,) int64, equal for the frames of one person in one clip; None for single photos.
        frame: (N,) int64, frame number in the clip; None without `clip`.
    """

    skeleton: Skeleton
    image_paths: list[Path]
    joints: np.ndarray
    annotated: np.ndarray
    visible: np.ndarray
    center: np.ndarray
    side: np.ndarray
    head_size: np.ndarray
    source: tuple[Path, ...]
    images: list[np.ndarray] | None = None
    clip: np.ndarray | None = None
    frame: np.ndarray | None = None

    def names(self, people: Sequence[int]) -> list[str]:
        """Paths of their photos, for messages."""
        return [str(self.image_paths[index]) for index in people]

    @classmethod
    def from_arrays(
        cls,
        images: Sequence[np.ndarray | str | Path] | np.ndarray,
        joints: np.ndarray,
        *,
        boxes: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        head_size: np.ndarray | None = None,
        skeleton: Skeleton = MPII,
        clip: np.ndarray | None = None,
        frame: np.ndarray | None = None,
    ) -> "People":
        """N people, each with a photo; photos may have any sizes.

        Args:
            images: paths, or (H, W, 3) uint8 RGB arrays; a photo with several people occurs several times.
            joints: (N, J, 2) px of the photo, NaN where not annotated.
            boxes: (N, 4) corners x0, y0, x1, y1 in px around which to crop; by default around the annotated joints.
            visible: (N, J) bool; by default all annotated joints.
            head_size: (N,) reference length of PCKh, px. By default 0.75 × the distance from upper neck to head top for
                MPII's joints, the distance from neck to head top for LSP's, else unknown.
            skeleton: joint order.
            clip, frame: (N,) integers, see `People`; both or neither.

        Raises ValueError for arrays of inconsistent shape, other photos, and people without a crop.
        """
        joints = np.asarray(joints).astype(np.float32)  # a copy
        count = len(images)
        if not count or joints.shape != (count, len(skeleton), 2):
            raise ValueError(
                f"{count} images and joints {joints.shape}; expected (N, {len(skeleton)}, 2), an image per person"
            )
        annotated = np.isfinite(joints).all(axis=2)
        joints[~annotated] = 0
        visible = (
            annotated if visible is None else annotated & _shaped("visible", visible, annotated.shape).astype(bool)
        )
        if boxes is None:
            center, side = crop_about_joints(joints, annotated)
            whole, expected = side > 0, "two distinct annotated joints"  # NaN is not above 0
        else:
            boxes = _shaped("boxes", boxes, (count, 4))
            center, side = crop_of_box(boxes)
            whole, expected = (boxes[:, 2:] > boxes[:, :2]).all(axis=1), "a box with x0 < x1 and y0 < y1"
        if not whole.all():
            raise ValueError(f"person {int(whole.argmin())} (from 0) has no crop; expected {expected}")
        if head_size is None:
            head_size = approximate_head_sizes(joints, annotated, skeleton)
        if (clip is None) != (frame is None):
            raise ValueError("clip and frame: expected both or neither")
        times = {"clip": clip, "frame": frame} if clip is not None else {}
        in_memory, paths = _photos(images)
        return cls(
            skeleton=skeleton,
            image_paths=paths,
            joints=joints,
            annotated=annotated,
            visible=visible,
            center=center.astype(np.float32),
            side=side.astype(np.float32),
            head_size=_shaped("head_size", head_size, (count,)).astype(np.float32),
            source=(),
            images=in_memory,
            **{name: _shaped(name, values, (count,)).astype(np.int64) for name, values in times.items()},
        )

    def __len__(self) -> int:
        return len(self.image_paths)

    def photo(self, index: int) -> Path | np.ndarray:
        """A person's photo: its path, or the array if it is in memory."""
        return self.image_paths[index] if self.images is None else self.images[index]

    def identity(self) -> Iterator[str | bytes]:
        """Annotation files, photos and crops, for the key of what is made of them and cached.

        Photos in memory by their pixels, files by their paths.
        """
        yield from (file_digest(path) for path in self.source)
        if self.images is None:
            yield from (str(path.resolve()) for path in self.image_paths)
        else:
            yield from (part for image in self.images for part in (str(image.shape), image.tobytes()))
        yield self.center.tobytes()
        yield self.side.tobytes()

    def select(self, indices: Sequence[int] | Sequence[bool] | np.ndarray) -> "People":
        """The people at `indices` (integers, or N booleans), in that order."""
        indices = np.asarray(indices)
        chosen = np.arange(len(self))[indices if indices.size else indices.astype(int)]
        arrays = {name: getattr(self, name)[chosen] for name in self._arrays()}
        images = None if self.images is None else [self.images[i] for i in chosen]
        return replace(self, image_paths=[self.image_paths[i] for i in chosen], images=images, **arrays)

    def first_joints(self, count: int) -> "People":
        """The same people with the first `count` joints. Raises UserError if `Skeleton.first` does."""
        per_joint = {name: getattr(self, name)[:, :count] for name in ("joints", "annotated", "visible")}
        return replace(self, skeleton=self.skeleton.first(count), **per_joint)

    def joined(self, *others: "People") -> "People":
        """Append other people. Clips of different parts stay separate; a photo becomes a clip of one frame.

        Raises ValueError unless all have the same skeleton and the same kind of photos.
        """
        parts = (self, *others)
        if any(people.skeleton != self.skeleton for people in parts):
            raise ValueError(f"people of {', '.join(people.skeleton.name for people in parts)}; expected one skeleton")
        if len({people.images is None for people in parts}) > 1:
            raise ValueError("some photos are files and some are in memory; expected one of the two")
        if any(people.clip is not None for people in parts):
            parts = _with_clips_apart(parts)
        names = parts[0]._arrays()
        arrays = {name: np.concatenate([getattr(people, name) for people in parts]) for name in names}
        paths, source = ([one for part in parts for one in getattr(part, key)] for key in ("image_paths", "source"))
        images = None if self.images is None else [image for people in parts for image in people.images]
        return replace(self, image_paths=paths, source=tuple(source), images=images, **arrays)

    def _arrays(self) -> list[str]:
        """Names of the fields that are arrays with a row per person."""
        return [field.name for field in fields(self) if isinstance(getattr(self, field.name), np.ndarray)]


def _with_clips_apart(parts: Sequence[People]) -> list[People]:
    """The same people with `clip` and `frame`, no clip number in two parts."""
    apart, first = [], 0
    for people in parts:
        numbers, frame = np.arange(len(people)), np.zeros(len(people), np.int64)
        if people.clip is not None:
            numbers, frame = np.unique(people.clip, return_inverse=True)[1], people.frame
        apart.append(replace(people, clip=numbers + first, frame=frame))
        first += int(numbers.max(initial=-1)) + 1
    return apart


def _shaped(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"{name} {values.shape}: expected {shape}")
    return values


def _photos(images: Sequence[np.ndarray | str | Path]) -> tuple[list[np.ndarray] | None, list[Path]]:
    """Photos in memory, or None; and their paths, which are indices for photos in memory."""
    if all(isinstance(image, (str, Path)) for image in images):
        return None, [Path(image) for image in images]
    for number, image in enumerate(images):
        kind, shape = getattr(image, "dtype", type(image).__name__), getattr(image, "shape", ())
        if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or not min(shape):
            raise ValueError(f"image {number} is {kind} {shape}; expected (H, W, 3) uint8 RGB, or paths for all")
    return list(images), [Path(f"image {number}") for number in range(len(images))]


def crop_of_box(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square crops around boxes (P, 4): centres (P, 2) and sides (P,) = 1.25 × the longer side, px."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, CROP_MARGIN * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def crop_about_joints(joints: np.ndarray, annotated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square crops around the annotated joints, (N, J, 2) px and (N, J) bool: centres (N, 2) and sides (N,), px.

    The side is 1.25 × 1.05 × the longer side of the joints' box; 0 or NaN if they span none.
    """
    boxes = joints_box(joints, annotated)
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, CROP_MARGIN * JOINTS_MARGIN * longest


def joints_box(joints: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """The box of the annotated joints, (N, J, 2) px and (N, J) bool: (N, 4) px, x0, y0, x1, y1; NaN without any."""
    low = np.where(annotated[..., None], joints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(annotated[..., None], joints, -np.inf).max(axis=1, initial=-np.inf)
    return np.concatenate([np.where(high >= low, low, np.nan), np.where(high >= low, high, np.nan)], axis=1)


def approximate_head_sizes(joints: np.ndarray, annotated: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(N,) float32 px, from neck to head top, see `HEADS`; NaN if either is not annotated or not in the skeleton."""
    if skeleton.name not in HEADS:
        return np.full(len(joints), np.nan, np.float32)
    names, factor = HEADS[skeleton.name]
    ends = skeleton.indices(names)
    neck, top = np.moveaxis(joints[:, ends], 1, 0)
    length = factor * np.linalg.norm(top - neck, axis=-1)
    return np.where(annotated[:, ends].all(axis=1), length, np.nan).astype(np.float32)

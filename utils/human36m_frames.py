"""Human3.6M images with ground truth: crops for networks from RGB to 2D or 3D poses.

    frames = find_frames(load_pose_set(files, TRAIN_SUBJECTS, ACTIONS), "data/h36m/images")
    loader = DataLoader(FrameCrops(frames), batch_size=16)
    for batch in loader:
        targets = target_heatmaps(to_device(batch, device))

Images are `<images>/S9/Walking 1/54138969/000001.jpg`; image n shows row n − 1 of the positions. Missing images are
skipped, so it is fine to extract only every fifth frame of the videos.

A folder may instead list single frames with their ground truth in `poses.npz`, beside `images` (`read_listed_frames`).

2D joints are in the order `H36M_2D`, the input of the lifter, not MPII's. For a network with heat maps in MPII's order,
compare `maps[:, joint_map(MPII, H36M_2D)]` with the targets.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.camera_utils import CAMERA_NAMES
from utils.data_utils import LIFTER_INPUT_JOINTS, centre_on_hip
from utils.files.arrays_in_files import read_npz
from utils.files.inside import fault_of_name
from utils.human36m.files import frame_path, parse_name
from utils.human36m.folder import LISTED_FRAMES
from utils.human36m_dataset import CAMERAS, SAMPLES_AT_ONCE, PoseSet
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.images import (
    CROP_MARGIN,
    CROP_SIZE,
    JOINTS_MARGIN,
    ImageError,
    apply_affine,
    crop_from_file,
    crop_matrix,
    image_size,
    invert_affine,
)
from utils.osutils import UserError, warn
from utils.transform import H36M, H36M_2D

# Augmentation of training crops. Mild: people are upright, and boxes of a person detector are only slightly off.
SCALE_RANGE = 0.15  # the side is scaled by 1 ± 0.15
SHIFT_RANGE = 0.05  # the centre moves by up to 0.05 sides along each axis
ROTATION_STD = 15.0  # degrees, truncated at ± 2 standard deviations
FLIP_PROB = 0.5


class Clip(NamedTuple):
    """A sequence seen by one camera."""

    subject: int
    name: str
    camera_name: str

    def __str__(self) -> str:
        return f"S{self.subject}/{self.name}/{self.camera_name}"


@dataclass(frozen=True, eq=False)
class Frames:
    """N images with ground truth, one row each.

    Attributes:
        images_dir: the folder that holds S1, S5, ...
        clips: the clips that the images belong to.
        clip: (N,) index into `clips`.
        number: (N,) image number, from 1.
        pose_2d: (N, 16, 2) float32, px of the image, order `H36M_2D`.
        pose_3d: (N, 17, 3) float32, mm, camera coordinates, hip at the origin, order `H36M`.

    Raises ValueError for arrays of other shapes.
    """

    images_dir: Path
    clips: tuple[Clip, ...]
    clip: np.ndarray
    number: np.ndarray
    pose_2d: np.ndarray
    pose_3d: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.number)
        shapes = {"clip": (), "number": (), "pose_2d": (len(H36M_2D), 2), "pose_3d": (len(H36M), 3)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != (count, *shape):
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {(count, *shape)}")

    def __len__(self) -> int:
        return len(self.number)

    def path(self, index: int) -> Path:
        return frame_path(self.images_dir, *self.clips[self.clip[index]], int(self.number[index]))

    def names(self, frames: Sequence[int]) -> list[str]:
        """Paths of images, for messages."""
        return [str(self.path(index)) for index in frames]

    def select(self, keep: np.ndarray) -> "Frames":
        """A subset of the frames, given by a boolean mask or indices."""
        arrays = {name: getattr(self, name)[keep] for name in ("clip", "number", "pose_2d", "pose_3d")}
        return replace(self, **arrays)

    def of_actions(self, actions: Iterable[str]) -> "Frames":
        """The frames of some of the 15 actions. Raises UserError if there is none."""
        actions = set(actions)
        wanted = np.array([bool(actions.intersection(parse_name(clip.name) or ())) for clip in self.clips])[self.clip]
        if not wanted.any():
            there = ", ".join(sorted({clip.name for clip in self.clips}))
            raise UserError(f"{self.images_dir}: no frame of {', '.join(sorted(actions))}; it has {there}")
        return self.select(wanted)


def find_frames(poses: PoseSet, images_dir: str | Path) -> Frames:
    """The samples of a pose set whose images exist, clip by clip, with projected 2D ground truth.

    Raises UserError if there is no image.
    """
    images_dir = Path(images_dir)
    poses = replace(poses, detections=None)  # ground truth is projected, not detected
    clips, chosen, owner = [], [], []
    for name, index in poses.clips():
        subject, *names = name.split("/")
        clip = Clip(int(subject.removeprefix("S")), *names)
        there = np.isin(poses.row[index // CAMERAS].cpu().numpy() + 1, _numbers(images_dir, clip))
        if there.any():
            owner.append(np.full(there.sum(), len(clips)))
            chosen.append(index[torch.from_numpy(there).to(index.device)])
            clips.append(clip)
    if not clips:
        first = poses.sequences[0]
        expected = frame_path(images_dir, first.subject, first.name, CAMERA_NAMES[0], 1)
        raise UserError(
            f"{images_dir}: no image of these {len(poses.sequences)} sequences; expected files like {expected}, where "
            "image n of a video shows row n - 1 of the positions; extract them from the release's videos"
        )
    index = torch.cat(chosen)
    parts = [[part.cpu().numpy() for part in poses.poses(some)] for some in index.split(SAMPLES_AT_ONCE)]
    pose_2d, pose_3d = (np.concatenate(part) for part in zip(*parts, strict=True))
    numbers = poses.row[index // CAMERAS].cpu().numpy() + 1
    frames = Frames(images_dir, tuple(clips), np.concatenate(owner), numbers, pose_2d, pose_3d)
    return _projected(frames)


def has_listed_frames(folder: str | Path) -> bool:
    return Path(folder, LISTED_FRAMES).is_file()


def read_listed_frames(folder: str | Path) -> Frames:
    """Single frames with ground truth: `<folder>/poses.npz`, with images in `<folder>/images`.

    Arrays with a row per frame: `subject`, `action` ("Walking 1"), `camera` (name), `frame` (from 1), `joints_2d`
    (N, 17, 2) px and `joints_3d_camera_mm` (N, 17, 3), order `H36M`. Further arrays are ignored.

    Raises UserError if the file is not such an archive.
    """
    path = Path(folder, LISTED_FRAMES)
    arrays = _read_arrays(path, ("subject", "action", "camera", "frame", "joints_2d", "joints_3d_camera_mm"))
    subject, action, camera, number, pose_2d, pose_3d = arrays
    count = len(number)
    shapes = [(count,)] * 4 + [(count, len(H36M), 2), (count, len(H36M), 3)]
    if [one.shape for one in arrays] != shapes or not count:
        there = f"joints_2d {pose_2d.shape}, joints_3d_camera_mm {pose_3d.shape}"
        raise UserError(f"{path}: {there} for {count} frames; expected frames × {len(H36M)} × 2 and × 3")
    kinds = "".join(one.dtype.kind for one in arrays).replace("u", "i")
    if kinds != "iUUiff":
        raise UserError(
            f"{path}: {', '.join(str(one.dtype) for one in arrays)}; expected integers, two texts, integers, "
            "and two arrays of floats"
        )
    rows = [Clip(int(s), str(a), str(c)) for s, a, c in zip(subject, action, camera, strict=True)]
    place = {clip: index for index, clip in enumerate(dict.fromkeys(rows))}
    frames = Frames(
        images_dir=Path(folder, "images"),
        clips=tuple(place),
        clip=np.array([place[row] for row in rows], dtype=int),
        number=number.astype(int),
        pose_2d=pose_2d[:, LIFTER_INPUT_JOINTS].astype(np.float32),
        pose_3d=centre_on_hip(torch.from_numpy(pose_3d)).numpy().astype(np.float32),
    )
    return _inside(frames, path)


def _inside(frames: Frames, source: Path) -> Frames:
    """The frames whose images are in the folder; one warning counts names of clips that lead elsewhere."""
    faults = {str(clip): fault_of_name(str(clip)) for clip in frames.clips}
    refused = np.array([faults[str(clip)] is not None for clip in frames.clips])[frames.clip]
    if refused.all():
        raise UserError(f"{source}: no frame has a name of use; {frames.clips[0]!s:.80} {faults[str(frames.clips[0])]}")
    if refused.any():
        warn(f"{source}: {int(refused.sum())} of {len(frames)} frames refused, their names lead out of the folder")
    return frames.select(~refused)


def _read_arrays(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Read arrays of an .npz by name, scalars as (1,). Raises UserError."""
    try:
        arrays = {name: np.atleast_1d(array) for name, array in read_npz(path, names).items()}
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: not a readable .npz of arrays ({error})") from None
    if missing := [name for name in names if name not in arrays]:
        raise UserError(f"{path}: {', '.join(missing)} missing; a list of frames has {', '.join(names)}")
    return list(arrays.values())


def _numbers(images_dir: Path, clip: Clip) -> list[int]:
    """Image numbers of a clip, from one directory listing: Human3.6M has 1.5 million images."""
    folder = frame_path(images_dir, *clip, 1).parent
    return [int(path.stem) for path in folder.glob("[0-9]*.jpg") if path.stem.isdecimal()]


def _projected(frames: Frames) -> Frames:
    """Frames with all joints in front of the camera."""
    finite = np.isfinite(frames.pose_2d).all(axis=(1, 2))
    if not finite.all():
        warn(f"{(~finite).sum()} of {len(frames)} images skipped: joints behind the camera")
    return frames.select(finite)


class FrameCrops(Dataset):
    """One sample per image, a square crop around the projected joints, as a dict:

    image     (3, 256, 256) uint8, RGB crop; black outside the photo
    joints    (16, 2) float32, crop pixels, order `H36M_2D`
    annotated (16,) bool: False where the image could not be read
    pose_2d   (16, 2) float32, px of the image, same order
    pose_3d   (17, 3) float32, mm, camera coordinates, hip at the origin, order `H36M`
    to_photo  (2, 3) float32, crop pixels -> px of the image
    meta      name ("S9/Walking 1/54138969") and frame (image number, from 1)
    index     position in `frames`
    readable  False where the image could not be read: the crop is black

    `augment` draws scale, shift, rotation and flip of the crop for every (seed, epoch, index). The first three change
    the crop and `to_photo`, which still maps to the original image, so 2D and 3D ground truth are unchanged. A flipped
    crop is a crop of the mirrored image, seen by a mirrored camera: `pose_2d` and `to_photo` are in px of that image,
    x of `pose_3d` is negated, and left and right are swapped.
    """

    def __init__(self, frames: Frames, augment: bool = False, seed: int = 0):
        self.frames, self.augment, self.seed = frames, augment, seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        """`key`: an index, or (epoch, index) from `EpochSampler`."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        frames, path = self.frames, self.frames.path(index)
        pose_2d, pose_3d = frames.pose_2d[index], frames.pose_3d[index]
        center, side = crop_square(pose_2d)
        shift, scale, rotation, flip = np.zeros(2), 1.0, 0.0, False
        if self.augment:
            shift, scale, rotation, flip = draw_view(np.random.default_rng([self.seed, epoch, index]))
        matrix = crop_matrix(center + shift * side, side * scale, CROP_SIZE, rotation, flip)
        to_photo = invert_affine(matrix)
        try:
            image, readable = crop_from_file(path, matrix), True
            width = image_size(path)[0] if flip else 0
        except ImageError:
            image, readable, flip = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8), False, False
        joints = apply_affine(matrix, pose_2d)
        if flip:
            joints = joints[H36M_2D.flip_order]
            pose_2d = (pose_2d * (-1, 1) + (width - 1, 0))[H36M_2D.flip_order]
            pose_3d = (pose_3d * (-1, 1, 1))[H36M.flip_order]
            to_photo[0] = (0, 0, width - 1) - to_photo[0]  # x' = width - 1 - x
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),
            "joints": torch.from_numpy(joints.astype(np.float32)),
            "annotated": torch.full((len(pose_2d),), readable),
            "pose_2d": torch.from_numpy(pose_2d.astype(np.float32)),
            "pose_3d": torch.from_numpy(pose_3d.astype(np.float32)),
            "to_photo": torch.from_numpy(to_photo.astype(np.float32)),
            "meta": {"name": str(frames.clips[frames.clip[index]]), "frame": int(frames.number[index])},
            "index": index,
            "readable": readable,
        }


def draw_view(rng: np.random.Generator) -> tuple[np.ndarray, float, float, bool]:
    """Draw an augmentation: shift (2,) of the centre in sides, scale of the side, rotation in degrees, flip."""
    shift = rng.uniform(-SHIFT_RANGE, SHIFT_RANGE, 2)
    scale = rng.uniform(1 - SCALE_RANGE, 1 + SCALE_RANGE)
    rotation = np.clip(rng.standard_normal() * ROTATION_STD, -2 * ROTATION_STD, 2 * ROTATION_STD)
    return shift, float(scale), float(rotation), bool(rng.random() < FLIP_PROB)


def crop_square(joints: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (2,) and side, px, of the crop around joints (J, 2): side = 1.25 × 1.05 × longer side of their box."""
    low, high = joints.min(axis=0), joints.max(axis=0)
    return (low + high) / 2, CROP_MARGIN * JOINTS_MARGIN * float((high - low).max())


def target_heatmaps(
    batch: Mapping[str, Tensor], size: tuple[int, int] = (64, 64), sigma: float = 1.0, label_type: str = "Gaussian"
) -> Tensor:
    """Heat maps (B, 16, H, W) of a batch of `FrameCrops`, order `H36M_2D`, on its device; empty for joints that are
    not annotated. See `render_heatmaps` for the other arguments."""
    maps = render_heatmaps(crop_to_heatmap(batch["joints"]), size, sigma, label_type)
    return maps * batch["annotated"][..., None, None]

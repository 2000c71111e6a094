"""`--data_dir sample` for Human3.6M: procedural motion of seven bodies in the h5 format, cameras, and pictures.

Nothing is taken from Human3.6M. The cameras are similar (four around a room, lens distortion, 1000 px pictures); the
people come from `utils.sample.body`.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

from utils.camera_utils import CAMERA_NAMES, Camera, CameraTable, write_cameras_h5
from utils.human36m.actions import ACTIONS, SUBJECTS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import JOINTS, POSITIONS_H5, frame_path, write_positions
from utils.osutils import atomic_path
from utils.sample.body import Body, PosedBody, random_body
from utils.sample.motion import random_motion, walking_motion
from utils.sample.render import PinholeCamera
from utils.sample.scene import Actor, draw_actors, dress
from utils.transform import H36M, H36M_SLOTS

FRAMES = 40  # average length of a sequence
TAKES = (1, 2)
PICTURE_SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))  # width, height of cameras 1 to 4
_WALKS = ("WalkDog", "Walking", "WalkTogether")
_STANCES = {"Sitting": ("sit",), "SittingDown": ("stand", "sit", "crouch")}
_OTHER_STANCES = ("stand", "stand", "walk", "raise", "lunge", "crouch")
# The slots that do not move copy their parent.
_COPIES = {
    "r_ankle": (4, 5), "l_ankle": (9, 10), "pelvis": (11,), "thorax": (16, 24),
    "l_wrist": (20, 21, 22, 23), "r_wrist": (28, 29, 30, 31),
}  # fmt: skip
# Second seed of the random streams; for bodies and motions it is the subject.
_CAMERAS, _PICTURES, _PICTURE = 101, 102, 103


@dataclass(frozen=True)
class Picture:
    """A frame to draw; `frame` counts from 0."""

    subject: int
    camera: int
    action: str
    take: int
    frame: int


class Lens(NamedTuple):
    """Maps a picture with lens distortion to a larger, undistorted one.

    Attributes:
        places: (H, W, 2) float32, px of the larger picture that each pixel sees.
        width, height: size of the larger picture.
        low: (2,) origin of the larger picture in px of the distorted one.
    """

    places: np.ndarray
    width: int
    height: int
    low: np.ndarray


def make_h36m(
    folder: Path, training: int, validation: int, seed: int = 0, workers: int = 1, frames: int = FRAMES
) -> None:
    """Write motions of all subjects, `cameras.h5`, and `training` + `validation` pictures in Human3.6M's h5 format.

    7 subjects × 15 actions × 2 sequences of `frames` frames on average (of varying length), 25 Hz. `images/` has
    pictures of S1, 5, 6, 7, 8 and of S9, 11, named by `files.frame_path` and spread over subjects and cameras; pixels
    are zero-based. The same arguments give the same bytes for any number of `workers`.

    Raises ValueError for fewer than 5 frames, or for more pictures than frames × cameras.
    """
    if frames < 5:
        raise ValueError(f"{frames} frames per sequence; lengths vary by ±4, so at least 5 are needed")
    folder, table = Path(folder), random_cameras(seed)
    for subject in SUBJECTS:
        for action in ACTIONS:
            for take in TAKES:
                path = folder / POSITIONS_H5.format(subject=subject) / f"{sequence_name(action, take)}.h5"
                write_positions(path, all_slots(sequence_motion(seed, subject, action, take, frames)))
    write_cameras_h5(folder / "cameras.h5", table)
    pictures = choose_pictures(seed, training, TRAIN_SUBJECTS, frames)
    pictures += choose_pictures(seed, validation, TEST_SUBJECTS, frames)
    lenses = {  # a camera has the same lens for every subject
        number: make_lens(table[SUBJECTS[0], number], *PICTURE_SIZES[number - 1])
        for number in {picture.camera for picture in pictures}
    }
    with ThreadPoolExecutor(workers) as threads:  # NumPy and OpenCV release the GIL on large arrays
        for _ in threads.map(partial(_write_picture, folder / "images", seed, frames, table, lenses), pictures):
            pass


def sequence_name(action: str, take: int) -> str:
    """ "Walking", "Walking 1": Human3.6M's names of an action's two sequences."""
    return action if take == 1 else f"{action} {take - 1}"


def sequence_length(action: str, take: int, frames: int = FRAMES) -> int:
    """Frames of a sequence: `frames` ± 4, and `frames` on average."""
    return frames + 2 * ((ACTIONS.index(action) + take) % 5 - 2)


def subject_body(seed: int, subject: int) -> Body:
    """The proportions of a subject, the same in every sequence."""
    return random_body(np.random.default_rng([seed, subject]))


def sequence_motion(seed: int, subject: int, action: str, take: int, frames: int = FRAMES) -> PosedBody:
    """The motion of a sequence in the world: walking for the three walking actions, else random stances."""
    rng = np.random.default_rng([seed, subject, ACTIONS.index(action), take])
    body, length = subject_body(seed, subject), sequence_length(action, take, frames)
    if action in _WALKS:
        return walking_motion(rng, body, length)
    return random_motion(rng, body, length, _STANCES.get(action, _OTHER_STANCES))


def all_slots(posed: PosedBody) -> np.ndarray:
    """(F, 32, 3) mm, world: the 17 joints that move in their slots, the others as copies."""
    joints = posed.joints(H36M)
    slots = np.empty((len(joints), JOINTS, 3))
    slots[:, H36M_SLOTS] = joints
    for joint, copies in _COPIES.items():
        slots[:, copies] = joints[:, [H36M.index(joint)]]
    return slots


def random_cameras(seed: int) -> CameraTable:
    """Four cameras around the room for every subject; lenses are the same for all subjects, positions nearly so."""
    rng = np.random.default_rng([seed, _CAMERAS])
    table = {}
    for number, name in enumerate(CAMERA_NAMES, 1):
        lens = {
            "f": rng.uniform(1135, 1155) + rng.uniform(-1.5, 1.5, 2),
            "c": rng.uniform(505, 520, 2),
            "k": rng.uniform((-0.22, 0.15, -0.02), (-0.18, 0.25, 0.02)),
            "p": rng.uniform(-0.0015, 0.0015, 2),
        }
        for subject in SUBJECTS:
            azimuth = np.radians(90 * number - 45 + rng.uniform(-6, 6))
            distance, height = rng.uniform(4900, 5400), rng.uniform(1400, 1650)
            position = np.array([distance * np.cos(azimuth), distance * np.sin(azimuth), height])
            aim = rng.uniform((-100, -100, 850), (100, 100, 1000))
            rotation = _look_at(position, aim, roll=np.radians(rng.normal(0, 0.5)))
            numbers = {"R": rotation, "T": position} | lens
            table[subject, number] = Camera(**{key: torch.from_numpy(v) for key, v in numbers.items()}, name=name)
    return dict(sorted(table.items()))


def _look_at(position: np.ndarray, aim: np.ndarray, roll: float) -> np.ndarray:
    """(3, 3) rotation from the world to a camera at `position` that looks at `aim`."""
    forward = (aim - position) / np.linalg.norm(aim - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    turn = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return turn @ np.stack([right, np.cross(forward, right), forward])


# ------------------------------------------------------------------------------------------ pictures
def choose_pictures(seed: int, count: int, subjects: Sequence[int], frames: int = FRAMES) -> list[Picture]:
    """`count` distinct pictures, evenly spread over subjects and cameras. Raises ValueError if `count` is too large."""
    places = [(a, t, f) for a in ACTIONS for t in TAKES for f in range(sequence_length(a, t, frames))]
    cells = [(s, (turn + i) % len(CAMERA_NAMES) + 1) for turn in range(4) for i, s in enumerate(subjects)]
    if count > len(places) * len(cells):
        raise ValueError(f"{count} pictures of {len(places) * len(cells)} frames and cameras")
    rng = np.random.default_rng([seed, _PICTURES, *subjects])
    order = rng.permuted(np.tile(np.arange(len(places)), (len(cells), 1)), axis=1)
    return [
        Picture(*cells[i % len(cells)], *places[order[i % len(cells), i // len(cells)]])
        for i in range(count)
    ]  # fmt: skip


def _write_picture(
    images: Path, seed: int, frames: int, table: CameraTable, lenses: Mapping[int, Lens], picture: Picture
) -> None:
    rng = np.random.default_rng(
        [seed, _PICTURE, picture.subject, picture.camera, ACTIONS.index(picture.action), picture.take, picture.frame]
    )
    motion = sequence_motion(seed, picture.subject, picture.action, picture.take, frames)
    camera = table[picture.subject, picture.camera]
    turn = facing_turn(camera)
    actor = dress(rng, motion.frame(picture.frame).turned(turn), on_stool=picture.action == "Sitting")
    pixels = draw_picture(rng, actor, camera, turn, lenses[picture.camera])
    name = sequence_name(picture.action, picture.take)
    path = frame_path(images, picture.subject, name, camera.name, picture.frame + 1)
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"cannot write {path}")


def facing_turn(camera: Camera) -> float:
    """The angle by which to rotate the world about z so that the camera looks along +y, as scenes expect."""
    ahead = camera.R[2].numpy()
    return float(np.arctan2(ahead[0], ahead[1]))


def make_lens(camera: Camera, width: int, height: int) -> Lens:
    """The lens of a camera with pictures of this size."""
    places = undistorted_rays(camera, width, height) * camera.f.numpy() + camera.c.numpy()
    low = np.floor(places.min((0, 1))) - 2
    sides = (int(side) for side in np.ceil(places.max((0, 1))) + 3 - low)
    return Lens((places - low).astype(np.float32), *sides, low)


def draw_picture(rng: np.random.Generator, actor: Actor, camera: Camera, turn: float, lens: Lens) -> np.ndarray:
    """The picture (H, W, 3), uint8 BGR, of an actor in a world rotated by `turn`, seen through the camera's lens.

    A larger picture is drawn without distortion and then resampled along the ray of each pixel.
    """
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    rotation, position = camera.R.numpy() @ about_z.T, about_z @ camera.T.numpy()
    pinhole = PinholeCamera(rotation, position, camera.f.numpy(), camera.c.numpy() - lens.low)
    straight, _, _ = draw_actors(rng, [actor], pinhole, lens.width, lens.height)
    return cv2.remap(straight, lens.places, None, cv2.INTER_LINEAR)


def undistorted_rays(camera: Camera, width: int, height: int) -> np.ndarray:
    """(H, W, 2) x, y of the ray (x, y, 1) of each pixel, with the lens distortion removed.

    Solved on a coarse grid by fixed-point iteration and interpolated, accurate to 0.001 px.
    """
    columns, rows = np.linspace(0, width - 1, 33), np.linspace(0, height - 1, 33)
    wanted = np.stack(np.meshgrid(columns, rows), -1)
    rays = (wanted - camera.c.numpy()) / camera.f.numpy()
    for _ in range(30):
        seen = camera.project(torch.from_numpy(np.pad(rays, ((0, 0), (0, 0), (0, 1)), constant_values=1.0))).numpy()
        rays = rays + (wanted - seen) / camera.f.numpy()
    every = np.arange(height), np.arange(width)
    return np.stack([RectBivariateSpline(rows, columns, rays[..., axis])(*every) for axis in (0, 1)], -1)

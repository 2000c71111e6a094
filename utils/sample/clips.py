"""Rendered clips: people who move, and a panel that passes in front of them, in the MPII form with `clip` and `frame`.

    make_clips(Path("clips"), training=200, validation=40, frames=12)

A frame's joints are annotated behind the panel too, but not visible there.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.sample.body import random_body
from utils.sample.motion import random_motion, walking_motion
from utils.sample.render import random_colour
from utils.sample.sample_data import person_record, write_annotations, write_detections
from utils.sample.scene import draw_actors, dress, random_camera, see_person

SIDE = 256  # px, of a frame
RATE = 25  # frames a second
_STANCES = ("stand", "lunge", "crouch")
_WALKS = 0.5  # share of clips that are walks
_PANEL = (0.25, 0.45)  # its sides, as shares of the person's height in the picture
_SPEED = (1.0, 3.0)  # heights a second


def make_clips(folder: Path, training: int, validation: int, frames: int, seed: int = 0, panels: bool = True) -> None:
    """Write `training` + `validation` clips of one person each.

    `images/<clip>_<frame>.jpg`, `mpii_annotations.json` and `detections_our_format.mat` as `make_mpii` writes them.
    Each entry of the JSON also has `clip`, `frame`, and `panel`: the corners x0, y0, x1, y1 of what covers the picture,
    in zero-based px. The same arguments give the same bytes.

    Args:
        folder: to be made.
        frames: of each clip, at 25 a second.
        panels: whether something passes in front of the people.
    """
    images = Path(folder, "images")
    images.mkdir(parents=True)
    people = []
    for number in range(training + validation):
        split = int(number >= training)
        rng = np.random.default_rng([seed, split, number])
        for frame, (picture, person, panel) in enumerate(render_clip(rng, frames, panels)):
            path = images / f"{number:04d}_{frame:03d}.jpg"
            if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90]):
                raise OSError(f"cannot write {path}")
            one = person_record(person, picture.shape, split, number * frames + frame, path.name, 0)
            clip = {"clip": f"{number:04d}", "frame": float(frame), "panel": np.round(panel, 2).tolist()}
            one["annotation"] |= clip
            _hide(one["annotation"], panel)
            people.append(one)
    write_annotations(Path(folder), people)
    write_detections(Path(folder), [person for person in people if person["annotation"]["isValidation"]])


def render_clip(
    rng: np.random.Generator, frames: int, panels: bool = True, side: int = SIDE
) -> Iterator[tuple[np.ndarray, Any, np.ndarray]]:
    """(picture, `SeenPerson`, panel (4,) px) of each frame; wall, light, clothes and camera stay.

    Pictures are (side, side, 3) uint8 BGR. A panel's edges are x0, y0, x1, y1; all 0 without `panels`.
    """
    body = random_body(rng)
    walks = rng.random() < _WALKS
    motion = walking_motion(rng, body, frames) if walks else random_motion(rng, body, frames, _STANCES)
    middle = motion.positions[:, 0].mean(0) * [1, 1, 0]
    motion = motion.moved(np.broadcast_to(-middle, (frames, 3)))
    clothes, light = (int(one) for one in rng.integers(1 << 31, size=2))
    actors = [dress(np.random.default_rng(clothes), motion.frame(frame), on_stool=False) for frame in range(frames)]
    camera, scale = random_camera(rng, actors[frames // 2], SIDE, SIDE, 1), side / SIDE
    camera = replace(camera, focal=camera.focal * scale, centre=(camera.centre + 0.5) * scale - 0.5)
    farthest = float(motion.positions[:, 0, 1].max())
    height = camera.focal[0] * body.stature / -camera.position[1]
    centre = camera.project(camera.world_to_camera(motion.positions[frames // 2, :1]))[0]
    path, texture = _panel_path(rng, frames, height, centre), _panel_texture(rng)
    for frame, actor in enumerate(actors):
        picture, surface, fine = draw_actors(np.random.default_rng(light), [actor], camera, side, side, farthest)
        person, panel = see_person(actor, camera, fine, surface), path[frame] if panels else np.zeros(4)
        if panels:
            _cover(picture, panel, texture)
        yield picture, person, panel


def _panel_path(rng: np.random.Generator, frames: int, height: float, centre: np.ndarray) -> np.ndarray:
    """(F, 4) corners of a panel that passes over the body at some time of the clip, in a straight line, px."""
    size = rng.uniform(*_PANEL, 2) * height
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*_SPEED) * height / RATE
    aim = centre + rng.uniform(-0.4, 0.4, 2) * height * [0.4, 1]
    times = np.arange(frames)[:, None] - rng.uniform(0, frames)
    middle = aim + times * speed * np.array([np.cos(angle), np.sin(angle)])
    return np.concatenate([middle - size / 2, middle + size / 2], 1)


def _panel_texture(rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 BGR."""
    coarse = np.clip(random_colour(rng) + rng.normal(0, 0.12, (8, 8, 3)), 0, 1) * 255
    return (
        cv2.resize(coarse, (SIDE, SIDE), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC])))
        .clip(0, 255)
        .astype(np.uint8)
    )


def _cover(picture: np.ndarray, panel: np.ndarray, texture: np.ndarray) -> None:
    x0, y0, x1, y1 = (int(one) for one in np.clip(np.round(panel), 0, len(picture)))
    picture[y0:y1, x0:x1] = texture[: y1 - y0, : x1 - x0]


def _hide(annotation: dict[str, Any], panel: np.ndarray) -> None:
    """Mark the joints behind the panel as not visible."""
    for joint in annotation["joint_self"]:
        x, y = joint[0] - 1, joint[1] - 1
        if panel[0] <= x < panel[2] and panel[1] <= y < panel[3]:
            joint[2] = 0.0

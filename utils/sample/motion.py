"""Smooth motions of a sample body: poses interpolated between key poses, moved so that the standing foot stays put.

The frame rate is 25 Hz, at which Human3.6M's positions are commonly used (half the video's rate).
"""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from utils.sample.body import SEGMENTS, Body, Pose, PosedBody, pose_body, random_pose

KEY_FRAMES = 15  # frames between random key poses: 0.6 s
STEP_FRAMES = 14  # frames per step
_STANDING_MM = 15.0  # a foot this much lower than the other bears about three quarters of the weight
_TURN_DEVIATION = 35  # degrees per second, standard deviation
_PLACE_MM = 400.0

# Thigh and knee flexion, degrees, at heel contact and when one leg passes the other, after the normal joint angles in
# Winter, "Biomechanics and Motor Control of Human Movement".
_CONTACT = {"ahead": (25, 6), "behind": (-16, 22)}
_PASSING = {"ahead": (3, 10), "behind": (26, 60)}  # the front leg bears the weight, the rear leg swings
_ARM_SWING = 18


def random_motion(rng: np.random.Generator, body: Body, frames: int, stances: Sequence[str]) -> PosedBody:
    """`frames` poses through random key poses of `stances` (a subset of `body.STANCES`), each equally likely."""
    count = frames // KEY_FRAMES + 3
    poses = [random_pose(rng, body, stance=str(rng.choice(stances))) for _ in range(count)]
    return _play(rng, body, np.stack([pose.angles for pose in poses]), KEY_FRAMES, frames)


def walking_motion(rng: np.random.Generator, body: Body, frames: int) -> PosedBody:
    """`frames` poses of a walk: a random posture of trunk and arms, with alternating legs and arms."""
    base = random_pose(rng, body, stance="walk").angles
    stride, half_step = rng.uniform(0.75, 1.2), STEP_FRAMES * rng.uniform(0.85, 1.2) / 2
    keys = np.repeat(base[None], int(frames / half_step) + 4, axis=0)
    sides = np.where(np.arange(len(keys)) // 2 % 2, -1, 1)  # the leg in front: left, left, right, right, ...
    contact = np.arange(len(keys)) % 2 == 0
    forward_lean = base[SEGMENTS.index("pelvis"), 0]
    for side, sign in (("l_", 1), ("r_", -1)):
        thigh, shin, foot, arm = (SEGMENTS.index(side + name) for name in ("thigh", "shin", "foot", "upper_arm"))
        place = np.where(sides == sign, "ahead", "behind")
        degrees = np.array([(_CONTACT if c else _PASSING)[p] for c, p in zip(contact, place, strict=True)]) * stride
        flexion, knee = np.radians(degrees).T
        keys[:, thigh, 0], keys[:, shin, 0] = flexion, knee
        keys[:, foot, 0] = np.clip(forward_lean - flexion + knee, np.radians(-35), np.radians(20))
        keys[:, arm, 0] += np.radians(np.where(contact, -sign * sides * _ARM_SWING, 0)) * stride
    return _play(rng, body, keys, half_step, frames)


def _play(rng: np.random.Generator, body: Body, keys: np.ndarray, spacing: float, frames: int) -> PosedBody:
    """Interpolate key angles (K, S, 3) that are `spacing` frames apart, starting at random in the first interval.

    The interpolation is monotone between keys, so no joint bends farther than in a key pose.
    """
    times = rng.uniform(0, spacing) + np.arange(frames)
    angles = PchipInterpolator(np.arange(len(keys)) * spacing, keys)(times)
    turn = np.radians(rng.normal(0, _TURN_DEVIATION)) / 25
    facing = rng.uniform(0, 2 * np.pi) + turn * np.arange(frames)
    posed = pose_body(body, Pose(angles, facing, "motion"))
    path = _path(posed)
    middle = (path.min(0) + path.max(0)) / 2
    path += rng.uniform(-_PLACE_MM, _PLACE_MM, 2) - middle
    return posed.moved(np.pad(path, ((0, 0), (0, 1))))


def _path(posed: PosedBody) -> np.ndarray:
    """(F, 2) pelvis positions, mm, starting at the origin, for which the standing foot does not slide.

    Near the change from one foot to the other both bear weight, which keeps the path smooth.
    """
    left, right = (posed.positions[:, SEGMENTS.index(side + "foot")] for side in ("l_", "r_"))
    on_left = 1 / (1 + np.exp((left[:, 2] - right[:, 2]) / _STANDING_MM))[:, None]
    on_left = (on_left[1:] + on_left[:-1]) / 2
    slide = on_left * np.diff(left[:, :2], axis=0) + (1 - on_left) * np.diff(right[:, :2], axis=0)
    return np.concatenate([np.zeros((1, 2)), -np.cumsum(slide, axis=0)])

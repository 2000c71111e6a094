"""Backgrounds of the sample data: a textured wall and floor in perspective, shapes on the wall, shadows."""

import cv2
import numpy as np

from utils.sample.render import PinholeCamera, random_colour

_TEXTURES = ("plain", "planks", "tiles", "bricks", "waves")


def random_background(
    rng: np.random.Generator, camera: PinholeCamera, width: int, height: int, wall: float
) -> np.ndarray:
    """(H, W, 3) float32 RGB in 0 .. 1: the floor z = 0 up to the wall at y = `wall` mm, and the wall."""
    x, y = (axis.astype(np.float32) for axis in camera.rays(width, height))
    # The ray through each pixel, world frame.
    right, ahead, up = (a * x + (b * y + c)[:, None] for a, b, c in camera.rotation.T.tolist())
    ahead, start = np.maximum(ahead, 1e-3), camera.position.tolist()
    to_wall = (wall - start[1]) / ahead
    to_floor = start[2] / np.maximum(-up, 1e-6)
    on_floor = to_floor < to_wall
    picture = np.empty((height, width, 3), np.float32)
    floor_rows, wall_rows = (np.flatnonzero(mask.any(1)) for mask in (on_floor, ~on_floor))
    if len(wall_rows):
        rows = slice(0, wall_rows[-1] + 1)
        distance = to_wall[rows]
        across, along = start[0] + distance * right[rows], start[2] + distance * up[rows]
        picture[rows] = _shapes(rng, _texture(rng, across, along))
    if len(floor_rows):
        rows = slice(floor_rows[0], height)
        distance = np.minimum(to_floor[rows], 1e6)
        across, along = start[0] + distance * right[rows], start[1] + distance * ahead[rows]
        np.copyto(picture[rows], _texture(rng, across, along), where=on_floor[rows, :, None])
    picture *= _uneven_light(rng, width, height)
    return picture


def drop_shadow(picture: np.ndarray, camera: PinholeCamera, spot: np.ndarray, radius: float) -> None:
    """Darken the floor around `spot` (3,), mm, world, in a soft disc of `radius` mm, in place."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = spot * [1, 1, 0] + radius * np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], -1)
    corners = camera.world_to_camera(rim)
    if corners[:, 2].min() < 1:
        return
    corners = camera.project(corners)
    height, width = picture.shape[:2]
    mask = np.zeros((height // 4, width // 4), np.float32)  # blurred afterwards, so low resolution suffices
    cv2.fillConvexPoly(mask, np.round(corners / 4).astype(np.int32), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.03 * float(np.ptp(corners[:, 0]))))
    picture *= 1 - 0.5 * cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]


def _texture(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 colours at positions `u`, `v` (H, W) on a plane, mm."""
    first = random_colour(rng, saturation=0.45)
    second = np.clip(first * rng.uniform(0.65, 1.35) + rng.normal(0, 0.03, 3), 0, 1)
    period = rng.uniform(200, 900)
    kind = _TEXTURES[rng.choice(len(_TEXTURES), p=[0.35, 0.15, 0.2, 0.15, 0.15])]
    if kind == "plain":
        return np.broadcast_to(first.astype(np.float32), (*u.shape, 3)).copy()
    u, v = u / period, v / period
    if kind == "planks":
        second_colour = np.sin(2 * u) + np.sin(3.3 * u) > 0.4
    elif kind == "tiles":
        second_colour = (np.floor(u) + np.floor(v)).astype(np.int32) & 1
    elif kind == "bricks":
        row = np.floor(4 * v)
        column = 2 * u + row / 2
        second_colour = (column - np.floor(column) < 0.06) | (4 * v - row < 0.12)
    else:
        second_colour = np.sin(6 * u + 2 * np.sin(2 * v)) > 0
    return second_colour.astype(np.float32)[..., None] * (second - first).astype(np.float32) + first.astype(np.float32)


def _shapes(rng: np.random.Generator, wall: np.ndarray) -> np.ndarray:
    """Draw doors, posters, poles, discs and blobs on the wall; returns the new picture."""
    height, width = wall.shape[:2]
    wall = np.ascontiguousarray(wall)
    for _ in range(rng.integers(0, 8)):
        colour = tuple(map(float, random_colour(rng, saturation=0.6)))
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        w, h = (int(side) for side in rng.uniform(0.06, 0.4, 2) * (width, height))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(wall, (x, y), (x + w, y + h), colour, -1)
            cv2.rectangle(wall, (x, y), (x + w, y + h), tuple(0.6 * c for c in colour), 2)
        elif kind == 1:
            cv2.rectangle(wall, (x, 0), (x + max(2, w // 6), height), colour, -1)
        elif kind == 2:
            cv2.ellipse(wall, (x, y), (w // 2, h // 2), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = (x, y) + rng.uniform(-0.5, 0.5, (5, 2)) * (w, h)
            cv2.fillPoly(wall, [np.round(corners).astype(np.int32)], colour, cv2.LINE_AA)
    return cv2.GaussianBlur(wall, (0, 0), rng.uniform(0.3, 2.0))


def _uneven_light(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(H, W, 3) float32 factors around 1: large soft patches of light and smaller blotches, nearly grey."""
    factors = np.ones((25, 25, 3), np.float32)
    for cells, strength in ((3, 0.3), (24, rng.uniform(0.02, 0.12))):
        coarse = rng.uniform(-strength, strength, (cells + 1, cells + 1, 1))
        coarse = 1 + coarse + rng.uniform(-0.2, 0.2, (cells + 1, cells + 1, 3)) * strength
        factors *= cv2.resize(coarse.astype(np.float32), (25, 25), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(factors, (width, height), interpolation=cv2.INTER_CUBIC)

"""A picture of the sample data: one or two people in front of a wall, with ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from utils.sample.background import drop_shadow, random_background
from utils.sample.body import PosedBody, pose_body, random_body, random_pose
from utils.sample.flesh import RoundCones, joint_depths, limbs
from utils.sample.render import (
    Outfit,
    PinholeCamera,
    Surface,
    cast,
    join_cones,
    join_outfits,
    look_camera,
    random_colour,
    random_outfit,
    shade,
    visible_joints,
)
from utils.transform import H36M, MPII

_FINE, _COARSE = 4, 3  # people are rendered with 4 pixels for 3 of the picture, for smooth edges


@dataclass(frozen=True)
class Actor:
    """A posed body with its limbs, clothes and furniture."""

    posed: PosedBody
    cones: RoundCones
    outfit: Outfit


@dataclass(frozen=True)
class SeenPerson:
    """Ground truth of a person in a picture.

    Attributes:
        camera: camera of the picture; its `centre` is in zero-based px.
        mpii_mm: (16, 3) and `h36m_mm`: (17, 3) joints, camera frame, mm.
        visible: (16,) bool, MPII order: in the picture and not occluded.
        head_box: (2, 2) top left and bottom right of the head, zero-based px.
        stature: height of the upright person at this distance, px.
    """

    camera: PinholeCamera
    mpii_mm: np.ndarray
    h36m_mm: np.ndarray
    visible: np.ndarray
    head_box: np.ndarray
    stature: float


def render_scene(rng: np.random.Generator, people: int) -> tuple[np.ndarray, list[SeenPerson]]:
    """A picture (H, W, 3), uint8 BGR, with sides of 256 to 400 px, and its one or two people.

    The first person stands at the origin and is 120 to 300 px tall (upright); a second one is farther away.
    """
    width, height = _random_size(rng, people)
    actor = random_actor(rng)
    camera = random_camera(rng, actor, width, height, people)
    actors = [actor]
    if people > 1:
        actors.append(_behind(rng, random_actor(rng), actor, camera, width))
    picture, surface, fine = draw_actors(rng, actors, camera, width, height)
    return picture, [see_person(a, camera, fine, surface) for a in actors]


def draw_actors(
    rng: np.random.Generator,
    actors: Sequence[Actor],
    camera: PinholeCamera,
    width: int,
    height: int,
    farthest: float | None = None,
) -> tuple[np.ndarray, Surface, PinholeCamera]:
    """Draw actors in front of a wall, in random light, seen by a camera that looks along world +y.

    The wall stands behind `farthest` (mm, world y), by default behind the farthest of the actors. Frames of a clip have
    one `farthest` and generators of one seed, so that wall and light stay.

    Returns: the picture (H, W, 3), uint8 BGR; the surface of the actors alone, at a finer resolution; the camera of
    that resolution.
    """
    cones, outfit = join_cones([a.cones for a in actors]), join_outfits([a.outfit for a in actors])

    blocks = -(-np.array([width, height]) // _COARSE)
    fine = _oversampled(camera)
    surface = cast(cones, fine, *(int(size) for size in blocks * _FINE))
    light = rng.normal((0, -0.7, -0.9), (0.6, 0.2, 0.2))
    tile = cv2.GaussianBlur(rng.standard_normal((128, 128)).astype(np.float32), (0, 0), 1.2)
    layer = shade(surface, cones, outfit, fine, light / np.linalg.norm(light), tile / tile.std())

    if farthest is None:
        farthest = max(a.posed.positions[0, 1] for a in actors)
    picture = random_background(rng, camera, width, height, wall=farthest + rng.uniform(700, 4000))
    for a in actors:
        drop_shadow(picture, camera, a.posed.positions[0], radius=rng.uniform(250, 420))
    _lay_over(picture, layer)
    return _develop(rng, picture), surface, fine


def random_actor(rng: np.random.Generator) -> Actor:
    """A dressed person in a random pose at the origin, on a stool if sitting."""
    body = random_body(rng)
    pose = random_pose(rng, body)
    return dress(rng, pose_body(body, pose), on_stool=pose.stance == "sit")


def dress(rng: np.random.Generator, posed: PosedBody, on_stool: bool) -> Actor:
    """Give a posed body random hair, clothes and optionally a stool."""
    cones = limbs(posed, hair_length=float(rng.choice([0, 0, 60, 160])))
    outfit = random_outfit(rng, cones.names)
    if on_stool:
        stool, paint = _stool(rng, posed)
        cones, outfit = join_cones([cones, stool]), join_outfits([outfit, paint])
    return Actor(posed, cones, outfit)


def _stool(rng: np.random.Generator, posed: PosedBody) -> tuple[RoundCones, Outfit]:
    pelvis = posed.positions[0]
    top = pelvis * [1, 1, 0] + [0, 0, max(80.0, pelvis[2] - 150)]
    foot = top * [1, 1, 0]
    stool = RoundCones(
        names=("seat", "post"),
        start=np.array([top - [0, 0, 8], foot]),
        end=np.array([top, top]),
        radii=np.array([[190.0, 190.0], [45.0, 35.0]]),
        axes=np.broadcast_to(np.eye(3), (2, 3, 3)),
        stretch=np.array([[1, 1, 0.2], [1, 1, 1]]),
    )
    paint = Outfit(
        colours=np.stack([random_colour(rng)] * 2)[None],
        pattern=np.zeros(1, int),
        period=np.full(1, 100.0),
        grain=np.full(1, 0.05),
        layers=np.zeros((2, 2), int),
        split=np.full(2, 2.0),
    )
    return stool, paint


def _random_size(rng: np.random.Generator, people: int) -> tuple[int, int]:
    width, height = (int(side) for side in rng.integers((256 if people == 1 else 330, 257), 401))
    return (width, height) if width != height else (width, height - 1)


def random_camera(rng: np.random.Generator, actor: Actor, width: int, height: int, people: int) -> PinholeCamera:
    """A camera looking along +y with the actor inside the picture, sometimes partly outside."""
    least = 120 if people == 1 else 180
    target = max(rng.uniform(least, min(300, 0.92 * height), 2))
    focal = rng.uniform(1.1, 1.7) * max(width, height)
    distance = focal * actor.posed.body.stature / target
    position = (0, -distance, rng.uniform(900, 1700))
    camera = look_camera(position, np.radians(rng.uniform(-3, 8)), np.radians(rng.normal(0, 2)), focal, (0, 0))
    # The principal point is moved instead of the camera, as if the picture were a crop of a larger one.
    points = camera.project(camera.world_to_camera(actor.posed.joints(MPII)))
    low, high, margin = points.min(0), points.max(0), 0.07 * target
    room = np.array([width, height])
    headroom = np.array([margin, margin if people == 1 else 2 * margin])  # the person behind may be taller
    least, most = headroom - low, room - 1 - margin - high
    most = np.maximum(most, least)  # if the person is too large, keep head and left side
    if people > 1:
        third, side = (most - least) * [0.3, 0], rng.integers(2)
        least, most = (least, [least[0] + third[0], most[1]]) if side else ([most[0] - third[0], least[1]], most)
    centre = rng.uniform(least, most)
    if people == 1 and rng.uniform() < 0.15:
        centre = _partly_out(rng, centre, points, room)
    return replace(camera, centre=centre)


def _partly_out(rng: np.random.Generator, centre: np.ndarray, points: np.ndarray, room: np.ndarray) -> np.ndarray:
    """A principal point with feet or one side outside the picture and the head inside."""
    low, high = points.min(0), points.max(0)
    cut = rng.uniform(0.08, 0.35) * (high - low)
    moved = centre.copy()
    edge = rng.integers(4)
    if edge < 2:
        moved[1] = room[1] - high[1] + cut[1]
    else:
        moved[0] = -low[0] - cut[0] if edge == 2 else room[0] - high[0] + cut[0]
    head = points[[MPII.index("head_top"), MPII.index("upper_neck")]] + moved
    return moved if np.all((head > 8) & (head < room - 8)) else centre


def _behind(rng: np.random.Generator, actor: Actor, front: Actor, camera: PinholeCamera, width: int) -> Actor:
    """The actor, moved farther away than `front`, to the emptier side of the picture."""
    first = camera.project(camera.world_to_camera(front.posed.joints(MPII)))[:, 0]
    gap = 0.1 * camera.focal[0] * actor.posed.body.stature / -camera.position[1]
    if first.mean() < width / 2:
        column = rng.uniform(min(first.max() + gap, 0.85 * width), 0.9 * width)
    else:
        column = rng.uniform(0.1 * width, max(first.min() - gap, 0.15 * width))
    distance = -camera.position[1] * rng.uniform(1.12, 1.45)
    offset = np.array([(column - camera.centre[0]) / camera.focal[0] * distance, distance + camera.position[1], 0])
    moved = replace(actor.cones, start=actor.cones.start + offset, end=actor.cones.end + offset)
    return Actor(actor.posed.moved(offset), moved, actor.outfit)


def _oversampled(camera: PinholeCamera) -> PinholeCamera:
    """The camera at the finer resolution; the corners of the first pixels coincide."""
    ratio = _FINE / _COARSE
    return replace(camera, focal=camera.focal * ratio, centre=(camera.centre + 0.5) * ratio - 0.5)


def _lay_over(picture: np.ndarray, layer: np.ndarray) -> None:
    """Blend the finer `layer` (RGB and coverage) over `picture`, in place, within the box that it covers."""
    rows, columns = (np.flatnonzero(layer[..., 3].any(axis)) // _FINE for axis in (1, 0))
    if not len(rows):
        return
    first, last = (rows[0], columns[0]), (rows[-1] + 1, columns[-1] + 1)
    part = layer[first[0] * _FINE : last[0] * _FINE, first[1] * _FINE : last[1] * _FINE]
    size = ((last[1] - first[1]) * _COARSE, (last[0] - first[0]) * _COARSE)
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    below = picture[first[0] * _COARSE : last[0] * _COARSE, first[1] * _COARSE : last[1] * _COARSE]
    part = part[: below.shape[0], : below.shape[1]]
    below *= 1 - part[..., 3:]
    below += part[..., :3]


def see_person(actor: Actor, camera: PinholeCamera, fine: PinholeCamera, surface: Surface) -> SeenPerson:
    body, joints = actor.posed.body, camera.world_to_camera(actor.posed.joints(MPII))
    head = actor.cones.names.index("head")
    ends = camera.world_to_camera(np.stack([actor.cones.start[head], actor.cones.end[head]]))
    # Half extent of a stretched ball along the image axes, at its depth.
    reach = np.linalg.norm((camera.rotation @ actor.cones.axes[head])[:2] * actor.cones.stretch[head], axis=-1)
    extent = actor.cones.radii[head][:, None] * reach * camera.focal / ends[:, 2:]
    middle = camera.project(ends)
    pelvis = camera.world_to_camera(actor.posed.positions[0])
    return SeenPerson(
        camera=camera,
        mpii_mm=joints,
        h36m_mm=camera.world_to_camera(actor.posed.joints(H36M)),
        visible=visible_joints(surface, fine, joints, joint_depths(body, MPII)),
        head_box=np.stack([(middle - extent).min(0), (middle + extent).max(0)]),
        stature=float(camera.focal[0] * body.stature / pelvis[2]),
    )


def _develop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Add blur, sensor noise and exposure; RGB in 0 .. 1 to uint8 BGR."""
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.25, 0.7))
    noise = np.frombuffer(rng.bytes(picture.shape[0] * picture.shape[1]), np.int8).reshape(*picture.shape[:2], 1)
    picture += noise * np.float32(rng.uniform(0.005, 0.03) / 74)  # 74: standard deviation of a random int8
    picture *= 255
    levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.8, 1.25) * rng.uniform(0.85, 1.1, 3)
    exposed = cv2.LUT(
        np.clip(picture, 0, 255).astype(np.uint8), np.clip(levels * 255, 0, 255).astype(np.uint8)[:, None]
    )
    return cv2.cvtColor(exposed, cv2.COLOR_RGB2BGR)

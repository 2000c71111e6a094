"""Posed 3D bodies for the sample data: skeleton, proportions and random plausible poses.

World frame, mm: z up, floor at z = 0. A person facing 0 looks along -y and has their left at +x. Each segment's local
frame equals the world frame when the person stands at attention, facing 0. Segment lengths are fractions of the stature
after Drillis and Contini, "Body Segment Parameters" (1966), with a slightly larger head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.transform import Skeleton

# Parents precede their children. The prefix "r_" or "l_" is the person's own side.
SEGMENTS = (
    "pelvis", "abdomen", "chest", "neck", "head",
    "l_thigh", "l_shin", "l_foot", "r_thigh", "r_shin", "r_foot",
    "l_upper_arm", "l_forearm", "l_hand", "r_upper_arm", "r_forearm", "r_hand",
)  # fmt: skip
_PARENTS = {
    "abdomen": "pelvis", "chest": "abdomen", "neck": "chest", "head": "neck", "thigh": "pelvis", "shin": "thigh",
    "foot": "shin", "upper_arm": "chest", "forearm": "upper_arm", "hand": "forearm",
}  # fmt: skip


def split_side(name: str) -> tuple[str, str]:
    """("l_", "hand") for "l_hand", ("", "chest") for "chest"."""
    return (name[:2], name[2:]) if name[:2] in ("l_", "r_") else ("", name)


def _parent(segment: str) -> int:
    side, name = split_side(segment)
    parent = _PARENTS[name]
    return SEGMENTS.index(side + parent if side + parent in SEGMENTS else parent)


def _turn_signs() -> np.ndarray:
    """(S, 3) signs that convert (flexion, abduction, inward rotation) to angles about x, y, z.

    Trunk and shin bend in the opposite direction to arm, thigh and foot; the right side mirrors the left.
    """
    signs = np.empty((len(SEGMENTS), 3))
    for row, segment in zip(signs, SEGMENTS, strict=True):
        side, name = split_side(segment)
        row[0] = 1 if not side or name == "shin" else -1
        row[1:] = -1 if side == "l_" else 1
    return signs


PARENTS = (-1, *(_parent(segment) for segment in SEGMENTS[1:]))
_TURN_SIGNS = _turn_signs()


@dataclass(frozen=True)
class Body:
    """Dimensions of a person, mm. `hip` and `shoulder` are half the distance between the joint centres; `girth`
    scales the thickness of the limbs."""

    stature: float
    girth: float
    hip: float
    shoulder: float
    thigh: float
    shin: float
    foot: float
    abdomen: float
    chest: float
    neck: float
    head: float
    upper_arm: float
    forearm: float
    hand: float

    def point(self, name: str) -> tuple[str, tuple[float, float, float]]:
        """A joint by name: its segment, and its position in that segment's frame, mm."""
        side, joint = split_side(name)
        outward = -1.0 if side == "r_" else 1.0
        places = {
            "pelvis": ("pelvis", (0, 0, 0)),
            "spine": ("chest", (0, 0, 0)),
            "thorax": ("neck", (0, 0, 0)),
            "upper_neck": ("head", (0, 0, 0)),
            "nose": ("head", (0, -0.43 * self.head, 0.37 * self.head)),
            "head_top": ("head", (0, 0, self.head)),
            "hip": ("pelvis", (outward * self.hip, 0, 0)),
            "knee": (side + "shin", (0, 0, 0)),
            "ankle": (side + "foot", (0, 0, 0)),
            "shoulder": ("chest", (outward * self.shoulder, 0, self.chest)),
            "elbow": (side + "forearm", (0, 0, 0)),
            "wrist": (side + "hand", (0, 0, 0)),
        }
        return places[joint]

    def origins(self) -> np.ndarray:
        """(S, 3) origin of each segment in its parent's frame, mm."""
        places = {
            "pelvis": (0, 0, 0),
            "abdomen": (0, 0, 0),
            "chest": (0, 0, self.abdomen),
            "neck": (0, 0, self.chest),
            "head": (0, 0, self.neck),
            "shin": (0, 0, -self.thigh),
            "foot": (0, 0, -self.shin),
            "forearm": (0, 0, -self.upper_arm),
            "hand": (0, 0, -self.forearm),
        }
        for side in ("l_", "r_"):
            places[side + "thigh"] = self.point(side + "hip")[1]
            places[side + "upper_arm"] = self.point(side + "shoulder")[1]
        return np.array([places.get(s, places.get(split_side(s)[1])) for s in SEGMENTS], float)


def random_body(rng: np.random.Generator) -> Body:
    """A person of 1,550 to 1,900 mm with limb lengths within 5 % of the average proportions."""
    stature = rng.uniform(1550, 1900)
    fractions = {
        "hip": 0.062, "shoulder": 0.104, "thigh": 0.245, "shin": 0.246, "foot": 0.152, "abdomen": 0.12, "chest": 0.165,
        "neck": 0.045, "head": 0.14, "upper_arm": 0.182, "forearm": 0.148, "hand": 0.1,
    }  # fmt: skip
    spread = dict(zip(fractions, rng.uniform(0.95, 1.05, len(fractions)), strict=True))
    lengths = {name: stature * fraction * spread[name] for name, fraction in fractions.items()}
    return Body(stature=stature, girth=rng.uniform(0.88, 1.15), **lengths)


# Degrees, (min, max) of flexion, abduction, inward rotation, and elbow flexion.
_ARM_POSES = {
    "hang": ((-15, 20), (8, 20), (-10, 30), (5, 35)),
    "on hip": ((-25, -8), (38, 50), (55, 75), (80, 100)),
    "before belly": ((10, 35), (10, 22), (20, 50), (60, 105)),
    "bent": ((-10, 45), (10, 35), (-15, 25), (50, 120)),
    "reach": ((55, 110), (0, 25), (-20, 30), (5, 50)),
    "aside": ((-10, 20), (55, 100), (-30, 30), (0, 40)),
    "wave": ((-10, 30), (70, 110), (-105, -70), (40, 110)),
    "overhead": ((145, 172), (5, 25), (-20, 20), (5, 60)),
}
_ARM_ODDS = (0.3, 0.08, 0.1, 0.14, 0.14, 0.1, 0.08, 0.06)

# Degrees, (min, max): flexion, abduction and inward rotation of the thigh, flexion of the knee.
_LEG_POSES = {
    "straight": ((-5, 12), (0, 14), (-20, 5), (0, 12)),
    "behind": ((-25, -8), (0, 8), (-12, 5), (15, 50)),
    "ahead": ((18, 38), (0, 8), (-12, 5), (3, 30)),
    "raised": ((40, 85), (0, 20), (-15, 5), (25, 95)),
    "lunging": ((50, 75), (0, 10), (-12, 5), (55, 85)),
    "seated": ((78, 95), (2, 18), (-15, 5), (65, 100)),
    "crouched": ((80, 105), (10, 24), (-20, 0), (90, 115)),
}
# Stance -> (probability, legs, forward lean of the pelvis in degrees).
_STANCES = {
    "stand": (0.4, ("straight", "straight"), (-4, 6)),
    "walk": (0.25, ("ahead", "behind"), (0, 8)),
    "raise": (0.1, ("raised", "straight"), (-4, 6)),
    "lunge": (0.07, ("lunging", "behind"), (0, 15)),
    "sit": (0.1, ("seated", "seated"), (-8, 12)),
    "crouch": (0.08, ("crouched", "crouched"), (8, 20)),
}
STANCES = tuple(_STANCES)


@dataclass(frozen=True)
class Pose:
    """A pose: `angles` (S, 3), radians of flexion, abduction, inward rotation by segment; `facing`, radians about z.

    A motion has shapes (F, S, 3) and (F,). `stance` is the family that the pose was drawn from. For the trunk the
    angles are forward bend, bend to the left and turn to the left.
    """

    angles: np.ndarray
    facing: float | np.ndarray
    stance: str


@dataclass(frozen=True)
class PosedBody:
    """A body in a pose, standing on the floor. A motion has a leading dimension F in every shape.

    Attributes:
        rotations: (S, 3, 3) segment to world.
        positions: (S, 3) origins of the segments, mm, world.
    """

    body: Body
    rotations: np.ndarray
    positions: np.ndarray

    def place(self, segment: str, local: Sequence[float] | np.ndarray) -> np.ndarray:
        """Map a point (3,) or points (N, 3) from a segment's frame to the world, mm."""
        index, local = SEGMENTS.index(segment), np.asarray(local, float)
        turned = local @ np.swapaxes(self.rotations[..., index, :, :], -1, -2)
        return turned + self.positions[..., index, :].reshape(*self.positions.shape[:-2], *[1] * (local.ndim - 1), 3)

    def joints(self, skeleton: Skeleton) -> np.ndarray:
        """(J, 3) joint positions, mm, world, in the skeleton's order (MPII or H36M, whose names `Body.point` knows)."""
        places = [self.body.point(name) for name in skeleton.joints]
        index = [SEGMENTS.index(segment) for segment, _ in places]
        local = np.array([place for _, place in places], float)
        return np.einsum("...jab,jb->...ja", self.rotations[..., index, :, :], local) + self.positions[..., index, :]

    def moved(self, offset: np.ndarray) -> "PosedBody":
        """The same pose shifted by `offset` (3,), mm."""
        return PosedBody(self.body, self.rotations, self.positions + offset[..., None, :])

    def turned(self, angle: float) -> "PosedBody":
        """The same pose rotated about the world's z axis by `angle`, radians."""
        turn = _rotations(np.array([0.0, 0.0, angle]))
        return PosedBody(self.body, turn @ self.rotations, self.positions @ turn.T)

    def frame(self, index: int) -> "PosedBody":
        """One pose of a motion."""
        return PosedBody(self.body, self.rotations[index], self.positions[index])


def pose_body(body: Body, pose: Pose) -> PosedBody:
    """Forward kinematics, with the lowest point of the feet on the floor and the pelvis above the origin."""
    local = _rotations(pose.angles * _TURN_SIGNS)
    rotations, positions, origins = np.empty_like(local), np.zeros(local.shape[:-1]), body.origins()
    facing = np.asarray(pose.facing)[..., None] * [0.0, 0.0, 1.0]
    rotations[..., 0, :, :] = _rotations(facing) @ local[..., 0, :, :]
    for index, parent in enumerate(PARENTS[1:], 1):  # each segment needs its parent
        rotations[..., index, :, :] = rotations[..., parent, :, :] @ local[..., index, :, :]
        positions[..., index, :] = positions[..., parent, :] + rotations[..., parent, :, :] @ origins[index]
    posed = PosedBody(body, rotations, positions)
    soles = [posed.place(side + "foot", _sole(body)) for side in ("l_", "r_")]
    lowest = np.concatenate(soles, axis=-2)[..., 2].min(-1)
    return posed.moved(lowest[..., None] * [0.0, 0.0, -1.0])


def random_pose(rng: np.random.Generator, body: Body, tries: int = 30, stance: str | None = None) -> Pose:
    """A plausible pose, mostly upright and facing within 70° of -y, without hands or elbows inside the trunk.

    `stance`: one of `STANCES`; None for a random one.
    """
    if stance is None:
        stance = STANCES[rng.choice(len(STANCES), p=[odds for odds, _, _ in _STANCES.values()])]
    angles = {"pelvis": (0.0, 0.0, 0.0)} | _random_legs(rng, stance) | _random_trunk(rng, stance)
    pose = Pose(np.zeros((len(SEGMENTS), 3)), _random_facing(rng), stance)
    for attempt in range(tries):
        angles |= _random_arms(rng, stance, relaxed=attempt == tries - 1)
        pose.angles[:] = np.radians([angles[segment] for segment in SEGMENTS])
        if _arms_are_free(pose_body(body, pose)):
            break
    return pose


def _rotations(angles: np.ndarray) -> np.ndarray:
    """(..., 3) angles about x, y, z to (..., 3, 3) matrices Rx Ry Rz: z is applied first."""
    (cx, cy, cz), (sx, sy, sz) = np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0)
    rows = [
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def _sole(body: Body) -> np.ndarray:
    """(2, 3) heel and toe on the ground, in the foot's frame."""
    height = -0.039 * body.stature
    return np.array([[0, 0.2 * body.foot, height], [0, -0.8 * body.foot, height]])


def _random_facing(rng: np.random.Generator) -> float:
    spread = rng.choice(3, p=[0.76, 0.1, 0.14])
    degrees = (rng.uniform(-70, 70), rng.uniform(70, 125) * rng.choice([-1, 1]), rng.uniform(135, 225))[spread]
    return float(np.radians(degrees))


def _random_legs(rng: np.random.Generator, stance: str) -> dict[str, tuple[float, float, float]]:
    _, legs, lean = _STANCES[stance]
    tilt = rng.uniform(*lean)
    angles = {"pelvis": (tilt, rng.uniform(-3, 3), 0.0)}
    for side, leg in zip(rng.permutation(["l_", "r_"]), legs, strict=True):
        flexion, abduction, inward, knee = (rng.uniform(*limits) for limits in _LEG_POSES[leg])
        # The sole stays level within the ankle's range.
        ankle = np.clip(tilt - flexion + knee + rng.uniform(-6, 6), -35, 25)
        angles |= {f"{side}thigh": (flexion, abduction, inward), f"{side}shin": (knee, 0.0, 0.0)}
        angles[f"{side}foot"] = (float(ankle), -abduction / 2, 0.0)
    return angles


def _random_trunk(rng: np.random.Generator, stance: str) -> dict[str, tuple[float, float, float]]:
    forward = (2, 14) if stance == "crouch" else (-4, 10)
    angles = {part: (rng.uniform(*forward), *rng.uniform(-7, 7, 2)) for part in ("abdomen", "chest")}
    nod, tilt, turn = rng.uniform(-10, 12), rng.uniform(-8, 8), np.clip(rng.normal(0, 20), -45, 45)
    return angles | {"neck": (rng.uniform(0, 12), tilt / 2, turn / 2), "head": (nod, tilt / 2, turn / 2)}


def _random_arms(rng: np.random.Generator, stance: str, relaxed: bool) -> dict[str, tuple[float, float, float]]:
    angles = {}
    for side in ("l_", "r_"):
        odds = None if stance in ("crouch", "lunge") else _ARM_ODDS
        name = "aside" if relaxed else str(rng.choice(list(_ARM_POSES), p=odds))
        *arm, elbow = (rng.uniform(*limits) for limits in _ARM_POSES[name])
        angles |= {f"{side}upper_arm": tuple(arm), f"{side}forearm": (elbow, 0.0, rng.uniform(-30, 30))}
        angles[f"{side}hand"] = (rng.uniform(-25, 25), 0.0, 0.0)
    return angles


def _arms_are_free(posed: PosedBody) -> bool:
    """Whether elbows, forearms and hands are outside trunk, head, thighs and each other."""
    body = posed.body
    along = np.array([0.0, 0.5, 1.0])[:, None] * [0, 0, -1]
    points = np.concatenate([
        posed.place(side + segment, along * length)
        for side in ("l_", "r_")
        for segment, length in (("forearm", body.forearm), ("hand", 0.8 * body.hand))
    ])  # fmt: skip
    left, right = np.split(points, 2)
    if np.linalg.norm(left[:, None] - right, axis=-1).min() < 75:
        return False
    for name, low, high, wide, deep in (
        ("pelvis", -120, body.abdomen, 165, 115),
        ("chest", -60, body.chest + 60, 165, 115),
        ("head", -40, body.head + 20, 110, 140),
        *((side + "thigh", -body.thigh, 0, 85, 85) for side in ("l_", "r_")),
    ):
        index = SEGMENTS.index(name)
        x, y, z = ((points - posed.positions[index]) @ posed.rotations[index]).T
        inside = np.hypot(x / wide, y / deep) < 0.95 * body.girth + 0.3
        if np.any(inside & (z > low) & (z < high)):
            return False
    return True

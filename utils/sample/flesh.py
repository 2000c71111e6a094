"""The flesh of a posed body for the sample data: one stretched round cone per limb, world frame, mm."""

from dataclasses import dataclass

import numpy as np

from utils.sample.body import SEGMENTS, Body, PosedBody, split_side
from utils.transform import Skeleton


@dataclass(frozen=True)
class RoundCones:
    """Limbs: each is the convex hull of two balls (a tapered capsule), stretched across its axis. World frame, mm.

    Attributes:
        names: P names.
        start, end: (P, 3) centres of the two balls.
        radii: (P, 2) their radii before stretching.
        axes: (P, 3, 3) the segment's frame as columns (left, back, up).
        stretch: (P, 3) factors along those columns.
    """

    names: tuple[str, ...]
    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray
    axes: np.ndarray
    stretch: np.ndarray


# Maximum depth of a joint below the skin, mm, seen from any side. A surface farther in front of a joint hides it.
_JOINT_DEPTHS = {
    "pelvis": 175, "hip": 150, "knee": 85, "ankle": 75, "spine": 160, "thorax": 150, "upper_neck": 95, "nose": 35,
    "head_top": 60, "shoulder": 90, "elbow": 75, "wrist": 110,
}  # fmt: skip


def joint_depths(body: Body, skeleton: Skeleton) -> np.ndarray:
    """(J,) maximum depth of a visible joint below the person's surface, mm."""
    return body.girth * np.array([_JOINT_DEPTHS[split_side(joint)[1]] for joint in skeleton.joints], float)


def limbs(posed: PosedBody, hair_length: float = 0.0) -> RoundCones:
    """The flesh of a posed body. `hair_length`: mm below the back of the head, 0 for short hair."""
    table = _trunk_table(posed.body, hair_length)
    for side, outward in (("l_", 1.0), ("r_", -1.0)):
        table |= {
            side + name: (_sided(side, row[0]), *row[1:]) for name, row in _limb_table(posed.body, outward).items()
        }
    rows = list(table.values())
    index = [SEGMENTS.index(row[0]) for row in rows]
    rotations, positions = posed.rotations[index], posed.positions[index]
    start, end = (np.array([row[k] for row in rows], float) for k in (1, 2))
    return RoundCones(
        names=tuple(table),
        start=np.einsum("pab,pb->pa", rotations, start) + positions,
        end=np.einsum("pab,pb->pa", rotations, end) + positions,
        radii=np.array([row[3] for row in rows], float),
        axes=rotations,
        stretch=np.array([(*row[4], 1.0) for row in rows], float),
    )


def _sided(side: str, segment: str) -> str:
    return side + segment if side + segment in SEGMENTS else segment


def _trunk_table(body: Body, hair_length: float) -> dict[str, tuple]:
    """Limbs of the trunk and head: segment, start, end, radii, stretch (left, back); mm, segment's frame."""
    g, h = body.girth, body.head
    wide = 1.35 * body.shoulder / 180
    return {
        "hips": ("pelvis", (0, 0, -25), (0, 0, 70), (112 * g, 105 * g), (1.4, 1.0)),
        "abdomen": ("abdomen", (0, 0, 60), (0, 0, body.abdomen + 30), (103 * g, 105 * g), (1.32, 0.95)),
        "chest": ("chest", (0, 0, 30), (0, -5, body.chest - 105), (106 * g, 112 * g), (wide, 0.98)),
        "neck": ("neck", (0, 8, 0), (0, 0, body.neck + 35), (62 * g**0.5, 54 * g**0.5), (1.0, 1.0)),
        "head": ("head", (0, -0.09 * h, 0.25 * h), (0, 0, 0.61 * h), (0.25 * h, 0.36 * h), (0.88, 1.06)),
        "nose": ("head", (0, -0.40 * h, 0.36 * h), (0, -0.35 * h, 0.5 * h), (0.075 * h, 0.04 * h), (0.9, 1.0)),
        "hair": (
            "head", (0, 0.06 * h, 0.66 * h), (0, 0.16 * h, 0.5 * h - hair_length), (0.37 * h, 0.3 * h), (0.95, 1.05),
        ),
    }  # fmt: skip


def _limb_table(body: Body, outward: float) -> dict[str, tuple]:
    """Limbs of one side, as in `_trunk_table`. `outward`: +1 for left, -1 for right."""
    g, h, ground = body.girth, body.head, -0.039 * body.stature
    shoulder = (outward * body.shoulder, 0, body.chest - 6)
    return {
        "collar": ("chest", (outward * 45, 5, body.chest - 22), shoulder, (64 * g, 58 * g), (1.0, 1.0)),
        "upper_arm": ("upper_arm", (0, 0, 0), (0, 0, -body.upper_arm), (56 * g, 42 * g), (1.0, 1.0)),
        "forearm": ("forearm", (0, 0, 0), (0, 0, -body.forearm), (43 * g, 30 * g), (1.0, 1.0)),
        "hand": ("hand", (0, 0, -15), (0, -8, -0.75 * body.hand), (35 * g, 27 * g), (0.8, 1.05)),
        "ear": (
            "head", (outward * 0.31 * h, 5, 0.42 * h), (outward * 0.32 * h, 8, 0.54 * h),
            (0.05 * h, 0.07 * h), (0.7, 1.0),
        ),
        "thigh": ("thigh", (0, 0, 0), (0, 0, -body.thigh), (86 * g, 62 * g), (1.0, 1.05)),
        "shin": ("shin", (0, 5, 0), (0, 5, -body.shin), (62 * g, 40 * g), (1.0, 1.05)),
        "foot": (
            "foot", (0, 0.1 * body.foot, 0.55 * ground), (0, -0.66 * body.foot, 0.58 * ground),
            (-0.48 * ground, -0.42 * ground), (1.2, 1.0),
        ),
    }  # fmt: skip

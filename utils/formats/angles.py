"""Joint angles of 3D poses, in degrees.

Segments have the axes of the ISB's recommendations, in other letters: l to the person's left, u up, f forward. Hips and
chest have all three, from joints that lie on them; other segments are directions, so that no angle is about a segment's
own axis: joint positions do not show it. Positive are flexion (the segment moves forward; at knee and elbow: bends),
abduction (away from the middle), bending to the person's right, and turning to the left.

References: Grood and Suntay, "A joint coordinate system for the clinical description of three-dimensional motions", J.
Biomech. Eng. 1983; Wu et al., ISB recommendations, part I (spine, hip), J. Biomech. 2002, and part II (shoulder,
elbow), J. Biomech. 2005.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.formats.people import Person
from utils.formats.rotations import frame_of, unit
from utils.formats.tables import WHO, wide_rows, write_table
from utils.osutils import write_text
from utils.transform import H36M

SIDES = {"l": "left", "r": "right"}
OF_A_SIDE = {
    "hip_flexion": "thigh against the hips about their l axis, 0 standing (ISB hip, first rotation)",
    "hip_abduction": "thigh out of the hips' u-f plane, 0 standing (ISB hip, minus the second rotation)",
    "knee_flexion": "between thigh and shank, 0 straight (ISB knee flexion where there is no ab- or adduction)",
    "shoulder_elevation": "upper arm against the chest's downward axis, 0 hanging, 90 horizontal (ISB thoracohumeral "
    "elevation, second rotation of y-x-y, without its sign)",
    "shoulder_plane": "plane of elevation: 0 to the side, 90 forward; undefined where the arm hangs (ISB, first "
    "rotation of y-x-y)",
    "elbow_flexion": "between upper arm and forearm, 0 straight (ISB elbow flexion without carrying angle)",
}
OF_THE_TRUNK = {
    "trunk_flexion": "chest against the hips, forward (ISB spine, first rotation of l-f-u)",
    "trunk_bending": "chest against the hips, to the right (ISB spine, second rotation)",
    "trunk_rotation": "chest against the hips, to the left (ISB spine, third rotation)",
    "head_flexion": "thorax -> head top against the chest, forward (no ISB definition: the head has no axes)",
    "head_bending": "thorax -> head top against the chest, to the right (no ISB definition)",
}
DEFINITIONS = {f"{side}_{name}": text for name, text in OF_A_SIDE.items() for side in SIDES} | OF_THE_TRUNK


def write_angles(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write `angles.csv`, a row per person and image, and `angles.json` with the definition of every column."""
    table, notes = folder / "angles.csv", folder / "angles.json"
    columns = {f"{name}_deg": text for name, text in DEFINITIONS.items()}
    write_table(table, (*WHO, *columns), wide_rows(people, [joint_angles(person.poses) for person in people]))
    write_text(notes, json.dumps(columns, indent=2) + "\n")
    return [table, notes]


def joint_angles(poses: np.ndarray) -> np.ndarray:
    """(T, A) degrees, in the order of `DEFINITIONS`, from poses (T, 17, 3); NaN where a joint of an angle is.

    The frame and unit of the poses do not matter, but it has to be right-handed.
    """
    hips = frame_of(_from(poses, "r_hip", "l_hip"), _from(poses, "pelvis", "spine"))
    chest = frame_of(_from(poses, "r_shoulder", "l_shoulder"), _from(poses, "spine", "thorax"))
    found = {}
    for side in SIDES:
        thigh, shank = _limb(poses, side, "hip", "knee", "ankle")
        upper_arm, forearm = _limb(poses, side, "shoulder", "elbow", "wrist")
        outward = 1 if side == "l" else -1
        left, up, forward = _along(thigh, hips)
        found[f"{side}_hip_flexion"] = np.arctan2(forward, -up)
        found[f"{side}_hip_abduction"] = np.arcsin(np.clip(outward * left, -1, 1))
        found[f"{side}_knee_flexion"] = _between(thigh, shank)
        left, up, forward = _along(upper_arm, chest)
        found[f"{side}_shoulder_elevation"] = np.arccos(np.clip(-up, -1, 1))
        hangs = np.hypot(left, forward) < 1e-6
        found[f"{side}_shoulder_plane"] = np.where(hangs, np.nan, np.arctan2(forward, outward * left))
        found[f"{side}_elbow_flexion"] = _between(upper_arm, forearm)
    for name, values in zip(("flexion", "bending", "rotation"), _trunk(hips, chest).T, strict=True):
        found[f"trunk_{name}"] = values
    left, up, forward = _along(unit(_from(poses, "thorax", "head_top")), chest)
    found["head_flexion"] = np.arctan2(forward, up)
    found["head_bending"] = np.arcsin(np.clip(-left, -1, 1))
    return np.rad2deg(np.stack([found[name] for name in DEFINITIONS], axis=1))


def _from(poses: np.ndarray, start: str, end: str) -> np.ndarray:
    return poses[:, H36M.index(end)] - poses[:, H36M.index(start)]


def _limb(poses: np.ndarray, side: str, *joints: str) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the two segments between three joints."""
    first, middle, last = (f"{side}_{joint}" for joint in joints)
    return unit(_from(poses, first, middle)), unit(_from(poses, middle, last))


def _along(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(3, T): the parts of vectors (T, 3) along the l, u and f of axes (T, 3, 3)."""
    return np.einsum("tij,ti->jt", axes, vectors)


def _between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Radians between unit vectors (T, 3); exact for small angles too."""
    return np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), (one * other).sum(1))


def _trunk(hips: np.ndarray, chest: np.ndarray) -> np.ndarray:
    """(T, 3) radians of the chest in the hips: flexion about l, bending about f, rotation about u."""
    relative = hips.swapaxes(1, 2) @ chest
    known = np.isfinite(relative).all(axis=(1, 2))
    result = np.full((len(relative), 3), np.nan)
    if known.any():
        result[known] = Rotation.from_matrix(relative[known]).as_euler("XZY")
    return result

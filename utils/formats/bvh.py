"""BVH (Biovision Hierarchy) of one person: a skeleton at rest and its rotations, frame by frame.

Units are centimetres. Axes: x to the side that is the camera's right, y up, z towards the camera; at rest the person
stands as a T and faces z, his left at +x. There is no camera tilt here: "up" is the picture's up.

Rest lengths are the medians over all frames; the bones of both sides have their own. In each frame

* the hips' x is along right hip -> left hip, their y as near to hips -> spine as it can be,
* the chest's x is along right shoulder -> left shoulder, its y as near to spine -> thorax as it can be,
* every other bone is turned from its parent by the smallest rotation that gives its direction: it has no twist, which
  joint positions do not show.

Bones that start at the hips or the chest have a joint of their own there (offset 0), as in the files of the CMU motion
capture database, so that their directions are exact. The positions therefore differ from the poses only by the
lengths of the bones. The root has the trajectory of the hips; all frames between the first and the last are filled,
missing ones by linear interpolation of positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.formats.people import Person
from utils.formats.rotations import frame_of, unit, without_twist
from utils.formats.sequences import UP, by_person, filled, rate_of
from utils.osutils import inform, write_text
from utils.transform import H36M

CM = 0.1  # cm a mm
CHANNELS = "Zrotation Xrotation Yrotation"  # R = Rz Rx Ry
LEFT, RIGHT, TOP, DOWN = (1.0, 0, 0), (-1.0, 0, 0), (0, 1.0, 0), (0, -1.0, 0)


@dataclass(frozen=True)
class Bone:
    """A joint of the file, with the bone from it to its only child.

    Attributes:
        name: as animation programs call it.
        parent: name of the parent; "" for the root.
        start, end: the H36M joints between which the bone lies; equal for the root and the chest, which have a frame
            of axes instead.
        rest: direction at rest.
    """

    name: str
    parent: str
    start: str
    end: str
    rest: tuple[float, float, float] = TOP

    @property
    def has_axes(self) -> bool:
        return self.start == self.end


# A parent precedes its children.
BVH_BONES = (
    Bone("Hips", "", "pelvis", "pelvis"),
    Bone("LHipJoint", "Hips", "pelvis", "l_hip", LEFT),
    Bone("LeftUpLeg", "LHipJoint", "l_hip", "l_knee", DOWN),
    Bone("LeftLeg", "LeftUpLeg", "l_knee", "l_ankle", DOWN),
    Bone("RHipJoint", "Hips", "pelvis", "r_hip", RIGHT),
    Bone("RightUpLeg", "RHipJoint", "r_hip", "r_knee", DOWN),
    Bone("RightLeg", "RightUpLeg", "r_knee", "r_ankle", DOWN),
    Bone("LowerBack", "Hips", "pelvis", "spine"),
    Bone("Spine", "LowerBack", "spine", "thorax"),
    Bone("Chest", "Spine", "thorax", "thorax"),
    Bone("Neck", "Chest", "thorax", "nose"),
    Bone("Head", "Neck", "nose", "head_top"),
    Bone("LeftShoulder", "Chest", "thorax", "l_shoulder", LEFT),
    Bone("LeftArm", "LeftShoulder", "l_shoulder", "l_elbow", LEFT),
    Bone("LeftForeArm", "LeftArm", "l_elbow", "l_wrist", LEFT),
    Bone("RightShoulder", "Chest", "thorax", "r_shoulder", RIGHT),
    Bone("RightArm", "RightShoulder", "r_shoulder", "r_elbow", RIGHT),
    Bone("RightForeArm", "RightArm", "r_elbow", "r_wrist", RIGHT),
)  # fmt: skip


def write_bvh(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write `<name>.bvh` of every person. Raises UserError for a sequence without a frame rate."""
    moved = []

    def write(person: Person, path: Path) -> None:
        write_text(path, text(person))
        poses = filled(person.poses_on_grid())
        moved.append(np.linalg.norm(with_rest_lengths(poses) - poses, axis=2).ravel())

    paths = by_person(people, folder, ".bvh", "filled linearly", write)
    inform(
        f"bvh: joints are {np.concatenate(moved).mean():.1f} mm from those of the poses on average, since bones keep "
        "their median length"
    )
    return paths


def text(person: Person) -> str:
    """The file of a person with at least one whole pose."""
    positions = CM * filled(person.poses_on_grid()) @ UP
    lengths = rest_lengths(positions)
    columns = [positions[:, H36M.index("pelvis")], *angles(positions)]
    rows = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in np.concatenate(columns, axis=1).tolist())
    motion = f"MOTION\nFrames: {len(positions)}\nFrame Time: {1 / rate_of(person):.8f}\n{rows}\n"
    return "\n".join(["HIERARCHY", *_hierarchy("", lengths, 0)]) + "\n" + motion


def rest_lengths(positions: np.ndarray) -> dict[str, float]:
    """Bone -> its median length in positions (T, 17, 3), in their unit."""
    return {
        bone.name: float(np.median(np.linalg.norm(_direction(positions, bone), axis=1))) for bone in BVH_BONES
    }  # fmt: skip


def with_rest_lengths(positions: np.ndarray) -> np.ndarray:
    """Positions (T, 17, 3) with the directions of all bones, their median lengths, and the hips as they are."""
    lengths, result = rest_lengths(positions), positions.copy()
    for bone in BVH_BONES:  # a joint needs its parent's place
        if not bone.has_axes:
            step = lengths[bone.name] * unit(_direction(positions, bone))
            result[:, H36M.index(bone.end)] = result[:, H36M.index(bone.start)] + step
    return result


def angles(positions: np.ndarray) -> list[np.ndarray]:
    """Of every bone (T, 3) degrees in the order of `CHANNELS`, from positions (T, 17, 3), y up.

    Turns past 180 degrees go on counting, so that programs that interpolate between frames do not spin.
    """
    world: dict[str, np.ndarray] = {}
    found = []
    for bone in BVH_BONES:  # a bone's rotation needs its parent's
        parent = world.get(bone.parent, np.eye(3))
        if bone.has_axes:
            sides, up = _axes(positions, bone)
            world[bone.name] = frame_of(sides, up)
        else:
            world[bone.name] = without_twist(parent @ np.array(bone.rest), _direction(positions, bone)) @ parent
        local = np.broadcast_to(parent, world[bone.name].shape).swapaxes(1, 2) @ world[bone.name]
        degrees = Rotation.from_matrix(local).as_euler("ZXY", degrees=True)
        found.append(np.unwrap(degrees, period=360, axis=0))
    return found


def _direction(positions: np.ndarray, bone: Bone) -> np.ndarray:
    return positions[:, H36M.index(bone.end)] - positions[:, H36M.index(bone.start)]


def _axes(positions: np.ndarray, bone: Bone) -> tuple[np.ndarray, np.ndarray]:
    """Right to left, and up, (T, 3) each, of the hips or the chest."""
    pairs = (("r_hip", "l_hip"), ("pelvis", "spine"))
    if bone.parent:
        pairs = (("r_shoulder", "l_shoulder"), ("spine", "thorax"))
    sides, up = (positions[:, H36M.index(end)] - positions[:, H36M.index(start)] for start, end in pairs)
    return sides, up


def _hierarchy(parent: str, lengths: dict[str, float], depth: int) -> Iterator[str]:
    """Lines of the bones below a bone, which is "" for the root."""
    pad = "  " * depth
    children = [bone for bone in BVH_BONES if bone.parent == parent]
    offset = _offset(parent, lengths)
    for bone in children:
        yield f"{pad}{'JOINT' if parent else 'ROOT'} {bone.name}"
        yield f"{pad}{{"
        yield f"{pad}  OFFSET {offset}"
        places = "6 Xposition Yposition Zposition" if not parent else "3"
        yield f"{pad}  CHANNELS {places} {CHANNELS}"
        yield from _hierarchy(bone.name, lengths, depth + 1)
        yield f"{pad}}}"
    if not children:
        yield from (f"{pad}End Site", f"{pad}{{", f"{pad}  OFFSET {offset}", f"{pad}}}")


def _offset(parent: str, lengths: dict[str, float]) -> str:
    """From the joint of a bone to that of its child: along the bone at rest."""
    bone = next((one for one in BVH_BONES if one.name == parent), None)
    vector = np.zeros(3) if bone is None else lengths[bone.name] * np.array(bone.rest)
    return " ".join(f"{value:.5f}" for value in vector.tolist())

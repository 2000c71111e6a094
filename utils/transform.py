"""Skeletons by name, and conversions between joint orders computed from the names.

A skeleton is one object: joint names in file order, bones, left-right pairs. Code uses `MPII.index("r_wrist")` instead
of bare joint numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from utils.osutils import UserError


@dataclass(frozen=True)
class Skeleton:
    """A joint order.

    Attributes:
        name: e.g. "MPII".
        joints: joint names in file order; the prefix "r_" or "l_" is the person's own right or left.
        bones: pairs of joint names.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Index of a joint by name. Raises KeyError for an unknown name."""
        try:
            return self.joints.index(joint)
        except ValueError:
            raise KeyError(f"{self.name} has no joint {joint!r}; it has {', '.join(self.joints)}") from None

    def indices(self, joints: Sequence[str]) -> list[int]:
        """Indices of several joints by name."""
        return [self.index(joint) for joint in joints]

    @cached_property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """(right, left) index pairs, by name."""
        return tuple(
            (index, self.index("l_" + joint[2:])) for index, joint in enumerate(self.joints) if joint.startswith("r_")
        )

    @cached_property
    def flip_order(self) -> np.ndarray:
        """(J,) permutation that swaps right and left: `flipped = points[:, flip_order]`. Its own inverse."""
        order = np.arange(len(self))
        for right, left in self.flip_pairs:
            order[[right, left]] = left, right
        return order

    @cached_property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        """Bones as index pairs."""
        return tuple((self.index(a), self.index(b)) for a, b in self.bones)

    def side(self, joint: str) -> str:
        """ "r", "l" or "c" (centre)."""
        return joint[0] if joint[:2] in ("r_", "l_") else "c"

    def bone_side(self, a: int, b: int) -> str:
        """The side of the bone between joints `a` and `b`; "c" for a bone from right to left."""
        sides = {self.side(self.joints[a]), self.side(self.joints[b])} - {"c"}
        return sides.pop() if len(sides) == 1 else "c"

    def first(self, count: int) -> "Skeleton":
        """The skeleton of the first `count` joints.

        Raises UserError if `count` is out of range or splits a left-right pair, which makes a flip impossible.
        """
        if count == len(self):
            return self
        allowed = [n for n in range(1, len(self) + 1) if all((r < n) == (left < n) for r, left in self.flip_pairs)]
        if count not in allowed:
            raise UserError(
                f"--num_classes {count}: the first {count} joints of {self.name} split a left-right pair or are out of "
                f"range; choose one of {', '.join(map(str, allowed))}"
            )
        kept = self.joints[:count]
        bones = tuple(bone for bone in self.bones if set(bone) <= set(kept))
        return Skeleton(f"{self.name}[:{count}]", kept, bones)


MPII = Skeleton(
    "MPII",
    (
        "r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist",
    ),
    (
        ("r_ankle", "r_knee"), ("r_knee", "r_hip"), ("r_hip", "pelvis"), ("pelvis", "l_hip"),
        ("l_hip", "l_knee"), ("l_knee", "l_ankle"), ("pelvis", "thorax"), ("thorax", "upper_neck"),
        ("upper_neck", "head_top"), ("r_wrist", "r_elbow"), ("r_elbow", "r_shoulder"), ("r_shoulder", "thorax"),
        ("thorax", "l_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"),
    ),
)  # fmt: skip

LSP = Skeleton(
    "LSP",
    (
        "r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "r_wrist", "r_elbow",
        "r_shoulder", "l_shoulder", "l_elbow", "l_wrist", "neck", "head_top",
    ),
    (
        ("r_ankle", "r_knee"), ("r_knee", "r_hip"), ("r_hip", "l_hip"), ("l_hip", "l_knee"),
        ("l_knee", "l_ankle"), ("r_wrist", "r_elbow"), ("r_elbow", "r_shoulder"), ("r_shoulder", "neck"),
        ("neck", "l_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"), ("neck", "head_top"),
        ("r_shoulder", "r_hip"), ("l_shoulder", "l_hip"),
    ),
)  # fmt: skip

COCO = Skeleton(
    "COCO",
    (
        "nose", "l_eye", "r_eye", "l_ear", "r_ear", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow",
        "l_wrist", "r_wrist", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle",
    ),
    (
        ("nose", "l_eye"), ("nose", "r_eye"), ("l_eye", "l_ear"), ("r_eye", "r_ear"),
        ("l_shoulder", "r_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"),
        ("r_shoulder", "r_elbow"), ("r_elbow", "r_wrist"), ("l_shoulder", "l_hip"), ("r_shoulder", "r_hip"),
        ("l_hip", "r_hip"), ("l_hip", "l_knee"), ("l_knee", "l_ankle"), ("r_hip", "r_knee"), ("r_knee", "r_ankle"),
    ),
)  # fmt: skip

# The 17 moving joints of Human3.6M, in the order of their slots among the 32 in the files.
H36M = Skeleton(
    "H36M",
    (
        "pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax", "nose", "head_top",
        "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
    ),
    (
        ("pelvis", "r_hip"), ("r_hip", "r_knee"), ("r_knee", "r_ankle"), ("pelvis", "l_hip"), ("l_hip", "l_knee"),
        ("l_knee", "l_ankle"), ("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head_top"),
        ("thorax", "l_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"), ("thorax", "r_shoulder"),
        ("r_shoulder", "r_elbow"), ("r_elbow", "r_wrist"),
    ),
)  # fmt: skip
H36M_SLOTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

# The 2D input of the 3D baseline: Human3.6M without the nose.
H36M_2D = Skeleton(
    "H36M_2D",
    tuple(joint for joint in H36M.joints if joint != "nose"),
    tuple(("thorax", "head_top") if bone == ("nose", "head_top") else bone for bone in H36M.bones if bone[1] != "nose"),
)

SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (MPII, LSP, COCO, H36M, H36M_2D)}

# Corresponding joints with different names: (source, target) -> {target joint: source joint}. MPII's thorax and upper
# neck are close to Human3.6M's Spine and Thorax, within a few centimetres.
STAND_INS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("MPII", "H36M_2D"): {"spine": "thorax", "thorax": "upper_neck"},
    ("LSP", "MPII"): {"upper_neck": "neck"},
    ("MPII", "LSP"): {"neck": "upper_neck"},
}


def joint_map(source: Skeleton, target: Skeleton) -> list[int]:
    """The index in `source` of every joint of `target`: `target_points = source_points[:, joint_map(...)]`.

    Joints are matched by name, using `STAND_INS` for differing names. Raises KeyError for a target joint that `source`
    lacks.
    """
    stand_ins = STAND_INS.get((source.name, target.name), {})
    return [source.index(stand_ins.get(joint, joint)) for joint in target.joints]

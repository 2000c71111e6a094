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


def spoken(joint: str) -> str:
    """A joint's name in words, e.g. "right ankle" for "r_ankle"."""
    side = {"r_": "right ", "l_": "left "}.get(joint[:2], "")
    return side + (joint[2:] if side else joint).replace("_", " ")


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

# HumanEva-I in 15 joints, as public scripts write it (`data_2d_humaneva15_gt.npz`).
EVA = Skeleton(
    "EVA",
    (
        "pelvis", "thorax", "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
        "l_hip", "l_knee", "l_ankle", "r_hip", "r_knee", "r_ankle", "head",
    ),
    (
        ("pelvis", "thorax"), ("thorax", "head"), ("thorax", "l_shoulder"), ("l_shoulder", "l_elbow"),
        ("l_elbow", "l_wrist"), ("thorax", "r_shoulder"), ("r_shoulder", "r_elbow"), ("r_elbow", "r_wrist"),
        ("pelvis", "l_hip"), ("l_hip", "l_knee"), ("l_knee", "l_ankle"), ("pelvis", "r_hip"), ("r_hip", "r_knee"),
        ("r_knee", "r_ankle"),
    ),
)  # fmt: skip

SKELETONS: Mapping[str, Skeleton] = {s.name: s for s in (MPII, LSP, COCO, H36M, H36M_2D, EVA)}

# Corresponding joints with different names: (source, target) -> {target joint: source joint}. MPII's thorax and upper
# neck are close to Human3.6M's Spine and Thorax, within a few centimetres.
STAND_INS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("MPII", "H36M_2D"): {"spine": "thorax", "thorax": "upper_neck"},
    ("LSP", "MPII"): {"upper_neck": "neck"},
    ("MPII", "LSP"): {"neck": "upper_neck"},
    ("EVA", "MPII"): {"head_top": "head"},
    ("EVA", "LSP"): {"head_top": "head"},
    ("EVA", "H36M_2D"): {"head_top": "head"},
}

# Joints that lie halfway between two others. Approximate: MPII's annotators marked pelvis and thorax themselves.
MIDPOINTS = {"pelvis": ("r_hip", "l_hip"), "thorax": ("r_shoulder", "l_shoulder")}

# Joints that a skeleton lacks, from joints that it has: weights that sum to 1, the first whose joints are there. They
# are approximate. With the body upright, shoulders, ears and head top are at 0.82, 0.93 and 1.00 of the stature, and
# the upper neck (chin height) at 0.87 (Drillis and Contini 1966): halfway from shoulders to ears, and as far above the
# ears as the neck is below them.
_SHOULDERS, _EARS, _HIPS = ("r_shoulder", "l_shoulder"), ("r_ear", "l_ear"), ("r_hip", "l_hip")
_NECK = dict.fromkeys(_SHOULDERS + _EARS, 0.25)
MIXTURES: Mapping[str, Sequence[Mapping[str, float]]] = {
    **{joint: (dict.fromkeys(ends, 0.5),) for joint, ends in MIDPOINTS.items()},
    "spine": (dict.fromkeys(_HIPS + _SHOULDERS, 0.25),),
    "upper_neck": (_NECK, {"thorax": 0.5, "head": 0.5}),
    "neck": (_NECK, {"thorax": 0.5, "head": 0.5}),
    "head_top": (dict.fromkeys(_EARS, 0.75) | dict.fromkeys(_SHOULDERS, -0.25),),
}


def joint_map(source: Skeleton, target: Skeleton) -> list[int]:
    """The index in `source` of every joint of `target`: `target_points = source_points[:, joint_map(...)]`.

    Joints are matched by name, using `STAND_INS` for differing names. Raises KeyError for a target joint that `source`
    lacks.
    """
    stand_ins = STAND_INS.get((source.name, target.name), {})
    return [source.index(stand_ins.get(joint, joint)) for joint in target.joints]


def joint_weights(source: Skeleton, target: Skeleton) -> np.ndarray:
    """(T, S) float64: the S joints of `source` to the T joints of `target`: `weights @ points`; rows sum to 1.

    A joint is taken by name, after `STAND_INS`; one that `source` lacks is made by `MIXTURES`, which is approximate.
    Raises KeyError for a joint that cannot be made either.
    """
    stand_ins = STAND_INS.get((source.name, target.name), {})
    weights = np.zeros((len(target), len(source)))
    for row, joint in enumerate(target.joints):
        name = stand_ins.get(joint, joint)
        if name in source.joints:
            weights[row, source.index(name)] = 1
            continue
        mixture = next((one for one in MIXTURES.get(joint, ()) if set(one) <= set(source.joints)), None)
        if mixture is None:
            raise KeyError(f"{source.name} has no joint {name!r}, nor what it could be made from")
        weights[row, source.indices(list(mixture))] = list(mixture.values())
    return weights


def joint_terms(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same as indices (T, K) int64 and factors (T, K) float32, padded with factors of 0.

    `(points[:, indices] * factors[..., None]).sum(2)` are the joints. A NaN spoils only what is made from it.
    """
    count = int((weights != 0).sum(axis=1).max())
    order = np.argsort(weights == 0, axis=1, kind="stable")[:, :count]
    factors = np.take_along_axis(weights, order, axis=1)
    return np.where(factors != 0, order, order[:, :1]), factors.astype(np.float32)


def made_joints(weights: np.ndarray, target: Skeleton) -> list[str]:
    """The joints of `target` that are made from several."""
    return [joint for joint, row in zip(target.joints, weights, strict=True) if (row != 0).sum() > 1]


def convert_joints(points: np.ndarray, source: Skeleton, target: Skeleton) -> np.ndarray:
    """(N, S, D) points of `source` as (N, T, D) of `target`, see `joint_weights`. Raises KeyError as it does."""
    indices, factors = joint_terms(joint_weights(source, target))
    return (points[:, indices] * factors[..., None]).sum(axis=2)

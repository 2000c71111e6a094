"""Estimate 3D poses from 2D poses with a trained 3D baseline.

from twod_threed import lift, load_lifter

lifter = load_lifter("model_checkpoints/2d3d_h36m_default")
poses_3d = lift(poses_2d, lifter, joint_order="MPII")  # (N, 16, 2) px -> (N, 17, 3) mm
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from twod_threed.joint_order import JOINT_ORDERS, input_terms, mix_joints
from twod_threed.model import OUTPUT_JOINTS, LinearModel, with_hip
from utils.compute.arrays import in_kind
from utils.compute.batch_parts import shard
from utils.compute.devices import DTYPES, autocast
from utils.compute.distributed import ALONE, Processes
from utils.data_utils import centre_on_hip
from utils.human36m_dataset import CAMERAS, PoseSet
from utils.transform import H36M_2D, SKELETONS

BATCH_SIZE = 4096


@in_kind
def lift(
    poses_2d: Tensor,
    lifter: LinearModel,
    joint_order: str = H36M_2D.name,
    *,
    batch_size: int = BATCH_SIZE,
    precision: str = "fp32",
) -> Tensor:
    """2D poses (N, J, 2) px -> 3D poses (N, 17, 3) mm, camera coordinates, hip at the origin, in the order `H36M`.

    Takes a NumPy array or a tensor and returns the same type, on the device of the poses, in the lifter's dtype. A pose
    with NaN results in NaN.

    Args:
        poses_2d: px of the image, x right, y down.
        lifter: from `load_lifter`, in eval mode.
        joint_order: of the poses: "H36M_2D" (J = 16), "H36M" (17), "MPII" (16), "COCO" (17), "LSP" (14) or "EVA" (15).
            MPII's thorax and upper neck stand in for Human3.6M's spine and thorax: some centimetres off, except for a
            lifter whose `input_places` is "mpii", which was trained on them. Joints that an order lacks are made from
            others (`approximate_inputs`).
        batch_size: poses per forward pass.
        precision: of the forward pass: fp32, bf16 or fp16.

    Raises ValueError for poses of another shape, an unknown joint order or precision, and a lifter that is in training
    mode or has no normalisation; TypeError if the poses are not a numeric array.
    """
    if not isinstance(poses_2d, Tensor):
        raise TypeError(f"poses_2d: expected a NumPy array or a tensor, got a {type(poses_2d).__name__}")
    terms = [one.to(poses_2d.device) for one in input_order(joint_order, lifter.input_places)]
    joints = len(SKELETONS[joint_order])
    if poses_2d.ndim != 3 or poses_2d.shape[1:] != (joints, 2):
        shape = " × ".join(map(str, poses_2d.shape))
        raise ValueError(f"poses_2d is {shape}; expected N × {joints} × 2 for joints in {joint_order} order")
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r}: expected one of {', '.join(DTYPES)}")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size}: expected at least 1")
    if lifter.training:
        raise ValueError("the lifter is in training mode; call lifter.eval() first")
    if lifter.normalisation is None:
        raise ValueError("the lifter has no normalisation (published checkpoints store none); see ensure_normalisation")
    weight = next(lifter.parameters())
    lifted = [
        _lift_batch(mix_joints(part.to(weight.dtype), *terms).to(weight), lifter, precision).to(poses_2d.device)
        for part in poses_2d.split(batch_size)
    ]
    return torch.cat(lifted)


@torch.no_grad()
def _lift_batch(poses: Tensor, lifter: LinearModel, precision: str) -> Tensor:
    """(B, 16, 2) px in the order `H36M_2D` -> (B, 17, 3) mm."""
    if not len(poses):
        return poses.new_empty(0, OUTPUT_JOINTS, 3)
    with autocast(poses.device, precision):
        output = with_hip(lifter(lifter.normalisation.input(poses)))
    return centre_on_hip(lifter.normalisation.to_mm(output.to(poses.dtype)))


def input_order(joint_order: str, places: str = "h36m") -> tuple[Tensor, Tensor]:
    """How the lifter's input is made from a joint order, for `mix_joints`. Raises ValueError for an unknown order."""
    if joint_order not in JOINT_ORDERS:
        raise ValueError(f"joint order {joint_order!r}: expected one of {', '.join(JOINT_ORDERS)}")
    return input_terms(SKELETONS[joint_order], places)


# ------------------------------------------------------------------------------------------ many at once
@dataclass
class LiftedPoses:
    """2D poses and the 3D poses lifted from them, by name, on the CPU.

    Attributes:
        inputs: (N, 16, 2) px, in the order `H36M_2D`.
        lifted: (N, 17, 3) mm, camera coordinates, hip at the origin, in the order `H36M`.
        truth: the true poses, as `lifted`; empty if unknown.
        metas: metadata of each entry, of plain types.
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    lifted: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)
    metas: dict[str, dict] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.lifted.values()))

    def gathered(self, processes: Processes) -> "LiftedPoses":
        """The entries of all processes, in order; each process has lifted a part."""
        names = ("inputs", "lifted", "truth", "metas")
        parts = processes.gather_objects({name: getattr(self, name) for name in names})
        return LiftedPoses(**{name: {k: v for part in parts for k, v in part[name].items()} for name in names})


def lift_entries(
    poses: Mapping[str, Tensor],
    lifter: LinearModel,
    joint_order: str = H36M_2D.name,
    *,
    batch_size: int = BATCH_SIZE,
    precision: str = "fp32",
    processes: Processes = ALONE,
) -> LiftedPoses:
    """Lift each entry (N, J, 2) of a prediction file; several processes share the work."""
    result, terms = LiftedPoses(), input_order(joint_order, lifter.input_places)
    for name, people in shard(list(poses.items()), processes):
        result.inputs[name] = mix_joints(people, *terms).float()
        result.lifted[name] = lift(people, lifter, joint_order, batch_size=batch_size, precision=precision)
        result.metas[name] = {"skeleton": H36M_2D.name}
    return result.gathered(processes)


def lift_pose_set(
    poses: PoseSet,
    lifter: LinearModel,
    *,
    batch_size: int = BATCH_SIZE,
    precision: str = "fp32",
    processes: Processes = ALONE,
) -> LiftedPoses:
    """Lift each sequence in each camera, and add the truth; several processes share the work."""
    result = LiftedPoses()
    for name, index in shard(list(poses.clips()), processes):
        poses_2d, poses_3d = poses.poses(index)
        result.inputs[name], result.truth[name] = poses_2d.cpu(), poses_3d.cpu()
        result.lifted[name] = lift(poses_2d, lifter, batch_size=batch_size, precision=precision).cpu()
        result.metas[name] = {"frames": poses.row[index // CAMERAS].cpu(), "skeleton": H36M_2D.name}
    return result.gathered(processes)

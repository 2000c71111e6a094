"""Errors of 3D poses: MPJPE under every published protocol, velocity error, 3D PCK and its AUC.

    from twod_threed.mpjpe import from_hip, mpjpe
    error = mpjpe(from_hip(predicted), from_hip(truth))  # (N, 17, 3) mm -> mm

Poses are (N, J, 3), in any frame and unit shared by prediction and truth; errors are in that unit. No measure aligns
the root: Protocol 1 and N-MPJPE expect poses with the hip at the origin, see `from_hip`.

Functions take tensors or NumPy arrays and return the same type (`utils.compute.arrays.in_kind`).

* Protocol 1, MPJPE (Ionescu, Papava, Olaru, Sminchisescu, "Human3.6M", TPAMI 2014): mean distance of a joint.
* Protocol 2, P-MPJPE: the same after the similarity transform (rotation without reflection, scale, translation) of
  least squared error that takes each predicted pose to its truth; Kabsch's solution by SVD, with Umeyama's scale
  ("Least-Squares Estimation of Transformation Parameters Between Two Point Patterns", TPAMI 1991).
* N-MPJPE (Rhodin et al., "Learning Monocular 3D Human Pose Estimation from Multi-view Images", CVPR 2018): the same
  after the scale of least squared error alone, about the origin.
* MPJVE (Pavllo, Feichtenhofer, Grangier, Auli, "3D Human Pose Estimation in Video With Temporal Convolutions and
  Semi-supervised Training", CVPR 2019): mean distance between a joint's predicted and true motion, frame to frame.
* 3D PCK (Mehta et al., "Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision", 3DV 2017):
  share of joints with error < 150 mm; AUC: mean of the shares at thresholds 0, 5, ..., 150 mm. The comparison is
  strict, so a perfect prediction, detected at every threshold but 0, has an AUC of 30 / 31.

For each there is a function with the value per joint, (N, J); `average` computes the published means from those. All
run on the device of their input, in float64 if an input is float64, else in float32. Errors are differentiable once,
with finite gradients everywhere. A NaN joint has a NaN error and counts as missed; after an alignment, so do all joints
of its pose. Shapes other than two equal (N, J, 3) raise ValueError, lists and other types TypeError. The mean over zero
poses is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.compute.arrays import as_tensor, in_kind
from utils.transform import H36M

PCK_THRESHOLD = 150.0  # mm
AUC_THRESHOLDS = tuple(range(0, 151, 5))  # mm

# The joints of Human3.6M that are averaged. The 14 are shared with Leeds Sports Pose and MPI-INF-3DHP, whose neck is
# the thorax here. With 17 joints the hip has error 0 under Protocol 1, which lowers the mean by a seventeenth.
JOINT_SETS: Mapping[int, tuple[str, ...]] = {
    17: H36M.joints,
    16: tuple(joint for joint in H36M.joints if joint != "pelvis"),
    14: tuple(joint for joint in H36M.joints if joint not in ("pelvis", "spine", "nose")),
}


# The root


@in_kind
def from_hip(poses: Tensor) -> Tensor:
    """Move the hip of Human3.6M poses to the origin.

    Args:
        poses: (…, 17, 3) at any position, or (…, 16, 3) without the hip and relative to it.

    Returns (…, 17, 3) float64, the unit and axes unchanged. Raises ValueError for another shape.
    """
    poses, hip = as_tensor(poses).double(), H36M.index("pelvis")
    if poses.ndim < 2 or poses.shape[-1] != 3 or poses.shape[-2] not in (len(H36M), len(H36M) - 1):
        raise ValueError(f"poses {tuple(poses.shape)}: expected (…, 17, 3), or (…, 16, 3) without the hip")
    if poses.shape[-2] == len(H36M):
        return poses - poses[..., [hip], :]
    origin = poses.new_zeros(*poses.shape[:-2], 1, 3)
    return torch.cat([poses[..., :hip, :], origin, poses[..., hip:, :]], dim=-2)


# Means over all poses and joints


@in_kind
def mpjpe(pred: Tensor, gt: Tensor) -> Tensor:
    """Protocol 1: mean distance of `pred` from `gt`, both (N, J, 3), not aligned: the caller aligns the root."""
    return joint_errors(pred, gt).mean()


@in_kind
def p_mpjpe(pred: Tensor, gt: Tensor) -> Tensor:
    """Protocol 2: mean distance of `pred` from `gt`, (N, J, 3), after `procrustes_align`."""
    return joint_errors(procrustes_align(pred, gt), gt).mean()


@in_kind
def n_mpjpe(pred: Tensor, gt: Tensor) -> Tensor:
    """N-MPJPE: mean distance of `pred` from `gt`, (N, J, 3), after `scale_align`; the caller aligns the root."""
    return joint_errors(scale_align(pred, gt), gt).mean()


@in_kind
def mpjve(pred: Tensor, gt: Tensor) -> Tensor:
    """Velocity error of one sequence, (frames, J, 3), at least 2 frames: mean of `joint_velocity_errors`, per frame."""
    return joint_velocity_errors(pred, gt).mean()


@in_kind
def pck_3d(pred: Tensor, gt: Tensor, threshold: float = PCK_THRESHOLD) -> Tensor:
    """Percent of the joints of `pred` that are closer than `threshold` to those of `gt`, (N, J, 3), unaligned."""
    return detected(joint_errors(pred, gt), threshold).mean()


@in_kind
def auc_3d(pred: Tensor, gt: Tensor) -> Tensor:
    """Mean of `pck_3d` over thresholds 0, 5, ..., 150, percent; `pred` and `gt` (N, J, 3) mm, unaligned."""
    return detected_over_thresholds(joint_errors(pred, gt)).mean()


# Each joint's value


@in_kind
def joint_errors(pred: Tensor, gt: Tensor) -> Tensor:
    """Distance of each joint of `pred` from that of `gt`, (N, J, 3) -> (N, J). The gradient at distance 0 is 0."""
    pred, gt = _checked(pred, gt)
    return torch.linalg.vector_norm(pred - gt, dim=2)


@in_kind
def joint_velocity_errors(pred: Tensor, gt: Tensor) -> Tensor:
    """Error of each joint's motion between consecutive frames: one sequence (frames, J, 3) -> (frames - 1, J).

    Raises ValueError for fewer than 2 frames.
    """
    pred, gt = _checked(pred, gt)
    if len(pred) < 2:
        raise ValueError(f"velocity needs a sequence of at least 2 frames, not {len(pred)}")
    return torch.linalg.vector_norm(pred.diff(dim=0) - gt.diff(dim=0), dim=2)


def detected(errors: Tensor, threshold: float = PCK_THRESHOLD) -> Tensor:
    """100 for errors (N, J) below `threshold`, in the same unit, else 0; the mean is PCK in percent."""
    return 100 * (errors < threshold).to(errors.dtype)


def detected_over_thresholds(errors: Tensor) -> Tensor:
    """Percent of `AUC_THRESHOLDS` above each error (N, J) in mm; the mean is AUC."""
    thresholds = torch.tensor(AUC_THRESHOLDS, dtype=errors.dtype, device=errors.device)
    # NaN sorts after every threshold, so it is never detected.
    at_or_below = torch.searchsorted(thresholds, errors.detach().contiguous(), right=True)
    return 100 * (len(thresholds) - at_or_below).to(errors.dtype) / len(thresholds)


@in_kind
def pose_scores(pred: Tensor, gt: Tensor) -> dict[str, Tensor]:
    """All per-pose measures by name, as in `mpjpe.json`: (N, J) each.

    Args:
        pred, gt: (N, J, 3) mm, the hip at the origin. Both alignments are fitted to these J joints.

    Returns "protocol_1", "protocol_2", "n_mpjpe" in mm, "pck_150" and "auc" in percent.
    """
    errors = joint_errors(pred, gt)
    return {
        "protocol_1": errors,
        "protocol_2": joint_errors(procrustes_align(pred, gt), gt),
        "n_mpjpe": joint_errors(scale_align(pred, gt), gt),
        "pck_150": detected(errors),
        "auc": detected_over_thresholds(errors),
    }


# Alignment


@in_kind
def scale_align(pred: Tensor, gt: Tensor) -> Tensor:
    """Scale each pose of `pred` (N, J, 3) to the least squared distance from `gt`.

    The scale is <pred, gt> / <pred, pred>. It is negative for a pose that points away from its truth. A pose with all
    joints at the origin stays there.
    """
    pred, gt = _checked(pred, gt)
    power = pred.square().sum(dim=(1, 2), keepdim=True)
    scale = (pred * gt).sum(dim=(1, 2), keepdim=True) / torch.where(power > 0, power, 1)
    return scale * pred


@in_kind
def procrustes_align(pred: Tensor, gt: Tensor) -> Tensor:
    """Align each pose of `pred` (N, J, 3) to `gt` by the rotation, scale and translation of least squared error.

    Reflections are not allowed. If all joints of a pose coincide, within rounding, it moves to the mean of the true
    joints; so does, exactly, a pose whose true joints coincide.
    """
    pred, gt = _checked(pred, gt)
    centre = gt.mean(dim=1, keepdim=True)
    from_centre = pred - pred.mean(dim=1, keepdim=True)
    power = from_centre.square().sum(dim=(1, 2), keepdim=True)
    rounding = 4 * torch.finfo(pred.dtype).eps * pred.detach().abs().amax(dim=(1, 2), keepdim=True)
    in_one_place = power <= pred.shape[1] * rounding.square()
    from_centre = torch.where(in_one_place, 0, from_centre)
    covariance = _product(from_centre.mT, gt - centre)  # (N, 3, 3), predicted × true axis
    rotation = _nearest_rotation(covariance)
    scale = (rotation * covariance).sum(dim=(1, 2), keepdim=True) / torch.where(in_one_place, 1, power)
    return scale * _product(from_centre, rotation) + centre


def _nearest_rotation(matrices: Tensor) -> Tensor:
    """The rotations R (N, 3, 3), det = 1, that maximise <R, M> for `matrices` M (N, 3, 3).

    With M = U S Vᵀ, R = U D Vᵀ, D = diag(1, 1, det(U Vᵀ)). The derivative of the SVD is infinite if two singular values
    are equal; that of R is not: M = R H with H = V D S Vᵀ symmetric, so W = Rᵀ dR solves W H + H W = Rᵀ dM - dMᵀ R. In
    the basis V this is a division by sums of two eigenvalues of H. R is not unique only if such a sum is 0 (e.g. all
    points on a line); its derivative about that axis is then defined as 0.
    """
    with torch.no_grad():
        # The SVD fails for the whole batch if one matrix has NaN. Such a pose becomes NaN below in any case.
        usable = matrices.isfinite().all(dim=2).all(dim=1)[:, None, None]
        u, s, vh = torch.linalg.svd(torch.where(usable, matrices, 0))
        handed = torch.where(torch.linalg.det(_product(u, vh)) < 0, -1, 1)[:, None]  # (N, 1)
        u = torch.cat([u[..., :2], u[..., 2:] * handed[..., None]], dim=2)
        rotation = _product(u, vh)
        eigenvalues = torch.cat([s[:, :2], s[:, 2:] * handed], dim=1)
        sums = eigenvalues[:, :, None] + eigenvalues[:, None, :]  # (N, 3, 3)
        floor = 16 * torch.finfo(s.dtype).eps * s[:, :1, None]
        inverse = torch.where(sums > floor, 1 / sums, 0)
    to_basis = _product(rotation, vh.mT)  # R V
    turned = _product(_product(to_basis.mT, matrices), vh.mT)  # Vᵀ Rᵀ M V
    turn = _product(_product(to_basis, (turned - turned.mT) * inverse), vh)
    # `turn` is zero up to rounding; only its derivative matters.
    return rotation + (turn - turn.detach())


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product (N, I, K) × (N, K, L) in full precision: `@` is subject to autocast and TF32, off by mm."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(dim=-2)


def _checked(pred: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    """Both as tensors of the dtype to compute in. Raises ValueError unless both have the same shape (N, J, 3)."""
    pred, gt = as_tensor(pred), as_tensor(gt)
    if pred.shape != gt.shape or pred.ndim != 3 or pred.shape[2] != 3:
        raise ValueError(f"poses {tuple(pred.shape)} and truth {tuple(gt.shape)}: expected equal shapes (N, J, 3)")
    dtype = torch.float64 if torch.float64 in (pred.dtype, gt.dtype) else torch.float32
    return pred.to(dtype), gt.to(dtype)


# Averages


@dataclass(frozen=True)
class Labels:
    """The action or subject of each of N frames.

    Attributes:
        names: G names.
        codes: (N,) int64, indices into `names`.
    """

    names: tuple[str, ...]
    codes: Tensor

    @classmethod
    def repeat(cls, names: Sequence[str], counts: Sequence[int]) -> "Labels":
        """Labels of concatenated sequences: `names[i]` for each of `counts[i]` frames. Names may recur."""
        unique = tuple(dict.fromkeys(names))
        codes = torch.tensor([unique.index(name) for name in names], dtype=torch.int64)
        return cls(unique, codes.repeat_interleave(torch.tensor(counts, dtype=torch.int64)))


@dataclass(frozen=True)
class MeasureMeans:
    """The means of one measure, in its unit. NaN for a mean over zero frames.

    Attributes:
        frame_averaged: over all frames and joints, with equal weight per frame.
        action_averaged: mean of `per_action`, with equal weight per action.
        per_joint: by joint, over all frames.
        per_action: by action, over its frames and joints.
        per_action_and_subject: action -> subject -> over their frames and joints.
        number_of_joints, number_of_frames: in the means.
    """

    frame_averaged: float
    action_averaged: float
    per_joint: dict[str, float]
    per_action: dict[str, float]
    per_action_and_subject: dict[str, dict[str, float]]
    number_of_joints: int
    number_of_frames: int


def average(scores: Tensor, joints: Sequence[str], actions: Labels, subjects: Labels) -> MeasureMeans:
    """Compute the means of a measure.

    Args:
        scores: (N, J), from `pose_scores` or `joint_velocity_errors`.
        joints: the J names.
        actions, subjects: of the N frames.

    Raises ValueError if the lengths disagree.
    """
    lengths = (len(joints), len(actions.codes), len(subjects.codes))
    if scores.ndim != 2 or lengths != (scores.shape[1], len(scores), len(scores)):
        raise ValueError(f"scores {tuple(scores.shape)} with (joints, actions, subjects) labelled {lengths}")
    scores = scores.detach().double()
    per_frame = scores.mean(dim=1)
    codes = actions.codes.to(scores.device)
    by_action = _group_means(per_frame, codes, len(actions.names))
    both = codes * len(subjects.names) + subjects.codes.to(scores.device)
    cells = _group_means(per_frame, both, len(actions.names) * len(subjects.names))
    grid = cells.view(len(actions.names), len(subjects.names))
    return MeasureMeans(
        frame_averaged=per_frame.mean().item(),
        action_averaged=by_action.mean().item(),
        per_joint=dict(zip(joints, scores.mean(dim=0).tolist(), strict=True)),
        per_action=dict(zip(actions.names, by_action.tolist(), strict=True)),
        per_action_and_subject={
            action: dict(zip(subjects.names, row, strict=True))
            for action, row in zip(actions.names, grid.tolist(), strict=True)
        },
        number_of_joints=len(joints),
        number_of_frames=len(scores),
    )


def _group_means(values: Tensor, codes: Tensor, groups: int) -> Tensor:
    """Mean of `values` (N,) per code in `codes` (N,): (groups,), NaN for empty groups."""
    sums = values.new_zeros(groups).index_add_(0, codes, values)
    return sums / torch.bincount(codes, minlength=groups)

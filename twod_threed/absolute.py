"""Where a person stands: the translation that makes a root-relative 3D pose project onto its 2D pose.

Pinhole camera without distortion: u = f X / Z + c. Camera coordinates in mm, x right, y down, z forward.
"""

import math

import torch
from torch import Tensor

ASSUMED_VIEW = 55.0  # degrees across the longer side, where the focal length is unknown; phones have 60 to 70
FIT_STEPS = 10
HUBER = 0.05  # of the person's size in the image; beyond it, residuals count linearly
NEAREST = 600.0  # mm, least depth under weak perspective


def assumed_focal(size: tuple[int, int]) -> float:
    """Focal length in px for a view of `ASSUMED_VIEW` degrees across the longer side of (width, height) px."""
    return max(size) / 2 / math.tan(math.radians(ASSUMED_VIEW) / 2)


def root_positions(
    poses_3d: Tensor, joints: Tensor, focal: Tensor | float, center: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Root positions (N, 3) mm in camera coordinates, which minimise the reprojection error.

    First the closed-form solution: the projection equations, multiplied by the depth, are linear in the translation t:
    t_x - u t_z = u Z - X and t_y - v t_z = v Z - Y for normalised image coordinates (u, v). Then Gauss-Newton steps on
    the distance in the image with Huber weights, since a limb may be detected in the wrong place.

    Args:
        poses_3d: (N, J, 3) mm, root at the origin.
        joints: (N, J, 2) px; NaN where missing.
        focal: px, () or (N,).
        center: principal point, (2,) or (N, 2) px.
        weights: (N, J), e.g. confidences; equal by default.

    A pose with fewer than two joints gives NaN.
    """
    poses, joints = poses_3d.double(), joints.double()
    focal = torch.as_tensor(focal, dtype=torch.float64, device=poses.device).view(-1, 1, 1)
    image = (joints - center.to(poses).reshape(-1, 1, 2)) / focal
    present = image.isfinite().all(-1) & poses.isfinite().all(-1)
    weights = present.double() if weights is None else weights.double().nan_to_num() * present
    image, poses = (torch.where(present[..., None], values, 0) for values in (image, poses))
    size = _spread(image, weights)
    near = (_spread(poses[..., :2], weights) / size).clamp(min=NEAREST)  # depth under weak perspective
    root = _solve(*_linear_system(image, poses, weights))
    for _ in range(FIT_STEPS):
        root = _bounded(root, near)
        points = poses + root[:, None]
        residual = points[..., :2] / points[..., 2:].clamp(min=1.0) - image  # (N, J, 2)
        distance = residual.norm(dim=-1)
        robust = weights * (HUBER * size[:, None] / distance.clamp(min=1e-12)).clamp(max=1)
        root = root - _solve(*_gauss_newton(points, residual, robust))
    usable = (weights > 0).sum(1) >= 2
    return torch.where(usable[:, None], _bounded(root, near), torch.nan).to(poses_3d.dtype)


def _bounded(root: Tensor, near: Tensor) -> Tensor:
    """Keep the depth within half and twice that of weak perspective, where a poor 3D pose would send it to infinity."""
    depth = torch.minimum(torch.maximum(root[:, 2], near / 2), 2 * near)
    return torch.cat([root[:, :2] * (depth / root[:, 2].clamp(min=1.0))[:, None], depth[:, None]], 1)


def _spread(image: Tensor, weights: Tensor) -> Tensor:
    """(N,) weighted root mean square distance of the joints from their mean."""
    total = weights.sum(1).clamp(min=1e-9)
    mean = (weights[..., None] * image).sum(1) / total[:, None]
    return ((weights * (image - mean[:, None]).square().sum(-1)).sum(1) / total).sqrt().clamp(min=1e-9)


def _linear_system(image: Tensor, poses: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Normal equations (N, 3, 3) and (N, 3) of the closed form."""
    rows = torch.zeros(*image.shape, 3, dtype=image.dtype, device=image.device)  # (N, J, 2, 3)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -image
    right = image * poses[..., 2:] - poses[..., :2]
    return _normal_equations(rows, right, weights)


def _gauss_newton(points: Tensor, residual: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Normal equations of a step: derivative of (X / Z, Y / Z) by the translation."""
    depth = points[..., 2:].clamp(min=1.0)
    rows = torch.zeros(*residual.shape, 3, dtype=points.dtype, device=points.device)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -points[..., :2] / depth
    return _normal_equations(rows / depth[..., None], residual, weights)


def _normal_equations(rows: Tensor, right: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    rows, right = rows.flatten(1, 2), right.flatten(1)  # (N, 2J, 3), (N, 2J)
    weighted = rows * weights.repeat_interleave(2, 1)[..., None]
    return weighted.mT @ rows, (weighted * right[..., None]).sum(1)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Least-squares solutions (N, 3), with a negligible ridge for poses without enough joints."""
    ridge = 1e-12 * matrix.diagonal(dim1=-2, dim2=-1).sum(-1) + 1e-30
    return torch.linalg.solve(matrix + ridge[:, None, None] * torch.eye(3).to(matrix), right)

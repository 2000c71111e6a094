"""The common way of each step, written plainly, as the reference of the benchmarks.

Each follows the usual structure of published pose code: samples one by one in NumPy, joints one by one in Python, an
eager network in contiguous float32. None is slowed down on purpose; each computes what ours computes, to the tolerances
in tests/test_benchmarks.py. The common way of 2D to 3D training is in `lifting.py`.
"""

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

CROP, MAP, STRIDE = 256, 64, 4  # px


# ------------------------------------------------------------------------------------------ input
def common_sample(
    path, joints: np.ndarray, center: np.ndarray, side: float, scale: float, rotation: float, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """One training sample: image (3, 256, 256) float32 in [0, 1], target maps (J, 64, 64) float32.

    As in public PyTorch ports: the whole photo becomes a float tensor, is flipped whole and has its colours varied; the
    square around the person is cut out with a margin for the rotation, rotated, cut again and resized. Targets are
    rendered joint by joint.

    Args:
        path: JPEG file.
        joints: (J, 2) px of the photo.
        center, side: the crop, px of the photo.
        scale, rotation, flip: augmentation, as for `utils.imaging.images.crop_matrix`, rotation in degrees.
    """
    photo = torch.from_numpy(np.array(Image.open(path).convert("RGB")).transpose(2, 0, 1)).float() / 255
    if flip:
        photo = photo.flip(-1)
        center, rotation = np.array([photo.shape[2] - 1 - center[0], center[1]]), -rotation
        joints = np.column_stack([photo.shape[2] - 1 - joints[:, 0], joints[:, 1]])
    photo.mul_(torch.empty(3, 1, 1).uniform_(0.8, 1.2)).clamp_(0, 1)
    half = side * scale / 2
    margin = int(np.ceil(half * (np.sqrt(2) if rotation else 1))) + 1
    low = np.round(center).astype(int) - margin
    patch = _cut(photo.numpy().transpose(1, 2, 0), low, 2 * margin)
    if rotation:
        about = cv2.getRotationMatrix2D((float(margin), float(margin)), -rotation, 1.0)
        patch = cv2.warpAffine(patch, about, patch.shape[1::-1])
    first, last = int(margin - half), int(margin + half)
    patch = cv2.resize(patch[first:last, first:last], (CROP, CROP), interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(patch.transpose(2, 0, 1))
    turned = np.radians(rotation)
    turn = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
    maps = np.zeros((len(joints), MAP, MAP), np.float32)
    for number, joint in enumerate(joints):
        x, y = (turn @ (joint - center)) * CROP / (2 * half) + (CROP - 1) / 2
        draw_gaussian(maps[number], (x - (STRIDE - 1) / 2) / STRIDE, (y - (STRIDE - 1) / 2) / STRIDE)
    return image, maps


def _cut(photo: np.ndarray, low: np.ndarray, size: int) -> np.ndarray:
    """A (size, size, 3) square from `low` (x, y), black outside the photo."""
    patch = np.zeros((size, size, 3), photo.dtype)
    first, last = np.maximum(low, 0), np.minimum(low + size, photo.shape[1::-1])
    if (last > first).all():
        to = first - low
        part = photo[first[1] : last[1], first[0] : last[0]]
        patch[to[1] : to[1] + part.shape[0], to[0] : to[0] + part.shape[1]] = part
    return patch


def draw_gaussian(target: np.ndarray, x: float, y: float, sigma: float = 1.0) -> None:
    """Draw a peak of 1 into a map (H, W): a Gaussian within 3 sigma of the nearest pixel to (x, y), px of the map."""
    height, width = target.shape
    column, row, reach = round(x), round(y), int(3 * sigma)
    if not (-reach <= column < width + reach and -reach <= row < height + reach):
        return
    span = np.arange(2 * reach + 1) - reach
    peak = np.exp(-(span[None] ** 2 + span[:, None] ** 2) / (2 * sigma**2))
    left, top = max(column - reach, 0), max(row - reach, 0)
    right, bottom = min(column + reach + 1, width), min(row + reach + 1, height)
    target[top:bottom, left:right] = peak[
        top - row + reach : bottom - row + reach, left - column + reach : right - column + reach
    ]


# ------------------------------------------------------------------------------------------ heat maps
def render_one_by_one(points: Tensor, sigma: float = 1.0) -> Tensor:
    """Target maps (B, J, 64, 64) of points (B, J, 2), each over the full grid of pixels."""
    ys, xs = torch.meshgrid(torch.arange(MAP), torch.arange(MAP), indexing="ij")
    maps = torch.zeros(*points.shape[:2], MAP, MAP)
    for person, joints in enumerate(points):
        for joint, (x, y) in enumerate(joints):
            maps[person, joint] = torch.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    return maps


def render_full_grid(points: Tensor, sigma: float = 1.0) -> Tensor:
    """The same for all maps at once: a Gaussian of the distance at every pixel."""
    along = torch.arange(MAP, device=points.device)
    x, y = points.unbind(-1)
    squares = (along - x[..., None, None]) ** 2 + (along[:, None] - y[..., None, None]) ** 2
    return torch.exp(-squares / (2 * sigma**2))


def decode_one_by_one(heatmaps: Tensor) -> Tensor:
    """Peaks (B, J, 2), px of maps (B, J, H, W), moved a quarter pixel towards the higher neighbour; nested loops."""
    height, width = heatmaps.shape[-2:]
    peaks = torch.zeros(*heatmaps.shape[:2], 2)
    for person, maps in enumerate(heatmaps):
        for joint, one in enumerate(maps):
            index = int(one.view(-1).argmax())
            x, y = index % width, index // width
            peaks[person, joint] = torch.tensor([x, y])
            if 0 < x < width - 1 and 0 < y < height - 1:
                slope = torch.stack([one[y, x + 1] - one[y, x - 1], one[y + 1, x] - one[y - 1, x]])
                peaks[person, joint] += 0.25 * slope.sign()
    return peaks


def full_map_soft_argmax(maps: Tensor, window_fn: str, width: float, temperature: float) -> Tensor:
    """Soft-argmax of (B, J, H, W) straight from the definition, on full maps: (B, J, 2) as x, y.

    A softmax over all pixels, times a window over all of them, renormalised.
    """
    height, columns = maps.shape[-2:]
    xs, ys = (torch.arange(length, device=maps.device, dtype=maps.dtype) for length in (columns, height))
    softmax = (maps.flatten(2) / temperature).softmax(-1).unflatten(2, (height, columns))
    top = maps.detach().flatten(2).argmax(-1)[..., None]
    along_x, along_y = (xs - top % columns).square(), (ys - top // columns).square()
    distance = (along_y[..., :, None] + along_x[..., None, :]).sqrt() / (width / 2)
    if window_fn == "Uniform":
        window = (distance <= 1).to(maps.dtype)
    else:
        near = 1 - 6 * distance.square() * (1 - distance)
        window = torch.where(distance <= 0.5, near, 2 * (1 - distance).clamp(min=0) ** 3)
    weights = softmax * window
    weights = weights / weights.sum((-1, -2), keepdim=True)
    return torch.stack([(weights.sum(-2) * xs).sum(-1), (weights.sum(-1) * ys).sum(-1)], -1)


# ------------------------------------------------------------------------------------------ training step
def common_training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, targets: Tensor, annotated: Tensor
) -> float:
    """Forward, mean squared error stack by stack, backward, RMSprop; returns the loss.

    Args:
        images: (B, 3, 256, 256) float32, contiguous.
        targets: (B, J, 64, 64).
        annotated: (B, J, 1, 1) float32, 1 for joints that count.
    """
    loss = 0
    for heatmaps in model(images):
        loss = loss + nn.functional.mse_loss(heatmaps * annotated, targets * annotated)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# ------------------------------------------------------------------------------------------ metrics
def pckh_one_by_one(pred: np.ndarray, truth: np.ndarray, sizes: np.ndarray, missing: np.ndarray, thresholds):
    """Detection rates (T, J), percent: a loop over thresholds, joints and people.

    `pred`, `truth` (N, J, 2) px; `sizes` (N,) px; `missing` (N, J).
    """
    people, joints = missing.shape
    rates = np.zeros((len(thresholds), joints))
    for row, threshold in enumerate(thresholds):
        for joint in range(joints):
            hits = counted = 0
            for person in range(people):
                if missing[person, joint]:
                    continue
                counted += 1
                offset = pred[person, joint] - truth[person, joint]
                hits += bool(np.sqrt((offset**2).sum()) / sizes[person] < threshold)
            rates[row, joint] = 100 * hits / counted if counted else np.nan
    return rates


def p_mpjpe_one_by_one(pred: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance after Procrustes alignment, poses (N, J, 3): one SVD per pose in a loop."""
    errors = []
    for one, true in zip(pred, truth, strict=True):
        mean, true_mean = one.mean(0), true.mean(0)
        moved, target = one - mean, true - true_mean
        U, scales, Vt = np.linalg.svd(moved.T @ target)
        signs = np.array([1, 1, np.sign(np.linalg.det(U @ Vt))])
        aligned = (scales * signs).sum() / (moved**2).sum() * moved @ (U * signs) @ Vt + true_mean
        errors.append(np.linalg.norm(aligned - true, axis=1).mean())
    return float(np.mean(errors))

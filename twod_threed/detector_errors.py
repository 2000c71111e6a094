"""Measured errors of a 2D network on real photos, to train a 3D baseline for detected poses.

A lifter trained only on true 2D poses fails when a limb is detected in the wrong place. So measured errors are added to
the projected poses: those of one half of the people in training, of the other half in validation. Errors are sampled
per person, since a person's joints fail together; they are in units of the person's size, and rotated and mirrored.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.compute.batch_parts import integers, uniform
from utils.data_utils import centre_on_hip, instance_scale
from utils.files.arrays_in_files import read_npz
from utils.osutils import UserError, atomic_path
from utils.transform import H36M_2D

LARGEST = 1e6  # sizes of a person
KEYS = ("errors", "joints")
GOLDEN = (math.sqrt(5) - 1) / 2  # the fractional parts of its multiples are evenly spread


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """Measured errors of P people, of which every other one is for training.

    Attributes:
        errors: (P, 16, 2), detected minus true position, x right, y down, in the order of `H36M_2D`, in units of
            `person_size`.
    """

    errors: Tensor

    def to(self, device: torch.device) -> "DetectorErrors":
        return DetectorErrors(self.errors.to(device))

    def added(self, poses: Tensor, generator: torch.Generator) -> Tensor:
        """Add errors of random people of the training half, randomly rotated and mirrored, to poses (B, 16, 2) px."""
        half = self.errors[::2]
        chosen = half[integers(len(half), len(poses), generator=generator)]
        angle, mirror = uniform(len(poses), 2, generator=generator).unbind(-1)
        return _added(poses, chosen, angle, mirror)

    def added_for_validation(self, poses: Tensor, index: Tensor) -> Tensor:
        """Add errors of the other half, determined by the sample numbers `index` (B,)."""
        half = self.errors[1::2]
        angle = (index.double() * GOLDEN) % 1
        return _added(poses, half[index % len(half)], angle.to(poses.dtype), (index // len(half) % 2).to(poses.dtype))


def person_size(poses: Tensor) -> Tensor:
    """Size (B, 1, 1) of 2D poses (B, 16, 2): root mean square distance of the other joints from the hip."""
    return instance_scale(centre_on_hip(poses, H36M_2D.index("pelvis")))


def _added(poses: Tensor, errors: Tensor, angle: Tensor, mirror: Tensor) -> Tensor:
    """`angle` is in turns. Where `mirror` is at least 0.5, x is negated and left and right are swapped."""
    mirrored = errors[:, H36M_2D.flip_order] * errors.new_tensor([-1, 1])
    x, y = torch.where((mirror >= 0.5)[:, None, None], mirrored, errors).unbind(-1)
    cos, sin = (function(2 * math.pi * angle)[:, None] for function in (torch.cos, torch.sin))
    return poses + torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) * person_size(poses)


# ------------------------------------------------------------------------------------------ files
def measure_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Errors (P, 16, 2), in units of the true person's size, of detected poses (P, 16, 2) px in `H36M_2D` order."""
    size = person_size(torch.from_numpy(truth)).numpy()
    return ((found - truth) / size).astype(np.float32)


def save_errors(path: Path, errors: np.ndarray) -> None:
    """Write `errors` (P, 16, 2) of `measure_errors` as .npz."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, errors=errors, joints=np.array(H36M_2D.joints))


def load_errors(path: Path) -> DetectorErrors:
    """Read a file of `save_errors`. Raises UserError if it is not one."""
    right = "expected a file of scripts/measure_detector_errors.py"
    if not Path(path).is_file():
        raise UserError(f"--detector_errors {path}: no such file; {right}")
    try:
        arrays = read_npz(path, KEYS)
        errors, joints = (arrays[key] for key in KEYS)
    except Exception as error:  # on damaged bytes the reader raises nearly anything
        raise UserError(f"--detector_errors {path}: unreadable ({type(error).__name__}: {error}); {right}") from None
    shape = (len(H36M_2D), 2)
    if errors.ndim != 3 or errors.shape[1:] != shape or len(errors) < 2 or joints.tolist() != list(H36M_2D.joints):
        raise UserError(f"--detector_errors {path}: errors are {errors.shape}, not (at least 2, 16, 2); {right}")
    if errors.dtype.kind != "f" or not (abs(errors) < LARGEST).all():  # NaN fails the comparison
        raise UserError(f"--detector_errors {path}: has values that are NaN, above {LARGEST:g} or no floats; {right}")
    return DetectorErrors(torch.from_numpy(errors.astype(np.float32)))

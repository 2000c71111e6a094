"""The Human3.6M camera: world ↔ camera frame, projection with lens distortion, and readers of camera tables.

World frame: mm, z up. Camera frame: mm, x right, y down, z forward, origin at the camera's centre:

        z (forward)          X = R (P − T)            P world, X camera frame
       /                     x = X/Z, y = Y/Z
      o----> x (right)       r² = x² + y²
      |                      d = 1 + k1 r² + k2 r⁴ + k3 r⁶ + p1 y + p2 x
      v                      u = f_x (x d + p2 r²) + c_x
      y (down)               v = f_y (y d + p1 r²) + c_y

This is the model of Human3.6M's own code. OpenCV's model has 2 (p1 y + p2 x) instead of p1 y + p2 x; with these cameras
the two differ by up to 0.2 px near the image border. Pixel coordinates are those of the calibration.

Stacked cameras (`stack_cameras`, then `cameras[index]` with a camera number per sample) project a whole batch. There
are no matrix products, so that neither autocast nor TF32 reduces the precision.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from utils.compute.arrays import as_tensor, in_kind
from utils.files.arrays_in_files import HDF5_ERRORS, numeric_dataset
from utils.files.json_files import read_json
from utils.osutils import UserError, atomic_path

CAMERA_NAMES = ("54138969", "55011271", "58860488", "60457274")  # cameras 1 to 4 of every subject
TENSOR_SHAPES = {"R": (3, 3), "T": (3,), "f": (2,), "c": (2,), "k": (3,), "p": (2,)}

# metadata.xml: 6 numbers (Euler angles, position) per camera and subject, then 9 (f, c, k, p) per camera.
XML_SUBJECTS = 11
XML_EXTRINSICS, XML_INTRINSICS = 6, 9
XML_COUNT = len(CAMERA_NAMES) * (XML_SUBJECTS * XML_EXTRINSICS + XML_INTRINSICS)

ROTATION_TOLERANCE = 1e-3
LARGEST = 1e9  # px, mm, or a coefficient of distortion
LONGEST_NAME = 100  # letters of a camera's name
HOW_TO_GET_CAMERAS = (
    "scripts/convert_h36m.py writes cameras.h5 from the official release's metadata.xml; metadata.xml itself or the "
    "public camera-parameters.json also work"
)


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera, or several with leading shape L (`stack_cameras`).

    Attributes:
        R: (*L, 3, 3) rotation from the world to the camera frame.
        T: (*L, 3) camera centre in the world, mm.
        f: (*L, 2) focal lengths, px.
        c: (*L, 2) principal point, px.
        k: (*L, 3) radial distortion.
        p: (*L, 2) tangential distortion.
        name: e.g. "54138969"; empty for stacked cameras.

    A single camera takes points of any shape (…, 3). Stacked cameras take (*L', J, 3), where L' broadcasts with L, e.g.
    (B, J, 3) for one camera per sample. Results have the wider dtype of camera and points; for float32 use
    `camera.to(torch.float32)`. Devices must match. Gradients flow to the points and to the camera.

    Points may be NumPy arrays; the results are then arrays too. The camera's values may be arrays or lists.

    Raises ValueError for other shapes, TypeError for points that are neither arrays nor tensors.
    """

    R: Tensor
    T: Tensor
    f: Tensor
    c: Tensor
    k: Tensor
    p: Tensor
    name: str = ""

    def __post_init__(self) -> None:
        for attribute, shape in TENSOR_SHAPES.items():
            value = torch.as_tensor(getattr(self, attribute))
            if not value.is_floating_point():
                value = value.to(torch.get_default_dtype())
            stacked = value.shape[: value.dim() - len(shape)]
            if value.shape[len(stacked) :] != shape or stacked != torch.as_tensor(self.R).shape[:-2]:
                raise ValueError(
                    f"camera {self.name!r}: {attribute} has shape {tuple(value.shape)}, expected {shape} with the "
                    f"leading shape of R {tuple(torch.as_tensor(self.R).shape)}"
                )
            object.__setattr__(self, attribute, value)

    @in_kind
    def world_to_camera(self, points: Tensor) -> Tensor:
        """(…, 3) world, mm → (…, 3) camera frame, mm: X = R (P − T)."""
        x, y, z = (self._checked(points) - self._a_joint(self.T)).split(1, dim=-1)
        column_x, column_y, column_z = (self._a_joint(column) for column in self.R.unbind(-1))
        return x * column_x + y * column_y + z * column_z

    @in_kind
    def camera_to_world(self, points: Tensor) -> Tensor:
        """(…, 3) camera frame, mm → (…, 3) world, mm: P = Rᵀ X + T."""
        x, y, z = self._checked(points).split(1, dim=-1)
        row_x, row_y, row_z = (self._a_joint(row) for row in self.R.unbind(-2))
        return x * row_x + y * row_y + z * row_z + self._a_joint(self.T)

    @in_kind
    def project(self, points: Tensor) -> Tensor:
        """(…, 3) camera frame, mm → (…, 2) px, by the formula at the top of this module.

        Points with Z ≤ 0 (in the camera's plane or behind it) become NaN, with zero gradient. The distortion polynomial
        was fitted inside the image and is meaningless far outside.
        """
        xy, depth = self._checked(points).split((2, 1), dim=-1)
        in_front = depth > 0
        # A safe depth keeps NaN out of the gradient; masking afterwards would leave 0 · NaN.
        xy = xy / torch.where(in_front, depth, 1.0)
        x, y = xy.split(1, dim=-1)
        k1, k2, k3 = self._a_joint(self.k).split(1, dim=-1)
        p1, p2 = self._a_joint(self.p).split(1, dim=-1)
        r2 = x * x + y * y
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + p1 * y + p2 * x
        distorted = xy * factor + self._a_joint(self.p.flip(-1)) * r2
        return torch.where(in_front, self._a_joint(self.f) * distorted + self._a_joint(self.c), torch.nan)

    def to(self, *args: Any, **kwargs: Any) -> "Camera":
        """The camera on another device or in another dtype; arguments of `Tensor.to`."""
        return replace(self, **{name: getattr(self, name).to(*args, **kwargs) for name in TENSOR_SHAPES})

    def __getitem__(self, index: Any) -> "Camera":
        """Index stacked cameras along the leading dimension: a tensor (B,) of camera numbers gives one camera per
        sample; (B, 1) is for points (B, T, J, 3)."""
        if self.R.dim() == 2:
            raise TypeError("a single camera can't be indexed; use stack_cameras first")
        return Camera(**{name: getattr(self, name)[index] for name in TENSOR_SHAPES})

    def _a_joint(self, vector: Tensor) -> Tensor:
        """(*L, n) → (*L, 1, n), to broadcast over joints; unchanged for a single camera."""
        return vector.unsqueeze(-2) if self.R.dim() > 2 else vector

    def _checked(self, points: Tensor) -> Tensor:
        points = as_tensor(points)
        stacked = self.R.dim() - 2
        if points.shape[-1:] != (3,) or (stacked and not 2 <= points.dim() <= stacked + 2):
            form = f"(…, J, 3) with up to {stacked} leading dimensions" if stacked else "(…, 3)"
            raise ValueError(f"points have shape {tuple(points.shape)}; this camera expects {form}")
        return points


def stack_cameras(cameras: Iterable[Camera]) -> Camera:
    """Stack N cameras into one with a leading dimension N. Raises ValueError for none."""
    cameras = list(cameras)
    if not cameras:
        raise ValueError("no cameras to stack")
    return Camera(**{name: torch.stack([getattr(camera, name) for camera in cameras]) for name in TENSOR_SHAPES})


# ------------------------------------------------------------------------------------------ camera tables
CameraTable = dict[tuple[int, int], Camera]  # (subject, camera 1..4) -> float64 camera


def read_cameras_h5(path: str | Path) -> CameraTable:
    """`cameras.h5` of the public 3D pose baseline: `subject{s}/camera{n}/{R,T,f,c,k,p,Name}`, R stored transposed.

    Returns {(subject, camera number from 1): float64 Camera} for the cameras in the file.
    Raises UserError if the file cannot be read or a camera is incomplete.
    """
    path, table = _existing(path), {}
    try:
        with h5py.File(path, "r") as file:
            for subject in _numbered(file, "subject"):
                group = file[f"subject{subject}"]
                for number in _numbered(group, "camera"):
                    stored = group[f"camera{number}"]
                    values = {
                        name: numeric_dataset(stored, name, most=9).reshape(TENSOR_SHAPES[name]) for name in "Tfckp"
                    }
                    rotation = numeric_dataset(stored, "R", most=9).reshape(3, 3).T
                    codes = numeric_dataset(stored, "Name", most=LONGEST_NAME).ravel().tolist()
                    name = "".join(chr(int(code)) for code in codes)
                    table[subject, number] = _checked_camera(rotation, **values, name=name)
    except (*HDF5_ERRORS, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: not a readable Human3.6M camera file ({error}); {HOW_TO_GET_CAMERAS}") from None
    return _nonempty(table, path)


def read_cameras_json(path: str | Path) -> CameraTable:
    """The public `camera-parameters.json` for Human3.6M. Returns and raises like `read_cameras_h5`.

    `intrinsics`: camera name → `calibration_matrix` (3 × 3, px) and `distortion` (k1, k2, p1, p2, k3: OpenCV's order);
    `extrinsics`: "S1" → camera name → `R` (3 × 3) and `t` (3 × 1, mm), with X = R P + t, so T = −Rᵀ t.
    """
    path, table = _existing(path), {}
    content = read_json(path, f"a camera table comes with the data: {HOW_TO_GET_CAMERAS}")
    try:
        for subject, cameras in content["extrinsics"].items():
            for name, extrinsics in cameras.items():
                intrinsics = content["intrinsics"][name]
                matrix = np.array(intrinsics["calibration_matrix"], np.float64).reshape(3, 3)
                k1, k2, p1, p2, k3 = np.array(intrinsics["distortion"], np.float64).ravel()
                rotation = np.array(extrinsics["R"], np.float64).reshape(3, 3)
                table[int(subject.removeprefix("S")), CAMERA_NAMES.index(name) + 1] = _checked_camera(
                    rotation,
                    T=-rotation.T @ np.array(extrinsics["t"], np.float64).reshape(3),
                    f=matrix.diagonal()[:2].copy(),
                    c=matrix[:2, 2].copy(),
                    k=np.array([k1, k2, k3]),
                    p=np.array([p1, p2]),
                    name=name,
                )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path}: not a Human3.6M camera-parameters JSON with intrinsics and extrinsics per camera "
            f"({_said(error)}); {HOW_TO_GET_CAMERAS}"
        ) from None
    return _nonempty(table, path)


def read_cameras_xml(path: str | Path) -> CameraTable:
    """`metadata.xml` of the official release, subjects 1 to 11. Returns and raises like `read_cameras_h5`.

    Its element `w0` holds 300 numbers: for each camera 1 to 4 and each subject 1 to 11 three Euler angles
    (R = Rx Ry Rz) and the position in mm; then for each camera f (2), c (2), k (3), p (2).
    """
    path = _existing(path)
    try:
        found = re.search(r"<w0>\s*\[([^]]*)\]\s*</w0>", path.read_text(encoding="utf-8"))
        numbers = np.array([float(number) for number in found[1].split()] if found else [])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable metadata.xml ({error}); {HOW_TO_GET_CAMERAS}") from None
    if len(numbers) != XML_COUNT:
        raise UserError(
            f"{path}: w0 has {len(numbers)} numbers, expected {XML_COUNT}; metadata.xml comes with the official "
            f"Human3.6M release"
        )
    cut = XML_COUNT - len(CAMERA_NAMES) * XML_INTRINSICS
    extrinsics = numbers[:cut].reshape(len(CAMERA_NAMES), XML_SUBJECTS, XML_EXTRINSICS)
    intrinsics = numbers[cut:].reshape(len(CAMERA_NAMES), XML_INTRINSICS)
    try:
        return {
            (subject + 1, index + 1): _checked_camera(
                _euler_rotation(extrinsics[index, subject, :3]),
                T=extrinsics[index, subject, 3:],
                **dict(zip("fckp", np.split(intrinsics[index], (2, 4, 7)), strict=True)),
                name=name,
            )
            for subject in range(XML_SUBJECTS)
            for index, name in enumerate(CAMERA_NAMES)
        }
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


CAMERA_TABLE_READERS = {
    "cameras.h5": read_cameras_h5,
    "camera-parameters.json": read_cameras_json,
    "metadata.xml": read_cameras_xml,
}


def find_camera_table(folder: str | Path) -> Path | None:
    """The first of cameras.h5, camera-parameters.json and metadata.xml that exists in a folder."""
    return next((Path(folder) / name for name in CAMERA_TABLE_READERS if (Path(folder) / name).is_file()), None)


def read_cameras(path: str | Path) -> CameraTable:
    """Read a camera table in any of the three formats, recognised by name, else by suffix."""
    path = Path(path)
    by_suffix = {Path(name).suffix: reader for name, reader in CAMERA_TABLE_READERS.items()}
    reader = CAMERA_TABLE_READERS.get(path.name) or by_suffix.get(path.suffix)
    if reader is None:
        raise UserError(f"{path}: a camera table is one of {', '.join(CAMERA_TABLE_READERS)}")
    return reader(path)


def get_camera(table: Mapping[tuple[int, int], Camera], subject: int, number: int, path: str | Path) -> Camera:
    """Camera `number` (from 1) of a subject. Raises UserError, naming both and the file `path`, if it is missing."""
    if (subject, number) not in table:
        raise UserError(f"{path}: no camera {number} of subject S{subject}; {HOW_TO_GET_CAMERAS}")
    return table[subject, number]


def write_cameras_h5(path: str | Path, table: Mapping[tuple[int, int], Camera]) -> None:
    """Write a camera table in the format of `read_cameras_h5`, atomically."""
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for (subject, number), camera in table.items():
            group = file.create_group(f"subject{subject}/camera{number}")
            group["R"] = camera.R.cpu().numpy().T
            for name in "Tfckp":
                group[name] = getattr(camera, name).cpu().numpy()[:, None]
            group["Name"] = np.array([[float(ord(letter))] for letter in camera.name])


def _checked_camera(rotation: np.ndarray, *, name: str, **values: np.ndarray) -> Camera:
    """A float64 camera. Raises ValueError for implausible numbers."""
    numbers = [rotation, *values.values()]
    if not all((abs(number) <= LARGEST).all() for number in numbers):  # NaN fails the comparison
        raise ValueError(f"camera {name} has numbers that are not finite, or above {LARGEST:g}")
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > ROTATION_TOLERANCE or (values["f"] <= 0).any():
        raise ValueError(f"camera {name}: R is not a rotation, or a focal length is not positive")
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in values.items()}
    return Camera(R=torch.from_numpy(np.ascontiguousarray(rotation)), **tensors, name=name)


def _euler_rotation(angles: np.ndarray) -> np.ndarray:
    """Rx(a) Ry(b) Rz(c) for three angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def _numbered(group: h5py.Group, prefix: str) -> list[int]:
    """The numbers n of the members `<prefix>n`, in order; other members (e.g. `3dtest`) are ignored."""
    matches = (re.fullmatch(rf"{prefix}(\d+)", name) for name in group)
    return sorted(int(match[1]) for match in matches if match)


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; {HOW_TO_GET_CAMERAS}")
    return Path(path)


def _nonempty(table: CameraTable, path: Path) -> CameraTable:
    if not table:
        raise UserError(f"{path}: no cameras; {HOW_TO_GET_CAMERAS}")
    return table


def _said(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)

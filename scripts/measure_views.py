"""Check single-view 3D poses on real people: against points triangulated from several calibrated cameras.

python run.py stitched_mpii --data_dir clips/cam01.mp4 --output_dir data/views/cam01 --flip     # and so for each camera
python scripts/measure_views.py --calibration clips/Calib.qca.txt --views data/views/cam0?

A view is the output folder of a run on one camera's video, named after the camera. Each joint is triangulated from the
2D poses of all views: the linear method (DLT; Hartley and Zisserman, "Multiple View Geometry", section 12.2), each view
weighted by the joint's confidence. Every subset of at least two views gives a point. The one that most views agree with
is taken (reprojection closer than --agree), and of several that of the largest subset. A joint with fewer than three
agreeing views is left out. The error is over the limb joints, with the hips' midpoint at the origin, in frames with
both hips.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from twod_threed.mpjpe import joint_errors
from utils.camera_utils import Camera
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.osutils import UserError
from utils.predictions.prediction_files import load_metas, load_predictions
from utils.transform import H36M, MPII

LIMBS = tuple(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in "lr")
LEAST_VIEWS = 3  # that must agree on a joint
CONVERGED = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-9)
SUBPIXELS = 64.0  # Qualisys gives intrinsics in 1/64 px
FROM_QUALISYS = np.diag([1.0, -1.0, -1.0])  # its cameras look along -z with y up, ours along z with y down


class Triangulated(NamedTuple):
    """`points` (..., 3) in the world, mm; how many `views` (...,) agree; their mean reprojection `error` (...,), px."""

    points: Tensor
    views: Tensor
    error: Tensor


def read_qca(path: Path) -> dict[str, Camera]:
    """The cameras of a Qualisys calibration by serial, px, mm. Raises UserError for a file of another form."""
    try:
        return {element.get("serial"): _qca_camera(element) for element in ElementTree.parse(path).iter("camera")}
    except (OSError, ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"--calibration {path}: not a Qualisys calibration in XML ({error})") from error


def _qca_camera(element: ElementTree.Element) -> Camera:
    transform, intrinsic = element.find("transform"), element.find("intrinsic")
    rotation = np.array([[float(transform.get(f"r{row}{column}")) for column in (1, 2, 3)] for row in (1, 2, 3)])

    def values(*names: str) -> np.ndarray:
        return np.array([float(intrinsic.get(name)) for name in names])

    return Camera(
        R=torch.from_numpy(FROM_QUALISYS @ rotation),
        T=torch.tensor([float(transform.get(axis)) for axis in "xyz"], dtype=torch.float64),
        f=torch.from_numpy(values("focalLengthU", "focalLengthV") / SUBPIXELS),
        c=torch.from_numpy(values("centerPointU", "centerPointV") / SUBPIXELS - 0.5),
        k=torch.from_numpy(values("radialDistortion1", "radialDistortion2", "radialDistortion3")),
        p=torch.from_numpy(values("tangentalDistortion1", "tangentalDistortion2")),
        name=element.get("serial"),
    )


def triangulate(points: Tensor, weights: Tensor, cameras: list[Camera], agree: float) -> Triangulated:
    """Points of the world from their images.

    Args:
        points: (V, ..., 2) px of V cameras; NaN where a camera has none.
        weights: (V, ...) >= 0, confidence.
        cameras: V of them.
        agree: px of reprojection error up to which a view agrees with a point.
    """
    shape, count = points.shape[1:-1], len(cameras)
    points, weights = points.reshape(count, -1, 2), weights.reshape(count, -1)
    known = points.isfinite().all(-1)
    points = torch.stack([_undistorted(*view) for view in zip(points, cameras, strict=True)])
    cameras = [replace(camera, k=torch.zeros(3), p=torch.zeros(2)) for camera in cameras]
    equations = torch.stack([_equations(*view) for view in zip(points, cameras, strict=True)])  # (V, N, 2, 4)
    equations = (equations * weights[..., None, None]).masked_fill(~known[..., None, None], 0)
    best = Triangulated(
        torch.full((points.shape[1], 3), torch.nan, dtype=points.dtype),
        torch.zeros(points.shape[1], dtype=torch.long),
        torch.full((points.shape[1],), torch.inf, dtype=points.dtype),
    )
    for size in range(count, 1, -1):
        for subset in combinations(range(count), size):
            best = _better(best, _solved(equations[list(subset)], points, cameras, agree))
    return Triangulated(*(value.reshape(*shape, *value.shape[1:]) for value in best))


def _undistorted(points: Tensor, camera: Camera) -> Tensor:
    """Images (N, 2) as a lens without distortion would give them, px; NaN stays."""
    matrix = np.diag([*camera.f.tolist(), 1.0])
    matrix[:2, 2] = camera.c
    distortion = np.array([*camera.k[:2], *camera.p, camera.k[2]])  # OpenCV's order
    images = points.nan_to_num().numpy()[:, None]
    ideal = cv2.undistortPointsIter(images, matrix, distortion, None, matrix, CONVERGED)[:, 0]
    return torch.from_numpy(ideal).masked_fill(points.isnan(), torch.nan)


def _equations(points: Tensor, camera: Camera) -> Tensor:
    """Two linear equations (N, 2, 4) in the homogeneous world point, from undistorted images (N, 2)."""
    pose = torch.cat([camera.R, -camera.R @ camera.T[:, None]], dim=1)  # (3, 4)
    return ((points - camera.c) / camera.f)[..., None] * pose[2] - pose[:2]


def _solved(equations: Tensor, points: Tensor, cameras: list[Camera], agree: float) -> Triangulated:
    """The least-squares points of the equations (S, N, 2, 4) of some views, judged by all views."""
    rows = equations.transpose(0, 1).flatten(1, 2)  # (N, 2 S, 4)
    scale = torch.tensor([1.0, 1.0, 1.0, 1000.0], dtype=rows.dtype)  # the last column is mm times the others
    solution = torch.linalg.svd(rows / scale).Vh[:, -1] / scale
    world = solution[:, :3] / solution[:, 3:]
    errors = torch.stack(
        [
            torch.linalg.vector_norm(camera.project(camera.world_to_camera(world)) - image, dim=-1)
            for camera, image in zip(cameras, points, strict=True)
        ]
    )
    agrees = errors <= agree  # false for NaN
    mean = errors.masked_fill(~agrees, 0).sum(0) / agrees.sum(0)
    return Triangulated(world, agrees.sum(0), mean)


def _better(one: Triangulated, other: Triangulated) -> Triangulated:
    """Point by point `other` where more views agree with it, else `one`, which is of at least as many views."""
    other_wins = other.views > one.views
    chosen = [torch.where(other_wins.reshape(-1, *(1,) * (b.dim() - 1)), b, a) for a, b in zip(one, other, strict=True)]
    return Triangulated(*chosen)


class View(NamedTuple):
    """F frames of one camera, the person of the largest box: limbs (F, 12, 2) px, scores (F, 12), and (F, 12, 3) mm."""

    points: Tensor
    scores: Tensor
    poses: Tensor


def read_view(folder: Path) -> View:
    """A run's folder. NaN where nobody was found. Raises UserError if run.py stitched_mpii did not write it."""
    flat, solid = (load_predictions(folder / f"{kind}_pose_estimations.pt") for kind in ("2d", "3d"))
    metas, records = load_metas(folder / "metas.pt"), _scores(folder)
    of_2d, of_3d = MPII.indices(LIMBS), H36M.indices(LIMBS)
    frames = []
    for name, meta in metas.items():
        boxes = torch.as_tensor(meta["boxes"])
        if not len(boxes):
            frames.append([torch.full((len(LIMBS), size), torch.nan) for size in (2, 1, 3)])
            continue
        person = int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())
        scores = torch.tensor(records[name][person])[of_2d, None]
        frames.append([flat[name][person, of_2d], scores, solid[name][person, of_3d]])
    points, scores, poses = (torch.stack(part).double() for part in zip(*frames, strict=True))
    return View(points, scores[..., 0], poses)


def _scores(folder: Path) -> dict[str, list[list[float]]]:
    """Each image's people's confidences of their joints, in the order of the people, from predictions.json."""
    found: dict[str, list[list[float]]] = {}
    for record in json.loads((folder / "predictions.json").read_text()):
        found.setdefault(record["image"], []).append(record["keypoints"][2::3])
    return found


def measure(views: dict[str, View], cameras: dict[str, Camera], agree: float) -> dict[str, dict[str, float]]:
    """Errors of each view's 3D poses, and of how many joints and frames: view -> figures."""
    names = [*views]
    frames = min(len(view.points) for view in views.values())
    points, scores = (torch.stack([getattr(views[name], kind)[:frames] for name in names]) for kind in View._fields[:2])
    found = triangulate(points, scores.nan_to_num(), [cameras[name] for name in names], agree)
    trusted = found.views >= LEAST_VIEWS  # (F, 12)
    hips = [LIMBS.index("l_hip"), LIMBS.index("r_hip")]
    figures = {}
    for name in names:
        truth, poses = cameras[name].world_to_camera(found.points), views[name].poses[:frames]
        usable = trusted[:, hips].all(1) & poses.isfinite().all(-1).all(-1)
        truth, poses = (pose[usable] - pose[usable][:, hips].mean(1, keepdim=True) for pose in (truth, poses))
        figures[name] = {
            "frames": int(usable.sum()),
            "joints": int(trusted[usable].sum()),
            "MPJPE": joint_errors(poses, truth)[trusted[usable]].mean().item(),
            "2D error": _distance(cameras[name], found.points, points[names.index(name)], trusted),
        }
    figures["all"] = {"joints": trusted.float().mean().item(), "reprojection": found.error[trusted].mean().item()}
    return figures


def _distance(camera: Camera, world: Tensor, image: Tensor, trusted: Tensor) -> float:
    """Median px between a view's own 2D joints and the projected points."""
    distance = torch.linalg.vector_norm(camera.project(camera.world_to_camera(world)) - image, dim=-1)
    return distance[trusted].nanmedian().item()


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibration", type=Path, required=True, help="Qualisys calibration (.qca.txt)")
    parser.add_argument("--views", type=Path, nargs="+", required=True, help="output folders, named after the cameras")
    parser.add_argument(
        "--agree", type=float, default=40.0, help="px, reprojection error of an agreeing view (default: 40)"
    )
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        cameras = read_qca(options.calibration)
        for folder in options.views:
            if folder.name not in cameras:
                raise UserError(f"--views {folder}: no camera {folder.name}; the calibration has {', '.join(cameras)}")
        if len(options.views) < LEAST_VIEWS:
            raise UserError(f"--views: {len(options.views)} given, expected at least {LEAST_VIEWS}")
        figures = measure({folder.name: read_view(folder) for folder in options.views}, cameras, options.agree)
    whole = figures.pop("all")
    print(
        f"{whole['joints']:.1%} of the limb joints triangulated by at least {LEAST_VIEWS} views that agree within "
        f"{options.agree:g} px; mean reprojection error {whole['reprojection']:.1f} px"
    )
    for name, line in figures.items():
        print(
            f"{name}: MPJPE {line['MPJPE']:.1f} mm (hips' midpoint aligned) over {line['joints']} limb joints of "
            f"{line['frames']} frames; median 2D error {line['2D error']:.1f} px"
        )


if __name__ == "__main__":
    main()

"""Absolute 3D poses: `--absolute` of the run scripts adds each person's position in camera coordinates."""

import math
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from twod_threed.absolute import ASSUMED_VIEW, assumed_focal, root_positions
from utils.osutils import counted
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothing import ZeroPhase, zero_phase
from utils.transform import H36M, Skeleton

TRAJECTORY = ZeroPhase(0.25)  # s; a root moves more slowly than hands, and its depth is the noisiest coordinate
EXIF_IFD, FOCAL_35MM, FILM_DIAGONAL = 0x8769, 0xA405, 43.27  # tags of EXIF 2.3; mm


def place_people(results: PoseResults, folder: Path | None, focal: float | None) -> str:
    """Move the 3D poses from the hip to their positions in camera coordinates; returns a summary.

    `metas` say `root`: "camera", and have `focal` (px), `focal_source` and `root_positions` (P, 3) mm. In a video the
    positions are smoothed along each track. The principal point is the image centre.

    Args:
        results: `metas` have each image's `size`.
        folder: the photos, for EXIF; a video has none. None if they are missing.
        focal: px; None to read EXIF, else assume `ASSUMED_VIEW` degrees.
    """
    sources = {}
    for name, poses in results.joints_3d.items():
        meta = results.metas[name]
        length, source = _focal(meta["size"], _photo(folder, name) if folder else None, focal)
        sources[source] = sources.get(source, 0) + 1
        center = torch.tensor([(side - 1) / 2 for side in meta["size"]])
        common = common_joints(results.skeleton)
        chosen = H36M.indices(common), results.skeleton.indices(common)
        weights = results.scores[name][:, chosen[1]].clamp(min=0)
        root = root_positions(poses[:, chosen[0]], results.joints[name][:, chosen[1]], length, center, weights)
        meta |= {"root": "camera", "focal": length, "focal_source": source, "root_positions": root}
    if any("tracks" in meta for meta in results.metas.values()):
        _smooth_trajectories(results)
    for name, poses in results.joints_3d.items():
        results.joints_3d[name] = poses + results.metas[name]["root_positions"].to(poses)[:, None]
    said = "; ".join(f"{counted(count, results.image_kind)}: {source}" for source, count in sources.items())
    return f"3D poses are in camera coordinates (x right, y down, z forward, mm); focal length of {said}"


def common_joints(skeleton: Skeleton) -> list[str]:
    """Joints of Human3.6M that mark the same place in `skeleton`; MPII's thorax does not."""
    return [joint for joint in H36M.joints if joint in skeleton.joints and joint != "thorax"]


def _focal(size: list[int], photo: Path | None, focal: float | None) -> tuple[float, str]:
    """Focal length in px, and its source."""
    if focal is not None:
        return focal, f"{focal:g} px (--focal)"
    film = _film_focal(photo) if photo else None
    if film:
        length = film / FILM_DIAGONAL * (size[0] ** 2 + size[1] ** 2) ** 0.5
        return length, f"EXIF ({film:g} mm on 35 mm film)"
    return assumed_focal((size[0], size[1])), f"unknown, a view of {ASSUMED_VIEW:g} degrees is assumed (--focal)"


def _film_focal(photo: Path) -> float | None:
    """Focal length in mm on 35 mm film from EXIF; None if absent or damaged."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(photo) as image:
            film = float(image.getexif().get_ifd(EXIF_IFD).get(FOCAL_35MM, 0))
    except Exception:  # on damaged bytes Pillow raises nearly anything
        return None
    return film if math.isfinite(film) and film > 0 else None


def _photo(folder: Path, name: str) -> Path | None:
    """The file of a photo; None for a frame of a video or a camera."""
    path = folder / name if folder.is_dir() else folder
    return path if path.is_file() and path.name == Path(name).name else None


def _smooth_trajectories(results: PoseResults) -> None:
    """Filter the root positions along each track."""
    tracks: dict[int, list[tuple[str, int]]] = {}
    for name, meta in results.metas.items():
        for place, track in enumerate(meta["tracks"]):
            tracks.setdefault(track, []).append((name, place))
    for places in tracks.values():
        times = torch.tensor([results.metas[name]["time"] for name, _ in places], dtype=torch.float64)
        roots: Tensor = torch.stack([results.metas[name]["root_positions"][place] for name, place in places])
        for (name, place), root in zip(places, zero_phase(roots[:, None], times, TRAJECTORY), strict=True):
            results.metas[name]["root_positions"][place] = root[0]

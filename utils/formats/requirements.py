"""What `run.py convert`, `viz.py viewer` and `viz.py report` need, checked before any work. No torch import here."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from utils.imaging.source_paths import require_path
from utils.osutils import UserError

POSES_2D, POSES_3D, METAS = "2d_pose_estimations.pt", "3d_pose_estimations.pt", "metas.pt"
FORMATS = ("csv", "bvh", "trc", "c3d", "coco", "angles")
NEEDS_2D, NEEDS_3D = ("coco",), ("bvh", "trc", "c3d", "angles")
PACKAGES = {"c3d": "ezc3d"}  # optional, by format


def require_predictions(data_dir: str | Path, to: Sequence[str]) -> None:
    """Raise UserError where `data_dir` is no folder of predictions, or lacks what one of the formats `to` needs."""
    folder = Path(data_dir)
    held = _held(folder, "--data_dir")
    for name, formats in ((POSES_2D, NEEDS_2D), (POSES_3D, NEEDS_3D)):
        lacking = [kind for kind in to if kind in formats and name not in held]
        if lacking:
            raise UserError(f"--to {lacking[0]}: needs {name}, which {folder} lacks; run.py stitched_mpii writes both")
    for kind, package in PACKAGES.items():
        if kind in to and find_spec(package) is None:
            raise UserError(f"--to {kind}: {package} is not installed: pip install {package}")


def require_runs(predictions: Sequence[str | Path]) -> None:
    """Raise UserError where one of the folders of `--predictions` is none of predictions."""
    for folder in predictions:
        _held(Path(folder), "--predictions")


def require_pictures(img_dir: str | Path | None) -> None:
    """Raise UserError where `--img_dir` is given and does not exist."""
    if img_dir is not None:
        require_path(img_dir, "--img_dir")


def _held(folder: Path, option: str) -> set[str]:
    """Which files of poses a folder has: at least one."""
    require_path(folder, option)
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: is a file; give the folder that run.py wrote {POSES_2D} into")
    held = {name for name in (POSES_2D, POSES_3D) if (folder / name).is_file()}
    if not held:
        raise UserError(
            f"{option} {folder}: holds neither {POSES_2D} nor {POSES_3D}; give the --output_dir of a run.py script"
        )
    return held

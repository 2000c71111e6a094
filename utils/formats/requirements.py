"""What `run.py convert` needs, checked before any work. No torch import here."""

from pathlib import Path

from utils.imaging.source_paths import require_path
from utils.osutils import UserError

POSES_2D, POSES_3D, METAS = "2d_pose_estimations.pt", "3d_pose_estimations.pt", "metas.pt"
FORMATS = ("csv",)


def require_predictions(data_dir: str | Path) -> None:
    """Raise UserError where `data_dir` is no folder of predictions."""
    folder = Path(data_dir)
    require_path(folder, "--data_dir")
    if not folder.is_dir():
        raise UserError(f"--data_dir {folder}: is a file; give the folder that run.py wrote {POSES_2D} into")
    held = {name for name in (POSES_2D, POSES_3D) if (folder / name).is_file()}
    if not held:
        raise UserError(
            f"--data_dir {folder}: holds neither {POSES_2D} nor {POSES_3D}; give the --output_dir of a run.py script"
        )

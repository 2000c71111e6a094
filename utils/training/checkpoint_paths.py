"""Checkpoint paths. No torch import here, so that a wrong path is refused before torch is imported."""

from pathlib import Path

from utils.osutils import UserError

LATEST, BEST = "checkpoint.pth.tar", "model_best.pth.tar"


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint at `path`: the file itself, or in a directory the best checkpoint, else the latest."""
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        for name in (BEST, LATEST):
            if (path / name).is_file():
                return path / name
        raise UserError(f"{path}: no checkpoint in this directory; it should hold {BEST} or {LATEST}")
    raise UserError(f"{path}: no such checkpoint; give a .pth.tar file or the directory that train.py wrote")


def nothing_to_resume(path: Path) -> str:
    """Error message for an experiment without a latest checkpoint."""
    return f"--resume: {path} does not exist; check --exp and --checkpoint_dir, or omit --resume"


def require_latest(resume: bool, script: str, exp: str, checkpoint_dir: str | Path) -> None:
    """Raise UserError if `resume` is set and there is no checkpoint to resume from."""
    path = Path(checkpoint_dir, f"{script}_{exp}", LATEST)
    if resume and not path.is_file():
        raise UserError(nothing_to_resume(path))


def require_checkpoint(path: str | Path | None) -> None:
    """Raise UserError if `path` is given and has no checkpoint."""
    if path:
        find_checkpoint(path)

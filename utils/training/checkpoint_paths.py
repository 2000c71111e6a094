"""Where checkpoints lie. No torch import here: a wrong path is refused before torch is imported."""

from pathlib import Path

from utils.osutils import UserError

LATEST, BEST = "checkpoint.pth.tar", "model_best.pth.tar"


def find_checkpoint(path: str | Path) -> Path:
    """A checkpoint file from its own path or from the directory that holds it (best first, then latest)."""
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
    """For errors: the experiment's latest checkpoint is missing."""
    return f"--resume: {path} is not there; check --exp and --checkpoint_dir, or leave --resume out"


def require_latest(resume: bool, script: str, exp: str, checkpoint_dir: str | Path) -> None:
    """Raise UserError where there is nothing to `resume`."""
    path = Path(checkpoint_dir, f"{script}_{exp}", LATEST)
    if resume and not path.is_file():
        raise UserError(nothing_to_resume(path))


def require_checkpoint(path: str | Path | None, resume: bool = False) -> None:
    """Raise UserError where `path`, if any, is no checkpoint. With `resume` it is not looked at."""
    if path and not resume:
        find_checkpoint(path)

"""Which checkpoints make a stitched network: a whole one, or two. No torch import here, as in `utils.training`'s."""

from collections.abc import Mapping
from pathlib import Path

from utils.osutils import UserError
from utils.training.checkpoint_paths import find_checkpoint, require_checkpoint


def require_pair(paths: Mapping[str, str | Path | None]) -> None:
    """Raise UserError unless both `load_hourglass` and `load_2d3d` are given."""
    missing = [f"--{name}" for name, path in paths.items() if not path]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} missing: give an hourglass with --load_hourglass and a 3D baseline with "
            "--load_2d3d, or a whole stitched network with --load"
        )


def require_checkpoints(
    load: str | Path | None, load_hourglass: str | Path | None, load_2d3d: str | Path | None
) -> None:
    """Raise UserError if only one of `load_hourglass` and `load_2d3d` is given, or if a checkpoint does not exist.

    Giving none is fine: a script may have default weights. `load` takes precedence over the two, which are then not
    checked.
    """
    paths = {"load_hourglass": load_hourglass, "load_2d3d": load_2d3d}
    if load or not any(paths.values()):
        require_checkpoint(load)
        return
    require_pair(paths)
    for name, path in paths.items():
        try:
            find_checkpoint(path)
        except UserError as error:
            raise UserError(f"--{name} {error}") from None

"""Whether Human3.6M's folder exists. No torch import here: a wrong path is refused before torch is imported."""

from pathlib import Path

from utils.osutils import UserError

HOW_TO_GET = (
    "register at http://vision.imar.ro/human3.6m, unpack 'D3 Positions' of every subject and run python "
    "scripts/convert_h36m.py FOLDER --output_dir data/h36m; --data_dir sample needs no download"
)


def require_folder(data_dir: str | Path) -> None:
    """Raise UserError, saying how to get the data, where `data_dir` is no folder."""
    if not Path(data_dir).is_dir():
        raise UserError(f"--data_dir {data_dir}: no such folder; Human3.6M: {HOW_TO_GET}")


def require_folder_or_file(data_dir: str | Path) -> None:
    """The same for a script that takes a file of poses as well."""
    if not Path(data_dir).is_file():
        require_folder(data_dir)

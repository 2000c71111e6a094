"""Checks that the Human3.6M folder exists. No torch import here, so that a wrong path is refused before it."""

from pathlib import Path

from utils.osutils import UserError

LISTED_FRAMES = "poses.npz"  # a list of single frames with ground truth, see utils/human36m_frames.py
HOW_TO_GET = (
    "register at http://vision.imar.ro/human3.6m, unpack 'D3 Positions' of every subject and run python "
    "scripts/convert_h36m.py FOLDER --output_dir data/h36m; --data_dir sample needs no download"
)


def require_h36m_folder(data_dir: str | Path) -> None:
    """Raise UserError, saying how to get the data, if `data_dir` is not a folder."""
    if not Path(data_dir).is_dir():
        raise UserError(f"--data_dir {data_dir}: no such folder; Human3.6M: {HOW_TO_GET}")


def require_h36m_folder_or_file(data_dir: str | Path) -> None:
    """`require_h36m_folder` for scripts that also accept a pose file."""
    if not Path(data_dir).is_file():
        require_h36m_folder(data_dir)

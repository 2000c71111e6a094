"""Convert the official Human3.6M release to the files that the 3D baseline reads.

    pip install cdflib
    python scripts/convert_h36m.py FOLDER --output_dir data/h36m

FOLDER holds the unpacked 'D3 Positions' of the subjects (S1/MyPoseFeatures/D3_Positions/*.cdf) and metadata.xml. Writes
S*/MyPoses/3D_positions/*.h5 and cameras.h5.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from utils.camera_utils import CameraTable, read_cameras_xml, write_cameras_h5
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.human36m.actions import SUBJECTS
from utils.human36m.files import JOINTS, POSITIONS_H5, parse_name, require_millimetres, write_positions
from utils.osutils import UserError, warn


def main() -> None:
    parser = Parser(prog="convert_h36m.py", description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path, help="folder with S*/MyPoseFeatures/D3_Positions/*.cdf and metadata.xml")
    parser.add_argument(
        "--output_dir", "--output-dir", type=Path, default=Path("data/h36m"), help="default %(default)s"
    )
    parser.add_argument("--metadata", type=Path, help="metadata.xml, if it is not in the folder")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        cameras = release_cameras(options.release, options.metadata)
        frames = convert_positions(options.release, options.output_dir)
        if cameras:
            write_cameras_h5(options.output_dir / "cameras.h5", cameras)
    print(f"{len(frames)} sequences, {sum(frames):,} frames and {len(cameras)} cameras: {options.output_dir}")


def convert_positions(release: Path, output_dir: Path) -> list[int]:
    """Write every sequence of the 15 actions and 7 subjects as h5; returns their numbers of frames.

    The spellings of S1 in the release ("TakingPhoto", "WalkingDog") are changed to those of the others. Raises
    UserError if there is no CDF file, one cannot be read, or cdflib is missing.
    """
    paths = sorted(release.rglob("D3_Positions/*.cdf"))
    if not paths:
        raise UserError(
            f"{release}: no S*/MyPoseFeatures/D3_Positions/*.cdf in it; unpack the 'D3 Positions' that "
            "http://vision.imar.ro/human3.6m gives to registered users"
        )
    frames, left_out = [], []
    for path in paths:
        subject = next((int(part[1:]) for part in reversed(path.parts) if re.fullmatch(r"S\d+", part)), None)
        parsed = parse_name(path.stem)
        if subject not in SUBJECTS or parsed is None:
            left_out.append(path)
            continue
        positions = read_cdf(path)
        write_positions(output_dir / POSITIONS_H5.format(subject=subject) / f"{parsed[1]}.h5", positions)
        frames.append(len(positions))
    if left_out:
        warn(f"{len(left_out)} files left out, for other actions or subjects: {left_out[0]} and so on")
    return frames


def read_cdf(path: Path) -> np.ndarray:
    """(F, 32, 3) float32, mm, world frame, of one official file: variable Pose, 1 × F × 96."""
    try:
        import cdflib  # noqa: PLC0415 (optional, and wanted here alone)
    except ImportError:
        raise UserError("the official CDF files need cdflib: pip install cdflib") from None
    try:
        pose = np.asarray(cdflib.CDF(str(path)).varget("Pose"), dtype=np.float32)
        positions = pose.reshape(-1, JOINTS, 3)
    except Exception as error:  # cdflib raises many types for a damaged file
        raise UserError(f"{path}: no readable Pose of 1 × frames × {JOINTS * 3} in this CDF file ({error})") from None
    finite = np.isfinite(positions).all(axis=(1, 2))
    require_millimetres(positions[finite], str(path))
    return positions


def release_cameras(release: Path, metadata: Path | None = None) -> CameraTable:
    """The cameras of metadata.xml, given or found in the folder; empty, with a warning, without the file."""
    metadata = metadata or next(iter(sorted(release.rglob("metadata.xml"))), None)
    if metadata is None:
        warn(f"no metadata.xml in {release}, so no cameras.h5 is written; --metadata names one")
        return {}
    return {key: camera for key, camera in read_cameras_xml(metadata).items() if key[0] in SUBJECTS}


if __name__ == "__main__":
    main()

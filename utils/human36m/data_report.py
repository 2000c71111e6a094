"""`--check_data` for Human3.6M."""

from collections.abc import Sequence
from pathlib import Path

from utils.camera_utils import CAMERA_NAMES
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import Human36mFiles, detection_path, find_sequences
from utils.human36m.folder import LISTED_FRAMES
from utils.human36m.report import table
from utils.osutils import DataReport, UserError

TRUTH_3D_FILE = "3d_pose_ground_truths.pt"
FULL_FRAMES = {"training": (TRAIN_SUBJECTS, 389_938), "test": (TEST_SUBJECTS, 137_661)}  # at 50 Hz


def check_poses(data_dir: Path, training: bool = False) -> DataReport:
    """Report on positions and cameras of the test subjects, and with `training` of the training subjects."""
    try:
        files = find_sequences(data_dir)
    except UserError as error:
        return DataReport((), (str(error),))
    return DataReport((table(files), *_totals(files), _detections(files)), _missing(files, training))


def check_images(data_dir: Path, training: bool = False) -> DataReport:
    """`check_poses` and extracted frames. Without `training`, a folder may list single frames in poses.npz instead."""
    data_dir = Path(data_dir)
    if (data_dir / LISTED_FRAMES).is_file() and not training:
        return _with_images(DataReport((f"single frames listed in {data_dir / LISTED_FRAMES}",)), data_dir)
    report = check_poses(data_dir, training)
    return _with_images(report, find_sequences(data_dir).data_dir) if report.lines else report


def check_poses_or_file(data_dir: Path) -> DataReport:
    """`check_poses` for a script that also takes a file of 2D poses, or a folder with one."""
    data_dir = Path(data_dir)
    for path in (data_dir, data_dir / "2d_pose_estimations.pt"):
        if path.is_file():
            return DataReport((f"2D poses: {path}, {path.stat().st_size / 1e6:,.1f} MB",))
    return check_poses(data_dir)


def check_truth(data_dir: Path, prediction_files: Sequence[Path] | None, truth: Path | None) -> DataReport:
    """`check_poses` for ground truth; not needed if a file of truth is given or stands beside each prediction."""
    beside = [Path(path).parent / TRUTH_3D_FILE for path in prediction_files or ()]
    if truth or (beside and all(path.is_file() for path in beside)):
        return DataReport((f"not read: ground truth is {truth or ', '.join(map(str, dict.fromkeys(beside)))}",))
    return check_poses(data_dir)


def _totals(files: Human36mFiles) -> list[str]:
    """Frames of training and test subjects."""
    lines = []
    for name, (subjects, full) in FULL_FRAMES.items():
        frames = sum(one.frames for one in files.sequences if one.subject in subjects)
        lines.append(
            f"{name} (S{', S'.join(map(str, subjects))}): {frames:,} frames × {len(CAMERA_NAMES)} cameras; "
            f"{full:,} in the full set at 50 Hz"
        )
    return lines


def _detections(files: Human36mFiles) -> str:
    pairs = [(one, name) for one in files.sequences for name in CAMERA_NAMES]
    there = sum(detection_path(files, one, name) is not None for one, name in pairs)
    return f"detected 2D poses (for --use_hg): {there} of {len(pairs)} videos"


def _missing(files: Human36mFiles, training: bool) -> tuple[str, ...]:
    groups = [("test", TEST_SUBJECTS), ("training", TRAIN_SUBJECTS)][: 2 if training else 1]
    faults = [
        f"{files.data_dir}: no sequence of a {name} subject (S{', S'.join(map(str, subjects))})"
        for name, subjects in groups
        if not any(one.subject in subjects for one in files.sequences)
    ]
    try:
        files.cameras()
    except UserError as error:
        faults.append(str(error))
    return tuple(faults)


def _with_images(report: DataReport, data_dir: Path) -> DataReport:
    """The report, with a line on images such as `images/S9/Walking 1/54138969/000001.jpg`."""
    folders = [path for path in (data_dir / "images").glob("S*/*/*") if path.is_dir()]
    images = sum(1 for folder in folders for _ in folder.glob("[0-9]*.jpg"))
    if images:
        return DataReport((*report.lines, f"images: {images:,} in {len(folders)} clips"), report.missing)
    fault = f"{data_dir / 'images'}: no images such as S9/Walking 1/{CAMERA_NAMES[0]}/000001.jpg"
    return DataReport(report.lines, (*report.missing, fault))

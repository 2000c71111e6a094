"""`--check_data` for MPII, LSP, COCO, HumanEva-I, photos and videos: reads annotations and lists folders.

Imports no torch at the top, so that a report on annotations is quick.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from stacked_hourglass.annotations.coco import (
    LEAST_ANNOTATED_JOINTS,
    LEAST_AREA,
    coco_photos,
    is_coco,
    read_coco,
    scored_people,
)
from stacked_hourglass.annotations.eva_ranges import frames_in_all
from stacked_hourglass.annotations.joined import require_coco_first, require_lsp_first, require_mpii_first
from stacked_hourglass.annotations.lsp import is_lsp, read_lsp
from stacked_hourglass.annotations.mpii import (
    IMAGES_URL,
    find_head_boxes,
    is_annotated,
    mpii_images,
    read_head_sizes,
    read_mpii,
)
from utils.imaging.source_paths import is_camera
from utils.osutils import DataReport, UserError, counted, first_few

# Counts of the published files.
MPII_PEOPLE = {"training": 22246, "validation": 2958}
LSP_PHOTOS, LSPET_PHOTOS = 2000, 10000
COCO_IMAGES = {"train2017": 118287, "val2017": 5000}
COCO_KEYPOINT_PEOPLE = {"train2017": 149813, "val2017": 6352}


def check_joined(data_dirs: Sequence[Path], first: str) -> DataReport:
    """Report on the folders of a training: the first in the form `first` ("mpii", "lsp", "coco"), the others in any."""
    reports = [FORMS[first](data_dirs[0])]
    for folder in data_dirs[1:]:
        reports.append(_other(Path(folder)))
    return DataReport(
        tuple(line for report in reports for line in report.lines),
        tuple(fault for report in reports for fault in report.missing),
    )


def check_training(data_set: str, data_dirs: Sequence[Path], sync: Path | None = None) -> DataReport:
    """Report on the folders of a training of any data set."""
    return check_eva(data_dirs, sync) if data_set == "eva" else check_joined(data_dirs, data_set)


def require_training_folder(data_set: str, data_dirs: Sequence[Path]) -> None:
    """Raise UserError unless the folders look like those of a training of this data set. No torch."""
    if data_set == "eva":
        from stacked_hourglass.annotations.eva import require_eva_folder  # noqa: PLC0415 - imports PyAV

        require_eva_folder(data_dirs)
    else:
        {"mpii": require_mpii_first, "lsp": require_lsp_first, "coco": require_coco_first}[data_set](data_dirs)


def check_mpii(data_dir: Path, validates: bool = True) -> DataReport:
    """Report on annotations, photos and, for validation, head boxes in the MPII form."""
    try:
        parts = dict(zip(MPII_PEOPLE, read_mpii(data_dir, validates), strict=True))
    except UserError as error:
        return DataReport((), (str(error),))
    lines = [f"MPII form: {', '.join(sorted({str(path) for part in parts.values() for path in part.source}))}"]
    lines += [f"{name}: {_of(len(part), MPII_PEOPLE[name], 'people')}" for name, part in parts.items()]
    if validates:
        lines.append(_head_boxes(data_dir, len(parts["validation"])))
    try:
        folder = mpii_images(data_dir)
    except UserError as error:
        return DataReport(tuple(lines), (str(error),))
    return _with_photos(lines, [folder / path for part in parts.values() for path in part.image_paths], IMAGES_URL)


def check_mpii_truth(data_dir: Path) -> DataReport:
    """Report on the ground truth of `eval.py mpii_PCKh`."""
    from stacked_hourglass.evaluation import load_mpii_truth  # noqa: PLC0415 - imports torch

    try:
        path = find_head_boxes(data_dir) or Path(data_dir, "detections_our_format.mat")
        truth = load_mpii_truth(path)
    except UserError as error:
        return DataReport((), (str(error),))
    counts = f"{_of(len(truth), MPII_PEOPLE['validation'], 'validation people')}, {int((~truth.missing).sum())} joints"
    return DataReport((f"{path}: {counts}",))


def check_lsp(data_dir: Path, photos: bool = True) -> DataReport:
    """Report on LSP, LSP-extended or both; `eval.py lsp_PCK` needs no photos."""
    try:
        training, validation = read_lsp(data_dir)
    except UserError as error:
        return DataReport((), (str(error),))
    sources = list(dict.fromkeys((*training.source, *validation.source)))
    lines = [f"LSP form: {path}" for path in sources]
    lines += [
        f"training: {counted(len(training), 'person', 'people')}; validation: {len(validation)}",
        f"full sets: LSP {LSP_PHOTOS:,} photos (half for training), LSP-extended {LSPET_PHOTOS:,}",
    ]
    return _with_photos(lines, training.image_paths + validation.image_paths) if photos else DataReport(tuple(lines))


def check_coco(data_dir: Path) -> DataReport:
    """Report on annotations and photos of COCO's training and validation part."""
    reports = [_coco_part(data_dir, part, photos=True) for part in ("train2017", "val2017")]
    return DataReport(reports[0].lines + reports[1].lines, reports[0].missing + reports[1].missing)


def check_coco_truth(data_dir: Path) -> DataReport:
    """Report on the ground truth of `eval.py coco_AP`, the validation annotations."""
    return _coco_part(data_dir, "val2017", photos=False)


def check_eva(data_dirs: Sequence[Path], sync: Path | None) -> DataReport:
    """Report on HumanEva-I: the clips whose place in their video is known, and why the others are left out."""
    from stacked_hourglass.annotations.eva import (  # noqa: PLC0415 - imports PyAV
        EVA_CAMERAS,
        find_clips,
        placement_lines,
        require_eva_folder,
    )

    try:
        require_eva_folder(data_dirs)
        placed, left_out = find_clips(data_dirs[0], sync)
    except UserError as error:
        return DataReport((), (str(error),))
    absent = [part for part in ("Train", "Validate") if not any(clip.part == part for clip in placed)]
    faults = tuple(f"{data_dirs[0]}: no clip of {part} can be placed" for part in absent)
    poses = {"Train": 0, "Validate": 0}
    for clip in (*placed, *chain(*left_out.values())):
        poses[clip.part] += len(clip.joints)
    lines = [
        f"{part}: {count // EVA_CAMERAS:,} poses in each camera ({frames_in_all(part):,} frames in the full set, "
        "not all of them valid)"
        for part, count in poses.items()
    ]
    return DataReport((*lines, *placement_lines(placed, left_out)), faults)


def check_photos(source: Path, run_with_train: bool = False) -> DataReport:
    """Report on a folder of photos, a photo, a video, a camera, or a folder in the MPII form."""
    if is_annotated(source):
        return check_mpii(source)
    if is_lsp(source):
        return check_lsp(source)
    if run_with_train:
        return DataReport((), (f"{source}: --run_with_train needs annotations; found none",))
    return _source(source)


def check_coco_or_photos(source: Path, run_with_train: bool = False) -> DataReport:
    """`check_photos` with the COCO form instead of the MPII form."""
    if is_coco(source) or Path(source).parts[-2:] == ("data", "coco"):
        return _coco_part(source, "train2017" if run_with_train else "val2017", photos=True)
    return _source(source)


def _source(path: Path) -> DataReport:
    if is_camera(path):
        return DataReport((f"camera {path}: not opened; only a run does that",))
    from utils.imaging.image_sources import open_source  # noqa: PLC0415 - imports torch
    from utils.imaging.video_source import VideoSource  # noqa: PLC0415 - imports torch

    try:
        source = open_source(path)
    except UserError as error:
        return DataReport((), (str(error),))
    if isinstance(source, VideoSource):
        width, height = source.size
        return DataReport((f"video: {len(source)} frames, {width} × {height} px, {source.fps:.4g} frames/s",))
    left_out = getattr(source, "left_out", [])
    lines = [counted(len(source), "photo")]
    if left_out:
        lines.append(f"{counted(len(left_out), 'file')} ignored, not photos by name: {first_few(left_out, ',')}")
    return DataReport(tuple(lines))


def _other(folder: Path) -> DataReport:
    """Report on a further folder of a training, in whichever form it has."""
    if not folder.is_dir():
        return DataReport((), (f"--data_dir {folder}: no such folder; give folders in the MPII, LSP or COCO form",))
    if is_coco(folder):
        return _coco_part(folder, "train2017", photos=True)
    return check_lsp(folder) if is_lsp(folder) else check_mpii(folder, validates=False)


def _coco_part(data_dir: Path, part: str, photos: bool) -> DataReport:
    try:
        everybody = read_coco(data_dir, part)
    except UserError as error:
        return DataReport((), (str(error),))
    scored = scored_people(everybody)
    marked = int(everybody.people.annotated.any(axis=1).sum())
    line = (
        f"{part}: {counted(len(everybody), 'person', 'people')}, {int(everybody.crowd.sum())} crowds; "
        f"{_of(marked, COCO_KEYPOINT_PEOPLE[part], 'with annotated joints')}"
    )
    joints = everybody.people.annotated.sum(axis=1)
    usable = ~everybody.crowd & (joints >= LEAST_ANNOTATED_JOINTS) & (everybody.area >= LEAST_AREA)
    use = f"{int(usable.sum())} to train on" if part == "train2017" else f"{len(scored)} that scores count"
    lines = [f"COCO form: {everybody.people.source[0]}", f"{line}; {use}"]
    if not photos:
        return DataReport(tuple(lines))
    lines.append(f"full set: {COCO_IMAGES[part]:,} photos, with and without people, in {coco_photos(data_dir, part)}")
    return _with_photos(lines, everybody.people.image_paths)


def _with_photos(lines: list[str], paths: Sequence[Path], url: str | None = None) -> DataReport:
    """The report, with a line on the annotated photos. Some may be missing, but not all."""
    named = dict.fromkeys(paths)
    there: dict[Path, set[str]] = {}
    for folder in {path.parent for path in named}:
        there[folder] = {one.name for one in folder.iterdir()} if folder.is_dir() else set()
    absent = [path for path in named if path.name not in there[path.parent]]
    if not absent:
        return DataReport((*lines, f"photos: {len(named):,} with annotated people, none missing"))
    names = first_few([path.name for path in absent], ",")
    line = f"photos: {len(absent):,} of {len(named):,} with annotated people missing: {names}"
    if len(absent) < len(named):
        return DataReport((*lines, line))
    return DataReport((*lines, line), (f"{absent[0].parent}: none of the photos{f'; get {url}' if url else ''}",))


def _head_boxes(data_dir: Path, people: int) -> str:
    path = find_head_boxes(data_dir)
    if path is None:
        return "head boxes: no detections_our_format.mat; PCKh would use approximate head sizes"
    count = len(read_head_sizes(path))
    fault = "" if count == people else f"; expected {people}, the number of validation people in the annotations"
    return f"head boxes: {path}, {counted(count, 'person', 'people')}{fault}"


def _of(count: int, full: int, what: str) -> str:
    """ "2,958 people, as in the full set", or "160 people (2,958 in the full set)"."""
    return f"{count:,} {what}" + (", as in the full set" if count == full else f" ({full:,} in the full set)")


FORMS = {"mpii": check_mpii, "lsp": check_lsp, "coco": check_coco}

"""2D poses on the photos or video frames that they belong to.

python viz.py 2d_overlay --img_dir PHOTOS --2d_pose_estimations data/hourglass_mpii/2d_pose_estimations.pt
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from utils.draw_utils import can_write, draw_pose, image_grid, save_image
from utils.image_sources import ImageSource, PhotoSource, VideoSource, open_source
from utils.image_utils import ImageError
from utils.osutils import UserError, first_few, warn
from utils.prediction_utils import load_metas, load_predictions
from utils.progress import progress
from utils.transform import COCO, LSP, MPII, SKELETONS, Skeleton

SHEET = "contact_sheet.png"
SHEET_PICTURES, SHEET_COLUMNS, SHEET_CELL = 16, 4, (480, 360)  # cell: width, height px


def overlay_2d(options: Namespace) -> None:
    """`viz.py 2d_overlay`: a picture an image under the image's own name, and a contact sheet of up to 16.

    Reads `--2d_pose_estimations`: image name -> people × J × 2, zero-based px; J is told by `metas.pt` beside
    it, else 16 is MPII, 14 LSP, 17 COCO. Frames of a video get ".png" behind their name.

    Raises UserError before it writes anything: unreadable or unusable input, no image with a prediction, an
    output folder whose files would replace the photos.
    """
    predictions = load_predictions(options.pose_2d_estimations)
    skeleton = find_skeleton(options.pose_2d_estimations, predictions)
    source = open_source(options.img_dir, "--img_dir")
    names = _matching_names(source, predictions, options)
    targets = {name: _target(options.output_dir, name, source) for name in names}
    _require_own_folder(source, targets, options)
    drawn, unreadable, thumbnails = 0, [], []
    on_sheet = {names[i] for i in np.linspace(0, len(names) - 1, min(SHEET_PICTURES, len(names))).round().astype(int)}
    for name, image in progress(_images(source, targets), len(names), "drawing", "picture"):
        if isinstance(image, ImageError):
            unreadable.append(str(image))
            continue
        picture = draw_pose(image, predictions[name], skeleton)
        save_image(targets[name], picture)
        drawn += 1
        if name in on_sheet:
            thumbnails.append(image_grid([picture], 1, SHEET_CELL))
    if not drawn:
        fault = f"; the first fault: {unreadable[0]}" if unreadable else ""
        raise UserError(f"--img_dir {options.img_dir}: no image could be read, so nothing is drawn{fault}")
    if unreadable:
        warn(f"{len(unreadable)} photos can't be read: {first_few(unreadable, ',')}")
    _warn_about_nan({name: predictions[name] for name in names})
    lines = [f"{drawn} pictures in {options.output_dir}"]
    if thumbnails:
        save_image(options.output_dir / SHEET, image_grid(thumbnails, SHEET_COLUMNS))
        lines.append(f"{len(thumbnails)} of them at a glance: {options.output_dir / SHEET}")
    print("\n".join(lines))


def find_skeleton(path: Path, predictions: dict[str, Tensor]) -> Skeleton:
    """The joint order of 2D predictions: as `metas.pt` beside the file names it, else by the number of joints.

    Raises UserError for an empty file, 3D poses, people with different numbers of joints, and an unknown order.
    """
    if not predictions:
        raise UserError(f"--2d_pose_estimations {path}: holds no poses")
    shapes = sorted({tuple(poses.shape[1:]) for poses in predictions.values()})
    if any(dimensions == 3 for _, dimensions in shapes):
        raise UserError(f"--2d_pose_estimations {path}: holds 3D poses; 2d_pose_estimations.pt of run.py is wanted")
    if len(shapes) > 1:
        counts = ", ".join(str(joints) for joints, _ in shapes)
        raise UserError(f"--2d_pose_estimations {path}: its people have {counts} joints; all need the same number")
    joints = shapes[0][0]
    named = _skeletons_in_metas(Path(path).with_name("metas.pt"), predictions)
    fitting = [skeleton for skeleton in named if len(skeleton) == joints]
    if fitting:
        return fitting[0]
    by_count = {len(skeleton): skeleton for skeleton in (MPII, LSP, COCO)}
    if joints not in by_count:
        raise UserError(
            f"--2d_pose_estimations {path}: {joints} joints a person are of no known order; known are "
            f"{', '.join(f'{count} ({skeleton.name})' for count, skeleton in by_count.items())}, or as metas.pt says"
        )
    return by_count[joints]


def _skeletons_in_metas(path: Path, predictions: dict[str, Tensor]) -> list[Skeleton]:
    """The skeletons that a `metas.pt` names, for all images or for each; none where there is no such file."""
    if not path.is_file():
        return []
    metas = load_metas(path)
    entries = [metas] + [metas[name] for name in predictions if isinstance(metas.get(name), dict)]
    named = dict.fromkeys(entry.get("skeleton") for entry in entries)
    return [skeleton for name in named if (skeleton := _skeleton_by_name(name)) is not None]


def _skeleton_by_name(name: object) -> Skeleton | None:
    """The skeleton called "MPII", or, as "MPII[:10]", its first 10 joints; None for what is neither."""
    base, _, rest = str(name).partition("[:")
    skeleton, count = SKELETONS.get(base), rest.removesuffix("]")
    if skeleton is None or not rest:
        return skeleton
    return skeleton.first(int(count)) if count.isdecimal() else None


def _matching_names(source: ImageSource, predictions: dict[str, Tensor], options: Namespace) -> list[str]:
    """Names of the images to draw, in order; warns about images and predictions that have no partner.

    How many frames a video really has shows only when it is read, so a video's are those that are predicted.
    """
    if isinstance(source, VideoSource):
        prefix = source.root.stem + "/"
        present = sorted(name for name in predictions if name.startswith(prefix))
        without = max(0, source.frame_count - len(present))
    else:
        present = source.names()
        without = sum(name not in predictions for name in present)
    names = [name for name in present if name in predictions]
    if not names:
        here = (present or source.names() or [source.root.name])[:2]
        raise UserError(
            f"--2d_pose_estimations {options.pose_2d_estimations}: no pose is of an image in {options.img_dir}; "
            f"its names are like {', '.join(list(predictions)[:2])}, those of the images like {', '.join(here)}"
        )
    if without:
        warn(f"{without} of {without + len(names)} images have no predicted pose and are not drawn")
    drawn = set(names)
    lost = [name for name in predictions if name not in drawn]
    if lost and source.kind != "photo":
        shown = first_few(lost, ",")
        warn(f"{len(lost)} of {len(predictions)} images with predictions are not in {options.img_dir}: {shown}")
    return names


def _target(folder: Path, name: str, source: ImageSource) -> Path:
    """Where the picture of an image goes: its own name; ".png" is added where that is no name of a picture."""
    target = folder / name
    return target if isinstance(source, PhotoSource) and can_write(target) else target.with_name(target.name + ".png")


def _require_own_folder(source: ImageSource, targets: dict[str, Path], options: Namespace) -> None:
    """UserError where pictures can't be written into the output folder, or would replace their own photos."""
    folder = Path(options.output_dir)
    if isinstance(source, PhotoSource) and any(
        target.exists() and target.samefile(source.path(name)) for name, target in targets.items()
    ):
        raise UserError(f"--output_dir {folder}: the pictures would replace the photos in it; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder}: not a folder to write to ({error.strerror}); give another") from None


def _images(source: ImageSource, wanted: dict[str, Path]) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """(name, image) of the wanted images."""
    if isinstance(source, PhotoSource):
        return ((name, source.read(name)) for name in wanted)
    return ((name, image) for name, image in source if name in wanted)


def _warn_about_nan(predictions: dict[str, Tensor]) -> None:
    """One warning that counts the joints that could not be drawn."""
    missing = {name: int((~poses.isfinite().all(dim=2)).sum()) for name, poses in predictions.items()}
    bad = [name for name, count in missing.items() if count]
    if bad:
        joints = sum(missing.values())
        warn(f"{joints} joints in {len(bad)} images are NaN or infinite and not drawn: {first_few(bad, ',')}")

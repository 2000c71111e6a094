"""Draws predictions image by image: matches images with poses, names the output files, adds a contact sheet."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.console.progress import progress
from utils.files.inside import inside
from utils.imaging.base_source import ImageSource
from utils.imaging.captions import Key, captioned
from utils.imaging.draw2d import can_write, resized, save_image
from utils.imaging.figures import DARK_STYLE, FigureStyle, save_figure
from utils.imaging.images import ImageError, is_readable, report_unreadable
from utils.imaging.lettering import legible_size, size_for
from utils.imaging.photo_source import PhotoSource
from utils.imaging.sketch import Image, Sketch, arranged, as_sketch
from utils.imaging.video_source import VideoSource
from utils.look.palette import DARK, Palette
from utils.osutils import UserError, counted, first_few, inform, warn
from utils.predictions.prediction_files import metas_of
from utils.transform import COCO, EVA, LSP, MPII, SKELETONS, Skeleton, spoken

SHEET = "contact_sheet.png"
SHEET_GAP = 12  # px between thumbnails
MOST_HIDDEN = 6  # joints that a caption names; of more it gives the number


class ContactSheet:
    """Thumbnails of up to `pictures` evenly spaced figures on one page, each above its name.

    Captions would be too small to read: thumbnails go without, and one legend stands below them all, with the sentences
    that all captions have. Other text stays where it can be read.
    """

    def __init__(
        self,
        keys: Sequence[Hashable],
        pictures: int = 16,
        columns: int = 4,
        cell: tuple[int, int] = (480, 360),
        palette: Palette = DARK,
    ) -> None:
        """`keys`: names of all pictures, in order. `pictures`, `columns`: at most. `cell`: (width, height) px."""
        places = np.linspace(0, len(keys) - 1, min(pictures, len(keys))).round().astype(int)
        self._shown = {keys[place] for place in places}
        self._columns = min(columns, math.ceil(math.sqrt(len(self._shown))))
        self._cell, self._palette = cell, palette
        self._thumbnails: list[Sketch] = []
        self._legend: list[Key] = []
        self._sentences: list[str] | None = None  # of all figures so far

    def add(self, key: Hashable, figure: Sketch | np.ndarray, name: str | None = None) -> None:
        """Add a figure if it is one of those shown. `name`: what is written below it, by default its key."""
        if key not in self._shown:
            return
        figure = as_sketch(figure)
        self._legend += [entry for entry in figure.legend if entry not in self._legend]
        before = figure.sentences if self._sentences is None else self._sentences
        self._sentences = [sentence for sentence in before if sentence in figure.sentences]
        width, height = self._cell
        full_height = figure.size[1] - figure.caption_height
        scale = min(width / figure.size[0], height / full_height)
        readable = figure.without_text_below(legible_size(self._columns * width) / scale)
        small, _ = resized(readable.raster()[:full_height], scale)
        size = size_for(self._columns * width)
        cell = Sketch((width, small.shape[0] + round(1.6 * size)), self._palette.ground)
        cell.add(Image(small, 0, 0))
        cell.write(
            str(key) if name is None else name, (size // 2, small.shape[0] + 1.1 * size), size, self._palette.ink
        )
        self._thumbnails.append(cell)

    def page(self) -> Sketch:
        """The page, of at least one figure."""
        page = arranged(self._thumbnails, self._columns, SHEET_GAP, self._palette.ground)
        return captioned(page, self._legend, self._sentences or [], self._palette) if self._legend else page

    def save(self, folder: Path) -> None:
        """Write the page into a folder and report it; does nothing for a single picture."""
        if len(self._thumbnails) > 1:
            save_image(folder / SHEET, self.page().raster())
            inform(f"{len(self._thumbnails)} of them at a glance: {folder / SHEET}")


def draw_images(
    source: ImageSource,
    names: Sequence[str],
    draw: Callable[[str, np.ndarray], Sketch],
    output_dir: str | Path,
    cell: tuple[int, int] = (480, 360),
    style: FigureStyle = DARK_STYLE,
) -> None:
    """Write one figure per image, under the image's name, and a contact sheet of several into `output_dir`.

    In the style for papers each has a PDF and an SVG file, too. ".png" is appended to the names of video frames and of
    photos in a format that can't be written. Unreadable images are skipped, with one warning.

    Args:
        names: names of the images to draw on.
        draw: (name, image (H, W, 3) uint8 RGB) -> figure.
        cell: (width, height) px of a picture on the contact sheet.

    Raises UserError before anything is written if the folder is not writable or pictures would overwrite their photos,
    and if no image could be read.
    """
    folder = Path(output_dir)
    targets = {name: _target(folder, name, source) for name in names}
    _require_own_folder(source, targets, folder)
    drawn, unreadable, sheet = 0, [], ContactSheet(names, cell=cell, palette=style.palette)
    stems = Counter(target.with_suffix("") for target in targets.values())
    for name, image in progress(_images(source, targets), len(names), "drawing", "picture"):
        if isinstance(image, ImageError):
            unreadable.append(str(image))
            continue
        figure, target = draw(name, image), targets[name]
        save_figure(target, figure, style, whole_name=stems[target.with_suffix("")] > 1)
        sheet.add(name, figure)
        drawn += 1
    report_unreadable(unreadable, drawn + len(unreadable), "not drawn", f"--img_dir {source.root}", "image")
    if not drawn:
        raise UserError(f"--img_dir {source.root}: no image could be read, nothing was drawn")
    inform(f"{counted(drawn, 'picture')} in {folder}")
    sheet.save(folder)


def matching_names(source: ImageSource, predictions: Mapping[str, Tensor], path: str | Path) -> list[str]:
    """Names of the images that have predictions, in order; warns of images without predictions and vice versa.

    Of a video, the frames with predictions are taken: the others were excluded from the run (--start, --every etc.).

    Args:
        path: the prediction file, for the error message.

    Raises UserError if no name matches.
    """
    names = [name for name in source.names() if name in predictions]
    if not names:
        raise UserError(
            f"--2d_pose_estimations {path}: no pose belongs to an image in {source.root}; its names look like "
            f"{', '.join(list(predictions)[:2])}, image names like {', '.join(source.names()[:2])}"
        )
    if isinstance(source, PhotoSource):
        _warn_of_unpredicted(source, predictions)
    drawn = set(names)
    lost = [name for name in predictions if name not in drawn]
    if lost and source.kind != "photo":
        shown = first_few(lost, ",")
        warn(f"{len(lost)} of {len(predictions)} images with predictions are not in {source.root}: {shown}")
    return names


def _warn_of_unpredicted(source: PhotoSource, predictions: Mapping[str, Tensor]) -> None:
    """Warn separately of unreadable photos, which a run skips, and of photos without a prediction."""
    others, total = [name for name in source.names() if name not in predictions], counted(len(source), "image")
    unreadable = [name for name in others if not is_readable(source.path(name))]
    if unreadable:
        warn(f"{len(unreadable)} of {total} unreadable, not drawn: {first_few(unreadable, ',')}")
    if len(others) > len(unreadable):
        warn(f"{len(others) - len(unreadable)} of {total} without a predicted pose, not drawn")


def confident_joints(
    joints: Mapping[str, Tensor], path: str | Path, min_score: float | None
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The joints (P, J, 2) to draw: those with a score below a threshold become NaN, and their number is reported.

    Args:
        path: the prediction file; the scores are in `metas.pt` beside it. Without scores all joints are drawn.
        min_score: the threshold; None for the one stored in `metas.pt`, which comes from the network's checkpoint.

    Returns the joints and the thresholds by image name; 0 for none.

    Raises UserError if `min_score` is given without scores, or if scores and joints differ in shape.
    """
    metas_path = Path(path).with_name("metas.pt")
    metas = metas_of(metas_path.parent)
    shown, thresholds, hidden, limits = {}, {}, 0, set()
    for name, places in joints.items():
        meta = metas[name] if isinstance(metas.get(name), dict) else {}
        least = float(meta.get("score_threshold", 0.0)) if min_score is None else min_score
        shown[name], thresholds[name] = places, least
        if least:
            unsure = ~(_scores(meta, name, places, metas_path) >= least)
            shown[name] = places.masked_fill(unsure[..., None], torch.nan)
            hidden += int(unsure.sum())
            limits.add(least)
    if hidden:
        total = sum(places.shape[:-1].numel() for places in joints.values())
        inform(
            f"{hidden} of {counted(total, 'joint')} in 2D not drawn: confidence below {min(limits):.2g}; "
            "--min_score 0 draws all"
        )
    return shown, thresholds


def hidden_note(joints: Tensor, shown: Tensor, skeleton: Skeleton, threshold: float) -> str:
    """For a caption: the joints (P, J, 2) that are not `shown` (NaN there) because of their scores; "" for none."""
    hidden = (joints.isfinite() & ~shown.isfinite()).all(-1)
    if not hidden.any():
        return ""
    why = f"confidence below {threshold:.2g}"
    if len(hidden) == 1 and hidden.sum() <= MOST_HIDDEN:
        named = ", ".join(
            spoken(joint) for joint, gone in zip(skeleton.joints, hidden[0].tolist(), strict=True) if gone
        )
        return f"not drawn: {named} ({why})"
    return f"not drawn: {counted(int(hidden.sum()), 'joint')} of {hidden.numel()} ({why})"


def _scores(meta: Mapping[str, Any], name: str, places: Tensor, path: Path) -> Tensor:
    """The scores (P, J) of an image's joints (P, J, 2), from its entry in `metas.pt`."""
    scores = meta.get("scores")
    if scores is None:
        raise UserError(f"--min_score: {path} has no scores of {name!r}; omit the option")
    if scores.shape != places.shape[:-1]:
        shapes = f"{tuple(scores.shape)} but the poses are {tuple(places.shape)}"
        raise UserError(f"{path}: the scores of {name!r} are {shapes}; give files of the same run")
    return scores.to(places.device)


def warn_about_nan(poses: Mapping[str, Tensor], kind: str) -> None:
    """Warn once of joints (…, J, 2 or 3) that are not finite, with their number and images; `kind`: "2D" or "3D"."""
    missing = {name: int((~values.isfinite().all(dim=-1)).sum()) for name, values in poses.items()}
    bad = [name for name, count in missing.items() if count]
    if bad:
        joints = sum(missing.values())
        warn(f"{counted(joints, 'joint')} of the {kind} poses NaN or infinite, not drawn, in {first_few(bad, ',')}")


# ------------------------------------------------------------------------------------------ joint order
def find_skeleton(path: Path, predictions: Mapping[str, Tensor]) -> Skeleton:
    """The joint order of 2D predictions: from `metas.pt` beside the file, else from the number of joints.

    Raises UserError for an empty file, 3D poses, people with different numbers of joints, and an unknown order.
    """
    if not predictions:
        raise UserError(f"--2d_pose_estimations {path}: holds no poses")
    shapes = sorted({tuple(poses.shape[1:]) for poses in predictions.values()})
    if any(dimensions == 3 for _, dimensions in shapes):
        raise UserError(f"--2d_pose_estimations {path}: holds 3D poses; expected 2d_pose_estimations.pt of run.py")
    if len(shapes) > 1:
        counts = ", ".join(str(joints) for joints, _ in shapes)
        raise UserError(f"--2d_pose_estimations {path}: its people have {counts} joints; all need the same number")
    joints = shapes[0][0]
    named = named_skeleton(path, predictions)
    if named is not None:
        return named
    by_count = {len(skeleton): skeleton for skeleton in (MPII, LSP, COCO, EVA)}
    if joints not in by_count:
        raise UserError(
            f"--2d_pose_estimations {path}: {joints} joints per person is no known joint order; known are "
            f"{', '.join(f'{count} ({skeleton.name})' for count, skeleton in by_count.items())}, or name it in metas.pt"
        )
    return by_count[joints]


def named_skeleton(path: str | Path, predictions: Mapping[str, Tensor | np.ndarray]) -> Skeleton | None:
    """The skeleton that the `metas.pt` beside a file of poses names, if it has their number of joints."""
    counts = {poses.shape[1] for poses in predictions.values()}
    named = _skeletons_in_metas(Path(path).parent, predictions)
    return next((skeleton for skeleton in named if counts == {len(skeleton)}), None)


def _skeletons_in_metas(folder: Path, predictions: Mapping[str, Tensor]) -> list[Skeleton]:
    """Skeletons named in `metas.pt`, for all images or per image; empty without the file."""
    metas = metas_of(folder)
    entries = [metas] + [metas[name] for name in predictions if isinstance(metas.get(name), dict)]
    named = dict.fromkeys(entry.get("skeleton") for entry in entries)
    return [skeleton for name in named if (skeleton := _skeleton_by_name(name)) is not None]


def _skeleton_by_name(name: object) -> Skeleton | None:
    """The skeleton "MPII", or its first 10 joints for "MPII[:10]"; None for anything else."""
    base, _, rest = str(name).partition("[:")
    skeleton, count = SKELETONS.get(base), rest.removesuffix("]")
    if skeleton is None or not rest:
        return skeleton
    return skeleton.first(int(count)) if count.isdecimal() else None


# ------------------------------------------------------------------------------------------ files
def _target(folder: Path, name: str, source: ImageSource) -> Path:
    """Output path of an image's picture: its own name, with ".png" appended if that format can't be written."""
    target = inside(folder, name)
    return target if isinstance(source, PhotoSource) and can_write(target) else target.with_name(target.name + ".png")


def _require_own_folder(source: ImageSource, targets: Mapping[str, Path], folder: Path) -> None:
    """Raise UserError if the output folder is not writable, or if pictures would overwrite their photos."""
    if isinstance(source, PhotoSource) and any(
        target.exists() and target.samefile(source.path(name)) for name, target in targets.items()
    ):
        raise UserError(f"--output_dir {folder}: the pictures would overwrite the photos in it; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir {folder}: not a writable folder ({error.strerror}); give another") from None


def _images(source: ImageSource, wanted: Mapping[str, Path]) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """(name, image) of the wanted images."""
    if isinstance(source, PhotoSource):
        return ((name, source.read(name)) for name in wanted)
    return iter(source.with_names(list(wanted)) if isinstance(source, VideoSource) else source)

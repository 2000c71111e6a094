"""How sure a run was of its poses: one HTML file with a row per person, the least sure first.

python viz.py report --predictions data/stitched_mpii
"""

import json
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from stitched.viewer import image_folder_of, jpeg_uri, threshold_of, wanted_images
from utils.console.progress import progress
from utils.formats.people import Person, read_people
from utils.formats.requirements import POSES_2D
from utils.imaging.base_source import ImageSource
from utils.imaging.draw2d import draw_pose, move_to, resized
from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError
from utils.imaging.photo_source import PhotoSource
from utils.imaging.video_source import VideoSource
from utils.look.palette import DARK, contrast, css_variables, hexadecimal, ramp_color
from utils.osutils import UserError, counted, first_few, inform, warn, write_text
from utils.predictions.prediction_files import metas_of

TEMPLATE = Path(__file__).with_name("report.html")
THUMBNAIL = 160  # px, longer side
RAMP_STEPS = 20  # colours of scores from 0 to 1
MARGIN = 0.2  # of a person's size, around the joints


class Found(NamedTuple):
    """A person in one image; `score` is the mean over the joints (J,) of `scores`, NaN where they are unknown."""

    image: str
    number: int
    joints: np.ndarray
    scores: np.ndarray
    score: float


def report(options: Namespace) -> None:
    """`viz.py report`."""
    [folder, *others] = options.predictions
    if others:
        raise UserError(f"--predictions: {len(others) + 1} folders; expected one, whose report is written")
    write_report(
        folder,
        options.output_dir,
        img_dir=options.img_dir,
        min_score=options.min_score,
        num_pictures=options.num_pictures,
    )


def write_report(
    predictions: str | Path,
    output_dir: str | Path,
    *,
    img_dir: str | Path | None = None,
    min_score: float | None = None,
    num_pictures: int = 1000,
) -> Path:
    """Write `report.html`: thumbnail, link to the image, and scores of every person; returns its path.

    Args:
        predictions: a folder that run.py wrote, with 2D poses.
        img_dir: the photos or video; by default what the folder's `metas.pt` names.
        min_score: joints of a lower score count as unsure; by default the network's threshold.
        num_pictures: rows: as many people as that, the least sure ones.

    Raises UserError for damaged files, a folder without 2D poses or people, and images that can't be found or read.
    """
    people, metas, least = read_people(predictions), metas_of(predictions), threshold_of(predictions, min_score)
    if people[0].joints is None:
        raise UserError(f"--predictions {predictions}: has no {POSES_2D}, so there are no scores to report")
    source = open_source(img_dir or image_folder_of(metas, predictions), "--img_dir")
    present = set(wanted_images(source, {image for person in people for image in person.images}))
    found = [one for one in _found(people) if one.image in present]
    shown = sorted(found, key=lambda one: one.score if np.isfinite(one.score) else np.inf)[:num_pictures]
    rows = _rows(source, shown, people[0], least, Path(output_dir), metas)
    known = np.array([one.score for one in found if np.isfinite(one.score)])
    mean = f"mean confidence {known.mean():.2f}; " if len(known) else ""
    left_out = f"; the {len(shown)} least sure of them are here" if len(shown) < len(found) else ""
    content = {
        "title": source.root.name,
        "summary": f"{counted(len(found), 'pose')}{left_out}; {mean}confidence: mean score (height of the heat map's "
        f"peak) over {len(people[0].skeleton)} joints; unsure: below {least:.2f}",
        "joints": people[0].skeleton.joints,
        "ramp": [_shade(step / RAMP_STEPS) for step in range(RAMP_STEPS + 1)],
        "rows": rows,
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    path = Path(output_dir) / "report.html"
    template = TEMPLATE.read_text(encoding="utf-8").replace("COLORS", css_variables(DARK), 1)
    write_text(path, template.replace("DATA", text, 1))
    inform(f"{counted(len(rows), 'row')}, {len(text) / 1e6:.1f} MB: {path}")
    return path


def _shade(score: float) -> tuple[str, str]:
    """A cell's colour at a score from 0 to 1, and that of its text."""
    color = ramp_color(score)
    return hexadecimal(color), hexadecimal(max(DARK.outline, DARK.ink, key=lambda ink: contrast(ink, color)))


def _found(people: Sequence[Person]) -> list[Found]:
    return [
        Found(image, person.number, person.joints[row], person.scores[row], float(person.scores[row].mean()))
        for person in people
        for row, image in enumerate(person.images)
    ]


def _rows(
    source: ImageSource, found: Sequence[Found], person: Person, least: float, folder: Path, metas: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row of the table for everybody whose image can be read; a warning counts the others."""
    by_image: dict[str, list[Found]] = {}
    for one in found:
        by_image.setdefault(one.image, []).append(one)
    chosen = source.with_names([*by_image]) if isinstance(source, PhotoSource) else source
    rows, lost = [], set(by_image)
    for name, image in progress(chosen, len(chosen), "reading", "image"):
        if name not in by_image or isinstance(image, ImageError):
            continue
        lost.discard(name)
        for one in by_image[name]:
            scores = [round(score, 3) if np.isfinite(score) else None for score in one.scores.tolist()]
            rows.append(
                {
                    "image": name,
                    "link": _link(source, name, folder, metas),
                    "person": one.number,
                    "score": round(one.score, 3) if np.isfinite(one.score) else None,
                    "unsure": int((one.scores < least).sum()),
                    "scores": scores,
                    "picture": jpeg_uri(_thumbnail(image, one, person, least), THUMBNAIL),
                }
            )
        if not lost:
            break
    if not rows:
        raise UserError(f"--img_dir {source.root}: no image with predictions could be read")
    if lost:
        warn(f"{len(lost)} of {len(by_image)} images unreadable, left out: {first_few(sorted(lost), ',')}")
    return rows


def _link(source: ImageSource, name: str, folder: Path, metas: dict[str, Any]) -> str:
    """Address of an image, or of the time in a video, relative to the report."""
    path = source.path(name) if isinstance(source, PhotoSource) else source.root
    address = quote(Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix())
    if not isinstance(source, VideoSource):
        return address
    meta = metas[name]
    return f"{address}#t={meta.get('time', int(name[-6:]) / meta['fps']):.3f}"


def _thumbnail(image: np.ndarray, one: Found, person: Person, least: float) -> np.ndarray:
    """The person cut out of an image (H, W, 3), with the joints that are not unsure."""
    known = one.joints[np.isfinite(one.joints).all(axis=1)]
    sides = np.array(image.shape[1::-1])
    if len(known):
        room = MARGIN * np.ptp(known, axis=0).max() + 8
        low = np.clip(np.floor(known.min(axis=0) - room), 0, sides - 1).astype(int)
        high = np.clip(np.ceil(known.max(axis=0) + room), low + 1, sides).astype(int)
    else:
        low, high = np.zeros(2, int), sides
    cut = image[low[1] : high[1], low[0] : high[0]]
    small, spans = resized(cut, THUMBNAIL / max(cut.shape[:2]))
    scores = np.where(np.isnan(one.scores), 1, one.scores)
    joints = move_to(one.joints - low, spans)
    return draw_pose(small, joints, person.skeleton, scores, least, min_side=0)

"""Poses to look at in a browser: one HTML file with the pictures, the 2D poses on them, and the 3D poses to turn.

python viz.py viewer --predictions data/stitched_mpii                       # the photos or video that it ran on
python viz.py viewer --predictions data/one data/other --model_names ours theirs --img_dir clip.mp4

The file needs no network: pictures and poses are inside, drawn by the script in `viewer.html`.
"""

import base64
import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from twod_threed.joint_order import doubtful_joints
from utils.console.progress import progress
from utils.formats.people import Person, read_people
from utils.formats.requirements import METAS, POSES_2D, POSES_3D
from utils.imaging.base_source import ImageSource
from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError
from utils.imaging.video_source import VideoSource
from utils.look.palette import DARK, PERSON_COLORS, css_variables, hexadecimal
from utils.osutils import UserError, counted, first_few, inform, warn, write_text
from utils.predictions.prediction_files import load_predictions, metas_of, noted_images
from utils.transform import H36M, Skeleton

TEMPLATE = Path(__file__).with_name("viewer.html")
MOST_SIDE = 640  # px, of a picture in the file
JPEG_QUALITY = 75
LEAST_SPREAD = 1.0  # mm: hips that are farther from the origin say that poses are not about the hip
MIDDLE = (0.0, 0.0, 0.0)
FLOOR = 950.0  # mm below the middle


def viewer(options: Namespace) -> None:
    """`viz.py viewer`."""
    write_viewer(
        options.predictions,
        options.output_dir,
        img_dir=options.img_dir,
        model_names=options.model_names,
        min_score=options.min_score,
        num_pictures=options.num_pictures,
    )


def write_viewer(
    predictions: Sequence[str | Path],
    output_dir: str | Path,
    *,
    img_dir: str | Path | None = None,
    model_names: Sequence[str] | None = None,
    min_score: float | None = None,
    num_pictures: int | None = None,
) -> Path:
    """Write `viewer.html` for the results of one run, or of several on the same images; returns its path.

    Args:
        predictions: folders that run.py wrote, one a model. The first is drawn in the colours of the sides.
        img_dir: photos or video; by default those that the first folder's `metas.pt` names.
        model_names: one a folder; by default the folders' names.
        min_score: joints of a lower confidence are hidden at first; by default the network's threshold.
        num_pictures: images to show, evenly spread; by default all.

    Raises UserError for damaged files, folders without people, another number of names than folders, and images that
    can't be found or read.
    """
    names = list(model_names or (Path(folder).name for folder in predictions))
    if len(names) != len(predictions):
        raise UserError(f"--model_names: {len(names)} names for {len(predictions)} folders of --predictions")
    runs = [read_people(folder) for folder in predictions]
    metas = metas_of(predictions[0])
    source = open_source(img_dir or image_folder_of(metas, predictions[0]), "--img_dir")
    images, pictures = _pictures(source, wanted_images(source, _all_images(predictions), num_pictures), metas)
    order = {image["name"]: place for place, image in enumerate(images)}
    content = {
        "title": source.root.name,
        "images": images,
        "bones": _bones(H36M),
        "sides": {side: hexadecimal(color) for side, color in DARK.sides.items()},
        "others": [hexadecimal(color) for color in PERSON_COLORS],
        **_space(runs),
        "models": [
            {"name": name, "threshold": threshold_of(folder, min_score), **_model(people, order)}
            for name, folder, people in zip(names, predictions, runs, strict=True)
        ],
    }
    path = Path(output_dir) / "viewer.html"
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    write_text(path, _page(text, pictures))
    sizes = f"{sum(map(len, pictures)) / 1e6:.1f} MB of pictures, {len(text) / 1e6:.1f} MB of poses"
    inform(f"{counted(len(images), 'image')}, {sizes}: {path}")
    return path


# ------------------------------------------------------------------------------------------ what is shown
def image_folder_of(metas: dict[str, Any], folder: str | Path) -> str:
    """`noted_images` of a folder of predictions. Raises UserError without any."""
    found = noted_images(metas)
    if found is None:
        raise UserError(f"--img_dir is required: {Path(folder) / METAS} does not say where the images are")
    return found


def _all_images(folders: Iterable[str | Path]) -> set[str]:
    """The names of all images that have predictions, of nobody too."""
    files = [Path(folder) / name for folder in folders for name in (POSES_2D, POSES_3D)]
    return {image for path in files if path.is_file() for image in load_predictions(path)}


def wanted_images(source: ImageSource, predicted: set[str], count: int | None = None) -> list[str]:
    """Names of the images that have predictions, in order, `count` of them; warns of predictions without an image.

    Raises UserError where no image has a prediction.
    """
    if isinstance(source, VideoSource):
        present = sorted(name for name in predicted if name.startswith(f"{source.root.stem}/"))
    else:
        present = [name for name in source.names() if name in predicted]
    if not present:
        of = first_few(sorted(predicted), ",", 2)
        raise UserError(f"--img_dir {source.root}: no pose is of an image in it; the poses are of {of}")
    if len(present) < len(predicted) and source.kind != "photo":
        warn(f"{len(predicted) - len(present)} of {len(predicted)} images with predictions are not in {source.root}")
    if count is None or count >= len(present):
        return present
    return [present[place] for place in np.linspace(0, len(present) - 1, count).round().astype(int)]


def _page(data: str, pictures: Sequence[str]) -> str:
    """The HTML of `viewer.html` with its data and pictures."""
    template = TEMPLATE.read_text(encoding="utf-8").replace("COLORS", css_variables(DARK), 1)
    begin, _, rest = template.partition("DATA")
    middle, _, end = rest.partition("PICTURES")
    tags = (f'<script type="text/plain" id="picture{place}">{uri}</script>' for place, uri in enumerate(pictures))
    return "".join([begin, data, middle, "\n".join(tags), end])


def _pictures(source: ImageSource, names: list[str], metas: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Name, time (s) and size (px) of each image, and its picture; unreadable ones are left out, with a warning."""
    images, pictures, lost, wanted = [], [], [], set(names)
    chosen = source if isinstance(source, VideoSource) else source.with_names(names)
    for name, image in progress(chosen, len(chosen), "reading", "image"):
        if name not in wanted:
            continue
        if isinstance(image, ImageError):
            lost.append(name)
            continue
        meta = metas[name] if isinstance(metas.get(name), dict) else {}
        time = meta.get("time", int(name[-6:]) / meta["fps"]) if "fps" in meta else None
        size = {"width": image.shape[1], "height": image.shape[0]}
        images.append({"name": name, "time": time, **size})
        pictures.append(jpeg_uri(image, MOST_SIDE))
        if name == names[-1]:
            break
    if lost:
        warn(f"{len(lost)} of {len(names)} images unreadable, left out: {first_few(lost, ',')}")
    if not images:
        raise UserError(f"--img_dir {source.root}: no image with predictions could be read")
    return images, pictures


def jpeg_uri(image: np.ndarray, most_side: int) -> str:
    """An image (H, W, 3) uint8 RGB as a data URI of a JPEG, its longer side at most `most_side` px."""
    factor = min(most_side / max(image.shape[:2]), 1)
    if factor < 1:
        size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode('ascii')}"


# ------------------------------------------------------------------------------------------ poses
def threshold_of(folder: str | Path, min_score: float | None) -> float:
    """`min_score`, or the network's threshold as `metas.pt` has it; 0 where it has none."""
    if min_score is not None:
        return min_score
    known = (meta.get("score_threshold", 0) for meta in metas_of(folder).values() if isinstance(meta, dict))
    return float(next(known, 0))


def _bones(skeleton: Skeleton) -> list[list]:
    """Of every bone, its joints' indices and its side."""
    return [[a, b, skeleton.bone_side(a, b)] for a, b in skeleton.bone_indices]


def _space(runs: Sequence[Sequence[Person]]) -> dict[str, Any]:
    """How 3D poses are looked at: about what point (mm), how far the floor is below it, and what has to fit aside."""
    poses = [person.poses for people in runs for person in people if person.poses is not None]
    hips = np.concatenate([one[:, H36M.index("pelvis")] for one in poses]) if poses else np.zeros((0, 3))
    hips = hips[np.isfinite(hips).all(axis=1)]
    absolute = bool(len(hips)) and bool(np.abs(hips).max() > LEAST_SPREAD)
    if not absolute:
        return {"absolute": False, "middle": MIDDLE, "height": FLOOR, "reach": 0}
    middle = (hips.min(axis=0) + hips.max(axis=0)) / 2
    reach = float(np.abs(hips - middle)[:, [0, 2]].max()) + FLOOR
    return {"absolute": True, "middle": middle.round().tolist(), "height": FLOOR, "reach": round(reach)}


def _model(people: Sequence[Person], order: dict[str, int]) -> dict[str, Any]:
    """Bones of the 2D poses, `_sources` of 3D joints, and the people by image.

    A person has a number, joints (x, y, score), the mean score and 3D joints.
    """
    by_image: list[list] = [[] for _ in order]
    for person in people:
        for row, image in enumerate(person.images):
            if image in order:
                by_image[order[image]].append(_pose(person, row))
    skeleton = people[0].skeleton
    bones, sources = (_bones(skeleton), _sources(skeleton)) if skeleton else ([], [])
    return {"bones": bones, "sources": sources, "people": by_image}


def _sources(skeleton: Skeleton) -> list[list[int]]:
    """Of every 3D joint, the 2D joints that it was lifted from: it is doubtful where one of them is unsure."""
    each = doubtful_joints(torch.eye(len(skeleton), dtype=torch.bool), skeleton)  # (J, 17)
    return [column.nonzero().flatten().tolist() for column in each.T]


def _pose(person: Person, row: int) -> dict[str, Any]:
    known = {"id": person.number, "joints": None, "score": None, "pose": None}
    if person.joints is not None:
        known["joints"] = _numbers(
            np.concatenate([person.joints[row].round(1), person.scores[row, :, None].round(3)], 1)
        )
        mean = person.scores[row].mean()
        known["score"] = round(float(mean), 3) if np.isfinite(mean) else None
    if person.poses is not None:
        known["pose"] = _numbers(person.poses[row].round(0))
    return known


def _numbers(values: np.ndarray) -> list[list[float | None]]:
    """Rows for JSON, which has no NaN: null there."""
    return [[number if np.isfinite(number) else None for number in row] for row in values.tolist()]

"""Finds the people in a photo without annotations: the values of `--person_box`.

`auto`, `whole`, `yolox`, `detect`, `hog`, or a JSON file of boxes. A finder turns one photo into `FoundPeople`.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stacked_hourglass.finding.box_file import read_box_file
from stacked_hourglass.finding.detectors import DetectorFinder, HogFinder, YoloxFinder, detector_is_cached
from stacked_hourglass.finding.finder import FoundPeople, PersonFinder, WholeImage
from utils.osutils import UserError, counted, warn

PERSON_BOX_KINDS = ("auto", "whole", "yolox", "detect", "hog")

# Scores below these are dropped, unless `make_finder` gets another threshold. HOG's score is a distance to the SVM's
# margin, the others are probabilities.
SCORE_THRESHOLDS = {"yolox": 0.4, "detect": 0.7, "hog": 0.65, "json": 0.5}


class WholeWhereNobody(PersonFinder):
    """The people of another finder, or the whole photo as one person if it finds nobody."""

    def __init__(self, finder: PersonFinder) -> None:
        self.finder = finder
        self.title, self.needs_device = finder.title, finder.needs_device

    def __call__(self, image: np.ndarray, name: str) -> FoundPeople:
        people = self.finder(image, name)
        return people if len(people.boxes) else WholeImage()(image, name)._replace(whole=True)


class BoxFile(PersonFinder):
    """Boxes from a JSON file, in either format of `box_file`.

    An entry names its photo by relative path or by file name; an integer `image_id` refers to the photo whose stem ends
    in that number (000000000785.jpg is 785). x, y is the top-left corner as in COCO: pixel 0 spans 0 … 1.
    """

    def __init__(self, path: Path, threshold: float) -> None:
        self.path = path
        found = read_box_file(path)
        self._boxes = {key: _above(boxes, scores, threshold) for key, (boxes, scores) in found.items()}

    def find(self, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        key = self._key(name)
        if key is None:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return self._boxes[key]

    def check_names(self, names: Iterable[str]) -> None:
        """Warn if the file names photos that do not exist.

        Raises UserError if it names none of `names`, or where one entry fits two photos.
        """
        by_key = defaultdict(list)
        names = list(names)
        if not names:  # a video of unknown length
            return
        for name in names:
            by_key[self._key(name)].append(name)
        without = by_key.pop(None, [])
        if not by_key:
            raise UserError(
                f"--person_box {self.path}: no box is for an image here; it names {_shown(self._boxes)}, the images "
                f"are {_shown(names)}"
            )
        for key, sharing in by_key.items():
            if len(sharing) > 1:
                raise UserError(
                    f"--person_box {self.path}: {key!r} fits {len(sharing)} photos ({_shown(sharing)}); "
                    "name each by its path relative to the folder"
                )
        lost = [key for key in self._boxes if key not in by_key]
        if lost:
            warn(f"{self.path} has boxes for {counted(len(lost), 'image')} not here: {_shown(lost)}")
        if without:
            warn(f"{self.path} has no boxes for {len(without)} of {counted(len(names), 'image')}: {_shown(without)}")

    def _key(self, name: str) -> str | int | None:
        """The key of a photo's boxes in the file."""
        base = name.rsplit("/", 1)[-1]
        numbers = re.findall(r"[0-9]+", base.rsplit(".", 1)[0])
        keys = [name, base] + [int(number) for number in numbers[-1:]]
        return next((key for key in keys if key in self._boxes), None)


def make_finder(
    person_box: str,
    device: Any = "cpu",
    score_threshold: float | None = None,
    whole_where_nobody: bool = True,
) -> PersonFinder:
    """The finder for a value of `--person_box`.

    Args:
        person_box: "auto", "whole", "yolox", "detect", "hog" or the path of a JSON file of boxes.
        device: device of "detect".
        score_threshold: drop people with a lower score; None for `SCORE_THRESHOLDS`. A box without a score has score 1.
        whole_where_nobody: let "auto" take the whole photo as one person if it finds nobody.

    Raises UserError for an unknown value, a file that can't be read or holds no usable boxes, missing weights of
    "detect", or an OpenCV without the people detector.
    """

    def threshold(kind: str) -> float:
        return SCORE_THRESHOLDS[kind] if score_threshold is None else score_threshold

    if person_box == "auto":
        finder = make_finder(best_detector(), device, score_threshold)
        return WholeWhereNobody(finder) if whole_where_nobody else finder
    if person_box == "whole":
        return WholeImage()
    if person_box == "yolox":
        return YoloxFinder(threshold("yolox"))
    if person_box == "detect":
        return DetectorFinder(threshold("detect"), device)
    if person_box == "hog":
        return HogFinder(threshold("hog"))
    return _box_file(person_box, threshold("json"))


def best_detector() -> str:
    """The detector of "auto": Faster R-CNN if its weights are in torchvision's cache, else YOLOX-Nano."""
    return "detect" if detector_is_cached() else "yolox"


def _box_file(person_box: str, threshold: float) -> BoxFile:
    path = Path(person_box)
    if path.is_file():
        return BoxFile(path, threshold)
    if path.is_dir():
        raise UserError(
            f"--person_box {person_box}: a folder; give a JSON file of boxes, or {', '.join(PERSON_BOX_KINDS)}"
        )
    close = difflib.get_close_matches(person_box.lower(), PERSON_BOX_KINDS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"choose {', '.join(PERSON_BOX_KINDS)} or a JSON file of boxes"
    raise UserError(f"--person_box {person_box}: no such file; {hint}")


def _above(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    kept = scores >= threshold
    return boxes[kept], scores[kept]


def _shown(names: Iterable) -> str:
    """The first three of many names, for messages."""
    names = [str(name) for name in names]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

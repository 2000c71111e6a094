"""Measure finders of people, the values of --person_box: who is found, false boxes, and time.

python scripts/measure_finders.py --data_dir data/coco data/mpii
python scripts/measure_finders.py --data_dir data/coco --finders yolox@416 yolox yolox@640 boxes.json

Of COCO folders the photos of val2017 with people who are not crowds and have an annotated joint, and these people's
boxes. Of MPII folders the photos of the validation people, and the boxes of their annotated joints. A person is found
if a box has an intersection over union of at least 0.5 with theirs; a box is one person's, and as many people as
possible get one. Other boxes are unmatched: some show people who are not annotated.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.annotations.coco import is_coco, read_coco, scored_people
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import joints_box
from stacked_hourglass.finding.boxes import SCORE_THRESHOLDS, make_finder
from stacked_hourglass.finding.detectors import YoloxFinder, detector_is_cached
from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.finding.tracking import overlaps
from utils.command_line.cli import Parser
from utils.compute.devices import pick_device
from utils.console.evaluation_tables import markdown_table
from utils.console.messages import show_messages
from utils.console.progress import progress
from utils.imaging.images import ImageError, read_image, report_unreadable
from utils.osutils import UserError, counted

LEAST_OVERLAP = 0.5
TALL = 1 / 3  # of the photo's height
YOLOX_SIDES = (64, 4096)  # px


class Photo(NamedTuple):
    """A photo and the boxes (P, 4) of its annotated people, edges x0, y0, x1, y1, zero-based px."""

    path: Path
    boxes: np.ndarray


class Count(NamedTuple):
    """What a finder does on readable photos; `unmatched` boxes, `empty` photos, `seconds` of each photo."""

    people: int
    found: int
    tall: int
    tall_found: int
    unmatched: int
    empty: int
    seconds: list[float]


def annotated_photos(data_dir: Path) -> list[Photo]:
    """The photos of a COCO or MPII folder with people to find. Raises UserError if there is none."""
    if is_coco(data_dir):
        coco = scored_people(read_coco(data_dir, "val2017"))
        people, (corner, size) = coco.people, np.split(coco.box, 2, axis=1)
        boxes = np.concatenate([corner, corner + size], axis=1) - 0.5  # in COCO pixel i spans i … i + 1
    else:
        _, people = load_mpii(data_dir)
        boxes = joints_box(people.joints, people.annotated)
    by_path = defaultdict(list)
    for path, box in zip(people.image_paths, boxes, strict=True):
        if (box[2:] > box[:2]).all():  # NaN without joints
            by_path[path].append(box)
    if not by_path:
        raise UserError(f"--data_dir {data_dir}: no validation person has a box")
    return [Photo(path, np.array(rows)) for path, rows in by_path.items()]


def find_matches(boxes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(P,) bool: which of P people with `boxes` (P, 4) get one of the `found` boxes (F, 4)."""
    close = overlaps(boxes, found) >= LEAST_OVERLAP
    people, others = linear_sum_assignment(close, maximize=True)
    return np.isin(np.arange(len(boxes)), people[close[people, others]])


def measure(finder: PersonFinder, photos: list[Photo], title: str, source: str) -> Count:
    """Count the people of readable photos that a finder finds. Raises UserError, naming `source`, without any."""
    finder.check_names([photo.path.name for photo in photos])
    matched, tall, seconds, faults, unmatched, empty = [], [], [], [], 0, 0
    for photo in progress(photos, len(photos), title, "photo"):
        try:
            image = read_image(photo.path)
        except ImageError as error:
            faults.append(str(error))
            continue
        if not seconds:
            finder(image, photo.path.name)  # the first call takes longer
        start = time.process_time()
        found = finder(image, photo.path.name).boxes
        seconds.append(time.process_time() - start)
        matched.append(find_matches(photo.boxes, found))
        tall.append(photo.boxes[:, 3] - photo.boxes[:, 1] > TALL * len(image))
        unmatched += len(found) - int(matched[-1].sum())
        empty += not len(found)
    report_unreadable(faults, len(photos), "skipped", source)
    is_found, is_tall = np.concatenate(matched), np.concatenate(tall)
    numbers = (len(is_found), is_found.sum(), is_tall.sum(), (is_found & is_tall).sum())
    return Count(*map(int, numbers), unmatched, empty, seconds)


def named_finder(name: str, device: Any) -> PersonFinder:
    """A value of --person_box, or "yolox@SIDE" for YOLOX-Nano with the longer side of photos scaled to SIDE px."""
    kind, at, side = name.partition("@")
    if kind != "yolox" or not at:
        return make_finder(name, device)
    if not side.isdecimal() or not YOLOX_SIDES[0] <= int(side) <= YOLOX_SIDES[1]:
        low, high = YOLOX_SIDES
        raise UserError(f"--finders {name}: give yolox@SIDE with a SIDE of {low} to {high} px, e.g. yolox@416")
    return YoloxFinder(SCORE_THRESHOLDS["yolox"], int(side))


def table_of(counts: dict[str, Count]) -> str:
    """A Markdown table, a row a finder."""
    header = ["finder", "people taller than a third of the photo", "all people", "unmatched boxes"]
    rows = [
        [
            f"`{name}`",
            f"{one.tall_found} of {one.tall}",
            f"{one.found} of {one.people}",
            str(one.unmatched),
            f"{one.empty} of {len(one.seconds)}",
            f"{1000 * np.median(one.seconds):.0f}",
        ]
        for name, one in counts.items()
    ]
    return markdown_table([*header, "photos without a box", "ms per photo"], rows)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", type=Path, nargs="+", default=[Path("data/coco")], help="COCO or MPII folders (data/coco)"
    )
    parser.add_argument(
        "--finders",
        nargs="+",
        help="values of --person_box, and yolox@SIDE for another size of photos than 512 px "
        "(default: yolox, hog, and detect if its weights are in torchvision's cache)",
    )
    parser.add_argument("--every", type=int, default=1, help="use every N-th photo (default: 1)")
    parser.add_argument("--device", default="auto", help="of detect: auto, cpu, cuda, cuda:N or mps (default: auto)")
    options = parser.parse_args()
    show_messages()
    if options.every < 1:
        parser.error(f"--every {options.every}: give 1 or more")
    with parser.one_line_errors():
        device = pick_device(options.device)
        names = options.finders or ["yolox", "hog", *(["detect"] if detector_is_cached() else [])]
        finders = {name: named_finder(name, device) for name in names}
        data = {folder: annotated_photos(folder)[:: options.every] for folder in options.data_dir}
        print(
            f"Found: people with a box at an intersection over union of at least {LEAST_OVERLAP:g}, one person per "
            "box. Time: median CPU time of the finder alone"
        )
        for folder, photos in data.items():
            source = f"--data_dir {folder}"
            counts = {name: measure(finder, photos, name, source) for name, finder in finders.items()}
            print(f"\n{folder}, {counted(len(photos), 'validation photo')}\n\n{table_of(counts)}")


if __name__ == "__main__":
    main()

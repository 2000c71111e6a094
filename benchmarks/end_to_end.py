"""run.py on photos from end to end: decoding, crops, network, joints; compared with the network alone.

    python benchmarks/end_to_end.py --photos 600
    python benchmarks/end_to_end.py               # 48 photos, for `make bench`

The demo weights' hourglass on photos of 1280 × 720 px, each taken as one person, without start-up. Ways
differ in how the cores are shared: workers that decode, and threads of the network. The floor is the network on crops
in memory with all threads. The baseline reads photo by photo and runs the network on each, for a tenth of the photos.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import cv2
import numpy as np
import torch
from measuring import machine, parser_of, print_table, take_turns, verdict
from PIL import Image

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.photo_crops import crop_people
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.photos import find_poses
from utils.compute.allocator import keep_large_blocks
from utils.imaging.images import CROP_SIZE, read_image

SIZE, PHOTO = (1280, 720), FOLDER.parent / "docs" / "photos" / "astronaut.jpg"
BATCH = 16
BAR = 85  # % of the network's own rate
DECODING, NETWORK = "decoding and cropping, one thread", "network alone"


def make_photos(folder: Path, number: int, size: tuple[int, int] = SIZE) -> None:
    """`number` JPEGs of `size`: a real photo, shifted."""
    original = np.asarray(Image.open(PHOTO).convert("RGB"))
    for place in range(number):
        photo = cv2.resize(np.roll(original, 7 * place, axis=1), size, interpolation=cv2.INTER_CUBIC)
        Image.fromarray(photo).save(folder / f"{place:04d}.jpg", quality=90)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Context in which torch computes on this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def network_alone(predictor: Predictor, number: int) -> int:
    crops = torch.randint(0, 256, (BATCH, 3, CROP_SIZE, CROP_SIZE), dtype=torch.uint8)
    matrices = torch.eye(2, 3).expand(BATCH, -1, -1)
    for _ in range(0, number, BATCH):
        predictor(crops, matrices)
    return -(-number // BATCH) * BATCH


def decode_and_crop(folder: Path) -> int:
    """The floor of the photos: what one thread does with each before the network."""
    files, finder, before = sorted(folder.iterdir()), make_finder("whole"), cv2.getNumThreads()
    cv2.setNumThreads(1)
    for path in files:
        crop_people(path.name, read_image(path), finder)
    cv2.setNumThreads(before)
    return len(files)


def make_predictor(count: int) -> Predictor:
    """The network in `count` threads: it takes as many as torch has when it is made."""
    with threads(count):
        return Predictor(load_hourglass(DEMO_WEIGHTS))


def whole_run(predictor: Predictor, folder: Path, batch: int, workers: int, count: int) -> int:
    with threads(count):
        results = find_poses(predictor, folder, person_box="whole", batch_size=batch, workers=workers)
    assert len(results.joints) == len(list(folder.iterdir()))
    return len(results.joints)


def main() -> None:
    parser = parser_of(__doc__, seconds=1, turns=4)
    parser.add_argument("--photos", type=int, default=48, help="(default: 48)")
    arguments = parser.parse_args()
    keep_large_blocks()
    print(machine())
    cores = torch.get_num_threads()
    predictor = make_predictor(cores)
    with tempfile.TemporaryDirectory() as name:
        folder, number = Path(name), arguments.photos
        photos, part, tenth = folder / "all", folder / "part", max(1, number // 10)
        for where, count in ((photos, number), (part, tenth)):
            where.mkdir()
            make_photos(where, count)
        ways = {"no worker": (0, cores), "1 worker, 1 thread": (1, 1), f"{cores} workers": (cores, cores)}
        contenders = {
            DECODING: partial(decode_and_crop, part),
            "photo by photo": partial(whole_run, predictor, part, 1, 0, cores),
            NETWORK: partial(network_alone, predictor, number),
        }
        for title, (workers, count) in ways.items():
            of_way = predictor if count == cores else make_predictor(count)
            contenders[f"ours, {title}"] = partial(whole_run, of_way, photos, BATCH, workers, count)
            whole_run(of_way, part, BATCH, 0, count)  # warms up
        rates = take_turns(contenders, arguments, warm_up=0)
    batches = dict.fromkeys(rates, number) | {"photo by photo": tenth, DECODING: tenth}
    title = f"run.py on {number} photos, without start-up"
    print_table(title, rates, ["photo by photo"], "photos", batches, [NETWORK])
    best = max(rates[f"ours, {title}"] for title in ways)
    share = 100 * best / rates[NETWORK]
    # The network leaves no core idle, so decoding takes time from it, on however many cores.
    bound = 100 / (1 + rates[NETWORK] / (cores * rates[DECODING])), f"decoding and the network on {cores} cores"
    verdict(f"run.py on {number} photos, share of the network's own rate", share, BAR, "%", digits=0, bound=bound)


if __name__ == "__main__":
    main()

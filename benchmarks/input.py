"""Training samples from photos: decoding, one warp, joints; compared with the common way, sample by sample.

    python benchmarks/input.py
    python benchmarks/input.py --people 50 --seconds 2

On one thread, as in a worker of a DataLoader. A photo is 1280 × 720 px with a person half as high; every sample is
augmented. The common way runs under the C library's usual allocator in a process of its own. The decoders of JPEG that
are installed are compared too.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import cv2
import numpy as np
import simplejpeg
import torch
from baselines import common_sample
from measuring import Step, machine, other_process, parser_of, print_table, serve, take_turns, verdict
from PIL import Image
from torch.utils.data import default_collate

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.augmentation import draw_geometry, jitter_colour
from stacked_hourglass.samples.crop_pack import CropPack, pack_crops
from stacked_hourglass.samples.datasets import PoseCrops
from utils.compute.allocator import KEEP_MEMORY, keep_large_blocks
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.images import CROP_SIZE, crop_image, crop_matrix, product_of_affine, read_image, shrink_for
from utils.transform import MPII

SIZE = (1280, 720)  # px
BATCH = 8
QUALITY = 90
SIDE = 700.0  # px of a crop: the person is 560 px high
PHOTO = FOLDER.parent / "docs" / "photos" / "astronaut.jpg"


def make_people(folder: Path, number: int) -> People:
    """`number` people, each in a photo of its own: noisy enlargements of a real photo."""
    random = np.random.default_rng(0)
    original = np.asarray(Image.open(PHOTO).convert("RGB"))
    paths, joints = [], random.uniform(200, 520, (number, len(MPII), 2)) + np.array([280, 0])
    for person in range(number):
        photo = cv2.resize(np.roll(original, 16 * person, axis=1), SIZE, interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{person}.jpg")
        Image.fromarray(photo).save(paths[-1], quality=QUALITY)
    center = np.array([SIZE]) / 2 + random.uniform(-40, 40, (number, 2))
    boxes = np.concatenate([center - SIDE / 2.5, center + SIDE / 2.5], axis=1)
    return People.from_arrays(paths, joints, boxes=boxes)


def endless(number: int) -> Iterator[tuple[int, int]]:
    """(epoch, index) over and over."""
    return (divmod(sample, number) for sample in count())


def step_of(sample: Callable[[int, int], object], number: int) -> Step:
    """A step that makes one sample of `sample(epoch, index)`."""
    keys = endless(number)

    def step() -> int:
        sample(*next(keys))
        return 1

    return step


def common(people: People, epoch: int, index: int):
    geometry = draw_geometry(np.random.default_rng([0, epoch, index]))
    return common_sample(
        people.image_paths[index], people.joints[index], people.center[index], float(people.side[index]), *geometry
    )


def drawn_crop(people: People, epoch: int, index: int) -> tuple[np.ndarray, float]:
    """The map of a sample, photo px -> crop px, and the side of its crop in the photo, px."""
    scale, rotation, flip = draw_geometry(np.random.default_rng([0, epoch, index]))
    side = people.side[index] * scale
    return crop_matrix(people.center[index], side, CROP_SIZE, rotation, flip), side


def decode_and_warp(people: People, epoch: int, index: int):
    """The floor: the scaled decode and one warp, with nothing around them."""
    matrix, side = drawn_crop(people, epoch, index)
    shrink = shrink_for(side)
    return crop_image(read_image(people.image_paths[index], shrink), matrix, CROP_SIZE, shrink)


def decode_and_warp_packed(people: People, pack: CropPack, epoch: int, index: int):
    """The floor of the crop pack: decoding and one warp, with nothing around them."""
    matrix, _ = drawn_crop(people, epoch, index)
    return crop_image(pack.decoded(index), product_of_affine(matrix, pack.to_photo[index]), CROP_SIZE)


def with_the_rest(samples: PoseCrops, keys: Iterator[tuple[int, int]]) -> int:
    """A minibatch of samples, and what training then does once for all of it: colours and target maps."""
    batch = default_collate([samples[next(keys)] for _ in range(BATCH)])
    images = jitter_colour(batch["image"].float().div_(255), torch.Generator())
    render_heatmaps(crop_to_heatmap(batch["joints"]))
    return len(images)


def decoders() -> dict[str, Callable[[bytes], object]]:
    """Decoders of JPEG data to RGB, those that are installed."""
    from io import BytesIO  # noqa: PLC0415

    found = {"Pillow": lambda data: np.asarray(Image.open(BytesIO(data)))}
    rgb = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    found["simplejpeg"] = simplejpeg.decode_jpeg
    found["OpenCV"] = lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), rgb)
    try:
        from torchvision.io import decode_jpeg  # noqa: PLC0415

        warnings.filterwarnings("ignore", "The image decoding", DeprecationWarning)  # for TorchCodec
        found["torchvision.io"] = lambda data: decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except (ImportError, RuntimeError):
        pass
    try:
        from turbojpeg import TJPF_RGB, TurboJPEG  # noqa: PLC0415

        turbo = TurboJPEG()
        found["PyTurboJPEG"] = lambda data: turbo.decode(data, pixel_format=TJPF_RGB)
    except (ImportError, RuntimeError, OSError):
        pass
    return found


def compare_decoders(people: People, arguments: argparse.Namespace) -> None:
    files = [path.read_bytes() for path in people.image_paths[:8]]

    def step(decode: Callable[[bytes], object]) -> int:
        for data in files:
            decode(data)
        return len(files)

    contenders = {name: partial(step, decode) for name, decode in decoders().items()}
    rates = take_turns(contenders, arguments, warm_up=1, share=0.5)
    print_table(f"Decoding JPEG, {SIZE[0]} × {SIZE[1]} px, full size", rates, ["Pillow"], "photos")


def main() -> None:
    parser = parser_of(__doc__, seconds=3, turns=15)
    parser.add_argument("--people", type=int, default=40, help="photos, each with a person (default: 40)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.serve:
        serve(step_of(partial(common, make_people(arguments.serve, arguments.people)), arguments.people))
        return
    keep_large_blocks()
    print(machine())
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other_folder,
        other_process(
            __file__, "--serve", other_folder, "--people", arguments.people, environment={KEEP_MEMORY: "0"}
        ) as baseline,
    ):
        people = make_people(Path(folder), arguments.people)
        ours = PoseCrops(people, augment=True)
        pack = pack_crops(people, folder=Path(folder))
        packed = PoseCrops(people, augment=True, pack=pack)
        number = len(people)
        contenders = {
            "common way": baseline,
            "scaled decode and one warp": step_of(partial(decode_and_warp, people), number),
            "ours": step_of(lambda epoch, index: ours[epoch, index], number),
            "ours, crop pack": step_of(lambda epoch, index: packed[epoch, index], number),
            "crop pack, decode and warp": step_of(partial(decode_and_warp_packed, people, pack), number),
            "ours, with the minibatch's part": partial(with_the_rest, ours, endless(number)),
        }
        rates = take_turns(contenders, arguments)
        common_way, floor, *_ = rates
        batches = {"ours, with the minibatch's part": BATCH}
        title = "Training samples with augmentation, one core"
        print_table(title, rates, [common_way], batches=batches, floors=[floor])
        print("The common way includes colours and target maps; ours makes them for a whole minibatch on the device.")
        speedup = {name: rate / rates[common_way] for name, rate in rates.items()}
        verdict("training samples from 720p JPEG", speedup["ours"], 8, bound=(speedup[floor], floor))
        verdict("the same, share of scaled decode and one warp", 100 * rates["ours"] / rates[floor], 85, "%", digits=0)
        bound = speedup["crop pack, decode and warp"], "decoding and one warp"
        verdict("training samples from the crop pack", speedup["ours, crop pack"], 35, bound=bound)
        compare_decoders(people, arguments)


if __name__ == "__main__":
    main()

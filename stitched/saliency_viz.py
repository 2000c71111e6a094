"""What a hourglass sees in photos, joint by joint: heat maps, and the pixels that they depend on.

python viz.py saliency_and_prob_maps --img_dir PHOTOS                          # the demo weights, where they are there
python viz.py saliency_and_prob_maps --img_dir PHOTOS --load model_checkpoints/hourglass_mpii_default
python viz.py saliency_and_prob_maps_with_skeleton --img_dir clip.mp4 --num_pictures 10 --person_box hog
"""

from argparse import Namespace

import numpy as np
import torch

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import as_input, skeleton_of
from stacked_hourglass.joint_maps import draw_joint_maps, notes
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.person_boxes import PersonFinder, make_finder
from stacked_hourglass.photo_crops import PhotoPeople, crop_people
from stacked_hourglass.saliency import saliency_maps
from twod_threed.viz import spread_frames
from utils.compute.devices import pick_device
from utils.console.option_rules import refuse_disagreement
from utils.imaging.draw2d import person_color, resized, side_by_side, text_strip
from utils.imaging.image_sources import ImageSource, open_source
from utils.osutils import UserError, first_few, warn
from utils.predictions.picture_files import draw_images

MOST_PEOPLE = 6  # side by side in one picture
GAP = 16  # px between two
EMPTY_HEIGHT, LINE = 480, 24  # px, of a photo without people and of the text above it
SHEET_CELL = (240, 1040)  # width, height px


def saliency_and_prob_maps(options: Namespace) -> None:
    """`viz.py saliency_and_prob_maps`: a picture a photo or frame of `img_dir`, a row a joint, its people side by side.

    A row shows the joint's name and the height of its heat map's peak, the crop, the heat map, and the saliency map,
    which `stacked_hourglass.saliency` defines (`use_max_for_saliency_map`: by the map's highest pixel). `load` may be a
    hourglass's checkpoint, ours or a published one, or a whole stitched network's; without it the demo weights are
    taken. The architecture is read from it. Writes pictures under the images' own names, and a contact sheet, into
    `output_dir`.

    Raises UserError, with nothing written, for other checkpoints and for what `draw_images` refuses.
    """
    _draw(options, with_skeleton=False)


def saliency_and_prob_maps_with_skeleton(options: Namespace) -> None:
    """`viz.py saliency_and_prob_maps_with_skeleton`: the same, with the whole pose on the crop of every row."""
    _draw(options, with_skeleton=True)


def _draw(options: Namespace, with_skeleton: bool) -> None:
    network = open_network(options)
    source = open_source(options.img_dir, "--img_dir")
    finder = make_finder(options.person_box, network.mean.device)
    finder.check_names(source.names())
    names = names_to_draw(source, options.num_pictures)
    kind = "max" if options.use_max_for_saliency_map else "sum"
    painter = Painter(network, finder, kind, with_skeleton)
    draw_images(source, names, painter, options.output_dir, SHEET_CELL)
    painter.report(options.person_box)
    print("\n".join(notes(kind)))


def open_network(options: Namespace) -> HourglassNet:
    """The hourglass of `load`, or of the demo weights, on `device`.

    Raises UserError where there is none, and for an option whose value is not what the checkpoint was trained with.
    """
    path = weights_to_load(options.load)
    if not path:
        raise UserError("--load missing: give a checkpoint of train.py hourglass_mpii or stitched_fine_tune")
    device = pick_device(options.device)
    network = load_hourglass(path, device, options.allow_unsafe_load)
    refuse_disagreement(options, vars(network.architecture), path)
    return network


def names_to_draw(source: ImageSource, count: int | None) -> list[str]:
    """Names of `count` images, evenly spread over all; of all for None."""
    names = source.names() or [name for name, _ in source]  # some videos do not say how long they are
    if count is None:
        return names
    return [names[place] for _, place in spread_frames({"": len(names)}, count)]


class Painter:
    """From an image and its name to its picture; counts what is left out on the way."""

    def __init__(self, network: HourglassNet, finder: PersonFinder, kind: str, with_skeleton: bool):
        """`network` is as `load_hourglass` gives it; `kind` is of `saliency_maps`."""
        self._network, self._finder, self._kind, self._with_skeleton = network, finder, kind, with_skeleton
        self._skeleton = skeleton_of(network)
        self._empty: list[str] = []
        self._crowded: list[str] = []

    def __call__(self, name: str, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the picture, (H', W', 3) uint8."""
        people = crop_people(name, image, self._finder)
        if not len(people):
            self._empty.append(name)
            return _without_people(image)
        if len(people) > MOST_PEOPLE:
            self._crowded.append(name)
        shown = range(min(len(people), MOST_PEOPLE))
        # One after the other: a backward pass needs all that the forward pass computed.
        return side_by_side([self._person(people, number) for number in shown], GAP)

    def _person(self, people: PhotoPeople, number: int) -> np.ndarray:
        crop = people.crops[number]
        images = as_input(self._network, torch.from_numpy(crop).permute(2, 0, 1)[None])
        heatmaps, saliency = saliency_maps(self._network, images, self._kind)
        title = f"person {number}" if len(people) > 1 else ""
        color = person_color(number)
        return draw_joint_maps(
            crop, heatmaps[0], saliency[0], self._skeleton, self._kind, self._with_skeleton, title, color
        )

    def report(self, person_box: str) -> None:
        """Warn of images without people and with too many."""
        if self._empty:
            count, shown = len(self._empty), first_few(self._empty, ",")
            warn(f"no person found in {count} images (--person_box {person_box}): {shown}")
        if self._crowded:
            count, shown = len(self._crowded), first_few(self._crowded, ",")
            warn(f"{count} images have more than {MOST_PEOPLE} people, of whom the first are drawn: {shown}")


def _without_people(image: np.ndarray) -> np.ndarray:
    photo, _ = resized(image, EMPTY_HEIGHT / image.shape[0])
    return np.concatenate([text_strip("no person found", photo.shape[1], LINE), photo])

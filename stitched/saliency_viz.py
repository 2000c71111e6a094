"""Draws, for each joint in a photo, the heat map of an hourglass and the pixels that it depends on.

python viz.py saliency_and_prob_maps --img_dir PHOTOS                          # the demo weights
python viz.py saliency_and_prob_maps --img_dir PHOTOS --load model_checkpoints/hourglass_mpii_default
python viz.py saliency_and_prob_maps_with_skeleton --img_dir clip.mp4 --num_pictures 10 --person_box hog
"""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import as_input, skeleton_of
from stacked_hourglass.joint_maps import draw_joint_maps, notes
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.person_boxes import make_finder
from stacked_hourglass.person_finder import PersonFinder
from stacked_hourglass.photo_crops import PhotoPeople, crop_people
from stacked_hourglass.saliency import saliency_maps
from twod_threed.viz import spread_frames
from utils.compute.devices import pick_device
from utils.doors.option_rules import refuse_disagreement
from utils.imaging.base_source import ImageSource
from utils.imaging.draw2d import person_color, resized, side_by_side, text_strip
from utils.imaging.image_sources import open_source
from utils.imaging.video_source import VideoSource
from utils.osutils import UserError, first_few, inform, warn
from utils.predictions.picture_files import draw_images

MOST_PEOPLE = 6  # side by side in one picture
GAP = 16  # px between people
EMPTY_HEIGHT, LINE = 480, 24  # px, height of a photo without people and of the text above it
SHEET_CELL = (240, 1040)  # width, height px


def saliency_and_prob_maps(options: Namespace) -> None:
    """`viz.py saliency_and_prob_maps`."""
    _draw(options, with_skeleton=False)


def saliency_and_prob_maps_with_skeleton(options: Namespace) -> None:
    """`viz.py saliency_and_prob_maps_with_skeleton`."""
    _draw(options, with_skeleton=True)


def _draw(options: Namespace, with_skeleton: bool) -> None:
    path = weights_to_load(options.load)
    if not path:
        raise UserError("--load missing: give a checkpoint of train.py hourglass_mpii or stitched_fine_tune")
    network = load_hourglass(path, pick_device(options.device), options.allow_unsafe_load)
    refuse_disagreement(options, vars(network.architecture), path)
    draw_saliency(
        network,
        options.img_dir,
        options.output_dir,
        num_pictures=options.num_pictures,
        person_box=options.person_box,
        use_max=options.use_max_for_saliency_map,
        with_skeleton=with_skeleton,
    )


def draw_saliency(
    network: HourglassNet,
    img_dir: str | Path,
    output_dir: str | Path,
    *,
    num_pictures: int | None = None,
    person_box: str = "auto",
    use_max: bool = False,
    with_skeleton: bool = False,
) -> None:
    """Draw one picture per photo or frame, with a row per joint and people side by side, and a contact sheet.

    A row shows the joint's name, the peak height of its heat map, the crop, the heat map, and the saliency map
    (`stacked_hourglass.saliency`).

    Args:
        network: as `load_hourglass` gives it.
        img_dir: a folder of photos, a photo, or a video.
        output_dir: pictures are named after their images.
        num_pictures: images to draw, evenly spread over all; None for all.
        person_box: "auto", "whole", "yolox", "detect", "hog", or a JSON file of boxes.
        use_max: saliency of the heat map's highest pixel, not of the weighted sum of all.
        with_skeleton: draw the whole pose on the crop of every row.

    Raises UserError, with nothing written, where `draw_images` does.
    """
    source = open_source(img_dir, "--img_dir")
    video = isinstance(source, VideoSource)
    finder = make_finder(person_box, network.mean.device, whole_where_nobody=not video)
    finder.check_names(source.names())
    names = names_to_draw(source, num_pictures)
    kind = "max" if use_max else "sum"
    painter = Painter(network, finder, kind, with_skeleton)
    draw_images(source, names, painter, output_dir, SHEET_CELL)
    painter.report(person_box)
    inform("\n".join(notes(kind)))


def names_to_draw(source: ImageSource, count: int | None) -> list[str]:
    """Names of `count` evenly spaced images; all for None."""
    names = source.names()
    if count is None:
        return names
    return [names[place] for _, place in spread_frames({"": len(names)}, count)]


class Painter:
    """Draws the picture of an image; keeps a list of images without people or with too many."""

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
        # One by one, because a backward pass keeps all activations of the forward pass.
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
        """Warn of images without people or with too many."""
        if self._empty:
            count, shown = len(self._empty), first_few(self._empty, ",")
            warn(f"no person found in {count} images (--person_box {person_box}): {shown}")
        if self._crowded:
            count, shown = len(self._crowded), first_few(self._crowded, ",")
            warn(f"{count} images have more than {MOST_PEOPLE} people, only the first are drawn: {shown}")


def _without_people(image: np.ndarray) -> np.ndarray:
    photo, _ = resized(image, EMPTY_HEIGHT / image.shape[0])
    return np.concatenate([text_strip("no person found", photo.shape[1], LINE), photo])

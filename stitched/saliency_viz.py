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
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.finding.photo_crops import PhotoPeople, crop_people
from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import as_input, skeleton_of
from stacked_hourglass.joint_maps import draw_joint_maps, notes
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.saliency import saliency_maps
from twod_threed.viz import spread_frames
from utils.compute.devices import pick_device
from utils.doors.option_rules import from_options, refuse_disagreement
from utils.imaging.base_source import ImageSource
from utils.imaging.captions import titled
from utils.imaging.draw2d import resized
from utils.imaging.figures import DARK_STYLE, FigureStyle
from utils.imaging.image_sources import open_source
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch, stacked
from utils.imaging.video_source import VideoSource
from utils.osutils import UserError, first_few, inform, warn
from utils.predictions.picture_files import draw_images

MOST_PEOPLE = 6  # below one another in one figure
GAP = 16  # px between people
EMPTY_HEIGHT = 480  # px, of a photo without people
SHEET_CELL = (960, 560)  # width, height px


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
        min_score=options.min_score,
        style=from_options(FigureStyle, options),
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
    min_score: float | None = None,
    style: FigureStyle = DARK_STYLE,
) -> None:
    """Draw one figure per photo or frame, with a cell per joint and people below one another, and a contact sheet.

    A cell shows the joint's name, the peak height of its heat map, the heat map, and the saliency map
    (`stacked_hourglass.saliency`), both on the crop.

    Args:
        network: as `load_hourglass` gives it.
        img_dir: a folder of photos, a photo, or a video.
        output_dir: pictures are named after their images.
        num_pictures: images to draw, evenly spread over all; None for all.
        person_box: "auto", "whole", "yolox", "detect", "hog", or a JSON file of boxes.
        use_max: saliency of the heat map's highest pixel, not of the weighted sum of all.
        with_skeleton: add the crop with the whole pose to every cell.
        min_score: joints with a lower peak are not marked; None for the network's threshold.

    Raises UserError, with nothing written, where `draw_images` does.
    """
    source = open_source(img_dir, "--img_dir")
    video = isinstance(source, VideoSource)
    finder = make_finder(person_box, network.mean.device, whole_where_nobody=not video)
    finder.check_names(source.names())
    names = names_to_draw(source, num_pictures)
    kind = "max" if use_max else "sum"
    least = network.score_threshold if min_score is None else min_score
    painter = Painter(network, finder, kind, with_skeleton, least, style)
    draw_images(source, names, painter, output_dir, SHEET_CELL, style)
    painter.report(person_box)
    inform("\n".join(notes(kind)))


def names_to_draw(source: ImageSource, count: int | None) -> list[str]:
    """Names of `count` evenly spaced images; all for None."""
    names = source.names()
    if count is None:
        return names
    return [names[place] for _, place in spread_frames({"": len(names)}, count)]


class Painter:
    """Draws the people of one image after another, and keeps what `report` says at the end."""

    def __init__(
        self,
        network: HourglassNet,
        finder: PersonFinder,
        kind: str,
        with_skeleton: bool,
        min_score: float = 0.0,
        style: FigureStyle = DARK_STYLE,
    ):
        """`network` is as `load_hourglass` gives it; `kind` is of `saliency_maps`."""
        self._network, self._finder, self._kind, self._with_skeleton = network, finder, kind, with_skeleton
        self._min_score, self._style = min_score, style
        self._skeleton = skeleton_of(network)
        self._empty: list[str] = []
        self._crowded: list[str] = []

    def __call__(self, name: str, image: np.ndarray) -> Sketch:
        """(H, W, 3) uint8 RGB -> the figure."""
        people = crop_people(name, image, self._finder)
        if not len(people):
            self._empty.append(name)
            photo, _ = resized(image, EMPTY_HEIGHT / image.shape[0])
            return titled(photo, "no person found", self._style.palette, size_for(photo.shape[1]))
        if len(people) > MOST_PEOPLE:
            self._crowded.append(name)
        shown = range(min(len(people), MOST_PEOPLE))
        # One by one, because a backward pass keeps all activations of the forward pass.
        figures = [self._person(people, number) for number in shown]
        return stacked(figures, self._style.palette.gap, GAP)

    def _person(self, people: PhotoPeople, number: int) -> Sketch:
        crop = people.crops[number]
        images = as_input(self._network, torch.from_numpy(crop).permute(2, 0, 1)[None])
        heatmaps, saliency = saliency_maps(self._network, images, self._kind)
        title = f"person {number} of {len(people)}, counted from 0" if len(people) > 1 else ""
        how = (self._with_skeleton, title, self._min_score, self._style)
        return draw_joint_maps(crop, heatmaps[0], saliency[0], self._skeleton, self._kind, *how)

    def report(self, person_box: str) -> None:
        """Warn of images without people or with too many."""
        if self._empty:
            count, shown = len(self._empty), first_few(self._empty, ",")
            warn(f"no person found in {count} images (--person_box {person_box}): {shown}")
        if self._crowded:
            count, shown = len(self._crowded), first_few(self._crowded, ",")
            warn(f"{count} images have more than {MOST_PEOPLE} people, only the first are drawn: {shown}")

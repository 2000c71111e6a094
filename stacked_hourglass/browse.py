"""The first samples of a training, as the network gets them: crops after augmentation, joints and target heat maps.

python viz.py browse --data_dir sample
python viz.py browse --data_dir data/mpii --add_random_masking --half_body_prob 0.3 --seed 1
python viz.py browse --data_set eva --data_dir data/eva --add_attention --num_pictures 4
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stacked_hourglass.annotations.joined import load_joined, require_people
from stacked_hourglass.annotations.people import People
from stacked_hourglass.clip_trainer import ClipTrainer
from stacked_hourglass.hourglass import MPII_MEAN, MPII_STDDEV
from stacked_hourglass.samples.datasets import statistics, training_loader
from stacked_hourglass.train import augmentation_of, augmentation_rules, loader_of, training_and_validation_samples
from stacked_hourglass.trainer import HourglassAugmentation, HourglassTargets, HourglassTrainer, joints_in_view
from utils.doors.option_rules import from_options, refuse_useless
from utils.imaging.captions import Key, captioned, side_keys, titled
from utils.imaging.draw2d import as_picture, heat_map_image, heat_ramp, sketch_pose
from utils.imaging.figures import DARK_STYLE, FigureStyle, save_figure
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch, arranged, stacked
from utils.osutils import inform
from utils.training.settings import Experiment, Loading, Optimisation
from utils.transform import Skeleton

COLUMNS, GAP, CELL_GAP = 8, 4, 12  # samples per row; px between pictures and between samples
TARGET_SIZE = (64, 64)  # px, of the target heat maps
TARGET_OPACITY = 0.9
FILE = "training_samples.png"


class Shown(NamedTuple):
    """A crop as a network gets it, and its targets.

    Attributes:
        name: of the photo or frame.
        crop: (3, 256, 256) RGB in [0, 1], before the mean is subtracted.
        joints: (J, 2) crop px; NaN where not annotated or out of view.
        targets: (J, 64, 64) target heat maps.
        note: a remark, or "".
    """

    name: str
    crop: Tensor
    joints: Tensor
    targets: Tensor
    note: str


def browse(options: Namespace) -> None:
    """`viz.py browse`."""
    rules = [
        (not options.add_attention, ["attention_history_length"], "needs --add_attention"),
        (options.data_set != "eva", ["sync"], "is for --data_set eva"),
        *augmentation_rules(options),
    ]
    refuse_useless(options, rules)
    training, _ = load_joined(options.data_dir, loader_of(options.data_set, options.sync))
    require_people(training, "training", options.data_dir)
    draw_training_samples(
        training.first_joints(options.num_classes or len(training.skeleton)),
        options.output_dir,
        num_pictures=options.num_pictures,
        history=options.attention_history_length if options.add_attention else 0,
        targets=from_options(HourglassTargets, options),
        augmentation=augmentation_of(options),
        loading=from_options(Loading, options),
        seed=options.seed,
        style=from_options(FigureStyle, options),
    )


def draw_training_samples(
    training: People,
    output_dir: str | Path,
    *,
    num_pictures: int = 24,
    history: int = 0,
    targets: HourglassTargets | None = None,
    augmentation: HourglassAugmentation | None = None,
    loading: Loading | None = None,
    seed: int = 0,
    style: FigureStyle = DARK_STYLE,
) -> Path:
    """Draw the first samples that `train_hourglass` with the same settings trains on; returns the picture's path.

    Each has its photo's name, the crop with its joints, and the crop under the maximum of its target heat maps.

    Args:
        num_pictures: so many samples at most, clips with `history`, in the order of the training's first epoch.
        history: frames that the network looks back; a sample is then a clip of one frame more, in a row of its own.

    Raises UserError as `train_hourglass` does for people without clips.
    """
    samples = list(training_samples(training, num_pictures, history, targets, augmentation, loading, seed))
    what = "clips, a row each" if history else "samples"
    path = Path(output_dir, FILE)
    save_figure(path, draw_samples(samples, training.skeleton, f"the first {what}", seed, style), style)
    inform(f"the first {len(samples)} {'clips' if history else 'samples'} of {len(training)} training people: {path}")
    return path


def training_samples(
    training: People,
    count: int,
    history: int = 0,
    targets: HourglassTargets | None = None,
    augmentation: HourglassAugmentation | None = None,
    loading: Loading | None = None,
    seed: int = 0,
) -> Iterator[list[Shown]]:
    """The first `count` samples of a training, as lists of frames; one frame without `history`."""
    augmentation, loading = augmentation or HourglassAugmentation(), loading or Loading()
    targets = targets or HourglassTargets()
    crops, _ = training_and_validation_samples(training, training, history, augmentation, seed)
    loader = training_loader(crops, loading.train_batch_size, loading.workers, seed)
    # The mean cancels out, except in masks, which have its colour.
    mean = statistics(training, loading.workers)[0] if augmentation.masking else MPII_MEAN
    where = torch.device("cpu"), mean, MPII_STDDEV, len(loader), Optimisation(seed=seed), Experiment("browse")
    trainer = (ClipTrainer if history else HourglassTrainer)(training, *where, augmentation=augmentation)
    left = count
    for iteration, batch in enumerate(loader):
        crop = trainer.prepare(batch, iteration) + trainer.mean[:, None, None]
        known = batch | {"crop": crop, "counted": batch.get("counted", batch["readable"])}
        for number in range(min(len(crop), left)):
            rows = number if history else slice(number, number + 1)
            yield frames_of({name: value[rows] for name, value in known.items()}, training, targets)
        left -= len(crop)
        if left <= 0:
            return


def frames_of(sample: dict[str, Tensor], people: People, targets: HourglassTargets) -> list[Shown]:
    """The F frames of a sample of a training, whose tensors have a leading F."""
    known = joints_in_view(sample)
    joints = sample["joints"].masked_fill(~known[..., None], torch.nan)
    maps = render_heatmaps(crop_to_heatmap(joints), TARGET_SIZE, targets.sigma, targets.label_type)
    shown = []
    for frame, index in enumerate(sample["index"].tolist()):
        path = people.image_paths[index]
        name = path.name if people.clip is None else f"{path.parent.name}/{path.name}"
        notes = ["" if sample["readable"][frame] else "unreadable", "" if sample["counted"][frame] else "not counted"]
        note = next(filter(None, notes), "")
        shown.append(Shown(name, sample["crop"][frame], joints[frame], maps[frame], note))
    return shown


def draw_samples(
    samples: list[list[Shown]], skeleton: Skeleton, what: str, seed: int, style: FigureStyle = DARK_STYLE
) -> Sketch:
    """Samples side by side, clips of several frames in a row each, above a caption that says `what` they are."""
    columns = max(map(len, samples))
    columns = min(COLUMNS, len(samples)) if columns == 1 else columns
    size = size_for(columns * (samples[0][0].crop.shape[-1] + CELL_GAP) - CELL_GAP)
    cells = [draw_sample(one, skeleton, size, style) for sample in samples for one in sample]
    keys = [*side_keys(style.palette), Key("target heat maps, 0 to 1", ramp=heat_ramp())]
    sentences = [
        f"{what} of a training with seed {seed}",
        "drawn: joints that are annotated and in view; below, the maximum of their target heat maps",
    ]
    return captioned(arranged(cells, columns, CELL_GAP, style.palette.gap), keys, sentences, style.palette)


def draw_sample(shown: Shown, skeleton: Skeleton, size: int, style: FigureStyle = DARK_STYLE) -> Sketch:
    """The name, in text of `size` px; the crop with its joints; and below it the crop under its target heat maps."""
    crop, palette = as_picture(shown.crop.clamp(0, 1)), style.palette
    pose = sketch_pose(crop, shown.joints, skeleton, min_side=0, palette=palette)
    maps = heat_map_image(crop, shown.targets, TARGET_OPACITY, 1.0)
    title = f"{shown.name}, {shown.note}" if shown.note else shown.name
    return titled(stacked([pose, maps], palette.gap, GAP), title, palette, size)

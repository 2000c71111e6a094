"""The stitched network from the options' checkpoints: a whole one, or a hourglass and a 3D baseline."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.loading import read_architecture as hourglass_architecture
from stitched.soft_argmax import SoftArgmax2D
from stitched.stitched_network import StitchedNetwork
from twod_threed.loading import architecture_of as lifter_architecture
from twod_threed.loading import load_lifter
from twod_threed.model import LinearModel
from utils.checkpoint_utils import load_state, read_checkpoint, written_by
from utils.normalisation import Normalisation, from_plain
from utils.osutils import UserError, warn
from utils.transform import MPII

PARTS = ("hourglass.", "lifter.")  # beginnings of a whole checkpoint's keys
Part = TypeVar("Part", bound=nn.Module)
SETTINGS = ("mean", "normalisation", "soft_argmax", "batch_norm_momentum")  # what it holds besides


def load_stitched(options: Namespace, device: str | torch.device = "cpu", image_scale: str = "any") -> StitchedNetwork:
    """The stitched network in eval mode.

    Reads `load`, a whole stitched checkpoint, which wins and is enough; or `load_hourglass` and `load_2d3d`; besides
    `allow_unsafe_load`, and `dataset_normalization` where a script has it. `image_scale`: see `StitchedNetwork`.

    Raises UserError for a missing checkpoint, the two exchanged, one of another network, a hourglass without MPII's
    16 joints, a lifter without normalisation, and a normalisation other than the one that was asked for.
    """
    if options.load:
        _note_what_is_not_used(options)
        model = _load_whole(options.load, options.allow_unsafe_load, image_scale)
    else:
        model = _load_pair(options, image_scale)
    _require_normalisation(options, model.normalisation)
    return model.to(device).eval()


def stitched_extras(model: StitchedNetwork) -> dict:
    """What a stitched checkpoint holds beside the weights, as plain types: with it `--load` needs nothing else."""
    return {
        "mean": model.mean.tolist(),
        "skeleton": model.skeleton.name,
        "normalisation": model.normalisation.plain(),
        "soft_argmax": model.soft_argmax.settings(),
        "batch_norm_momentum": model.hourglass.architecture.batch_norm_momentum,
    }


# ------------------------------------------------------------------------------------------ one checkpoint
def _load_whole(path: Path, allow_unsafe: bool, image_scale: str) -> StitchedNetwork:
    checkpoint = read_checkpoint(path, allow_unsafe)
    hourglass_state, lifter_state = (
        {key.removeprefix(part): value for key, value in checkpoint["state_dict"].items() if key.startswith(part)}
        for part in PARTS
    )
    missing = [name for name in SETTINGS if name not in checkpoint]
    if not hourglass_state or not lifter_state:
        raise UserError(
            f"--load {path}: no stitched network ({written_by(checkpoint)}); give a stitched_fine_tune checkpoint, or "
            "a hourglass with --load_hourglass and a 3D baseline with --load_2d3d"
        )
    if missing:
        raise UserError(
            f"--load {path}: lacks {missing[0]!r}; give a checkpoint that train.py stitched_fine_tune wrote"
        )
    known = {"batch_norm_momentum": checkpoint["batch_norm_momentum"]}
    hourglass = HourglassNet(hourglass_architecture({"state_dict": hourglass_state, "options": known}, path))
    hourglass.mean = torch.tensor(checkpoint["mean"])
    lifter = LinearModel(**lifter_architecture({"state_dict": lifter_state}, path))
    normalisation = from_plain(checkpoint["normalisation"])
    model = StitchedNetwork(hourglass, lifter, normalisation, SoftArgmax2D(**checkpoint["soft_argmax"]), image_scale)
    load_state(model, checkpoint["state_dict"], path)
    return model


def _note_what_is_not_used(options: Namespace) -> None:
    useless = [f"--{name}" for name in ("load_hourglass", "load_2d3d") if getattr(options, name, None)]
    if useless:
        warn(f"{' and '.join(useless)} not used: --load {options.load} is a whole stitched network and wins")


# ------------------------------------------------------------------------------------------ two checkpoints
def _load_pair(options: Namespace, image_scale: str) -> StitchedNetwork:
    paths = {name: getattr(options, name) for name in ("load_hourglass", "load_2d3d")}
    missing = [f"--{name}" for name, path in paths.items() if not path]
    if missing:
        raise UserError(
            f"{' and '.join(missing)} missing: give a hourglass with --load_hourglass and a 3D baseline with "
            "--load_2d3d, or a whole stitched network with --load"
        )
    hourglass = _load_part(load_hourglass, "load_hourglass", options)
    lifter = _load_part(load_lifter, "load_2d3d", options)
    joints = hourglass.architecture.num_classes
    if hourglass.skeleton != MPII.name or joints != len(MPII):
        raise UserError(
            f"--load_hourglass {options.load_hourglass}: predicts {joints} joints in {hourglass.skeleton} order; the "
            f"3D baseline needs MPII's {len(MPII)}: give a hourglass_mpii checkpoint"
        )
    if lifter.normalisation is None:
        raise UserError(
            f"--load_2d3d {options.load_2d3d}: a published checkpoint holds no normalisation, so its poses can't be "
            "scaled; give a checkpoint of train.py 2d3d_h36m"
        )
    return StitchedNetwork(hourglass, lifter, lifter.normalisation, image_scale=image_scale)


def _load_part(load: Callable[..., Part], name: str, options: Namespace) -> Part:
    """One of the two networks; an error names the option."""
    try:
        return load(getattr(options, name), allow_unsafe=options.allow_unsafe_load)
    except UserError as error:
        _refuse_exchanged(options)
        hint = "; a whole stitched network goes to --load" if "train.py stitched_fine_tune" in str(error) else ""
        raise UserError(f"--{name} {error}{hint}") from None


def _refuse_exchanged(options: Namespace) -> None:
    """UserError if each of the two is a checkpoint of the other's network."""
    try:
        paths = options.load_hourglass, options.load_2d3d
        one, other = (read_checkpoint(path, options.allow_unsafe_load) for path in paths)
        lifter_architecture(one, paths[0])
        hourglass_architecture(other, paths[1])
    except UserError:
        return
    raise UserError(
        f"--load_hourglass {options.load_hourglass} is a 3D baseline and --load_2d3d {options.load_2d3d} a hourglass: "
        "exchange the two"
    )


def _require_normalisation(options: Namespace, normalisation: Normalisation) -> None:
    """UserError where the command line says another normalisation than the checkpoint."""
    if "dataset_normalization" not in options.given:
        return
    asked = "dataset" if options.dataset_normalization else "instance"
    if asked != normalisation.kind:
        raise UserError(
            f"--dataset_normalization {options.dataset_normalization} is {asked} normalisation, but "
            f"{options.load or options.load_2d3d} was trained with {normalisation.kind}; leave the option out"
        )

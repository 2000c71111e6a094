"""The stitched network from checkpoints: a whole one, or an hourglass and a 3D baseline.

network = load_network("stitched.pth.tar")
network = load_network(load_hourglass="model_checkpoints/hourglass_mpii_default", load_2d3d="lifter.pth.tar")
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from stacked_hourglass.inference import skeleton_of
from stacked_hourglass.loading import build_hourglass, hourglass_architecture
from stacked_hourglass.loading import load_hourglass as read_hourglass
from stitched.checkpoint_paths import require_pair
from stitched.soft_argmax import SoftArgmax2D
from stitched.stitched_network import StitchedNetwork
from twod_threed.joint_order import approximate_inputs
from twod_threed.loading import build_lifter, lifter_architecture, load_lifter
from twod_threed.model import LinearModel
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError, warn
from utils.training.checkpoints import is_stitched, load_state, read_checkpoint, written_by

Network = TypeVar("Network", bound=nn.Module)
SETTINGS = ("mean", "normalisation", "soft_argmax", "batch_norm_momentum")  # required beside the weights


def load_network(
    load: str | Path | None = None,
    load_hourglass: str | Path | None = None,
    load_2d3d: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    image_scale: str = "any",
    allow_unsafe: bool = False,
    processes: Processes = ALONE,
) -> StitchedNetwork:
    """Load the stitched network, in eval mode, from checkpoints (files, or folders that hold them).

    Args:
        load: checkpoint of a stitched network; takes precedence over the other two.
        load_hourglass, load_2d3d: checkpoints of the two networks; both are needed without `load`. `load_hourglass` may
            also be a stitched checkpoint, whose hourglass is used.
        device: auto, cpu, cuda, cuda:N, mps, or a torch.device.
        image_scale: see `StitchedNetwork`.
        allow_unsafe: open old checkpoints that hold pickles, which can run code.
        processes: with several, rank 0 reads the files for all.

    Raises UserError for a missing checkpoint, the two exchanged, one of another network, an hourglass that lacks joints
    of the lifter, a lifter without normalisation, and a device that is not available. It names the scripts' options.
    """
    paths = {"load_hourglass": load_hourglass, "load_2d3d": load_2d3d}
    if load:
        _note_what_is_not_used(load, paths)
        model = _load_whole(load, image_scale, allow_unsafe, processes)
    else:
        model = _load_pair(paths, image_scale, allow_unsafe, processes)
    return model.to(device if isinstance(device, torch.device) else pick_device(device)).eval()


def network_kind(checkpoint: dict, path: str | Path) -> str | None:
    """The network in a checkpoint from `read_checkpoint`: "stitched", "hourglass", "lifter", or None for another."""
    if is_stitched(checkpoint):
        return "stitched"
    for kind, architecture in (("hourglass", hourglass_architecture), ("lifter", lifter_architecture)):
        with suppress(UserError):
            architecture(checkpoint, path)
            return kind
    return None


def stitched_extras(model: StitchedNetwork) -> dict:
    """Settings stored in a stitched checkpoint beside the weights, as plain types, so that `--load` is sufficient."""
    return {
        "mean": model.mean.tolist(),
        "skeleton": model.skeleton.name,
        "normalisation": model.normalisation.plain(),
        "input_places": model.lifter.input_places,
        "soft_argmax": model.soft_argmax.settings(),
        "batch_norm_momentum": model.hourglass.architecture.batch_norm_momentum,
        "score_threshold": model.score_threshold,
    }


# ------------------------------------------------------------------------------------------ one checkpoint
def _load_whole(path: str | Path, image_scale: str, allow_unsafe: bool, processes: Processes) -> StitchedNetwork:
    checkpoint = read_checkpoint(path, allow_unsafe, processes)
    missing = [name for name in SETTINGS if name not in checkpoint]
    if not is_stitched(checkpoint):
        raise UserError(
            f"--load {path}: not a stitched network ({written_by(checkpoint)}); give a stitched_fine_tune checkpoint, "
            "or an hourglass with --load_hourglass and a 3D baseline with --load_2d3d"
        )
    if missing:
        raise UserError(
            f"--load {path}: lacks {missing[0]!r}; give a checkpoint that train.py stitched_fine_tune wrote"
        )
    hourglass, lifter = build_hourglass(checkpoint, path), build_lifter(checkpoint, path)
    soft_argmax = SoftArgmax2D(**checkpoint["soft_argmax"])
    model = StitchedNetwork(hourglass, lifter, lifter.normalisation, soft_argmax, image_scale)
    load_state(model, checkpoint["state_dict"], path)
    return model


def _note_what_is_not_used(load: str | Path, paths: Mapping[str, str | Path | None]) -> None:
    useless = [f"--{name}" for name, path in paths.items() if path]
    if useless:
        warn(f"{' and '.join(useless)} ignored: --load {load} is a whole stitched network")


# ------------------------------------------------------------------------------------------ two checkpoints
def _load_pair(
    paths: Mapping[str, str | Path | None], image_scale: str, allow_unsafe: bool, processes: Processes
) -> StitchedNetwork:
    require_pair(paths)
    hourglass = _load_part(read_hourglass, "load_hourglass", paths, allow_unsafe, processes)
    lifter = _load_part(load_lifter, "load_2d3d", paths, allow_unsafe, processes)
    skeleton, given = skeleton_of(hourglass), f"--load_hourglass {paths['load_hourglass']}"
    try:
        made = approximate_inputs(skeleton, lifter.input_places)
    except KeyError as error:
        raise UserError(
            f"{given}: predicts {skeleton.name} joints; the 3D baseline needs more: {error.args[0]}; give an "
            "hourglass_mpii or hourglass_coco checkpoint"
        ) from None
    if made:
        warn(f"{given} predicts {skeleton.name} joints: {', '.join(made)} of the 3D baseline's input are approximate")
    require_own_normalisation(lifter, f"--load_2d3d {paths['load_2d3d']}")
    return StitchedNetwork(hourglass, lifter, lifter.normalisation, image_scale=image_scale)


def require_own_normalisation(lifter: LinearModel, given: str) -> None:
    """Raise UserError for a lifter without normalisation; `given`: option and value, for the message."""
    if lifter.normalisation is None:
        raise UserError(
            f"{given}: a published checkpoint has no normalisation, so its poses can't be scaled; give a checkpoint "
            "of train.py 2d3d_h36m"
        )


def _load_part(
    load: Callable[..., Network], name: str, paths: Mapping[str, str | Path], allow_unsafe: bool, processes: Processes
) -> Network:
    """Load one of the two networks; errors name the option."""
    try:
        return load(paths[name], allow_unsafe=allow_unsafe, processes=processes)
    except UserError as error:
        _refuse_exchanged(paths, allow_unsafe, processes)
        raise UserError(f"--{name} {error}") from None


def _refuse_exchanged(paths: Mapping[str, str | Path], allow_unsafe: bool, processes: Processes) -> None:
    """Raise UserError if the two checkpoints are swapped."""
    hourglass, lifter = paths["load_hourglass"], paths["load_2d3d"]
    try:
        one, other = (read_checkpoint(path, allow_unsafe, processes) for path in (hourglass, lifter))
        lifter_architecture(one, hourglass)
        hourglass_architecture(other, lifter)
    except UserError:
        return
    raise UserError(
        f"--load_hourglass {hourglass} is a 3D baseline and --load_2d3d {lifter} an hourglass: swap the two"
    )

"""Load a 3D baseline from a checkpoint of this project or of the public PyTorch port."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twod_threed.model import INPUT_JOINTS, LinearModel
from twod_threed.normalisation import fit, from_plain
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.human36m.actions import TRAIN_SUBJECTS
from utils.human36m.files import Human36mFiles
from utils.human36m_dataset import load_pose_set
from utils.osutils import UserError, warn
from utils.training.checkpoints import network_with_weights, part_of_stitched, read_checkpoint, written_by

LIFTER_FACTS = ("normalisation", "input_places")  # stored beside the weights in both kinds of checkpoint


def load_lifter(
    path: str | Path,
    device: str | torch.device = "cpu",
    allow_unsafe: bool = False,
    processes: Processes = ALONE,
) -> LinearModel:
    """Load a 3D baseline in eval mode: ours, a published one, or that of a stitched checkpoint.

    The architecture is read from the file. The network's `normalisation` follows `.to(device)`, and `twod_threed.lift`
    needs nothing else. Published checkpoints have no normalisation: it is None, and `ensure_normalisation` fits
    "dataset" statistics to Human3.6M's training subjects. With several `processes`, rank 0 reads the file for all.

    Raises UserError if the file is not a checkpoint of such a network, or the device is not available.
    """
    device = pick_device(device) if isinstance(device, str) else device
    return build_lifter(read_checkpoint(path, allow_unsafe, processes), path).to(device).eval()


def build_lifter(checkpoint: dict[str, Any], path: str | Path) -> LinearModel:
    """The network of a checkpoint from `read_checkpoint`, on the CPU; see `load_lifter`.

    Raises UserError, naming `path`, if it holds no 3D baseline.
    """
    checkpoint = lifter_part(checkpoint)
    shape = lifter_architecture(checkpoint, path)
    model = network_with_weights(partial(LinearModel, **shape), checkpoint["state_dict"], path)
    stored = checkpoint.get("normalisation")
    model.normalisation = from_plain(stored) if stored else None
    model.input_places = checkpoint.get("input_places", "h36m")
    return model


def lifter_part(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The 3D baseline of a stitched checkpoint; any other checkpoint unchanged."""
    return part_of_stitched(checkpoint, "lifter.", LIFTER_FACTS)


def lifter_architecture(checkpoint: Mapping[str, Any], path: str | Path) -> dict:
    """The arguments of `LinearModel`, read from a checkpoint. Raises UserError if it is another network's."""
    try:
        return _read_architecture(checkpoint["state_dict"])
    except (KeyError, IndexError):
        raise UserError(
            f"{path}: no 3D baseline network ({written_by(checkpoint)}); give a 2d3d_h36m checkpoint"
        ) from None


def ensure_normalisation(model: LinearModel, files: Human36mFiles, actions: Iterable[str], path: str | Path) -> None:
    """Fit "dataset" statistics to a folder's training subjects for a network without normalisation, with a warning."""
    if model.normalisation is None:
        warn(f"{path} has no normalisation; using the statistics of {files.data_dir}'s training subjects")
        device = next(model.parameters()).device
        model.normalisation = fit(load_pose_set(files, TRAIN_SUBJECTS, actions), "dataset").to(device)


def require_normalisation(asked: bool | None, stored: str, path: str | Path) -> None:
    """Raise UserError if `asked`, whether to use "dataset" normalisation, contradicts the checkpoint's `stored` kind.

    None passes the check.
    """
    if asked is None or stored == ("dataset" if asked else "instance"):
        return
    kind = "dataset" if asked else "instance"
    raise UserError(
        f"--dataset_normalization {asked} is {kind} normalisation, but {path} was trained with {stored} normalisation; "
        "leave the option out"
    )


def _read_architecture(state: dict[str, Tensor]) -> dict:
    """The arguments of `LinearModel`, read from a state dict. Raises KeyError if it is another network's."""
    if "linear_stages.0.w1.weight" not in state and "batch_norm1.weight" not in state:
        raise KeyError("w1")
    without_hip = state["w1.weight"].shape[1] == 2 * (INPUT_JOINTS - 1)
    return {
        "linear_size": state["w1.weight"].shape[0],
        "num_stage": len({key.split(".")[1] for key in state if key.startswith("linear_stages.")}),
        "without_hip": without_hip,
        "output_size": state["w2.weight"].shape[0] + 3 * without_hip,
    }

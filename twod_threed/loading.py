"""A 3D baseline from a checkpoint's path alone: ours, or one of the public PyTorch port."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twod_threed.model import INPUT_JOINTS, LinearModel
from utils.checkpoint_utils import load_state, read_checkpoint
from utils.normalisation import from_plain
from utils.osutils import UserError


def load_lifter(path: str | Path, device: str | torch.device = "cpu", allow_unsafe: bool = False) -> LinearModel:
    """The network in eval mode, with the attribute `normalisation`: px and mm to and from what it sees.

    The architecture is read from the file. A published checkpoint holds no normalisation: there it is None, and
    the caller has to fit "dataset" statistics on Human3.6M's training set.

    Raises UserError for a file that is no such network's checkpoint.
    """
    checkpoint = read_checkpoint(path, allow_unsafe)
    model = LinearModel(**architecture_of(checkpoint, path))
    load_state(model, checkpoint["state_dict"], path)
    stored = checkpoint.get("normalisation")
    model.normalisation = from_plain(stored).to(torch.device(device)) if stored else None
    return model.to(device).eval()


def architecture_of(checkpoint: Mapping[str, Any], path: str | Path) -> dict:
    """The arguments of `LinearModel` that a checkpoint shows. UserError where it is another network's."""
    try:
        return read_architecture(checkpoint["state_dict"])
    except KeyError:
        script = checkpoint.get("script")
        made_by = f"it was written by train.py {script}" if script else "its keys are another network's"
        raise UserError(f"{path}: no 3D baseline network ({made_by}); give a 2d3d_h36m checkpoint") from None


def read_architecture(state: dict[str, Tensor]) -> dict:
    """The arguments of `LinearModel` that a state dict shows. KeyError where it is another network's."""
    if "linear_stages.0.w1.weight" not in state and "batch_norm1.weight" not in state:
        raise KeyError("w1")
    without_hip = state["w1.weight"].shape[1] == 2 * (INPUT_JOINTS - 1)
    return {
        "linear_size": state["w1.weight"].shape[0],
        "num_stage": len({key.split(".")[1] for key in state if key.startswith("linear_stages.")}),
        "without_hip": without_hip,
        "output_size": state["w2.weight"].shape[0] + 3 * without_hip,
    }

"""Load a pose GAN from a checkpoint."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from generative_models.fc_gan import PoseGAN
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError
from utils.training.checkpoints import network_with_weights, read_checkpoint, written_by


def load_pose_gan(
    path: str | Path,
    device: str | torch.device = "cpu",
    allow_unsafe: bool = False,
    processes: Processes = ALONE,
) -> PoseGAN:
    """Load a GAN in eval mode; the architecture is read from the file. `.sample` and `.decode` return poses in mm.

    `.action` and `.held_out` are the options it was trained with.

    With several `processes`, rank 0 reads the file for all.

    Raises UserError if the file is not a checkpoint of a pose GAN, or the device is not available.
    """
    device = pick_device(device) if isinstance(device, str) else device
    checkpoint = read_checkpoint(path, allow_unsafe, processes)
    model = network_with_weights(
        partial(PoseGAN, **pose_gan_architecture(checkpoint, path)), checkpoint["state_dict"], path
    )
    options = checkpoint.get("options", {})
    model.action, model.held_out = options.get("action", "All"), options.get("held_out", "people")
    return model.to(device).eval()


def pose_gan_architecture(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, int]:
    """The arguments of `PoseGAN`, read from a checkpoint. Raises UserError if it is another network's."""
    state, first = checkpoint["state_dict"], "generator.network.first.weight"
    if first not in state or "critic.network.first.weight" not in state:
        raise UserError(f"{path}: no pose GAN ({written_by(checkpoint)}); give a 3d_pose_gan checkpoint")
    if state[first].ndim != 2:
        raise UserError(f"{path}: {first} has {state[first].ndim} dimensions, expected 2")
    width, latent_size = state[first].shape
    blocks = {key.split(".")[3] for key in state if key.startswith("generator.network.blocks.")}
    return {"latent_size": latent_size, "width": width, "blocks": len(blocks)}

"""Loads an hourglass from a checkpoint: ours, a published one, or that of a stitched network."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stacked_hourglass.hourglass import MPII_MEAN, Architecture, HourglassNet, infer_architecture
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.files.schema import require, text
from utils.osutils import UserError
from utils.training.checkpoints import (
    FORMAT_VERSION,
    network_with_weights,
    part_of_stitched,
    plain,
    read_checkpoint,
    written_by,
)
from utils.transform import SKELETONS

HOURGLASS_FACTS = ("mean", "skeleton", "score_threshold")  # stored beside the weights in both kinds of checkpoint


def load_hourglass(
    path: str | Path,
    device: str | torch.device = "cpu",
    allow_unsafe: bool = False,
    processes: Processes = ALONE,
) -> HourglassNet:
    """Load an hourglass in eval mode; architecture, `mean`, `skeleton` and `score_threshold` come from the file.

    Args:
        path: file or folder of a checkpoint of `train.py hourglass_*`, a published one or a bare state dict (both with
            MPII's mean and joint order), or a stitched checkpoint, whose hourglass is used.
        device: "cpu", "cuda", "cuda:N", "mps", or "auto".
        allow_unsafe: open old checkpoints that hold pickles, which can run code.
        processes: with several, rank 0 reads the file for all.

    Raises UserError for a file without an hourglass, and for a device that is not available.
    """
    device = pick_device(str(device))
    return build_hourglass(read_checkpoint(path, allow_unsafe, processes), path).to(device).eval()


def build_hourglass(checkpoint: dict[str, Any], path: str | Path) -> HourglassNet:
    """The network of a checkpoint from `read_checkpoint`, on the CPU; see `load_hourglass`.

    Raises UserError, naming `path`, if it holds no hourglass.
    """
    checkpoint = hourglass_part(checkpoint)
    make = partial(
        HourglassNet,
        hourglass_architecture(checkpoint, path),
        mean=checkpoint.get("mean", MPII_MEAN),
        skeleton=checkpoint.get("skeleton", "MPII"),
        score_threshold=float(checkpoint.get("score_threshold", 0.0)),
    )
    return network_with_weights(make, checkpoint["state_dict"], path)


def checkpoint_of(network: HourglassNet) -> dict[str, Any]:
    """Content of a checkpoint for `load_hourglass` and `train.py hourglass_* --load`, without a training's state."""
    facts = {name: getattr(network, name) for name in HOURGLASS_FACTS} | {"mean": network.mean.tolist()}
    return facts | {
        "format_version": FORMAT_VERSION,
        "script": "hourglass_mpii",
        "options": plain(vars(network.architecture)),
        "state_dict": network.state_dict(),
    }


def hourglass_part(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The hourglass part of a stitched checkpoint; any other checkpoint unchanged."""
    part = part_of_stitched(checkpoint, "hourglass.", HOURGLASS_FACTS)
    if part is checkpoint:
        return checkpoint
    known = {name: checkpoint[name] for name in ("batch_norm_momentum",) if name in checkpoint}
    return part | {"options": known}


def hourglass_architecture(checkpoint: dict[str, Any], path: str | Path) -> Architecture:
    """The architecture of an hourglass's checkpoint that `read_checkpoint` opened; UserError for any other."""
    require(checkpoint, {"skeleton": text(*SKELETONS)}, path)
    try:
        return infer_architecture(checkpoint["state_dict"], checkpoint.get("options"))
    except (KeyError, IndexError):
        raise UserError(
            f"{path}: not an hourglass network ({written_by(checkpoint)}); give a checkpoint of train.py "
            "hourglass_mpii or stitched_fine_tune, or a published hourglass"
        ) from None


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

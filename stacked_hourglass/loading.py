"""A hourglass from a checkpoint's path alone: ours, or a published one."""

from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from stacked_hourglass.hourglass import MPII_MEAN, Architecture, HourglassNet, infer_architecture
from utils.console.option_rules import refuse_disagreement
from utils.osutils import UserError
from utils.training.checkpoints import load_state, read_checkpoint, written_by


def load_hourglass(path: str | Path, device: str | torch.device = "cpu", allow_unsafe: bool = False) -> HourglassNet:
    """The network in eval mode, with the attribute `mean` (3,): what to subtract from RGB in [0, 1].

    Ours, a published checkpoint, or a bare state dict; the architecture is read from it, and so is `skeleton`,
    the name of its joint order. A published checkpoint has MPII's mean and joint order. `score_threshold` is the peak
    height below which a joint is too unsure to be drawn, or 0 where the file does not say.

    Raises UserError for a file that is no hourglass's checkpoint.
    """
    checkpoint = read_checkpoint(path, allow_unsafe)
    state = checkpoint["state_dict"]
    model = HourglassNet(read_architecture(checkpoint, path))
    load_state(model, state, path)
    model.mean = torch.as_tensor(checkpoint.get("mean", MPII_MEAN), dtype=torch.float32).to(device)
    model.skeleton = checkpoint.get("skeleton", "MPII")
    model.score_threshold = float(checkpoint.get("score_threshold", 0.0))
    return model.to(device).eval()


def read_architecture(checkpoint: dict, path: str | Path) -> Architecture:
    """The architecture of a checkpoint that `read_checkpoint` opened; UserError if it is no hourglass's."""
    try:
        return infer_architecture(checkpoint["state_dict"], checkpoint.get("options"))
    except (KeyError, IndexError):
        raise UserError(
            f"{path}: no hourglass network ({written_by(checkpoint)}); give a hourglass_* checkpoint"
        ) from None


def require_same_architecture(architecture: Architecture, options: Namespace, path: str | Path) -> None:
    """UserError if an option given on the command line contradicts the checkpoint; it names both values."""
    refuse_disagreement(options, vars(architecture), path)


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())

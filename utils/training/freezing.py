"""Parts of a network that a training leaves as they are."""

from collections.abc import Iterable, Sequence

from torch import nn

from utils.osutils import UserError


def freeze(model: nn.Module, names: Sequence[str]) -> tuple[nn.Module, ...]:
    """Stop training the modules of these names, e.g. "layer1" or "hg.0", and what is inside them; returns them.

    Their parameters need no gradient from here on, so nothing is computed for them where the input needs none either.
    `training_mode` keeps them in evaluation mode while the others train.

    Raises UserError for a name that is no module's, and if nothing is left to train.
    """
    modules = dict(model.named_modules())
    for name in names:
        if not name or name not in modules:
            parts = ", ".join(child for child, module in model.named_children() if list(module.parameters()))
            raise UserError(f"--freeze_modules {name}: no module of the network; it has {parts} and theirs, e.g. hg.0")
        modules[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"--freeze_modules {' '.join(names)}: leaves nothing to train")
    return tuple(modules[name] for name in names)


def training_mode(model: nn.Module, frozen: Iterable[nn.Module] = ()) -> None:
    """Training mode for all but frozen modules, whose batch norms thus keep and use their running statistics."""
    model.train()
    for module in frozen:
        module.eval()

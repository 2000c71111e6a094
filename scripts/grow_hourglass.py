"""Make a trained hourglass wider or deeper without changing what it computes, as the start of a longer training.

python scripts/grow_hourglass.py --load SMALL --features 192 --output LARGE.pth.tar
python scripts/grow_hourglass.py --load SMALL --stacks 2 --output LARGE.pth.tar
python train.py hourglass_mpii --load LARGE.pth.tar --features 192 ...
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.loading import checkpoint_of, load_hourglass
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.osutils import UserError
from utils.training.checkpoints import write_checkpoint

BETWEEN_STACKS = ("fc_", "score_")  # what a stack adds to the next one's input


def widened(narrow: HourglassNet, features: int, generator: torch.Generator) -> HourglassNet:
    """The same function with more features: Net2WiderNet of Chen, Goodfellow and Shlens (ICLR 2016, section 2.2).

    Channel j of the wide network copies channel j modulo the narrow count. The weights from the copies of a channel are
    random shares of the old weight, which sum to it; different shares make the copies train apart.

    Raises UserError for fewer features, for a number that is no multiple of 4, and for parts that cannot be widened.
    """
    old = narrow.architecture
    if features <= old.features or features % 4:
        raise UserError(f"--features {features}: expected a multiple of 4 above the network's {old.features}")
    if old.use_layer_norm and features % old.features:
        raise UserError(
            f"--features {features}: expected a multiple of the network's {old.features}; "
            "layer norm averages over channels, so each needs as many copies as the others"
        )
    wide = _grown(narrow, features=features)
    state = narrow.state_dict()
    wide.load_state_dict({name: spread(state[name], new, generator) for name, new in wide.state_dict().items()})
    return wide


def spread(old: Tensor, new: Tensor, generator: torch.Generator) -> Tensor:
    """A weight of the narrow network in the shape of the wide one.

    Args:
        old: (out, in, height, width) of a convolution, (channels,) of a norm or a bias, or a count.
        new: the wide network's, for its shape.
    """
    if old.ndim == 0:
        return old
    value = old[torch.arange(new.shape[0]) % old.shape[0]]
    if old.ndim == 1 or new.shape[1] == old.shape[1]:
        return value
    sources = torch.arange(new.shape[1]) % old.shape[1]
    shares = torch.rand(*new.shape[:2], 1, 1, generator=generator) + 0.5
    totals = torch.zeros(new.shape[0], old.shape[1], 1, 1).index_add_(1, sources, shares)
    return value[:, sources] * shares / totals[:, sources]


def deepened(shallow: HourglassNet, stacks: int) -> HourglassNet:
    """The same heat maps from more stacks.

    The new stacks are copies of the last. What leads into them is 0, so they see what the last saw and say the same;
    that path gets a gradient at once, and the stacks part.

    Raises UserError for fewer stacks and for parts that cannot be copied.
    """
    old = shallow.architecture
    if stacks <= old.stacks:
        raise UserError(f"--stacks {stacks}: expected more than the network's {old.stacks}")
    deep = _grown(shallow, stacks=stacks)
    state = shallow.state_dict()

    def weight(name: str, new: Tensor) -> Tensor:
        if name in state:
            return state[name]
        part, _, *rest = name.split(".")
        if part in BETWEEN_STACKS:
            return torch.zeros_like(new)
        return state[".".join([part, str(old.stacks - 1), *rest])]

    deep.load_state_dict({name: weight(name, new) for name, new in deep.state_dict().items()})
    return deep


def _grown(net: HourglassNet, **sizes: int) -> HourglassNet:
    """A new network of these sizes and the facts of `net`. Raises UserError for parts that this file does not grow."""
    if net.architecture.history_length or net.architecture.predict_joint_visibility:
        raise UserError("only a plain hourglass can grow, without attention and without visibility")
    facts = {"mean": net.mean.tolist(), "skeleton": net.skeleton, "score_threshold": net.score_threshold}
    return HourglassNet(replace(net.architecture, **sizes), **facts)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, required=True, help="an hourglass's or a stitched network's checkpoint")
    parser.add_argument("--features", type=int, help="of the large network, more than the old number")
    parser.add_argument("--stacks", type=int, help="of the large network, more than the old number")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write, for train.py --load")
    parser.add_argument("--seed", type=int, default=0, help="of the random shares of --features (0)")
    options = parser.parse_args()
    show_messages()
    if options.features is None and options.stacks is None:
        parser.error("nothing to do; give --features or --stacks, e.g. --features 192")
    with parser.one_line_errors():
        net = load_hourglass(options.load)
        before = sizes_of(net)
        if options.features is not None:
            net = widened(net, options.features, torch.Generator().manual_seed(options.seed))
        if options.stacks is not None:
            net = deepened(net, options.stacks)
        write_checkpoint(options.output, checkpoint_of(net))
    print(f"{options.output}: {before} -> {sizes_of(net)}, the same outputs")


def sizes_of(net: HourglassNet) -> str:
    """Stacks and features, in words."""
    stacks, features = net.architecture.stacks, net.architecture.features
    return f"{stacks} {'stack' if stacks == 1 else 'stacks'} of {features} features"


if __name__ == "__main__":
    main()

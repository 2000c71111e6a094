"""Make a trained hourglass wider without changing what it computes, as the start of a longer training.

python scripts/widen_hourglass.py --load NARROW --features 128 --output WIDE.pth.tar
python train.py hourglass_mpii --load WIDE.pth.tar --features 128 ...
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.loading import checkpoint_of, load_hourglass
from utils.console.messages import show_messages
from utils.osutils import UserError
from utils.training.checkpoints import write_checkpoint


def widened(narrow: HourglassNet, features: int, generator: torch.Generator) -> HourglassNet:
    """The same function with more features: Net2WiderNet of Chen, Goodfellow and Shlens (ICLR 2016, section 2.2).

    Channel j of the wide network copies channel j modulo the narrow count. The weights from the copies of a channel are
    random shares of the old weight, which sum to it; different shares make the copies train apart.

    Raises UserError for a number of features that is no multiple of the old, and for parts that cannot be widened.
    """
    old = narrow.architecture
    if features <= old.features or features % old.features:
        raise UserError(f"--features {features}: expected a multiple of the network's {old.features}")
    if old.history_length or old.predict_joint_visibility:
        raise UserError("only a plain hourglass is widened, without attention and without visibility")
    facts = {"mean": narrow.mean.tolist(), "skeleton": narrow.skeleton, "score_threshold": narrow.score_threshold}
    wide = HourglassNet(replace(old, features=features), **facts)
    state = narrow.state_dict()
    wide.load_state_dict({name: spread(state[name], new, generator) for name, new in wide.state_dict().items()})
    return wide


def spread(old: Tensor, new: Tensor, generator: torch.Generator) -> Tensor:
    """A weight of the narrow network in the shape of the wide one.

    Args:
        old: (out, in, height, width) of a convolution, (channels,) of a norm or a bias, or a count.
        new: the wide network's, for its shape; out, in and channels are multiples of the old.
    """
    if old.ndim == 0:
        return old
    copies = new.shape[0] // old.shape[0]
    value = old.repeat(copies, *[1] * (old.ndim - 1))
    if old.ndim == 1 or new.shape[1] == old.shape[1]:
        return value
    parts = new.shape[1] // old.shape[1]
    shares = torch.rand(new.shape[0], parts, old.shape[1], 1, 1, generator=generator) + 0.5
    shares /= shares.sum(1, keepdim=True)
    return (value[:, None] * shares).flatten(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, required=True, help="an hourglass's or a stitched network's checkpoint")
    parser.add_argument("--features", type=int, required=True, help="of the wide network, a multiple of the old number")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write, for train.py --load")
    parser.add_argument("--seed", type=int, default=0, help="of the random shares (0)")
    options = parser.parse_args()
    show_messages()
    try:
        narrow = load_hourglass(options.load)
        wide = widened(narrow, options.features, torch.Generator().manual_seed(options.seed))
        write_checkpoint(options.output, checkpoint_of(wide))
    except UserError as error:
        parser.error(str(error))
    print(f"{options.output}: {narrow.architecture.features} -> {options.features} features, the same outputs")


if __name__ == "__main__":
    main()

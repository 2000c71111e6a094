"""Average the weights of hourglasses that started from the same weights.

python scripts/average_weights.py --load FIRST SECOND --output AVERAGE.pth.tar

Trainings that start from the same weights and differ by their seed end near one another, where the average of the
weights is often better than each ("model soup", Wortsman et al., ICML 2022). So machines or cores that train better
alone than in step with others can share a training.
"""

import sys
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


def average(networks: dict[Path, HourglassNet]) -> HourglassNet:
    """The first network with the mean of all weights and batch norm statistics; counts stay those of the first.

    Raises UserError, naming the file, for networks of different architectures, joints or mean colours.
    """
    (first, network), *others = networks.items()
    for path, other in others:
        for name in ("architecture", "skeleton"):
            if getattr(other, name) != getattr(network, name):
                raise UserError(
                    f"{path}: {name} {getattr(other, name)}, and {getattr(network, name)} in {first}; "
                    "expected networks of one kind that were trained from the same weights"
                )
        if not torch.equal(other.mean, network.mean):
            raise UserError(f"{path}: mean colour {other.mean.tolist()}, and {network.mean.tolist()} in {first}")
    states = [one.state_dict() for one in networks.values()]
    network.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    return network


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, nargs="+", required=True, help="checkpoints of two or more hourglasses")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write, for --load")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        if len(set(options.load)) < 2:
            raise UserError("--load: one file; expected two or more to average")
        write_checkpoint(options.output, checkpoint_of(average({path: load_hourglass(path) for path in options.load})))
    print(f"{options.output}: the average of {len(options.load)} hourglasses")


if __name__ == "__main__":
    main()

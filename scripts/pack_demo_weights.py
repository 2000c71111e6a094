"""Pack an hourglass and a 3D baseline into the demo weights: one stitched checkpoint in half precision.

python scripts/pack_demo_weights.py --load_hourglass HOURGLASS --load_2d3d LIFTER --reliability reliability.json
"""

import json
import sys
from pathlib import Path

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stitched.loading import load_network, stitched_extras
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.training.checkpoints import FORMAT_VERSION, write_checkpoint

MOST_BYTES = 20_000_000


def pack(hourglass: Path, lifter: Path, threshold: float) -> dict:
    """The content of the checkpoint. Raises UserError for checkpoints that don't form a stitched network."""
    network = load_network(load_hourglass=hourglass, load_2d3d=lifter)
    network.hourglass.score_threshold = threshold
    return {
        "format_version": FORMAT_VERSION,
        "script": "stitched_fine_tune",
        "state_dict": {name: halved(name, value) for name, value in network.state_dict().items()},
    } | stitched_extras(network)


def halved(name: str, value: Tensor) -> Tensor:
    """Convert to half precision, except batch norm's running statistics and counts, which are small and sensitive."""
    return value if "running_" in name or not value.is_floating_point() else value.half()


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--load_hourglass", type=Path, required=True, help="hourglass_mpii checkpoint")
    parser.add_argument("--load_2d3d", type=Path, required=True, help="2d3d_h36m checkpoint")
    parser.add_argument("--reliability", type=Path, required=True, help="reliability.json of scripts/reliability.py")
    parser.add_argument("--output", type=Path, default=DEMO_WEIGHTS, help=f"file to write ({DEMO_WEIGHTS})")
    options = parser.parse_args()
    show_messages()
    try:
        threshold = float(json.loads(options.reliability.read_text())["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"--reliability {options.reliability}: no file of scripts/reliability.py ({error})")
    with parser.one_line_errors():
        write_checkpoint(options.output, pack(options.load_hourglass, options.load_2d3d, threshold))
    size = options.output.stat().st_size
    print(f"{options.output}: {size / 1e6:.1f} MB, joints below a confidence of {threshold:.3f} are not drawn")
    if size > MOST_BYTES:
        parser.error(f"{size / 1e6:.1f} MB are more than the {MOST_BYTES / 1e6:.0f} MB that the repository takes")


if __name__ == "__main__":
    main()

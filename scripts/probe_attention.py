"""What a perfect memory would give an hourglass on rendered clips with a passing panel, at each of its levels.

    python scripts/probe_attention.py --load network.pth.tar

The network is one of single frames and of one stack, as scripts/compare_attention.py saves it. Nothing is trained: the
features of each place that the panel covers are replaced by those that the place had when it was last not covered,
within the history. So the table says at which level attention over time can find where a covered joint was.
"""

import sys
from collections.abc import Collection
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from compare_attention import (
    FRAMES,
    SIDE,
    Clips,
    Encoded,
    decode,
    encode,
    from_before,
    joints_of,
    line_of,
    parts_of,
    render,
    score,
)
from torch import Tensor

from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.loading import load_hourglass
from utils.command_line.cli import Parser

SIDES = (2, 4, 8, 16, 32)  # of the levels, for an image of 128 px


def covered_places(panels: Tensor, side: int) -> Tensor:
    """(N, F, side, side) bool: places whose middle is behind the panel (N, F, 4)."""
    middle = (torch.arange(side) + 0.5) * SIDE / side - 0.5
    x0, y0, x1, y1 = panels[..., None].unbind(2)
    across, down = (middle >= x0) & (middle < x1), (middle >= y0) & (middle < y1)
    return down[..., :, None] & across[..., None, :]


def remember(features: Tensor, panels: Tensor, length: int) -> Tensor:
    """Features (N, F, C, h, w), but at covered places those of the last of `length` frames in which they were not."""
    covered = covered_places(panels, features.shape[-1])[:, :, None]
    return from_before(features, features, covered, ~covered, length)


@torch.no_grad()
def predict(model: HourglassNet, encoded: Encoded, clips: Clips, levels: Collection[int], length: int) -> Tensor:
    """(N, F, J, 2) px, with a perfect memory at these levels."""

    def before_up(level: int, low: Tensor) -> Tensor:
        if level not in levels:
            return low
        return remember(low.unflatten(0, (-1, FRAMES)), clips.panels, length).flatten(0, 1)

    return joints_of(decode(model, encoded, slice(None), before_up), encoded)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, required=True, help="checkpoint of an hourglass of one stack")
    parser.add_argument("--clips", type=int, default=48, help="for validation")
    parser.add_argument("--length", type=int, default=6, help="frames of history")
    options = parser.parse_args()
    with parser.one_line_errors():
        model = load_hourglass(options.load)
    clips = render(options.clips, 2, panels=True)
    encoded = encode(model, parts_of(clips))
    memories = {"none": ()} | {f"{side} x {side} only": (level,) for level, side in enumerate(SIDES)}
    memories |= {f"up to {side} x {side}": range(level + 1) for level, side in enumerate(SIDES) if level}
    for name, levels in memories.items():
        found = predict(model, encoded, clips, levels, options.length)
        print(line_of(f"memory {name}", score(found, clips, options.length)), flush=True)


if __name__ == "__main__":
    main()

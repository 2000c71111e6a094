"""Measure how much 2D joints tremble in a video, with and without a network's history, and how fast it streams.

python scripts/measure_jitter.py --load CHECKPOINT --data_dir clip.mp4

A network with attention over time (train.py hourglass_* --add_attention) runs twice: as `run.py` does, with a history
for each person who is followed, and with every frame on its own. Jitter is in px per frame². Frames a second: of the
network alone, all people of a frame at once. `--input_side 128` is for networks of scripts/compare_attention.py, which
were trained on frames of that size.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.photos import find_poses
from utils.command_line.cli import Parser
from utils.compute.allocator import keep_large_blocks
from utils.console.messages import show_messages
from utils.imaging.images import CROP_SIZE
from utils.osutils import UserError
from utils.predictions.jitter import JITTER_DEFINITION, jitter, poses_over_time
from utils.predictions.pose_results import PoseResults


class TimedPredictor(Predictor):
    """Counts the people and the seconds spent on them; without `history` each frame stands alone.

    The network gets crops of `side` px.
    """

    def __init__(self, *args, history: bool, side: int = CROP_SIZE, **kwargs):
        super().__init__(*args, **kwargs)
        self.history, self.side, self.timer = history, side, defaultdict(float)

    @property
    def over_time(self) -> bool:
        return self.history and super().over_time

    def heatmaps(self, crops: Tensor, tracks=None) -> Tensor:
        if self.side == CROP_SIZE:
            return super().heatmaps(crops, tracks)
        small = F.interpolate(crops.float(), (self.side, self.side), mode="area").round().to(crops.dtype)
        return F.interpolate(super().heatmaps(small, tracks), scale_factor=CROP_SIZE / self.side, mode="bilinear")

    def __call__(self, crops: Tensor, to_photo_matrices: Tensor, tracks=None) -> tuple[Tensor, Tensor]:
        start = time.perf_counter()
        found = super().__call__(crops, to_photo_matrices, tracks)
        self.timer["seconds"] += time.perf_counter() - start
        self.timer["people"] += len(crops)
        return found


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, default=DEMO_WEIGHTS, help="an hourglass's or a stitched checkpoint")
    parser.add_argument("--data_dir", type=Path, required=True, help="a video")
    parser.add_argument("--person_box", help="finder of people, as for run.py (default: auto)")
    parser.add_argument("--input_side", type=int, choices=(64, 128, CROP_SIZE), default=CROP_SIZE, help="px, of crops")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    options = parser.parse_args()
    show_messages()
    keep_large_blocks()
    with parser.one_line_errors():
        network = load_hourglass(options.load, options.device)
        for history in (False, True) if network.architecture.history_length else (False,):
            predictor = TimedPredictor(network, history=history, side=options.input_side)
            results = find_poses(predictor, options.data_dir, person_box=options.person_box)
            if results.image_kind != "frame":
                raise UserError(f"--data_dir {options.data_dir}: expected a video")
            print(line_of(results, predictor))
        print(JITTER_DEFINITION)


def line_of(results: PoseResults, predictor: TimedPredictor) -> str:
    """What was measured, in words."""
    value, times = jitter(poses_over_time(results.metas, results.joints))
    people, seconds = int(predictor.timer["people"]), predictor.timer["seconds"]
    how = "with history" if predictor.over_time else "single frames"
    return (
        f"{how}: jitter {value:.2f} px per frame², from {times} times a person was in three frames in a row; "
        f"{people} people in {seconds:.1f} s, {people / seconds if seconds else 0:.1f} people/s"
    )


if __name__ == "__main__":
    main()

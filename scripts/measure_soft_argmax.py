"""Measure ways to find joints in heat maps: the highest pixel, DARK, and soft-argmax, smoothed or not.

python scripts/measure_soft_argmax.py --data_dir data/mpii                                   # the demo weights
python scripts/measure_soft_argmax.py --load model_checkpoints/hourglass_mpii_default --data_dir data/mpii

The heat maps of the validation people are computed once, with flip test, and every way decodes the same ones. PCKh@0.5,
PCKh@0.1 and AUC are means over 14 joints in percent, as defined in docs/metrics.md; an unreadable photo is a miss.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.inference import Predictor, to_photo
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.metrics.pckh import pckh
from stacked_hourglass.sample_predictions import predict_samples, without_pose
from stacked_hourglass.samples.datasets import PoseCrops
from stitched.soft_argmax import SoftArgmax2D
from stitched.stitched_network import SOFT_ARGMAX
from utils.command_line.cli import Parser
from utils.compute.devices import pick_device
from utils.console.evaluation_tables import markdown_table
from utils.console.messages import show_messages
from utils.imaging.heatmaps import DARK_SIGMA, decode_dark, decode_heatmaps, heatmap_to_crop
from utils.imaging.images import report_unreadable
from utils.osutils import UserError
from utils.transform import MPII

Decoding = Callable[[Tensor], Tensor]  # heat maps (B, J, H, W) -> points (B, J, 2), px of the map
METRICS = ("PCKh@0.5", "PCKh@0.1", "AUC")
WHOLE = (1.0, 0.005)  # temperatures of the softmax over the whole map
SMOOTHING = (0.0, 1.0, 1.5, 2.0)  # px of the map


def decodings() -> dict[str, Decoding]:
    """The ways to find joints, by the name of their row."""
    ways: dict[str, Decoding] = {
        "highest pixel, shifted by a quarter pixel": lambda maps: decode_heatmaps(maps)[0],
        f"DARK (smoothed with σ = {DARK_SIGMA:g} px)": lambda maps: decode_dark(maps)[0],
    }
    for temperature in WHOLE:
        ways[f"softmax over the whole map, T = {temperature:g}"] = SoftArgmax2D(softmax_temp=temperature)
    for window in ("Uniform", "Parzen"):
        settings = SOFT_ARGMAX | {"window_fn": window}
        name = f"{window} window, width {settings['window_width']:g}, T = {settings['softmax_temp']:g}"
        for smoothing in SMOOTHING if window == SOFT_ARGMAX["window_fn"] else (0.0,):
            smoothed = f", smoothed with σ = {smoothing:g} px" if smoothing else ""
            chosen = settings | {"smoothing": smoothing}
            default = " (default of the stitched network)" if chosen == SOFT_ARGMAX else ""
            ways[name + smoothed + default] = SoftArgmax2D(**chosen)
    return ways


class EveryWay:
    """A predictor whose output has, in place of joints and scores, the joints (B, J, 2) of each decoding."""

    score_threshold, over_time = 0.0, False

    def __init__(self, predictor: Predictor, ways: dict[str, Decoding]):
        self.skeleton, self.device = predictor.skeleton, predictor.device
        self._heatmaps, self._ways = predictor.heatmaps, list(ways.values())

    @torch.inference_mode()
    def __call__(self, crops: Tensor, to_photo_matrices: Tensor) -> tuple[Tensor, ...]:
        if not len(crops):
            return (torch.empty(0, len(self.skeleton), 2),) * len(self._ways)
        maps = self._heatmaps(crops)
        return tuple(to_photo(to_photo_matrices, heatmap_to_crop(way(maps)).cpu()) for way in self._ways)


def measure(predictor: Predictor, people: People, ways: dict[str, Decoding], source: str) -> dict[str, list[float]]:
    """Decoding -> `METRICS` in percent, means over 14 joints, of annotated people.

    Raises UserError, naming the `source` of the people, if no photo could be read.
    """
    found, _ = predict_samples(EveryWay(predictor, ways), PoseCrops(people), "heat maps")
    report_unreadable(people.names(without_pose(found[0])), len(people), "taken as misses", source)
    truth, missing = people.joints.astype(float), ~people.annotated
    scores = {}
    for name, joints in zip(ways, found, strict=True):
        table = pckh(joints.numpy().astype(float), truth, people.head_size, missing)
        scores[name] = [table[metric]["mean"] for metric in METRICS]
    return scores


def mpii_predictor(path: Path, device: torch.device, precision: str = "fp32") -> Predictor:
    """The predictor of a checkpoint, with flip test. Raises UserError if its joints are not those of PCKh."""
    predictor = Predictor(load_hourglass(path, device), precision, flip=True)
    if predictor.skeleton != MPII:
        raise UserError(f"{path}: its joints are not MPII's 16; PCKh is of these")
    return predictor


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--load",
        type=Path,
        default=DEMO_WEIGHTS,
        help="checkpoint of an MPII hourglass or a stitched network, or its folder (default: the demo weights)",
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data/mpii"), help="MPII folder (default: data/mpii)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        _, people = load_mpii(options.data_dir)
        predictor = mpii_predictor(options.load, pick_device(options.device))
        scores = measure(predictor, people, decodings(), f"--data_dir {options.data_dir}")
    print(
        f"{options.load}, {len(people)} validation people, flip test. PCKh: share of annotated joints closer than 0.5 "
        "(0.1) × the head size; AUC: area under it from 0 to 0.5; in %, mean over 14 joints\n"
    )
    rows = [[name, *(f"{value:.2f}" for value in values)] for name, values in scores.items()]
    print(markdown_table(["decoding", *METRICS], rows))


if __name__ == "__main__":
    main()

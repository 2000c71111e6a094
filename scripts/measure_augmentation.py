"""Measure what augmentation is good for: PCKh@0.5 on validation photos that are altered by each option alone.

python scripts/measure_augmentation.py --load with.pth.tar without.pth.tar --data_dir data/mpii

Every photo is altered, as the options of train.py hourglass_mpii alter some of them (`show_augmentation.py` draws it),
and in the same way for every checkpoint. Joints that the alteration moves out of view do not count. So a checkpoint
that was trained without an option shows in its column what the option is worth, and under "none" what it costs.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from measure_soft_argmax import mpii_predictor
from show_augmentation import ALWAYS

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.metrics.pckh import pckh
from stacked_hourglass.sample_predictions import PosePredictor, predict_samples
from stacked_hourglass.samples.datasets import PoseCrops
from stacked_hourglass.trainer import HourglassAugmentation, joints_in_view
from utils.command_line.cli import Parser
from utils.compute.devices import pick_device
from utils.console.evaluation_tables import markdown_table
from utils.console.messages import show_messages
from utils.osutils import write_text

# The others are about training as a whole: they turn and colour a crop, or hide half of a person behind a bar.
ALTERATIONS = {name: one for name, one in ALWAYS.items() if not (one.augment_training_data or one.masking)}


def altered(people: People, alteration: HourglassAugmentation, seed: int = 0) -> list[dict]:
    """The samples of `people`, as `PoseCrops` has them, each altered; equal for equal seeds."""
    samples = list(PoseCrops(people, seed=seed, framing=alteration.framing))
    generator = torch.Generator().manual_seed(seed)
    for change in (alteration.degradation, alteration.erasing):
        for sample in samples if change else ():
            [image] = change(sample["image"][None].float() / 255, generator)
            sample["image"] = (image * 255).round().byte()
    return samples


def score(predictor: PosePredictor, people: People, samples: list[dict], title: str) -> float:
    """PCKh@0.5 in percent (mean over joints) over the annotated joints in view of the samples of `people`."""
    (joints, *_), _ = predict_samples(predictor, samples, title)
    hidden = ~torch.stack([joints_in_view(sample) for sample in samples]).numpy()
    table = pckh(joints.numpy().astype(float), people.joints.astype(float), people.head_size, hidden)
    return table["PCKh@0.5"]["mean"]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--load",
        type=Path,
        nargs="+",
        default=[DEMO_WEIGHTS],
        help="checkpoints of an MPII hourglass or a stitched network, or their folders (default: the demo weights)",
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data/mpii"), help="MPII folder (default: data/mpii)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "bf16", "fp16"), help="as for run.py (default: fp32)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the alterations (default: 0)")
    parser.add_argument("--output", type=Path, help="JSON file to write, checkpoint -> alteration -> PCKh@0.5")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        _, people = load_mpii(options.data_dir)
        device = pick_device(options.device)
        predictors = {str(path): mpii_predictor(path, device, options.precision) for path in options.load}
        scores = {path: {} for path in predictors}
        for name, alteration in ALTERATIONS.items():
            samples = altered(people, alteration, options.seed)
            for path, predictor in predictors.items():
                scores[path][name] = score(predictor, people, samples, name)
        print(table_of(scores, len(people)))
        if options.output:
            write_text(options.output, json.dumps(scores, indent=1))
            print(f"wrote {options.output}")


def table_of(scores: dict[str, dict[str, float]], people: int) -> str:
    """A Markdown table, a row a checkpoint."""
    names = list(ALTERATIONS)
    rows = [[path, *(f"{values[name]:.1f}" for name in names)] for path, values in scores.items()]
    what = "mean over joints of those closer than 0.5 × the head size, of annotated joints in view; flip test"
    table = markdown_table(["PCKh@0.5, %", *names], rows)
    return f"{people} validation people, every one altered: {what}\n\n{table}"


if __name__ == "__main__":
    main()

"""Draws what each augmentation of hourglass training does: a row a person, a column an option of train.py hourglass_*.

python scripts/show_augmentation.py                                   # on the sample
python scripts/show_augmentation.py --data_dir data/mpii --people 4

Every option acts alone and always (probability 1), where a training applies it now and then.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.browse import Shown, training_samples
from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.samples.framing import Framing
from stacked_hourglass.trainer import HourglassAugmentation
from utils.command_line.cli import Parser
from utils.imaging.captions import captioned, side_keys, titled
from utils.imaging.draw2d import as_picture, sketch_pose
from utils.imaging.figures import DARK_STYLE, save_figure
from utils.imaging.sketch import Sketch, arranged
from utils.sample.sample_data import ensure_sample
from utils.training.settings import Loading
from utils.transform import Skeleton

GAP, TEXT = 6, 24  # px between pictures; px of the text
PALETTE = DARK_STYLE.palette
FILE = "augmentation.png"
ALWAYS = {
    "none": HourglassAugmentation(augment_training_data=False),
    "augment_training_data": HourglassAugmentation(),
    "add_random_masking": HourglassAugmentation(False, masking=RandomMasking(mask_prob=1)),
    "half_body_prob": HourglassAugmentation(False, framing=Framing(half_body_prob=1)),
    "cut_off_prob": HourglassAugmentation(False, framing=Framing(cut_off_prob=1)),
    "box_jitter 0.1": HourglassAugmentation(False, framing=Framing(box_jitter=0.1)),
    "erase_prob": HourglassAugmentation(False, erasing=RandomErasing(erase_prob=1)),
    "blur_prob": HourglassAugmentation(False, degradation=Degradation(blur_prob=1)),
    "downscale_prob": HourglassAugmentation(False, degradation=Degradation(downscale_prob=1)),
    "jpeg_prob": HourglassAugmentation(False, degradation=Degradation(jpeg_prob=1)),
}


def draw(folder: Path, people: int, seed: int) -> Sketch:
    """The first `people` samples of a training with this seed, under each option alone."""
    training, _ = load_mpii(folder)
    loading = Loading(train_batch_size=people, workers=0)
    columns = {
        option: [
            sample for [sample] in training_samples(training, people, augmentation=one, loading=loading, seed=seed)
        ]
        for option, one in ALWAYS.items()
    }
    skeleton, options = training.skeleton, list(columns)
    half = len(options) // 2  # two blocks, each with the names of its options above
    blocks = []
    for names in (options[:half], options[half:]):
        cells = [
            cell(columns[name][row], skeleton, name if row == 0 else "") for row in range(people) for name in names
        ]
        blocks.append(arranged(cells, half, GAP, PALETTE.gap))
    caption = "each option alone, at probability 1; drawn: joints that are annotated and in view"
    return captioned(arranged(blocks, 1, GAP, PALETTE.gap), side_keys(PALETTE), [caption], PALETTE)


def cell(shown: Shown, skeleton: Skeleton, title: str) -> Sketch:
    """A crop with its joints, below the name of an option if there is one."""
    pose = sketch_pose(as_picture(shown.crop.clamp(0, 1)), shown.joints, skeleton, min_side=0, palette=PALETTE)
    return titled(pose, title, PALETTE, TEXT) if title else pose


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, help="folder in the form of MPII (default: the rendered sample)")
    parser.add_argument("--people", type=int, default=2, help="rows (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--output_dir", type=Path, default=Path("visualizations/augmentation"))
    arguments = parser.parse_args()
    if arguments.people < 1:
        parser.error(f"--people {arguments.people}: expected at least 1")
    with parser.one_line_errors():
        figure = draw(arguments.data_dir or ensure_sample("mpii"), arguments.people, arguments.seed)
        save_figure(arguments.output_dir / FILE, figure, DARK_STYLE)
    print(arguments.output_dir / FILE)


if __name__ == "__main__":
    main()

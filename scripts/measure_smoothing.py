"""Measure `--smooth` on motion capture with the errors of a detector: error and jitter before and after, and the swaps.

python scripts/measure_smoothing.py --data_dir data/h36m --detector_errors errors.npz

True 2D poses of S9 and S11, one camera per sequence, get measured errors, which are new in each frame or kept for
`KEPT` frames on average. Legs and arms are swapped in bursts. All are lifted with and without smoothing.

Of the swaps: a pair of joints is swapped if it is closer to the truth when exchanged, by `MARGIN` of the person's size;
so errors that are swaps count, and those of joints that lie together don't. Recall is the share of swapped pairs that
the repair exchanges, precision the share of its exchanges that are right, among pairs whose order matters by `MARGIN`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stitched import load_network
from twod_threed import lift
from twod_threed.detector_errors import load_errors, person_size
from twod_threed.model import LinearModel
from twod_threed.mpjpe import from_hip, mpjpe
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.data_utils import lifter_input_joints
from utils.human36m.actions import TEST_SUBJECTS
from utils.human36m.files import find_sequences, load_motions
from utils.predictions.jitter import JITTER_DEFINITION, jitter
from utils.predictions.limb_swaps import SIDED_JOINTS, repair_swaps, swap_sides
from utils.predictions.smoothed_people import BODY, median_size, smooth_poses
from utils.transform import H36M_2D, H36M_SLOTS

RATE = 25  # Hz, of the poses
KEPT = 5  # frames
BURSTS, LONGEST = 0.03, 8  # share of frames in which a burst of swaps starts; frames
MARGIN = 0.1
PAIRS = [H36M_2D.indices([f"{side}_{name}" for names in SIDED_JOINTS.values() for name in names]) for side in "rl"]


class Sequence(NamedTuple):
    """`found` and `true` 2D poses (T, 16, 2) px, and true 3D poses (T, 17, 3) mm about the hip."""

    found: Tensor
    true: Tensor
    poses: Tensor


def sequences(
    folder: Path, errors: Tensor, kept: int, every: int, generator: torch.Generator, swaps: bool = True
) -> Iterator[Sequence]:
    """Every `every`-th sequence with errors (P, 16, 2) of random people, each for `kept` frames on average."""
    files = find_sequences(folder)
    cameras = files.cameras()
    for number, motion in enumerate(load_motions(files.select(TEST_SUBJECTS)[::every], H36M_SLOTS)):
        of_subject = [camera for (subject, _), camera in sorted(cameras.items()) if subject == motion.sequence.subject]
        camera = of_subject[number % len(of_subject)]
        poses = camera.world_to_camera(torch.from_numpy(motion.positions).double())
        true = lifter_input_joints(camera.project(poses))
        found = true + drawn_errors(errors, len(true), kept, generator) * person_size(true)
        if swaps:
            found = swap_sides(found, H36M_2D, bursts(len(true), generator))
        yield Sequence(found, true, from_hip(poses))


def drawn_errors(errors: Tensor, frames: int, kept: int, generator: torch.Generator) -> Tensor:
    """(frames, 16, 2) errors of random people, mirrored at random."""
    new = torch.rand(frames, generator=generator) < 1 / kept
    new[0] = True
    mirrored = errors[:, H36M_2D.flip_order] * torch.tensor([-1, 1])
    both = torch.cat([errors, mirrored])
    chosen = torch.randint(len(both), (frames,), generator=generator)
    return both[chosen[torch.where(new, torch.arange(frames), 0).cummax(0).values]]


def bursts(frames: int, generator: torch.Generator) -> Tensor:
    """(frames, 2) whether legs and arms are swapped."""
    starts = torch.rand(frames, 2, generator=generator) < BURSTS
    lengths = torch.randint(1, LONGEST + 1, (frames, 2), generator=generator)
    ends = torch.where(starts, torch.arange(frames)[:, None] + lengths, 0).cummax(0).values
    return torch.arange(frames)[:, None] < ends


def swap_gain(found: Tensor, true: Tensor) -> Tensor:
    """(T, 6) by how much each pair of joints is closer to the truth when exchanged, in units of the person's size."""
    right, left = (found[:, index] for index in PAIRS)
    true_right, true_left = (true[:, index] for index in PAIRS)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a - true_right).norm(dim=-1) + (b - true_left).norm(dim=-1)

    return (distance(right, left) - distance(left, right)) / 2 / median_size(found)


def methods(sequence: Sequence, lifter: LinearModel) -> dict[str, Tensor]:
    """3D poses (T, 17, 3) mm by what was done."""
    times = torch.arange(len(sequence.found), dtype=torch.float64) / RATE
    size = median_size(sequence.found)

    def lifted(joints: Tensor) -> Tensor:
        return lift(joints.float(), lifter).double()

    repaired, _ = repair_swaps(sequence.found, H36M_2D, size)
    one_euro, zero_phase = (smooth_poses(repaired, times, size, method) for method in ("one_euro", "zero_phase"))
    return {
        "raw": lifted(sequence.found),
        "swapped limbs repaired": lifted(repaired),
        "+ one_euro in 2D": lifted(one_euro),
        "+ one_euro in 3D": smooth_poses(lifted(one_euro), times, BODY, "one_euro"),
        "+ zero_phase in 2D and 3D": smooth_poses(lifted(zero_phase), times, BODY, "zero_phase"),
    }


def report(data: list[Sequence], lifter: LinearModel) -> None:
    """Print the table of one kind of errors."""
    by_method = [methods(sequence, lifter) for sequence in data]
    truth = torch.cat([sequence.poses for sequence in data])
    for name in by_method[0]:
        poses = [one[name] for one in by_method]
        print(f"  {name:<26} MPJPE {mpjpe(torch.cat(poses), truth):6.1f} mm, {jitter_of(poses)}")
    print(f"  {'truth':<26} {'':15} {jitter_of([sequence.poses for sequence in data])}")
    gains = torch.cat([swap_gain(sequence.found, sequence.true) for sequence in data])
    swapped = [repair_swaps(sequence.found, H36M_2D, median_size(sequence.found))[1] for sequence in data]
    exchanged = torch.cat(swapped).repeat_interleave(3, dim=1)  # of each limb's three pairs
    right, wrong = int((exchanged & (gains > MARGIN)).sum()), int((exchanged & (gains < -MARGIN)).sum())
    total = int((gains > MARGIN).sum())
    print(
        f"  swaps: {right} of {total} pairs of joints repaired (recall {right / max(total, 1):.1%}), {wrong} others "
        f"exchanged (precision {right / max(right + wrong, 1):.1%})"
    )


def jitter_of(sequences: list[Tensor]) -> str:
    return f"jitter {jitter(sequences)[0]:6.1f} mm per frame²"


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/h36m"), help="Human3.6M (default: data/h36m)")
    parser.add_argument(
        "--detector_errors", type=Path, required=True, help="file of scripts/measure_detector_errors.py"
    )
    parser.add_argument("--load", type=Path, default=DEMO_WEIGHTS, help="stitched checkpoint (default: demo weights)")
    parser.add_argument("--every", type=int, default=3, help="use every N-th sequence (default: 3)")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        errors, network = load_errors(options.detector_errors).errors.double(), load_network(options.load)
        network.lifter.normalisation = network.normalisation
        kinds = {"exact, with swaps": (0 * errors, 1), "new errors in each frame": (errors, 1)}
        kinds |= {f"errors kept for {KEPT} frames": (errors, KEPT), "exact, without swaps": (0 * errors, 1)}
        for title, (drawn, kept) in kinds.items():
            generator = torch.Generator().manual_seed(0)
            swaps = title != "exact, without swaps"
            data = list(sequences(options.data_dir, drawn, kept, options.every, generator, swaps))
            print(f"{title}: {len(data)} sequences, {sum(len(one.found) for one in data)} frames")
            report(data, network.lifter)
    print(f"MPJPE: mean distance over 17 joints, hips aligned. {JITTER_DEFINITION}")


if __name__ == "__main__":
    main()

"""Metrics: PCKh with curves of MPII's 2,958 validation people, and MPJPE of 500,000 poses with Procrustes alignment.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --people 100 --poses 1000

Baselines: loops over thresholds, joints and people; a singular value decomposition per pose. Both are measured on a
part of the data, and rates are per person and pose.
"""

import sys
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import numpy as np
import torch
from baselines import p_mpjpe_one_by_one, pckh_one_by_one
from measuring import machine, parser_of, print_table, take_turns, verdict

from stacked_hourglass.metrics import pckh
from twod_threed.mpjpe import joint_errors, mpjpe, p_mpjpe
from utils.compute.allocator import keep_large_blocks
from utils.transform import H36M, MPII

PEOPLE, POSES = 2958, 500_000
PART = 20  # people of the nested loops
POSE_PART = 500  # poses of the loop
PCKH_BAR, MPJPE_BAR = 0.2, 5.0  # s


def pckh_and_curves(pred, truth, sizes, missing) -> int:
    errors = pckh.normalised_errors(pred, truth, sizes)
    pckh.pckh_table(errors, missing)
    pckh.pckh_curves(errors, missing)
    return len(pred)


def pckh_in_loops(pred, truth, sizes, missing) -> int:
    thresholds = [*pckh.PCKH_THRESHOLDS, *pckh.CURVE_THRESHOLDS]
    pckh_one_by_one(pred, truth, sizes, missing, thresholds)
    return len(pred)


def errors_of_poses(pred: torch.Tensor, truth: torch.Tensor) -> int:
    mpjpe(pred, truth)
    p_mpjpe(pred, truth)
    return len(pred)


def errors_in_a_loop(pred: np.ndarray, truth: np.ndarray) -> int:
    np.linalg.norm(pred - truth, axis=2).mean()
    p_mpjpe_one_by_one(pred, truth)
    return len(pred)


def distances(pred: torch.Tensor, truth: torch.Tensor) -> int:
    """The floor: distances alone, without alignment."""
    joint_errors(pred, truth)
    return len(pred)


def measure_pckh(people: int, arguments) -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(0, 1000, (people, len(MPII), 2))
    data = truth + random.normal(0, 20, truth.shape), truth, np.full(people, 60.0), random.random(truth.shape[:2]) < 0.1
    part = [values[:PART] for values in data]
    contenders = {"nested loops": partial(pckh_in_loops, *part), "ours": partial(pckh_and_curves, *data)}
    rates = take_turns(contenders, arguments, warm_up=1)
    batches = {"nested loops": PART, "ours": people}
    print_table("PCKh@0.5, PCKh@0.1, AUC and curves", rates, ["nested loops"], "people", batches)
    seconds = people / rates["ours"]
    verdict(f"PCKh with curves of {people:,} people", seconds, PCKH_BAR, "s", at_most=True, digits=3)


def measure_mpjpe(poses: int, arguments) -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.empty(poses, len(H36M), 3).normal_(0, 300, generator=random)
    pred = truth + torch.empty_like(truth).normal_(0, 50, generator=random)
    part = pred[:POSE_PART].double().numpy(), truth[:POSE_PART].double().numpy()
    contenders = {
        "pose by pose": partial(errors_in_a_loop, *part),
        "distances alone": partial(distances, pred, truth),
        "ours": partial(errors_of_poses, pred, truth),
    }
    rates = take_turns(contenders, arguments, warm_up=0)
    batches = dict.fromkeys(rates, poses) | {"pose by pose": POSE_PART}
    print_table("MPJPE and P-MPJPE", rates, ["pose by pose"], "poses", batches, ["distances alone"])
    seconds = poses / rates["ours"]
    verdict(f"MPJPE of {poses:,} poses with Procrustes", seconds, MPJPE_BAR, "s", at_most=True)


def main() -> None:
    parser = parser_of(__doc__, seconds=2, turns=3)
    parser.add_argument("--people", type=int, default=PEOPLE, help=f"of PCKh (default: {PEOPLE})")
    parser.add_argument("--poses", type=int, default=POSES, help=f"of MPJPE (default: {POSES})")
    arguments = parser.parse_args()
    keep_large_blocks()
    print(machine())
    measure_pckh(arguments.people, arguments)
    measure_mpjpe(arguments.poses, arguments)


if __name__ == "__main__":
    main()

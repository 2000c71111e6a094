"""Compare a pose GAN with two baselines that it must beat, and with real poses, in one table.

python scripts/pose_gan_baselines.py --data_dir data/h36m --load model_checkpoints/3d_pose_gan_default
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))

from generative_models import load_pose_gan
from generative_models.held_out import HELD_OUT_KINDS, load_split, name_of
from generative_models.measures import GAN_DEFINITIONS, measure
from generative_models.poses import LIMBS, PARENT, facing
from generative_models.trainer import MEASURE_SEED, MEASURED, two_samples
from utils.command_line.cli import Parser
from utils.console.messages import show_messages
from utils.human36m.actions import select_actions
from utils.human36m.files import find_sequences
from utils.transform import H36M

COLUMNS = ("1-NN_real", "1-NN_generated", "SW")


def gaussian(poses: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` poses of the Gaussian with the mean and covariance of poses (N, 17, 3), all coordinates together."""
    flat = poses.double().flatten(1)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    root = vectors * values.clamp(min=0).sqrt()  # the covariance is singular: the hip is always zero
    noise = torch.randn(count, flat.shape[1], generator=rng, dtype=torch.float64)
    return (flat.mean(0) + noise @ root.T).to(poses).unflatten(1, poses.shape[1:])


def shuffled_limbs(poses: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` poses whose limbs (trunk, two legs, two arms) come from random poses of (N, 17, 3).

    A limb keeps its shape and direction, and is moved to the joint that it is attached to.
    """
    result = poses.new_zeros(count, *poses.shape[1:])
    for joints in LIMBS.values():
        index, root = H36M.indices(joints), H36M.index(PARENT[joints[0]])
        donors = poses[torch.randint(len(poses), (count,), generator=rng)]
        result[:, index] = donors[:, index] - donors[:, [root]] + result[:, [root]]
    return result


def table(training: Tensor, held_out: Tensor, samples: dict[str, Tensor]) -> str:
    """The measures of each sample, against held-out and against training poses, and real poses against each other."""
    count = len(next(iter(samples.values())))
    (real, other_real), (known, other_known) = (two_samples(poses, count) for poses in (held_out, training))
    rows = {name: (measure(real, one), measure(known, one)) for name, one in samples.items()}
    rows |= {
        "real: training": (measure(real, known), measure(known, other_known)),
        "real: held out": (measure(real, other_real), measure(known, real)),
    }
    heads = ("against held-out poses", "against training poses", "bones, mm")
    lines = [
        f"{'':<24}{heads[0]:^30}{heads[1]:^30}{heads[2]:^22}",
        f"{'':<24}" + f"{'1-NN real':>10}{'1-NN gen.':>10}{'SW mm':>10}" * 2 + f"{'asymmetry':>12}{'spread':>10}",
    ]
    for name, (new, old) in rows.items():
        cells = "".join(f"{against[column].item():>10.1f}" for against in (new, old) for column in COLUMNS)
        lines.append(f"{name:<24}{cells}{new['asymmetry'].item():>12.1f}{new['spread'].item():>10.1f}")
    return "\n".join(lines)


def compare(data_dir: Path, load: Path | None, action: str | None, kind: str | None, count: int) -> str:
    """The table for a checkpoint (or for the baselines alone), over `count` poses of each kind."""
    model = load_pose_gan(load) if load else None
    files = find_sequences(data_dir)
    actions = select_actions(action or (model.action if model else "All"))
    kind = kind or (model.held_out if model else "people")
    training, held_out = (facing(part.world) for part in load_split(files, actions, kind))
    count = min(count, len(training) // 2, len(held_out) // 2)
    rng = torch.Generator().manual_seed(MEASURE_SEED)
    samples = {"pose GAN": model.sample(count, rng)} if model else {}
    samples["Gaussian"] = gaussian(training, count, rng)
    samples["shuffled limbs"] = shuffled_limbs(training, count, rng)
    return (
        f"{count} poses of each kind; {data_dir}: {len(training)} training and {len(held_out)} held-out poses "
        f"({name_of(kind)})\n"
        f"{GAN_DEFINITIONS}\n{table(training, held_out, samples)}\n"
        "(against training poses, the row of real training poses compares two disjoint samples)"
    )


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/h36m"), help="Human3.6M folder (data/h36m)")
    parser.add_argument("--load", type=Path, help="3d_pose_gan checkpoint; without one the baselines alone")
    parser.add_argument("--action", help="actions of the poses (those that the GAN was trained on, else All)")
    parser.add_argument(
        "--held_out", choices=HELD_OUT_KINDS, help="which poses (those that the GAN was not trained on, else people)"
    )
    parser.add_argument("--count", type=int, default=MEASURED, help=f"poses of each kind ({MEASURED})")
    options = parser.parse_args()
    show_messages()
    if options.count < 2:
        parser.error(f"--count {options.count}: give 2 or more")
    with parser.one_line_errors():
        print(compare(options.data_dir, options.load, options.action, options.held_out, options.count))


if __name__ == "__main__":
    main()

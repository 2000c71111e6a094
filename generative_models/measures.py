"""How good generated poses are, in numbers; all poses (N, 17, 3), mm, in the frame of `generative_models.poses`.

1-NN accuracy     Leave-one-out accuracy of a 1-nearest-neighbour classifier that tells two samples of equal size apart
                  (Lopez-Paz, Oquab, ICLR 2017; Xu et al., arXiv:1806.07755), Euclidean over all joints, for each
                  sample by itself: 50% is perfect. Real far above it: the generator misses where real poses are;
                  generated far above it: it makes what is not real. Below 50%: copies of the other sample. It
                  takes both: a sample that is too wide, as a Gaussian's is, is low on generated, since far out in many
                  dimensions poses are nearer to the dense real ones than to one another, but high on real.
sliced            The 2-Wasserstein distance of two samples' projections onto a line, which sorting gives, as root mean
Wasserstein       square over random lines (Rabin et al., SSVM 2011). A line is a unit vector in the 51 coordinates.
bones             Asymmetry: mean over poses and left-right pairs of bones of the difference of their lengths. Spread:
                  standard deviation of a bone's length over the poses, mean over the bones. A person's bones have one
                  length, so real samples show but the differences between people.
"""

import torch
from torch import Tensor

from generative_models.poses import BONES, bone_lengths

LINES = 512
DEFINITIONS = (
    "1-NN: % of real (of generated) poses whose nearest neighbour among both is of their own kind, 50 is perfect\n"
    f"SW: sliced 2-Wasserstein distance, mm, over {LINES} lines in the 51 coordinates\n"
    "asymmetry: mm, mean difference of left and right bones' lengths; spread: mm, standard deviation of a bone's "
    "length over the poses, mean over 16 bones"
)


def require_equal(one: Tensor, other: Tensor) -> None:
    """ValueError for samples of different size, of which neither measure means what it says."""
    if one.shape != other.shape:
        raise ValueError(f"samples of {tuple(one.shape)} and {tuple(other.shape)}; both measures need equal sizes")


def nearest_neighbour_accuracy(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """1-NN accuracy in percent, on real and on generated poses; (N, ...) each."""
    require_equal(real, generated)
    points = torch.cat([real, generated]).flatten(1)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    own = (distances.argmin(1) < len(real)) == (torch.arange(len(points), device=points.device) < len(real))
    on_real, on_generated = (100 * own.float()).split(len(real))
    return on_real.mean(), on_generated.mean()


def sliced_wasserstein(one: Tensor, other: Tensor, lines: int = LINES) -> Tensor:
    """Sliced 2-Wasserstein distance of two samples (N, ...), in their unit, over lines that are the same each time."""
    require_equal(one, other)
    size = one[0].numel()
    directions = torch.randn(size, lines, generator=torch.Generator().manual_seed(0)).to(one)
    directions = directions / directions.norm(dim=0)
    projected = [(sample.flatten(1) @ directions).sort(dim=0).values for sample in (one, other)]
    return (projected[0] - projected[1]).square().mean().sqrt()


def bone_asymmetry(poses: Tensor) -> Tensor:
    """Mean over poses and left-right pairs of |left bone - right bone|, in the unit of the poses."""
    right = [number for number, (_, end) in enumerate(BONES) if end.startswith("r_")]
    ends = [end for _, end in BONES]
    left = [ends.index("l_" + ends[number][2:]) for number in right]
    lengths = bone_lengths(poses)
    return (lengths[:, left] - lengths[:, right]).abs().mean()


def bone_spread(poses: Tensor) -> Tensor:
    """Mean over the bones of the standard deviation of their length over poses (ddof 0), in the unit of the poses."""
    return bone_lengths(poses).std(dim=0, correction=0).mean()


def measure(real: Tensor, generated: Tensor) -> dict[str, Tensor]:
    """The three measures of a sample of generated poses against a real one of the same size, by name."""
    on_real, on_generated = nearest_neighbour_accuracy(real, generated)
    return {
        "1-NN_real": on_real,
        "1-NN_generated": on_generated,
        "SW": sliced_wasserstein(real, generated),
        "asymmetry": bone_asymmetry(generated),
        "spread": bone_spread(generated),
    }


def nearest_poses(poses: Tensor, others: Tensor, at_once: int = 16) -> tuple[Tensor, Tensor]:
    """For each of `poses` (N, J, 3) the index of the nearest of `others` (M, J, 3), and how far it is.

    Distance: mean over the joints, in the unit of the poses. `at_once` poses are compared with all others at a time.
    Returns: (N,) indices and (N,) distances.
    """
    parts = [joint_distance(part[:, None], others).min(dim=1) for part in poses.split(at_once)]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


def joint_distance(one: Tensor, other: Tensor) -> Tensor:
    """(..., J, 3) twice -> (...): the mean distance over the joints."""
    return (one - other).norm(dim=-1).mean(dim=-1)

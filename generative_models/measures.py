"""Quality measures of generated poses (N, 17, 3), mm, in the frame of `generative_models.poses`.

1-NN accuracy     Leave-one-out accuracy of a 1-nearest-neighbour classifier between two samples of equal size
                  (Lopez-Paz, Oquab, ICLR 2017; Xu et al., arXiv:1806.07755), Euclidean over all joints, reported for
                  each sample separately. 50% is perfect. Far above 50% on real poses: the generator misses modes. Far
                  above 50% on generated poses: it generates unrealistic poses. Below 50%: one sample copies the other.
                  Both are needed: a sample that is too wide, e.g. a Gaussian, scores low on generated poses, because
                  outliers in many dimensions lie nearer to the dense real poses than to one another; but it scores
                  high on real ones.
sliced            2-Wasserstein distance between projections of two samples onto a line (computed by sorting), root
Wasserstein       mean square over random lines (Rabin et al., SSVM 2011). A line is a unit vector in R^51.
bones             Asymmetry: difference in length of left and right bones, mean over poses and pairs of bones. Spread:
                  standard deviation of a bone's length over poses, mean over bones. A person's bones have constant
                  length, so the spread of real samples reflects only differences between people.
"""

import torch
from torch import Tensor

from generative_models.poses import BONE_INDICES, BONES
from utils.data_utils import bone_lengths

LINES = 512
GAN_DEFINITIONS = (
    "1-NN: % of real (of generated) poses whose nearest neighbour among both is of their own kind, 50 is perfect\n"
    f"SW: sliced 2-Wasserstein distance, mm, over {LINES} lines in the 51 coordinates\n"
    "asymmetry: mm, mean difference of left and right bones' lengths; spread: mm, standard deviation of a bone's "
    "length over the poses, mean over 16 bones"
)


def require_equal_sizes(one: Tensor, other: Tensor) -> None:
    """Raise ValueError for samples of different sizes: both measures assume equal sizes."""
    if one.shape != other.shape:
        raise ValueError(f"samples of {tuple(one.shape)} and {tuple(other.shape)}; both measures need equal sizes")


def nearest_neighbour_accuracy(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """1-NN accuracy in percent, on real and on generated poses, both (N, ...)."""
    require_equal_sizes(real, generated)
    points = torch.cat([real, generated]).flatten(1)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    own = (distances.argmin(1) < len(real)) == (torch.arange(len(points), device=points.device) < len(real))
    on_real, on_generated = (100 * own.float()).split(len(real))
    return on_real.mean(), on_generated.mean()


def sliced_wasserstein(one: Tensor, other: Tensor, lines: int = LINES) -> Tensor:
    """Sliced 2-Wasserstein distance of two samples (N, ...), in their unit. The lines are the same in every call."""
    require_equal_sizes(one, other)
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
    lengths = bone_lengths(poses, BONE_INDICES)
    return (lengths[:, left] - lengths[:, right]).abs().mean()


def bone_spread(poses: Tensor) -> Tensor:
    """Mean over the bones of the standard deviation of their length over poses (ddof 0), in the unit of the poses."""
    return bone_lengths(poses, BONE_INDICES).std(dim=0, correction=0).mean()


def measure(real: Tensor, generated: Tensor) -> dict[str, Tensor]:
    """All measures of generated poses against a real sample of the same size, by name."""
    on_real, on_generated = nearest_neighbour_accuracy(real, generated)
    return {
        "1-NN_real": on_real,
        "1-NN_generated": on_generated,
        "SW": sliced_wasserstein(real, generated),
        "asymmetry": bone_asymmetry(generated),
        "spread": bone_spread(generated),
    }


def nearest_poses(poses: Tensor, others: Tensor, at_once: int = 16) -> tuple[Tensor, Tensor]:
    """Find the nearest of `others` (M, J, 3) for each of `poses` (N, J, 3).

    `at_once` poses are compared with all others at a time.

    Returns: (N,) indices and (N,) distances, mean over the joints, in the unit of the poses.
    """
    parts = [joint_distance(part[:, None], others).min(dim=1) for part in poses.split(at_once)]
    return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])


def joint_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean distance over the joints: two (..., J, 3) -> (...)."""
    return (one - other).norm(dim=-1).mean(dim=-1)

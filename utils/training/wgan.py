"""The objective of Wasserstein GANs, whatever they generate.

Arjovsky, Chintala, Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017; the gradient penalty of Gulrajani,
Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NIPS 2017. A critic gives scores (B,),
the higher the more real, not probabilities: the objective is a difference of mean scores, without sigmoid or logarithm.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.compute.batch_parts import uniform


def wasserstein(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Mean score of real minus mean score of generated samples: what the critic maximises.

    At the optimum over critics of Lipschitz constant 1 it is the Wasserstein-1 distance (Kantorovich-Rubinstein).
    """
    return real_scores.mean() - fake_scores.mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Minus the mean score of generated samples."""
    return -fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean of (|gradient of the score| - 1)², at points uniform on the segments between pairs (Gulrajani et al. 2017).

    Args:
        real, fake: (B, ...), the ends; gradients do not flow into them.
        generator: for the places on the segments.
    """
    share = uniform(len(real), generator=generator).view(-1, *[1] * (real.ndim - 1))
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradients.flatten(1).norm(dim=1) - 1).square().mean()

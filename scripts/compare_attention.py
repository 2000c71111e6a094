"""Compares an hourglass with attention over time to one of single frames, on rendered clips with a passing panel.

    python scripts/compare_attention.py
    python scripts/compare_attention.py --seeds 0 1 2 --clips 160 48 --steps 400 --output attention.json
    python scripts/compare_attention.py --load network.pth.tar --steps 0 --attention_levels 5

For each seed a single-frame network of one stack is trained, from scratch or from the weights of --load. Its features
before the way up are then computed once, for clips with panels of random paths, and what follows is trained twice, on
the same minibatches: unchanged, and with attention, whose gain starts at 0. Both are scored on every frame of the
validation clips: on covered joints that were in view within the history, on all covered joints, and on all joints;
beside them two bounds: a covered joint stays where the common network saw it last, or where it truly was. Error: mean
distance in px of the 128 px frame. PCKh@0.5: closer than half of 0.75 × the distance from upper neck to head top; in %.
"""

import argparse
import copy
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stacked_hourglass.attention import PassOverTime
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.loading import checkpoint_of, load_hourglass
from utils.command_line.cli import Parser
from utils.compute.allocator import keep_large_blocks
from utils.imaging.heatmaps import (
    crop_to_heatmap,
    decode_heatmaps,
    heatmap_to_crop,
    location_loss,
    render_heatmaps,
)
from utils.sample.clips import render_clip
from utils.training.checkpoints import write_checkpoint
from utils.training.freezing import freeze, training_mode
from utils.transform import MPII

SIDE = 128  # px
FRAMES, TRAINED = 12, 8  # of a rendered clip, of a clip in a minibatch
COVERED_AT_MOST = 0.45  # maximum panel side / frame side
HEAD = (MPII.index("upper_neck"), MPII.index("head_top"))
GROUPS = ("covered, seen before", "covered", "all")
BEFORE_THE_WAY_UP = re.compile(r"(conv1|bn1|layer\d|hg\.0\.hg\.\d+\.[013])$")  # names of modules


@dataclass(frozen=True)
class Clips:
    """N clips of F frames: images (N, F, 3, 128, 128) uint8 RGB, joints (N, F, J, 2) px, the joints in the frame and
    those behind the panel, (N, F, J) bool, and the panel, x0, y0, x1, y1 px, (N, F, 4)."""

    images: Tensor
    joints: Tensor
    inside: Tensor
    covered: Tensor
    panels: Tensor

    def __len__(self) -> int:
        return len(self.images)


def render(count: int, seed: int, panels: bool) -> Clips:
    images = np.empty((count, FRAMES, SIDE, SIDE, 3), np.uint8)
    joints, panel_of = np.empty((count, FRAMES, len(MPII), 2), np.float32), np.empty((count, FRAMES, 4))
    for number in range(count):
        clip = render_clip(np.random.default_rng([seed, number]), FRAMES, panels, SIDE)
        for frame, (picture, person, panel) in enumerate(clip):
            images[number, frame] = picture[..., ::-1]
            joints[number, frame], panel_of[number, frame] = person.camera.project(person.mpii_mm), panel
    inside = ((joints > -0.5) & (joints < SIDE - 0.5)).all(-1)
    covered = inside & behind(joints, panel_of)
    pixels = torch.from_numpy(images).permute(0, 1, 4, 2, 3).contiguous()
    return Clips(pixels, *map(torch.from_numpy, (joints, inside, covered, panel_of)))


def behind(joints: np.ndarray, panels: np.ndarray) -> np.ndarray:
    """(N, F, J) bool: joints (N, F, J, 2) within the panels (N, F, 4)."""
    low, high = panels[:, :, None, :2], panels[:, :, None, 2:]
    return ((joints >= low) & (joints < high)).all(-1)


def load_or_render(path: Path | None, count: int, seed: int, panels: bool) -> Clips:
    if path and path.is_file():
        return Clips(**torch.load(path, weights_only=True))
    start = time.monotonic()
    clips = render(count, seed, panels)
    print(f"rendered {count} clips of {FRAMES} frames in {time.monotonic() - start:.0f} s", flush=True)
    if path:
        torch.save(vars(clips), path)
    return clips


# ------------------------------------------------------------------------------------------ training
def minibatch(clips: Clips, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, F, 3, H, W) in [0, 1], joints and their mask, of random clips, each rotated, scaled and mirrored
    as a whole, with a moving panel of random colours."""
    chosen = torch.randint(len(clips), (size,), generator=generator)
    first = int(torch.randint(FRAMES - TRAINED + 1, (), generator=generator))
    part = slice(first, first + TRAINED)
    images, joints = clips.images[chosen, part].float() / 255, clips.joints[chosen, part].clone()
    if torch.rand((), generator=generator) < 0.5:
        images, joints = images.flip(-1), joints[:, :, MPII.flip_order]
        joints[..., 0] = SIDE - 1 - joints[..., 0]
    angle, size_by = (torch.rand(2, size, generator=generator) - 0.5) * torch.tensor([[0.7], [0.3]])
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
    turn = turn * (1 + size_by)[:, None, None]
    grid = F.affine_grid(F.pad(turn, (0, 1)).repeat_interleave(TRAINED, 0), (size * TRAINED, 3, SIDE, SIDE), False)
    images = F.grid_sample(images.flatten(0, 1), grid, padding_mode="reflection", align_corners=False)
    middle = (SIDE - 1) / 2
    joints = (joints - middle) @ torch.linalg.inv(turn).mT[:, None] + middle
    images = cover(images.unflatten(0, (size, TRAINED)), joints, generator)
    return images, joints, ((joints > -0.5) & (joints < SIDE - 0.5)).all(-1)


def cover(images: Tensor, joints: Tensor, generator: torch.Generator) -> Tensor:
    """Cover (B, F, 3, H, W) with a panel that passes a random joint at a random time in a straight line."""
    count = len(images)
    numbers = torch.rand(count, 6, generator=generator)
    size = (0.2 + (COVERED_AT_MOST - 0.2) * numbers[:, :2]) * SIDE
    angle, speed = 2 * torch.pi * numbers[:, 2], (0.04 + 0.08 * numbers[:, 3]) * SIDE
    time_there = (numbers[:, 4] * TRAINED).long()
    aim = joints[torch.arange(count), time_there, (numbers[:, 5] * len(MPII)).long()]
    steps = torch.arange(TRAINED) - time_there[:, None]
    way = (speed[:, None] * torch.stack([angle.cos(), angle.sin()], -1))[:, None] * steps[..., None]
    low = aim[:, None] + way - size[:, None] / 2
    x, y = torch.arange(SIDE), torch.arange(SIDE)[:, None]
    x0, y0 = low[..., 0, None, None], low[..., 1, None, None]
    wide, high = size[:, 0, None, None, None], size[:, 1, None, None, None]
    covered = (x >= x0) & (x < x0 + wide) & (y >= y0) & (y < y0 + high)
    colours = (
        torch.rand(count, 3, 4, 4, generator=generator) * 0.3 + torch.rand(count, 3, 1, 1, generator=generator) * 0.7
    )
    return torch.where(covered[:, :, None], F.interpolate(colours, (SIDE, SIDE))[:, None], images)


# ------------------------------------------------------------------------------------------ features before the way up
def centred(model: HourglassNet, images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] minus the mean, in channels-last, as the network takes them."""
    return (images - model.mean[:, None, None]).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Encoded:
    """N clips of F frames: the skips from the lowest level up and the bottleneck, each (N, F, C, h, w) float16, and
    joints (N, F, J, 2) px and which count, (N, F, J) bool."""

    levels: tuple[Tensor, ...]
    joints: Tensor
    counted: Tensor


@torch.no_grad()
def encode(model: HourglassNet, parts: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Encoded:
    """Of minibatches: images (B, F, 3, H, W) in [0, 1], joints, and which count."""
    model.eval()
    rows = []
    for images, joints, counted in parts:
        skips, bottom = model.hg[0].down(model.stem(centred(model, images.flatten(0, 1))))
        rows.append([*(one.half().unflatten(0, images.shape[:2]) for one in (*skips, bottom)), joints, counted])
    *levels, joints, counted = (torch.cat(column) for column in zip(*rows, strict=True))
    return Encoded(tuple(levels), joints, counted)


def decode(
    model: HourglassNet,
    encoded: Encoded,
    chosen: Tensor | slice,
    before_up: Callable[[int, Tensor], Tensor] | None = None,
) -> Tensor:
    """(B · F, J, h, w) heat maps of the chosen clips; `before_up` as in `Hourglass.up`, by default the attention."""
    *skips, bottom = (
        level[chosen].float().flatten(0, 1).contiguous(memory_format=torch.channels_last) for level in encoded.levels
    )
    if before_up is None and model.architecture.history_length:
        clips = len(encoded.joints[chosen])
        history = model.empty_history(bottom.new_empty(clips, 3, SIDE, SIDE))
        before_up = partial(model.with_past, PassOverTime(history), 0)
    features = model.hg[0].up(skips, bottom, before_up)
    return model.score[0](model.fc[0](model.res[0](features)))


def train(
    model: HourglassNet,
    forward: Callable[[], tuple[Tensor, Tensor, Tensor]],
    steps: int,
    rate: float,
    lr_factor: float = 1.0,
    frozen: Sequence[nn.Module] = (),
) -> None:
    """Train what needs a gradient, with Adam and a cosine learning rate schedule.

    `forward` gives heat maps (N, J, h, w) of a minibatch, joints (N, J, 2) px, and which count, (N, J).
    """
    training_mode(model, frozen)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    of_attention = [one for name, one in trained.items() if name.startswith("attention.")]
    others = [one for name, one in trained.items() if not name.startswith("attention.")]
    optimizer = torch.optim.Adam([{"params": others}, {"params": of_attention, "lr": rate * lr_factor}], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = time.monotonic()
    for step in range(steps):
        maps, joints, counted = forward()
        targets = render_heatmaps(crop_to_heatmap(joints), maps.shape[-2:])
        loss = ((maps - targets) * counted[..., None, None]).square().mean()
        loss = loss + 0.01 * location_loss(maps, targets, counted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 10.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            print(f"  step {step + 1}: loss {loss.item():.4f}, {time.monotonic() - start:.0f} s", flush=True)


def train_common(model: HourglassNet, clips: Clips, options: argparse.Namespace, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def forward() -> tuple[Tensor, Tensor, Tensor]:
        images, joints, counted = (one.flatten(0, 1) for one in minibatch(clips, options.batch, generator))
        return model(centred(model, images))[-1], joints, counted

    train(model, forward, options.steps, 1e-3 if options.load else 3e-3)


def train_way_up(model: HourglassNet, encoded: Encoded, options: argparse.Namespace, seed: int) -> None:
    frozen = freeze(model, [name for name, _ in model.named_modules() if BEFORE_THE_WAY_UP.match(name)])
    generator = torch.Generator().manual_seed(seed)

    def forward() -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.randint(len(encoded.joints), (options.batch,), generator=generator)
        joints, counted = encoded.joints[chosen].flatten(0, 1), encoded.counted[chosen].flatten(0, 1)
        return decode(model, encoded, chosen), joints, counted

    train(model, forward, options.branch_steps, 1e-3, options.attention_lr_factor, frozen)


# ------------------------------------------------------------------------------------------ scores
@torch.no_grad()
def predict(model: HourglassNet, encoded: Encoded) -> Tensor:
    """(N, F, J, 2) px."""
    model.eval()
    parts = [decode(model, encoded, slice(start, start + 8)) for start in range(0, len(encoded.joints), 8)]
    return joints_of(torch.cat(parts), encoded)


def joints_of(maps: Tensor, encoded: Encoded) -> Tensor:
    """(N, F, J, 2) px, of heat maps (N · F, J, h, w)."""
    return heatmap_to_crop(decode_heatmaps(maps)[0]).unflatten(0, encoded.joints.shape[:2])


def score(found: Tensor, clips: Clips, length: int) -> dict[str, tuple[float, float, int]]:
    """Of joints (N, F, J, 2) px: group of them -> mean error in px, PCKh@0.5 in %, and number of joints."""
    errors = (found - clips.joints).norm(dim=-1)
    head = 0.75 * (clips.joints[:, :, HEAD[0]] - clips.joints[:, :, HEAD[1]]).norm(dim=-1)
    hits = errors < 0.5 * head[..., None]
    before = seen_before(clips.inside & ~clips.covered, length)
    groups = (clips.covered & before, clips.covered, clips.inside)
    return {
        name: (errors[group].mean().item(), 100 * hits[group].float().mean().item(), int(group.sum()))
        for name, group in zip(GROUPS, groups, strict=True)
    }


def seen_before(seen: Tensor, length: int) -> Tensor:
    """(N, F, J) bool: in view in one of the previous `length` frames."""
    padded = F.pad(seen, (0, 0, length, 0))[:, :-1]
    return padded.unfold(1, length, 1).any(-1)


def where_last_seen(joints: Tensor, otherwise: Tensor, clips: Clips, length: int) -> Tensor:
    """`otherwise` (N, F, J, 2), but covered joints where `joints` has them in the last frame that shows them."""
    seen = clips.inside & ~clips.covered
    return from_before(joints, otherwise, clips.covered[..., None], seen[..., None], length)


def from_before(values: Tensor, otherwise: Tensor, missing: Tensor, seen: Tensor, length: int) -> Tensor:
    """`otherwise` (N, F, …), but where `missing`, the `values` of the last frame, up to `length` before, with `seen`.

    `missing` and `seen`: bool, broadcast to (N, F, …).
    """
    held = otherwise.clone()
    for ago in range(length, 0, -1):
        chosen = missing[:, ago:] & seen[:, :-ago]
        held[:, ago:] = torch.where(chosen, values[:, :-ago], held[:, ago:])
    return held


def with_attention(model: HourglassNet, options: argparse.Namespace, seed: int) -> HourglassNet:
    torch.manual_seed(seed)
    attention = {
        "add_attention": True,
        "attention_history_length": options.length,
        "attention_levels": options.attention_levels,
    }
    over_time = HourglassNet(replace(model.architecture, **attention), model.mean.tolist(), model.skeleton)
    over_time.load_state_dict(model.state_dict(), strict=False)
    return over_time


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clips", type=int, nargs=2, default=[480, 192], help="for training, for validation")
    parser.add_argument("--steps", type=int, default=1500, help="of the common network of single frames")
    parser.add_argument("--branch_steps", type=int, default=400, help="of each of the two that go on from it")
    parser.add_argument("--batch", type=int, default=4, help=f"clips of {TRAINED} frames")
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument(
        "--load", type=Path, help="start from the weights of this checkpoint, with its number of features"
    )
    parser.add_argument("--encoded", type=int, default=480, help=f"clips of {TRAINED} frames for both branches")
    parser.add_argument("--length", type=int, default=6, help="frames of history")
    parser.add_argument("--attention_levels", type=int, default=5, help="as for train.py")
    parser.add_argument("--attention_lr_factor", type=float, default=30, help="rate of attention / rate of the others")
    parser.add_argument("--cache", type=Path, help="folder that keeps rendered clips and common networks")
    parser.add_argument("--output", type=Path, help="JSON file of the scores")
    parser.add_argument("--save", type=Path, help="folder for the trained networks, as checkpoints")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    keep_large_blocks()
    with parser.one_line_errors():
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Train, score and print for each seed."""
    start = load_hourglass(options.load) if options.load else None
    if options.cache:
        options.cache.mkdir(parents=True, exist_ok=True)
    place = lambda name: options.cache / name if options.cache else None  # noqa: E731
    training = load_or_render(place("training.pt"), options.clips[0], 1, panels=False)
    validation = load_or_render(place("validation.pt"), options.clips[1], 2, panels=True)
    results = {}
    for seed in options.seeds:
        torch.manual_seed(seed)
        common = copy.deepcopy(start) or HourglassNet(Architecture(stacks=1, features=options.features))
        common.to(memory_format=torch.channels_last)
        kept = place(f"common_{common.architecture.features}_{options.steps}_{seed}.pt")
        if kept and kept.is_file():
            common.load_state_dict(torch.load(kept, weights_only=True))
        else:
            train_common(common, training, options, seed)
            if kept:
                torch.save(common.state_dict(), kept)
        generator = torch.Generator().manual_seed(seed)
        encoded = encode(common, (minibatch(training, 8, generator) for _ in range(options.encoded // 8)))
        seen = encode(common, parts_of(validation))
        report_bounds(results, seed, predict(common, seen), validation, options.length)
        over_time = with_attention(common, options, seed)
        for name, model in (("single frames", common), ("attention", over_time)):
            train_way_up(model, encoded, options, seed + 1000)
            report(results, seed, name, score(predict(model, seen), validation, options.length))
            if options.save:
                path = options.save / f"{name.replace(' ', '_')}_{seed}.pth.tar"
                write_checkpoint(path, checkpoint_of(model))
    if options.output:
        options.output.write_text(json.dumps(results, indent=2) + "\n")


def parts_of(clips: Clips) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for images, joints, inside in zip(clips.images.split(4), clips.joints.split(4), clips.inside.split(4), strict=True):
        yield images.float() / 255, joints, inside


def report_bounds(results: dict, seed: int, found: Tensor, clips: Clips, length: int) -> None:
    """Of what the common network found, and what would be if covered joints stayed where they were last seen."""
    report(results, seed, "before", score(found, clips, length))
    for name, joints in (("where the network saw them", found), ("where they were", clips.joints)):
        report(results, seed, name, score(where_last_seen(joints, found, clips, length), clips, length))


def report(results: dict, seed: int, name: str, scores: dict[str, tuple[float, float, int]]) -> None:
    results.setdefault(name, {})[seed] = scores
    print(line_of(f"seed {seed}, {name}", scores), flush=True)


def line_of(name: str, scores: dict[str, tuple[float, float, int]]) -> str:
    parts = [f"{group}: {error:.2f} px, {rate:.1f} % ({count})" for group, (error, rate, count) in scores.items()]
    return f"{name}: {'; '.join(parts)}"


if __name__ == "__main__":
    main()

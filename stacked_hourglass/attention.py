"""Attention over time between the lower features of an hourglass.

    heatmaps = network(clips)                              # (B, F, 3, 256, 256): a whole clip at once
    history = network.empty_history(people)
    heatmaps, history = network.stream(crops, history)     # one frame at a time, the same values

Before the way up from a level, the features of each frame query those of the T frames before it: multi-head attention
(Vaswani et al., "Attention Is All You Need", NeurIPS 2017) with a softmax over all places of all T frames. The lowest
level is the bottleneck; `Architecture.attention_levels` says how many levels have attention. The finer ones, which know
where a joint is to a few px, see only the same place in the T frames: there a person hardly moves between frames, and
what moved further is seen by the coarser levels. A frame only sees the past, so a stream needs no more than the
keys and values of the last T frames, which are computed once.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

OFFSETS = 4  # places of a 4 × 4 bottleneck; larger offsets share the bias of the largest
SAME_PLACE, NEXT_PLACE, LAST_FRAME = 3.0, 1.5, 1.0  # biases at the start
HIDDEN = -3e4  # score of frames that were not seen; float16 holds it with others added to it


class History(NamedTuple):
    """What attention knows of the last T frames of B people: a window of fixed size that moves with the stream.

    Attributes:
        memory: (B, stacks, T, 2 C, places), keys and then values, the latest frame last; the places of the bottleneck
            come first, row by row, then those of the levels above it.
        frames: (B,) int64, how many of the T were seen, the latest ones; the others are ignored.
    """

    memory: Tensor
    frames: Tensor

    def rows(self, index: Tensor) -> "History":
        """The histories of the people at `index`."""
        return History(self.memory[index], self.frames[index])


class TemporalAttention(nn.Module):
    """Adds what the past holds to the present: x + gain · W · attention(x, past).

    Query, key and value are 1 × 1 convolutions of the features after a layer norm over channels. Each head has a
    learned key for how long ago a frame was, and a learned bias for how long ago and how far away a place was. `gain`
    (C,) starts at 0, so that a new module changes nothing. What it would add at first is what was at the same place,
    above all in the last frame: value and output start as the identity.

    Attributes:
        length: T.
        heads: number of heads.
        same_place: whether a place sees only itself in the T frames, at a cost in proportion to the places. Otherwise
            it sees all places, at a cost in proportion to their square.
    """

    def __init__(self, channels: int, length: int, heads: int, same_place: bool = False):
        """Raises ValueError unless `channels` is a multiple of `heads`."""
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels and {heads} heads; expected a multiple")
        self.length, self.heads, self.same_place = length, heads, same_place
        self.norm = nn.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.age = nn.Parameter(torch.randn(length, heads, channels // heads) / (channels // heads) ** 0.5)
        self.place = nn.Parameter(_first_biases(heads, length, 1 if same_place else 2 * OFFSETS - 1))
        self.gain = nn.Parameter(torch.zeros(channels))
        for layer in (self.value, self.out):
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, now: Tensor, past: Tensor, frames: Tensor) -> Tensor:
        """
        Args:
            now: (B, F, C, h, w), F frames in a row.
            past: (B, T, C, h, w), the frames before them, the latest last.
            frames: (B,) how many of `past` were seen; the others are ignored.

        Returns (B, F, C, h, w). A frame without any past is returned as it was.
        """
        return self.with_memory(now, self._memory(self._normed(past)), frames)[0]

    def with_memory(self, now: Tensor, past: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with the keys and values of `past` as (B, T, 2 C, h · w).

        Returns also those of all frames, (B, T + F, 2 C, h · w).
        """
        normed, seen = self._normed(now), self._seen(frames, now.shape[1])
        memory = self._memory(normed)
        memory = torch.cat([past.to(memory.dtype), memory], 1)
        # (B, T + F, heads, d, places), and the query (B, F, ...)
        key, value = (part.unflatten(2, (self.heads, -1)) for part in memory.chunk(2, 2))
        query = self._projected(normed, self.query).unflatten(2, (self.heads, -1)) / key.shape[3] ** 0.5
        if self.same_place:
            found = self._of_same_place(query, key, value, seen)
        else:
            found = self._of_all_places(query, key, value, seen, now.shape[-2:])
        found = self.out(found.reshape(-1, *now.shape[2:])).unflatten(0, now.shape[:2]) * self.gain[:, None, None]
        return now + found * seen.any(2)[..., None, None, None].to(found.dtype), memory

    def _of_all_places(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor, size: torch.Size) -> Tensor:
        """(B, F, heads, d, places)."""
        key, value = (self._windows(part, query.shape[1]) for part in (key, value))  # (B, F, heads, d, T, places)
        # What hides the frames that were not seen is one more channel of the keys, as the scores are far larger.
        hidden = HIDDEN * (~seen).to(key.dtype)[:, :, None, None, :, None].expand_as(key[:, :, :, :1])
        key = torch.cat([key + self.age.permute(1, 2, 0)[..., None], hidden], 3).flatten(-2)
        query = F.pad(query, (0, 0, 0, 1), value=1)
        weights = (query.transpose(-1, -2) @ key + self._place_bias(*size).flatten(-2)).softmax(-1)
        return value.flatten(-2) @ weights.to(value.dtype).transpose(-1, -2)

    def _windows(self, memory: Tensor, count: int) -> Tensor:
        """(B, T + F, heads, d, places) -> for each of F = `count` frames the T before, (B, F, heads, d, T, places)."""
        return memory.unfold(1, self.length, 1)[:, :count].transpose(-1, -2)

    def _of_same_place(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """(B, F, heads, d, places)."""
        bias = torch.einsum("bfhdq,thd->bfhtq", query, self.age) + self.place.flatten(2)
        return _SamePlace.apply(query, key, value, bias.masked_fill(~seen[:, :, None, :, None], HIDDEN))

    def _normed(self, features: Tensor) -> Tensor:
        """(B, F, C, h, w) -> the same, normalised over channels."""
        return self.norm(features.movedim(2, -1)).movedim(-1, 2)

    def _memory(self, normed: Tensor) -> Tensor:
        """(B, F, C, h, w) -> keys and values (B, F, 2 C, h · w)."""
        return self._projected(normed, self.key, self.value)

    def _projected(self, normed: Tensor, *layers: nn.Conv2d) -> Tensor:
        """(B, F, C, h, w) -> what the layers give, one after the other, (B, F, layers · C, h · w)."""
        weights, biases = (torch.cat([getattr(layer, part) for layer in layers]) for part in ("weight", "bias"))
        return F.conv2d(normed.flatten(0, 1), weights, biases).unflatten(0, normed.shape[:2]).flatten(3)

    def _place_bias(self, height: int, width: int) -> Tensor:
        """(heads, places asked from, T, places asked about)."""
        by_row = _spread(self.place, 2, height)  # (heads, T, row from, row about, offset of columns)
        by_place = _spread(by_row, 4, width)
        return by_place.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)

    def _seen(self, frames: Tensor, length: int) -> Tensor:
        """(B, F, T) bool: which of the T frames before each of F frames there are."""
        before = torch.arange(length, device=frames.device)[:, None] + frames[:, None, None]  # (B, F, 1)
        age = torch.arange(self.length, 0, -1, device=frames.device)  # of a window's frames, the latest last
        return age <= before


class _SamePlace(torch.autograd.Function):
    """Attention of each place to itself in the T frames before: frame by frame of the past, as all at once would take T
    times the memory. Its own gradients are added up in place, in 0.6 of the time that autograd's take."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Query (B, F, heads, d, P), key and value (B, T + F, heads, d, P), bias (B, F, heads, T, P) -> as query."""
        count, ages = query.shape[1], range(bias.shape[3])
        scores = torch.stack([(query * key[:, ago : ago + count]).sum(3) for ago in ages], 3)
        weights = (scores + bias).softmax(3).to(value.dtype)
        ctx.save_for_backward(query, key, value, weights)
        return sum(weights[:, :, :, ago, None] * value[:, ago : ago + count] for ago in ages)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, ...]:
        query, key, value, weights = ctx.saved_tensors
        windows = [slice(ago, ago + query.shape[1]) for ago in range(weights.shape[3])]
        of_query, of_key, of_value = (torch.zeros_like(one) for one in (query, key, value))
        of_weights = torch.stack([(grad * value[:, window]).sum(3) for window in windows], 3)
        of_scores = weights * (of_weights - (weights * of_weights).sum(3, keepdim=True))
        for ago, window in enumerate(windows):
            weight, score = weights[:, :, :, ago, None], of_scores[:, :, :, ago, None]
            of_value[:, window].addcmul_(weight, grad)
            of_query.addcmul_(score, key[:, window])
            of_key[:, window].addcmul_(score, query)
        return of_query, of_key, of_value, of_scores


def _spread(biases: Tensor, dim: int, count: int) -> Tensor:
    """The dimension of offsets becomes two of `count`: from where and about where."""
    places = torch.arange(count, device=biases.device)
    offsets = (places - places[:, None]).clamp(1 - OFFSETS, OFFSETS - 1) + OFFSETS - 1
    # Many times as fast as indexing, forward and backward.
    return biases.index_select(dim, offsets.flatten()).unflatten(dim, offsets.shape)


def _first_biases(heads: int, length: int, side: int) -> Tensor:
    """(heads, T, side, side) for a start at the same place, in the last frame more than in others."""
    place, middle = torch.zeros(heads, length, side, side), side // 2
    if side > 1:
        place[..., middle, middle - 1 : middle + 2] = place[..., middle - 1 : middle + 2, middle] = NEXT_PLACE
    place[..., middle, middle] = SAME_PLACE
    place[:, -1:] += LAST_FRAME
    return place


class PassOverTime:
    """One forward pass of B people and F frames: hands each attention its past, and keeps what comes after it."""

    def __init__(self, history: History):
        self._history, self._seen = history, [[] for _ in range(history.memory.shape[1])]

    def __call__(self, stack: int, attention: TemporalAttention, now: Tensor) -> Tensor:
        """(B · F, C, h, w) of the next level with attention in an hourglass -> the same with what its past holds."""
        memory, frames = self._history
        start = sum(level.shape[-1] for level in self._seen[stack])
        past = memory[:, stack, ..., start : start + now.shape[2:].numel()]
        found, known = attention.with_memory(now.unflatten(0, (memory.shape[0], -1)), past, frames)
        self._seen[stack].append(known[:, -attention.length :].to(memory.dtype))
        return found.flatten(0, 1)

    def history(self, frames: int) -> History:
        """After these `frames` frames."""
        memory = torch.stack([torch.cat(levels, -1) for levels in self._seen], 1)
        return History(memory, (self._history.frames + frames).clamp(max=memory.shape[2]))

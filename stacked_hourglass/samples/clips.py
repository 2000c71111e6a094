"""Clips: people in frames that follow one another, as samples of a network with attention over time.

    people = People.from_arrays(frames, joints, clip=clip, frame=frame)      # or an MPII-form JSON with these fields
    clips = ClipCrops(people, length=9, augment=True)

`People.clip` is equal for the frames of one person in one clip, `People.frame` says when each was. The frames of a clip
are evenly spaced: where one is missing, the clip is taken as two.

A sample is that of `datasets.PoseCrops` with a leading F in every shape: image (F, 3, 256, 256), joints (F, J, 2), ...,
index (F,), and besides `counted` (F,) bool: False for a frame that is there only for the others' sake.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.augmentation import draw_geometry
from stacked_hourglass.samples.datasets import FRAMING_STREAM, pose_crop
from stacked_hourglass.samples.framing import Framing, View

START_STREAM = 2  # random numbers apart from those of scale, rotation and flip, and of framing


class Window(NamedTuple):
    """Frames of a run that make one sample: from `start`, and from `counted` on they count."""

    run: int
    start: int
    counted: int


def runs(people: People) -> list[np.ndarray]:
    """The frames that follow one another, each run as indices of `people` in the order of time.

    A clip's frames may be any number apart, as long as it is the same number: a wider gap ends a run. People without
    `clip` are runs of one frame.
    """
    if people.clip is None:
        return [np.array([index]) for index in range(len(people))]
    order = np.lexsort([people.frame, people.clip])
    clips = np.split(order, np.flatnonzero(np.diff(people.clip[order])) + 1) if len(order) else []
    parts = []
    for clip in clips:
        steps = np.diff(people.frame[clip])
        parts += np.split(clip, np.flatnonzero(steps != steps.min(initial=steps[0] if len(steps) else 1)) + 1)
    return parts


class ClipCrops(Dataset):
    """Clips of `length` consecutive frames with one crop for all of them, which shows what the crop of each shows.

    Every run is cut into clips in which each frame counts once. With `history` T the T frames before those that count
    are in the clip too, for validation. With `augment` the clips' starts are drawn anew for every (seed, epoch, index),
    all frames count, and scale, rotation and flip are drawn as well, once for the clip; so is what `framing` shows.

    A run shorter than a clip ends with copies of its last frame, which do not count.
    """

    def __init__(
        self,
        people: People,
        length: int,
        *,
        history: int = 0,
        augment: bool = False,
        seed: int = 0,
        framing: Framing | None = None,
    ):
        """`length`: frames that count in each clip; a clip has `history` more before them."""
        self.people, self.length, self.history = people, length, history
        self.augment, self.seed, self.framing = augment, seed, framing
        self._runs = runs(people)
        self.windows = [window for number in range(len(self._runs)) for window in self._cut(number)]

    def __len__(self) -> int:
        return len(self.windows)

    def _cut(self, number: int) -> list[Window]:
        count, whole = len(self._runs[number]), self.length + self.history
        windows, done = [], 0
        while done < count:
            start = max(0, min(done - self.history, count - whole))
            windows.append(Window(number, start, done - start))
            done = min(start + whole, count)
        return windows

    def frames(self, index: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Which people make the sample, (F,), and which of them count, (F,) bool."""
        run, start, first = self.windows[index]
        indices, whole = self._runs[run], self.length + self.history
        if self.augment:
            rng = np.random.default_rng([self.seed, epoch, index, START_STREAM])
            first, start = 0, int(np.clip(start + rng.integers(self.length), 0, max(0, len(indices) - whole)))
        places = start + np.arange(whole)
        counted = (np.arange(whole) >= first) & (places < len(indices))
        return indices[np.minimum(places, len(indices) - 1)], counted

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        """`key` is an index, or (epoch, index) as `EpochSampler` gives it."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        people, (frames, counted) = self.people, self.frames(index, epoch)
        scale, rotation, flip = 1.0, 0.0, False
        if self.augment:
            scale, rotation, flip = draw_geometry(np.random.default_rng([self.seed, epoch, index]))
        view = common_view(people.center[frames], people.side[frames])
        if self.framing:
            rng, middle = np.random.default_rng([self.seed, epoch, index, FRAMING_STREAM]), frames[len(frames) // 2]
            names = people.skeleton.joints
            view = self.framing(rng, view, people.joints[middle], people.annotated[middle], names)
        crops = {
            frame: pose_crop(people, int(frame), view, scale, rotation, flip, clipped=bool(self.framing))
            for frame in np.unique(frames)
        }
        samples = [crops[frame] for frame in frames]
        clip = {name: torch.stack([torch.as_tensor(sample[name]) for sample in samples]) for name in samples[0]}
        return clip | {"counted": torch.from_numpy(counted)}


def common_view(centers: np.ndarray, sides: np.ndarray) -> View:
    """The smallest square that holds all squares of these centres (F, 2) and sides (F,), px."""
    centers, reach = centers.astype(np.float64), sides.astype(np.float64)[:, None] / 2
    low, high = (centers - reach).min(0), (centers + reach).max(0)
    return View((low + high) / 2, float((high - low).max()))

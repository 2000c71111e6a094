"""People as crops (decoding and one warp, in worker processes), statistics of a training set, and loaders.

A sample is a dict:
    image     (3, 256, 256) uint8, RGB crop
    joints    (J, 2) float32, crop pixels; NaN if `Framing` moved the joint out of view, so that its map is empty
    annotated (J,) bool
    visible   (J,) bool
    to_photo  (2, 3) float32, crop pixels -> photo pixels
    index     index of the person in `People`
    readable  False if the photo could not be read: the crop is black and nothing is annotated
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.augmentation import draw_geometry
from stacked_hourglass.samples.crop_pack import CropPack
from stacked_hourglass.samples.framing import Framing, View, blacken_outside, in_view
from utils.compute.batch_parts import shard
from utils.compute.cache import cached
from utils.compute.distributed import ALONE, Processes
from utils.compute.worker_processes import WorkerLoader
from utils.console.progress import progress
from utils.files.schema import numbers
from utils.imaging.images import CROP_SIZE, ImageError, apply_affine, crop_matrix, crop_photo, invert_affine
from utils.training.samplers import EpochSampler

STATISTICS_VERSION = 1
STATISTICS = {"mean": numbers(3, low=0, high=1), "stddev": numbers(3, low=0, high=1)}
FRAMING_STREAM = 1  # a random stream separate from scale, rotation and flip


class PoseCrops(Dataset):
    """One sample per person; `augment` and `framing` are drawn for every (seed, epoch, index)."""

    def __init__(
        self,
        people: People,
        augment: bool = False,
        seed: int = 0,
        framing: Framing | None = None,
        pack: CropPack | None = None,
    ):
        """`augment`: random scale, rotation and flip, of what `framing` shows. `pack`: of `people`, read where it can
        be in place of their photos."""
        self.people, self.augment, self.seed, self.framing, self.pack = people, augment, seed, framing, pack

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        """`key`: an index, or (epoch, index) from `EpochSampler`."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        people, scale, rotation, flip = self.people, 1.0, 0.0, False
        if self.augment:
            scale, rotation, flip = draw_geometry(np.random.default_rng([self.seed, epoch, index]))
        view = View(people.center[index], people.side[index])
        if self.framing:
            rng = np.random.default_rng([self.seed, epoch, index, FRAMING_STREAM])
            view = self.framing(rng, view, people.joints[index], people.annotated[index], people.skeleton.joints)
        return pose_crop(people, index, view, scale, rotation, flip, clipped=bool(self.framing), pack=self.pack)


def pose_crop(
    people: People,
    index: int,
    view: View,
    scale: float,
    rotation: float,
    flip: bool,
    clipped: bool = False,
    pack: CropPack | None = None,
) -> dict:
    """One sample: what `view`, scaled, rotated and flipped, shows of a person.

    `clipped`: the picture is black, and joints are NaN, beyond the view's frame. `pack`: of `people`.
    """
    matrix = crop_matrix(view.center, view.side * scale, CROP_SIZE, rotation, flip)
    try:
        image, readable = pack.crop(index, matrix) if pack else None, True
        if image is None:
            image = crop_photo(people.photo(index), matrix)
    except ImageError:
        image, readable = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8), False
    joints, visible = apply_affine(matrix, people.joints[index]).astype(np.float32), people.visible[index]
    if clipped:
        image = blacken_outside(image, matrix, view)
        seen = in_view(people.joints[index], matrix, CROP_SIZE, view)
        joints, visible = np.where(seen[:, None], joints, np.float32(np.nan)), visible & seen
    order = people.skeleton.flip_order if flip else slice(None)
    return {
        "image": torch.from_numpy(image).permute(2, 0, 1),
        "joints": torch.from_numpy(joints[order]),
        "annotated": torch.from_numpy(people.annotated[index][order] & readable),
        "visible": torch.from_numpy(visible[order] & readable),
        "to_photo": torch.from_numpy(invert_affine(matrix).astype(np.float32)),
        "index": index,
        "readable": readable,
    }


def make_loader(
    dataset: Dataset,
    batch_size: int,
    workers: int = 0,
    *,
    sampler: Sequence[int] | None = None,
    batch_sampler: Sampler | None = None,
) -> DataLoader:
    """A DataLoader with `workers` processes; in order unless a sampler or batch sampler is given."""
    order = {"batch_sampler": batch_sampler} if batch_sampler else {"batch_size": batch_size, "sampler": sampler}
    return WorkerLoader(
        dataset,
        **order,
        # Without its own generator, every pass would advance the global one, and a network's initial weights would
        # depend on whether the statistics came from the cache.
        generator=torch.Generator(),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def shard_loader(dataset: Dataset, batch_size: int, workers: int = 0, processes: Processes = ALONE) -> DataLoader:
    """This process's part of the samples, in order, for a forward pass."""
    return make_loader(dataset, batch_size, workers, sampler=shard(range(len(dataset)), processes))


def training_loader(
    dataset: Dataset, batch_size: int, workers: int = 0, seed: int = 0, processes: Processes = ALONE
) -> DataLoader:
    """A shuffled loader, in an order given by (seed, epoch); `batch_size` is per process."""
    sampler = EpochSampler(len(dataset), batch_size, seed, processes)
    return make_loader(dataset, batch_size, workers, batch_sampler=sampler)


def statistics(
    people: People, workers: int = 0, cache: Path | None = None, processes: Processes = ALONE
) -> tuple[list[float], list[float]]:
    """Mean and population standard deviation of RGB in [0, 1] over all crops of `people`, without augmentation.

    Cached under a hash of the input: the content of the annotation files, the people and their crops.

    Args:
        workers: processes that decode and crop.
        cache: folder of the cache; by default `cache_folder()`.
    """
    result = cached(
        "crop_statistics", _identity(people), lambda: _measure(people, workers), cache, processes, schema=STATISTICS
    )
    return result["mean"], result["stddev"]


def _measure(people: People, workers: int) -> dict:
    loader = make_loader(PoseCrops(people), 32, workers)
    total, squares, count = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0
    for batch in progress(loader, len(loader), "statistics of the training set (once)"):
        pixels = batch["image"][batch["readable"]].float().div_(255).transpose(0, 1).flatten(1)  # (3, B·H·W)
        total += pixels.sum(1, dtype=torch.float64)
        squares += pixels.square().sum(1, dtype=torch.float64)
        count += pixels.shape[1]
    mean = total / max(count, 1)
    stddev = (squares / max(count, 1) - mean**2).clamp(min=0).sqrt()
    return {"mean": mean.tolist(), "stddev": stddev.tolist(), "people": len(people)}


def _identity(people: People) -> Iterator[str | bytes]:
    """The input of the statistics, for the cache key."""
    yield f"v{STATISTICS_VERSION} {CROP_SIZE} {people.skeleton.name}"
    yield from people.identity()

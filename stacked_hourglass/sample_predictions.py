"""The output of a predictor for all samples of a dataset, such as the crops of annotated people."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from stacked_hourglass.samples.datasets import shard_loader
from utils.compute.batch_parts import shard
from utils.compute.distributed import ALONE, Processes
from utils.compute.pipeline import in_turns
from utils.compute.worker_processes import WorkerLost
from utils.console.progress import progress
from utils.imaging.images import CROP_SIZE
from utils.osutils import counted
from utils.transform import Skeleton


class PosePredictor(Protocol):
    device: torch.device
    skeleton: Skeleton
    score_threshold: float
    over_time: bool

    def in_video(self) -> "PosePredictor": ...

    def __call__(self, crops: Tensor, to_photo: Tensor, tracks: Sequence[int] | None = None) -> tuple[Tensor, ...]: ...


def without_pose(joints: Tensor) -> list[int]:
    """Indices of the samples whose joints (N, J, 2) are all NaN, as `predict_samples` returns for unreadable ones."""
    return joints.isnan().all(-1).all(-1).nonzero()[:, 0].tolist()


def predict_samples(
    predictor: PosePredictor,
    crops: Dataset,
    title: str,
    batch_size: int = 16,
    workers: int = 0,
    processes: Processes = ALONE,
) -> tuple[tuple[Tensor, ...], str]:
    """The predictor's output for all samples of a dataset, in order; NaN for unreadable ones.

    If a worker process ends early, the rest is NaN too, and the second result says so in a line; it is "" otherwise.

    Args:
        crops: a dataset with `image`, `to_photo` and `readable`, e.g. `PoseCrops`.
        title: title of the progress bar.
        batch_size: samples per forward pass.
        workers: processes that decode and crop; 0 for threads of this one, the fastest with a network on a CPU.
        processes: with several, each predicts its part; all get the results of all.
    """
    own = shard(range(len(crops)), processes)
    if workers or predictor.device.type != "cpu":
        batches = shard_loader(crops, batch_size, workers, processes)
    else:
        batches = _collated(in_turns(crops.__getitem__, own, batch_size, torch.get_num_threads()), batch_size)
    parts, lost, missing = [], "", torch.zeros(0, dtype=torch.bool)
    try:
        for batch in progress(batches, math.ceil(len(own) / batch_size), title, "batch"):
            readable = batch["readable"]
            found = predictor(batch["image"][readable], batch["to_photo"][readable])
            parts.append([_with_nan(part, readable) for part in found])
    except WorkerLost as error:
        if not parts and processes.size == 1:
            raise
        done = sum(len(part[0]) for part in parts)
        lost = f"{error}; {done} of {counted(len(own), 'sample')} done, the others have no pose"
        missing = torch.zeros(len(own) - done, dtype=torch.bool)
    if not parts:  # more processes than samples, or none was done
        parts = [predictor(torch.empty(0, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8), torch.empty(0, 2, 3))]
    parts.append([_with_nan(part[:0], missing) for part in parts[0]])
    lost = next(filter(None, processes.gather_objects(lost)), "")
    return tuple(processes.gather(torch.cat(part)) for part in zip(*parts, strict=True)), lost


def _collated(samples: Iterable[dict], batch_size: int) -> Iterator[dict]:
    """The samples as minibatches."""
    samples = iter(samples)
    while batch := list(islice(samples, batch_size)):
        yield default_collate(batch)


def _with_nan(rows: Tensor, where: Tensor) -> Tensor:
    """(N, ...) rows: the given ones where the mask (N,) is true, NaN elsewhere."""
    spread = torch.full((len(where), *rows.shape[1:]), torch.nan, dtype=rows.dtype)
    spread[where] = rows
    return spread

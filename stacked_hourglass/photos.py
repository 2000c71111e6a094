"""Everybody in photos, videos and annotated folders, past any predictor: what the scripts of `run.py` share.

A predictor is called with crops (B, 3, 256, 256) uint8 RGB and their maps to photo pixels (B, 2, 3), and gives a tuple
of CPU tensors with a row a person: joints (B, J, 2) in photo pixels, scores (B, J), and, with a lifter, 3D joints
(B, 17, 3) mm. Its `skeleton` names the joints, its `device` is where it computes.

Of several processes each looks at its part of the people or photos, and gets what all have found.
"""

from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stacked_hourglass.annotations import People, followed_link, is_annotated, load_mpii
from stacked_hourglass.datasets import PoseCrops, shard_loader, start_worker
from stacked_hourglass.person_boxes import DetectorFinder, PersonFinder, make_finder
from stacked_hourglass.photo_crops import FoundBefore, PhotoCrops, PhotoPeople, VideoCrops
from stacked_hourglass.tracking import Tracker
from utils.compute.batch_parts import shard
from utils.compute.distributed import gather, gather_objects, is_main, world_size
from utils.console.progress import progress
from utils.imaging.image_sources import CameraSource, ImageSource, PhotoSource, VideoSource, open_source
from utils.imaging.images import CROP_SIZE
from utils.osutils import UserError, first_few, warn
from utils.predictions.pose_results import PoseResults
from utils.predictions.prediction_arrays import save_prediction_array
from utils.transform import Skeleton

IN_PHOTOS = ("person_box", "max_frames")  # options for photos and videos without annotations


class PosePredictor(Protocol):
    device: torch.device
    skeleton: Skeleton
    score_threshold: float

    def __call__(self, crops: Tensor, to_photo: Tensor) -> tuple[Tensor, ...]: ...


def find_poses(predictor: PosePredictor, options: Namespace) -> PoseResults:
    """The people of `--data_dir`: annotated ones of an MPII folder, or all of photos, a video, or a camera.

    Raises UserError for input that can't be used, and for options that this input makes useless.
    """
    run = run_annotated if is_annotated(options.data_dir) else run_photos
    return run(predictor, options)


def image_folder(options: Namespace) -> Path:
    """What `viz.py --img_dir` wants: where names of photos start."""
    return followed_link(options.data_dir / "images") if is_annotated(options.data_dir) else options.data_dir


# ------------------------------------------------------------------------------------------ annotated people
def run_annotated(predictor: PosePredictor, options: Namespace) -> PoseResults:
    """The validation (or training) people of an MPII folder; also writes `preds_valid.mat` for the validation."""
    for name in IN_PHOTOS:
        if name in options.given:
            raise UserError(f"--{name}: {options.data_dir} has annotated people; give its images folder for others")
    training, validation = load_mpii(options.data_dir)
    people = training if options.run_with_train else validation
    if predictor.skeleton.joints != people.skeleton.joints[: len(predictor.skeleton)]:
        raise UserError(f"{options.load}: predicts {predictor.skeleton.name} joints, {options.data_dir} has MPII's")
    people = people.first_joints(len(predictor.skeleton))
    if not len(people):
        part = "training" if options.run_with_train else "validation"
        raise UserError(f"{options.data_dir}: no {part} people with photos")
    found = predict_samples(predictor, PoseCrops(people), options, "people")
    if lost := int(found[0].isnan().all(-1).all(-1).sum()):
        warn(f"{lost} of {len(people)} people have photos that can't be read; their joints are NaN")
    if not options.run_with_train and is_main():
        save_prediction_array(options.output_dir / "preds_valid.mat", found[0])
    results = PoseResults(people.skeleton, predictor.score_threshold)
    return _by_photo(results, people, found, image_folder(options))


def predict_samples(predictor: PosePredictor, crops: Dataset, options: Namespace, title: str) -> tuple[Tensor, ...]:
    """What the predictor gives for all samples of a dataset, in order; NaN for those that are not readable.

    A batch has `image`, `to_photo` and `readable`, as the datasets of crops give them.
    """
    loader, parts = shard_loader(crops, options), []
    for batch in progress(loader, len(loader), title, "batch"):
        readable = batch["readable"]
        found = predictor(batch["image"][readable], batch["to_photo"][readable])
        rows = [torch.full((len(readable), *part.shape[1:]), torch.nan, dtype=part.dtype) for part in found]
        for row, part in zip(rows, found, strict=True):
            row[readable] = part
        parts.append(rows)
    if not parts:  # more processes than samples: of nobody
        parts = [predictor(torch.empty(0, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8), torch.empty(0, 2, 3))]
    return tuple(gather(torch.cat(part)) for part in zip(*parts, strict=True))


def _by_photo(results: PoseResults, people: People, found: tuple[Tensor, ...], folder: Path) -> PoseResults:
    """Group people by photo, in the order of the annotations; a photo is named by its path relative to `folder`."""
    groups = defaultdict(list)
    for index, path in enumerate(people.image_paths):
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        groups[name].append(index)
    truth = torch.from_numpy(np.where(people.annotated[..., None], people.joints, np.nan))
    for name, group in groups.items():
        results.add(name, {"annotation_index": group}, *(part[group] for part in found))
        results.truth[name] = truth[group]
    return results


# ------------------------------------------------------------------------------------------ photos and videos
@dataclass
class Findings:
    """What a run over photos gives: poses, the faults of unreadable photos, names of those without people, and how
    many boxes lay outside their photos."""

    results: PoseResults
    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    outside: int = 0

    def extend(self, other: "Findings") -> None:
        """Put the findings in later photos behind these."""
        self.results.extend(other.results)
        self.unreadable += other.unreadable
        self.empty += other.empty
        self.outside += other.outside


def run_photos(predictor: PosePredictor, options: Namespace) -> PoseResults:
    """All people of a folder of photos, one photo, a video, or a camera.

    The `metas` of a video's frames have `fps`, and `tracks`, the numbers of the people, in whose order they are.
    """
    if options.run_with_train:
        raise UserError(f"--run_with_train: {options.data_dir} has no annotations, so no training people")
    source = open_source(options.data_dir, max_frames=options.max_frames, camera=True)
    if isinstance(source, VideoSource) and world_size() > 1:
        raise UserError(f"--data_dir {options.data_dir}: one process follows its people; leave the launcher out")
    finder = make_finder(options.person_box, predictor.device)
    finder.check_names(source.names())
    if isinstance(source, PhotoSource) and source.left_out:
        warn(f"{len(source.left_out)} files of {source.root} are no photos: {first_few(source.left_out, ',')}")
    if isinstance(source, PhotoSource):
        source = source.with_names(shard(source.names()))
    if isinstance(finder, DetectorFinder) and not isinstance(source, CameraSource):
        finder = FoundBefore(finder, progress(source, len(source) or None, "finding people", "photo"))
    own = Findings(PoseResults(predictor.skeleton, predictor.score_threshold))
    people = follow(photo_loader(source, finder, options), source)
    for photo, *found in predict_photos(predictor, people, options.test_batch_size):
        own.outside += photo.outside
        if photo.error:
            own.unreadable.append(photo.error)
            continue
        own.results.add(photo.name, _meta(photo), *found)
        if not len(photo):
            own.empty.append(photo.name)
    if isinstance(source, VideoSource):
        for meta in own.results.metas.values():
            meta["fps"] = float(source.fps)
    findings, *others = gather_objects(own)
    for other in others:
        findings.extend(other)
    _report(options, findings)
    return findings.results


def _meta(photo: PhotoPeople) -> dict:
    meta = {
        "size": list(photo.size),
        "boxes": torch.from_numpy(photo.boxes),
        "box_scores": torch.from_numpy(photo.box_scores),
    }
    return meta if photo.tracks is None else meta | {"tracks": photo.tracks.tolist()}


def _report(options: Namespace, found: Findings) -> None:
    """Warn of what was left out. Raises UserError where nothing could be read."""
    if not found.results.metas:
        fault = f"; the first fault: {found.unreadable[0]}" if found.unreadable else ""
        raise UserError(f"--data_dir {options.data_dir}: no photo could be read{fault}")
    if found.outside:
        warn(f"{found.outside} boxes lie wholly outside their photos and were left out")
    if found.unreadable:
        warn(f"{len(found.unreadable)} photos skipped: {first_few(found.unreadable, ';')}")
    if found.empty:
        names = first_few(found.empty, ";")
        warn(f"no person found in {len(found.empty)} photos (--person_box {options.person_box}): {names}")


def photo_loader(source: ImageSource, finder: PersonFinder, options: Namespace) -> DataLoader:
    """`PhotoPeople` in order; a video is decoded by one process, a camera watched by this one."""
    video = isinstance(source, VideoSource)
    most = 0 if isinstance(source, CameraSource) else 1 if video else options.workers
    return DataLoader(
        VideoCrops(source, finder) if video else PhotoCrops(source, finder),
        batch_size=None,
        num_workers=min(options.workers, most),
        worker_init_fn=start_worker,
    )


def follow(photos: Iterable[PhotoPeople], source: ImageSource) -> Iterator[PhotoPeople]:
    """The photos while showing progress; people of a video's frames with their tracks."""
    tracker = Tracker() if isinstance(source, VideoSource) else None
    for photo in progress(photos, len(source) or None, "frames" if tracker else "photos", "photo"):
        yield photo.in_order_of(tracker(photo.boxes)) if tracker else photo


def predict_photos(
    predictor: PosePredictor, photos: Iterable[PhotoPeople], batch_size: int
) -> Iterator[tuple[PhotoPeople, *tuple[Tensor, ...]]]:
    """Each photo with what the predictor gives for its people, in order.

    Photos are collected until their people fill a batch, so that the network sees full batches whatever the
    number of people a photo.
    """
    waiting: list[PhotoPeople] = []
    for photo in photos:
        waiting.append(photo)
        if sum(map(len, waiting)) >= batch_size:
            yield from _predict(predictor, waiting, batch_size)
            waiting = []
    yield from _predict(predictor, waiting, batch_size)


def _predict(predictor: PosePredictor, photos: list[PhotoPeople], batch_size: int):
    if not photos:
        return
    crops = torch.from_numpy(np.concatenate([photo.crops for photo in photos])).permute(0, 3, 1, 2)
    to_photo = torch.from_numpy(np.concatenate([photo.to_photo for photo in photos]))
    parts = [predictor(*part) for part in zip(crops.split(batch_size), to_photo.split(batch_size), strict=True)]
    sizes = [len(photo) for photo in photos]
    found = [torch.cat(part).split(sizes) for part in zip(*parts, strict=True)]
    yield from zip(photos, *found, strict=True)

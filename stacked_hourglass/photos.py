"""Runs any predictor on the people in photos, videos and annotated folders.

    predictor = Predictor(load_hourglass("CHECKPOINT", device="cuda"))
    results = find_poses(predictor, "my_photos")
    results.joints["a.jpg"]                                              # (P, 16, 2) px of the photo
    results.save(Path("out"))

A predictor is called with crops (B, 3, 256, 256) uint8 RGB and their maps to photo pixels (B, 2, 3). It returns a tuple
of CPU tensors with a row per person: joints (B, J, 2) in photo pixels, scores (B, J), and, with a lifter, 3D joints
(B, 17, 3) mm. It has a `skeleton` and a `device`. One with attention over time (`over_time`) predicts a video frame by
frame, and is given the track of each person.

With several processes, each runs its part of the people or photos and gets the results of all.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from stacked_hourglass.annotations.joined import has_people, in_skeleton
from stacked_hourglass.annotations.lsp import is_lsp, load_lsp
from stacked_hourglass.annotations.mpii import is_annotated, load_mpii, mpii_images
from stacked_hourglass.annotations.people import People
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.finding.photo_crops import FoundBefore, PhotoCrops, PhotoPeople, VideoCrops, crop_people
from stacked_hourglass.finding.tracking import Tracker
from stacked_hourglass.sample_predictions import PosePredictor, predict_samples, without_pose
from stacked_hourglass.samples.datasets import PoseCrops
from utils.compute.batch_parts import shard
from utils.compute.distributed import ALONE, Processes
from utils.compute.pipeline import ahead, in_turns
from utils.compute.worker_processes import WorkerLoader, WorkerLost
from utils.console.progress import progress
from utils.imaging.base_source import FrameSource, ImageSource
from utils.imaging.camera_source import CameraSource
from utils.imaging.image_sources import open_source
from utils.imaging.images import report_unreadable
from utils.imaging.photo_source import PhotoSource
from utils.imaging.source_paths import is_camera
from utils.imaging.video_source import FrameRange
from utils.osutils import UserError, counted, first_few, warn
from utils.predictions.pose_results import PoseResults


class Watcher(Protocol):
    """Somebody who looks at a camera's frames as they come."""

    def frame(self, name: str, image: np.ndarray) -> None:
        """A frame, (H, W, 3) uint8 RGB, before its poses are known."""

    def poses(self, name: str, joints: Tensor, scores: Tensor, joints_3d: Tensor | None = None) -> None:
        """The poses of a frame: (P, J, 2) px, (P, J), (P, 17, 3) mm."""


def find_poses(
    predictor: PosePredictor,
    data_dir: str | Path,
    *,
    person_box: str | None = None,
    frames: FrameRange | None = None,
    run_with_train: bool = False,
    batch_size: int = 16,
    workers: int = 0,
    processes: Processes = ALONE,
    watch: Watcher | None = None,
) -> PoseResults:
    """Predict the poses of the people in an MPII or LSP folder (the annotated ones), in photos, a video, or a camera.

    Each photo's `metas` name the folder (or video) of the images as `img_dir`.

    Args:
        data_dir: an MPII or LSP folder, a folder of photos, a photo, a video, or a camera's number.
        person_box: where people without annotations are: "auto" (the default: the best detector that is installed,
            and the whole photo, but not a whole video frame, where it finds nobody), "whole" (the photo is the person),
            "yolox", "detect", "hog", or a JSON file of boxes.
        frames: which of a video; of a camera how many; by default all.
        run_with_train: take the training people of an MPII or LSP folder, not the validation people.
        batch_size: people that the predictor sees at once.
        workers: processes that decode and crop photos; 0 for threads of this one, the fastest with a network on a CPU.
        processes: with several, each handles its part; all get the results of all.
        watch: sees the frames of a camera and their poses at once, one frame at a time.

    Raises UserError for input that can't be used, and for arguments that have no effect on it.
    """
    if has_people(data_dir):
        given = f"--person_box {person_box}" if person_box is not None else frames.given() if frames else ""
        if given:
            raise UserError(f"{given}: {data_dir} has annotated people; give its images folder for others")
        results = _run_annotated(predictor, Path(data_dir), run_with_train, batch_size, workers, processes)
    elif run_with_train:
        raise UserError(f"--run_with_train: {data_dir} has no annotations, so no training people")
    else:
        results = _run_photos(predictor, data_dir, person_box, frames, batch_size, workers, processes, watch)
    if not is_camera(data_dir):  # camera frames are not stored
        folder = str(image_folder(data_dir).absolute())
        for meta in results.metas.values():
            meta["img_dir"] = folder
    return results


def image_folder(data_dir: str | Path) -> Path:
    """The `viz.py --img_dir` for results on `data_dir`: the folder to which photo names are relative."""
    return mpii_images(data_dir) if is_annotated(data_dir) else Path(data_dir)


# ------------------------------------------------------------------------------------------ annotated people
def _run_annotated(
    predictor: PosePredictor, data_dir: Path, run_with_train: bool, batch_size: int, workers: int, processes: Processes
) -> PoseResults:
    lsp = is_lsp(data_dir) and not is_annotated(data_dir)
    training, validation = load_lsp(data_dir) if lsp else load_mpii(data_dir)
    people, part = (training, "training") if run_with_train else (validation, "validation")
    if not len(people):
        raise UserError(f"{data_dir}: no {part} people with photos")
    folder, source = image_folder(data_dir), f"--data_dir {data_dir}"
    converted = lsp and predictor.skeleton.joints != people.skeleton.joints[: len(predictor.skeleton)]
    if converted:
        people = in_skeleton(people, predictor.skeleton)
    results, found = poses_of_people(predictor, people, folder, source, batch_size, workers, processes)
    results.in_validation_order = None if run_with_train or converted else found[0]
    return results


def poses_of_people(
    predictor: PosePredictor,
    people: People,
    folder: Path,
    source: str,
    batch_size: int = 16,
    workers: int = 0,
    processes: Processes = ALONE,
) -> tuple[PoseResults, tuple[Tensor, ...]]:
    """Predict the poses of annotated people in their annotated crops; the results include the ground truth.

    Args:
        people: at least one.
        folder: folder to which photo names in the results are relative.
        source: where the people come from, for messages.
        batch_size, workers, processes: as for `find_poses`.

    Returns the results by photo, and the predictor's output for `people` in their order, with NaN and a warning for
    unreadable photos. Raises UserError for a network with other joints, and if no photo can be read.
    """
    skeleton = predictor.skeleton
    if skeleton.joints != people.skeleton.joints[: len(skeleton)]:
        raise UserError(
            f"{source}: the network predicts {skeleton.name} joints, the people have {people.skeleton.name}'s"
        )
    people = people.first_joints(len(skeleton))
    found, lost = predict_samples(predictor, PoseCrops(people), "people", batch_size, workers, processes)
    results = PoseResults(people.skeleton, predictor.score_threshold, lost=lost)
    faults = dict.fromkeys(str(people.image_paths[index]) for index in without_pose(found[0]))
    if not lost:
        report_unreadable([*faults], len(set(people.image_paths)), "their people's joints are NaN", source)
    return _by_photo(results, people, found, folder), found


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
    """Results of a run over photos.

    Attributes:
        results: the poses.
        unreadable: why photos could not be read, one line per photo.
        empty: names of photos without people.
        outside: number of boxes outside their photos.
        whole: number of photos taken as one person because nobody was found.
        lost: what ended the run early, or "".
    """

    results: PoseResults
    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    outside: int = 0
    whole: int = 0
    lost: str = ""

    def note(self, photo: PhotoPeople, found: Sequence[Tensor]) -> None:
        """Add a photo and the predictor's output for its people."""
        self.outside += photo.outside
        self.whole += photo.whole
        if photo.error:
            self.unreadable.append(photo.error)
            return
        self.results.add(photo.name, _meta(photo), *found)
        if not len(photo):
            self.empty.append(photo.name)

    def extend(self, other: "Findings") -> None:
        """Append the findings of later photos."""
        self.results.extend(other.results)
        self.unreadable += other.unreadable
        self.empty += other.empty
        self.outside += other.outside
        self.whole += other.whole
        self.lost = self.lost or other.lost


def _run_photos(
    predictor: PosePredictor,
    data_dir: str | Path,
    person_box: str | None,
    frames: FrameRange | None,
    batch_size: int,
    workers: int,
    processes: Processes,
    watch: Watcher | None,
) -> PoseResults:
    """A video's `metas` have `fps`, `time` (s from the first frame), and `tracks`: the people's numbers, in whose order
    they are."""
    source = open_source(data_dir, frames=frames, camera=True)
    if isinstance(source, FrameSource) and processes.size > 1:
        raise UserError(f"--data_dir {data_dir}: tracking needs a single process; start it without the launcher")
    person_box = person_box or "auto"
    finder = make_finder(person_box, predictor.device, whole_where_nobody=not isinstance(source, FrameSource))
    finder.check_names(source.names())
    title = finder.title
    if isinstance(source, PhotoSource) and source.left_out:
        others = counted(len(source.left_out), "file")
        warn(f"{others} of {source.root} ignored, not photos by name: {first_few(source.left_out, ',')}")
    if isinstance(source, PhotoSource):
        source = source.with_names(shard(source.names(), processes))
    if finder.needs_device and not isinstance(source, CameraSource):
        finder = FoundBefore(finder, progress(source, len(source) or None, "finding people", "photo"))
    kind = "frame" if isinstance(source, FrameSource) else "photo"
    own = Findings(PoseResults(predictor.skeleton, predictor.score_threshold, image_kind=kind))
    if watch and isinstance(source, CameraSource):
        source.watch = watch.frame
    people = follow(cropped_photos(source, finder, workers, batch_size, predictor.device), source)
    if isinstance(source, FrameSource) and getattr(predictor, "over_time", False):
        predictor = predictor.in_video()
    try:
        for photo, *found in predict_photos(predictor, people, batch_size, at_once=watch is not None):
            own.note(photo, found)
            if watch and not photo.error:
                watch.poses(photo.name, *found)
    except WorkerLost as error:
        own.lost = str(error)
    if isinstance(source, FrameSource):
        for name, meta in own.results.metas.items():
            meta |= {"fps": float(source.fps), "time": source.time(name)}
    findings, *others = processes.gather_objects(own)
    for other in others:
        findings.extend(other)
    if findings.lost:
        done = len(findings.results.metas) + len(findings.unreadable)
        findings.results.lost = f"{findings.lost}; {counted(done, kind)} done"
    if person_box == "auto":
        findings.results.note = _how_found(findings, title)
    _report(findings, f"--data_dir {data_dir}", person_box)
    return findings.results


def _how_found(found: Findings, detector: str) -> str:
    """How `--person_box auto` found the people."""
    kind, note = found.results.image_kind, f"people found by {detector} (--person_box auto)"
    if not found.whole:
        return note
    return f"{note}; nobody in {counted(found.whole, kind)}, taken whole, as one person each"


def _meta(photo: PhotoPeople) -> dict:
    meta = {
        "size": list(photo.size),
        "boxes": torch.from_numpy(photo.boxes),
        "box_scores": torch.from_numpy(photo.box_scores),
    }
    return meta if photo.tracks is None else meta | {"tracks": photo.tracks.tolist()}


def _report(found: Findings, source: str, person_box: str) -> None:
    """Warn of what was skipped. Raises UserError if nothing could be read."""
    images, kind = len(found.results.metas) + len(found.unreadable), found.results.image_kind
    if not found.results.metas:
        found.results.require_whole()
    if not images:
        raise UserError(f"{source}: no {kind} could be read")
    report_unreadable(found.unreadable, images, "skipped", source, kind)
    if found.outside:
        warn(f"{counted(found.outside, 'box', 'boxes')} wholly outside the {kind}, left out")
    if found.empty:
        names = first_few(found.empty, ";")
        warn(f"no person found in {counted(len(found.empty), kind)} (--person_box {person_box}): {names}")


def cropped_photos(
    source: ImageSource, finder: PersonFinder, workers: int, batch_size: int, device: torch.device
) -> Iterable[PhotoPeople]:
    """A `PhotoPeople` of each photo or frame, in order.

    Without workers, threads of this process find and crop people: in turns with a network on the CPU, ahead of one on
    another device.
    """
    if workers or isinstance(source, CameraSource):
        return photo_loader(source, finder, workers, batch_size)
    if device.type != "cpu":
        return ahead(photo_loader(source, finder, 0), batch_size)
    threads = torch.get_num_threads()
    if isinstance(source, PhotoSource):
        return in_turns(lambda name: crop_people(name, source.read(name), finder), source.names(), batch_size, threads)
    return in_turns(lambda frame: crop_people(*frame, finder), source, batch_size, threads)


def photo_loader(source: ImageSource, finder: PersonFinder, workers: int, batch_size: int = 16) -> DataLoader:
    """A loader of `PhotoPeople`, in order. One worker decodes a video; a camera is read in this process.

    Workers are a batch ahead of what is asked for, so that they decode while the network computes.
    """
    video = isinstance(source, FrameSource)
    workers = min(workers, 0 if isinstance(source, CameraSource) else 1 if video else workers)
    return WorkerLoader(
        VideoCrops(source, finder) if video else PhotoCrops(source, finder),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=max(2, math.ceil(batch_size / workers)) if workers else None,
    )


def follow(photos: Iterable[PhotoPeople], source: ImageSource) -> Iterator[PhotoPeople]:
    """Iterate over the photos with a progress bar; people of a video get track numbers."""
    tracker = Tracker() if isinstance(source, FrameSource) else None
    for photo in progress(photos, len(source) or None, "estimating poses", "frame" if tracker else "photo"):
        yield photo.in_order_of(tracker(photo.boxes)) if tracker else photo


def predict_photos(
    predictor: PosePredictor, photos: Iterable[PhotoPeople], batch_size: int, at_once: bool = False
) -> Iterator[tuple[PhotoPeople, *tuple[Tensor, ...]]]:
    """Yield each photo with the predictor's output for its people, in order.

    Photos are collected until their people fill a batch, so that batches are full regardless of people per photo. With
    `at_once` no photo waits for others.

    With attention over time, the frames of a video are predicted one by one, since each needs the result of the last.
    """
    waiting: list[PhotoPeople] = []
    for photo in photos:
        waiting.append(photo)
        full = at_once or sum(map(len, waiting)) >= batch_size
        if full or _is_streamed(predictor, photo):
            yield from _predict(predictor, waiting, batch_size)
            waiting = []
    yield from _predict(predictor, waiting, batch_size)


def _is_streamed(predictor: PosePredictor, photo: PhotoPeople) -> bool:
    return photo.tracks is not None and getattr(predictor, "over_time", False)


def _predict(predictor: PosePredictor, photos: list[PhotoPeople], batch_size: int):
    if not photos:
        return
    crops = torch.from_numpy(np.concatenate([photo.crops for photo in photos])).permute(0, 3, 1, 2)
    to_photo = torch.from_numpy(np.concatenate([photo.to_photo for photo in photos]))
    if _is_streamed(predictor, photos[0]):
        parts = [predictor(crops, to_photo, photos[0].tracks)]
    else:
        parts = [predictor(*part) for part in zip(crops.split(batch_size), to_photo.split(batch_size), strict=True)]
    sizes = [len(photo) for photo in photos]
    found = [torch.cat(part).split(sizes) for part in zip(*parts, strict=True)]
    yield from zip(photos, *found, strict=True)

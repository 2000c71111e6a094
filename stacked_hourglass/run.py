"""2D poses in photos, from a trained hourglass.

python run.py hourglass_mpii --load model_checkpoints/hourglass_mpii_default                 # MPII in data/mpii
python run.py hourglass_mpii --load CHECKPOINT --data_dir holiday_photos --person_box hog
python run.py hourglass_mpii --load CHECKPOINT --data_dir clip.mp4
"""

import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from stacked_hourglass.annotations import People, followed_link, is_annotated, load_mpii
from stacked_hourglass.datasets import PoseCrops, make_loader, start_worker
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass, require_same_architecture
from stacked_hourglass.person_boxes import DetectorFinder, make_finder
from stacked_hourglass.photo_crops import FoundBefore, FrameCrops, PhotoCrops, PhotoPeople
from utils.device_utils import pick_device
from utils.image_sources import ImageSource, VideoSource, open_source
from utils.osutils import UserError, first_few, warn
from utils.prediction_utils import save_coco_results, save_metas, save_prediction_array, save_predictions
from utils.progress import progress
from utils.transform import Skeleton


@dataclass
class Poses:
    """What a run found, by photo name. P is 0 for a photo without people.

    Attributes:
        skeleton: the joint order.
        joints: (P, J, 2) photo pixels, zero-based; NaN for a person whose photo can't be read.
        scores: (P, J) heights of the heat maps' peaks.
        truth: (P, J, 2) photo pixels; NaN where not annotated. Only for annotated people.
        metas: plain facts of each photo: skeleton, boxes or annotation index, photo size.
    """

    skeleton: Skeleton
    joints: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)
    metas: dict[str, dict] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        save_predictions(directory / "2d_pose_estimations.pt", self.joints)
        save_metas(directory / "metas.pt", self.metas)
        save_coco_results(directory / "predictions.json", self.joints, self.scores)
        if self.truth:
            save_predictions(directory / "2d_pose_ground_truths.pt", self.truth)


def hourglass_mpii(options: Namespace) -> None:
    """`run.py hourglass_mpii`."""
    device = pick_device(options.device)
    model = load_hourglass(options.load, device, options.allow_unsafe_load)
    require_same_architecture(model.architecture, options, options.load)
    predictor = Predictor(model, device, options.precision, options.flip, options.compile)
    start = time.monotonic()
    run = run_annotated if is_annotated(options.data_dir) else run_photos
    poses = run(predictor, options)
    poses.save(options.output_dir)
    seconds, people = time.monotonic() - start, sum(map(len, poses.joints.values()))
    print(
        f"{people} people in {len(poses.metas)} photos or frames, {seconds:.1f} s, {people / seconds:.1f} people/s\n"
        f"joints in {poses.skeleton.name} order, zero-based photo pixels: {options.output_dir}\n"
        f"draw them: python viz.py 2d_overlay --img_dir {_image_folder(options)} "
        f"--2d_pose_estimations {options.output_dir / '2d_pose_estimations.pt'}"
    )


# ------------------------------------------------------------------------------------------ annotated people
def run_annotated(predictor: Predictor, options: Namespace) -> Poses:
    """The validation (or training) people of an MPII folder; also writes `preds_valid.mat` for the validation."""
    if "person_box" in options.given:
        raise UserError(f"--person_box: {options.data_dir} has annotated people; give its images folder to find others")
    training, validation = load_mpii(options.data_dir)
    people = training if options.run_with_train else validation
    if predictor.skeleton.joints != people.skeleton.joints[: len(predictor.skeleton)]:
        raise UserError(f"{options.load}: predicts {predictor.skeleton.name} joints, {options.data_dir} has MPII's")
    people = people.first_joints(len(predictor.skeleton))
    if not len(people):
        part = "training" if options.run_with_train else "validation"
        raise UserError(f"{options.data_dir}: no {part} people with photos")
    loader = make_loader(PoseCrops(people), options, options.test_batch_size)
    joints = np.full((*people.annotated.shape, 2), np.nan, dtype=np.float32)
    scores = np.full(people.annotated.shape, np.nan, dtype=np.float32)
    for batch in progress(loader, len(loader), "people", "batch"):
        readable = batch["readable"]
        index = batch["index"][readable].numpy()
        found, height = predictor(batch["image"][readable], batch["to_photo"][readable])
        joints[index], scores[index] = found.numpy(), height.numpy()
    if lost := int(np.isnan(joints).all(axis=(1, 2)).sum()):
        warn(f"{lost} of {len(people)} people have photos that can't be read; their joints are NaN")
    if not options.run_with_train:
        save_prediction_array(options.output_dir / "preds_valid.mat", joints)
    return _by_photo(people, joints, scores, _image_folder(options))


def _by_photo(people: People, joints: np.ndarray, scores: np.ndarray, folder: Path) -> Poses:
    """Group people by photo, in the order of the annotations; a photo is named by its path relative to `folder`."""
    groups = defaultdict(list)
    for index, path in enumerate(people.image_paths):
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        groups[name].append(index)
    poses = Poses(people.skeleton)
    truth = np.where(people.annotated[..., None], people.joints, np.nan)
    for name, group in groups.items():
        poses.joints[name] = torch.from_numpy(joints[group])
        poses.scores[name] = torch.from_numpy(scores[group])
        poses.truth[name] = torch.from_numpy(truth[group])
        poses.metas[name] = {"skeleton": people.skeleton.name, "annotation_index": group}
    return poses


# ------------------------------------------------------------------------------------------ photos and videos
def run_photos(predictor: Predictor, options: Namespace) -> Poses:
    """All people of a folder of photos, one photo, or a video."""
    if options.run_with_train:
        raise UserError(f"--run_with_train: {options.data_dir} has no annotations, so no training people")
    source = open_source(options.data_dir)
    finder = make_finder(options.person_box, predictor.device)
    finder.check_names(source.names())
    if isinstance(finder, DetectorFinder):
        finder = FoundBefore(finder, progress(source, len(source), "finding people", "photo"))
    poses, unreadable, empty, outside = Poses(predictor.skeleton), [], [], 0
    for photo, joints, scores in predict_photos(predictor, _photo_loader(source, finder, options), options):
        outside += photo.outside
        if photo.error:
            unreadable.append(photo.error)
            continue
        poses.metas[photo.name] = {
            "skeleton": predictor.skeleton.name,
            "size": list(photo.size),
            "boxes": torch.from_numpy(photo.boxes),
            "box_scores": torch.from_numpy(photo.box_scores),
        }
        poses.joints[photo.name], poses.scores[photo.name] = joints, scores
        if not len(photo):
            empty.append(photo.name)
    if not poses.metas:
        raise UserError(f"--data_dir {options.data_dir}: no photo could be read; the first fault: {unreadable[0]}")
    if outside:
        warn(f"{outside} boxes lie wholly outside their photos and were left out")
    if unreadable:
        warn(f"{len(unreadable)} photos skipped: {first_few(unreadable, ';')}")
    if empty:
        warn(f"no person found in {len(empty)} photos (--person_box {options.person_box}): {first_few(empty, ';')}")
    return poses


def _photo_loader(source: ImageSource, finder, options: Namespace) -> DataLoader:
    """`PhotoPeople` in order; a video is decoded by one process."""
    video = isinstance(source, VideoSource)
    return DataLoader(
        FrameCrops(source, finder) if video else PhotoCrops(source, finder),
        batch_size=None,
        num_workers=min(options.workers, 1) if video else options.workers,
        worker_init_fn=start_worker,
    )


def predict_photos(
    predictor: Predictor, photos: Iterable[PhotoPeople], options: Namespace
) -> Iterator[tuple[PhotoPeople, Tensor, Tensor]]:
    """Each photo with its people's joints (P, J, 2) and scores (P, J), in order.

    Photos are collected until their people fill a batch, so that the network sees full batches whatever the
    number of people a photo.
    """
    total = len(photos.dataset) if isinstance(photos, DataLoader) and isinstance(photos.dataset, PhotoCrops) else None
    waiting: list[PhotoPeople] = []
    for photo in progress(photos, total, "photos", "photo"):
        waiting.append(photo)
        if sum(map(len, waiting)) >= options.test_batch_size:
            yield from _predict(predictor, waiting, options.test_batch_size)
            waiting = []
    yield from _predict(predictor, waiting, options.test_batch_size)


def _predict(predictor: Predictor, photos: list[PhotoPeople], batch_size: int):
    if not photos:
        return
    crops = torch.from_numpy(np.concatenate([photo.crops for photo in photos])).permute(0, 3, 1, 2)
    to_photo = torch.from_numpy(np.concatenate([photo.to_photo for photo in photos]))
    parts = [predictor(*part) for part in zip(crops.split(batch_size), to_photo.split(batch_size), strict=True)]
    joints, scores = (torch.cat(part) for part in zip(*parts, strict=True))
    sizes = [len(photo) for photo in photos]
    yield from zip(photos, joints.split(sizes), scores.split(sizes), strict=True)


def _image_folder(options: Namespace) -> Path:
    return followed_link(options.data_dir / "images") if is_annotated(options.data_dir) else options.data_dir

"""The default data, `--data_dir sample`: rendered people with exact ground truth, in the formats of the real data sets.

    from utils.sample.sample_data import ensure_sample
    folder = ensure_sample("mpii")      # data/sample/mpii, rendered on first use

Every image has its own random stream, so the files do not depend on the number of processes.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils.osutils import UserError
from utils.sample.coco import make_coco
from utils.sample.lsp import make_lsp
from utils.sample.matlab import write_mat
from utils.sample.scene import SeenPerson, render_scene
from utils.transform import MPII

MARKER = "sample.json"
_TWO_PEOPLE_EVERY = 8  # images
_SHORT_NAMES = (
    "rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor",
    "neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri",
)  # fmt: skip
# One thread per process. glibc keeps freed image-sized arrays, which saves a tenth of the time.
_HELPER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}


@dataclass(frozen=True)
class SampleMaker:
    """Recipe of a data set's sample.

    Attributes:
        make: called as `make(folder, training, validation, seed, workers)`, or `make(folder, source)` with a `source`.
        version: increase it to make `ensure_sample` replace older files on disk.
        training, validation: number of rendered samples.
        what: noun for the samples, for messages.
        source: the sample that this one converts to another format.
    """

    make: Callable[..., None]
    version: int
    training: int = 0
    validation: int = 0
    what: str = "people"
    source: str | None = None


def ensure_sample(dataset: str, root: Path = Path("data/sample")) -> Path:
    """The folder `<root>/<dataset>` of the sample, created if it is missing or of an older version.

    The folder is created atomically, and any number of processes may call this at once. Prints one line when it
    creates data.

    Raises UserError for an unknown sample, if `root` is not writable, or if the folder holds other data.
    """
    if dataset not in MAKERS:
        raise UserError(f"no sample data called {dataset!r}; choose from {', '.join(sorted(MAKERS))}")
    maker, folder = MAKERS[dataset], Path(root) / dataset
    if _is_current(folder, maker):
        return folder
    if folder.exists() and not (folder / MARKER).is_file():
        raise UserError(f"{folder} exists but is not generated sample data (it has no {MARKER}); move it away")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one_process(folder.parent / f".{dataset}.lock") as alone:
            if not _is_current(folder, maker):
                _make(dataset, maker, folder, clean=alone)
    except OSError as error:
        raise UserError(f"cannot write sample data to {folder}: {error}; free space or use another folder") from None
    return folder


def _is_current(folder: Path, maker: SampleMaker) -> bool:
    try:
        return json.loads((folder / MARKER).read_text(encoding="utf-8"))["version"] == maker.version
    except (OSError, ValueError, KeyError):
        return False


@contextmanager
def _only_one_process(lock: Path) -> Iterator[bool]:
    """Wait for exclusive access; yields whether the lock was acquired. The kernel releases a killed process's lock.

    Some network file systems have no locks. There, each process makes its own copy and the first to finish wins.
    """
    with open(lock, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone


def _make(dataset: str, maker: SampleMaker, folder: Path, clean: bool) -> None:
    """Make the data beside `folder` and rename it; `clean`: remove leftovers of killed runs."""
    if clean:
        for left in folder.parent.glob(f".{dataset}.*.making"):
            shutil.rmtree(left, ignore_errors=True)
    source = ensure_sample(maker.source, folder.parent) if maker.source else None
    began = time.perf_counter()
    if source:
        print(f"arranging sample data in {folder}: the people of {source} ...", end=" ", flush=True)
    else:
        size = f"{maker.training} + {maker.validation} {maker.what}"
        print(f"rendering sample data into {folder}: {size} ...", end=" ", flush=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{dataset}.", suffix=".making"))
    try:
        made, old = temporary / "new", temporary / "old"
        if source:
            maker.make(made, source)
        else:
            maker.make(made, maker.training, maker.validation, seed=0, workers=min(8, os.cpu_count() or 1))
        marker = {"dataset": dataset, "version": maker.version}
        (made / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if not _is_current(folder, maker):  # else, without locks, another process finished first
                raise
    except BaseException:
        print("not done", flush=True)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{time.perf_counter() - began:.1f} s", flush=True)


def make_mpii(folder: Path, training: int, validation: int, seed: int = 0, workers: int = 1) -> None:
    """Write `training` + `validation` rendered people in MPII's format, with exact 3D poses.

    `images/*.jpg`, `mpii_annotations.json`, `detections_our_format.mat` (validation people in the JSON's order), and
    `poses_3d.npz` for all N people in that order: `joints_3d_camera_mm` (N, 17, 3) and `joints_2d` (N, 17, 2) in
    zero-based px, both in Human3.6M's order; `joints_3d_camera_mm_mpii` (N, 16, 3) in MPII's; `focal` (N, 2), `centre`
    (N, 2) in px, `camera_rotation` (N, 3, 3) and `camera_position` (N, 3) in mm: X = R (P - T), no distortion; the
    world has z up and its floor at 0. The same arguments give the same bytes for any number of `workers`.
    """
    folder = Path(folder).absolute()
    (folder / "images").mkdir(parents=True)
    shares = [(str(folder), training, validation, seed, share, workers) for share in range(workers)]
    people = _render_share(*shares[0]) if workers == 1 else _render_in_helpers(shares)
    people.sort(key=lambda person: (person["annotation"]["annolist_index"], person["annotation"]["people_index"]))
    write_annotations(folder, people)
    write_detections(folder, [person for person in people if person["annotation"]["isValidation"]])
    _write_poses(folder, people)


def _render_in_helpers(shares: list[tuple]) -> list[dict]:
    """Render each share in its own process; returns the people of all shares.

    Plain child processes instead of multiprocessing, so that nothing of the caller (threads, main module) leaks in.
    """
    helpers = [
        subprocess.Popen(
            [sys.executable, "-m", "utils.sample.sample_data", json.dumps(share)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | _HELPER_ENVIRONMENT,
        )
        for share in shares
    ]
    people = []
    try:
        for helper in helpers:
            output, _ = helper.communicate()
            if helper.returncode:
                raise RuntimeError(f"a helper process for rendering ended with status {helper.returncode}")
            people += json.loads(output)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
            helper.stdout.close()
    return people


def _help() -> None:
    """Entry point of a helper process: render the share given on the command line and print its people as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    cv2.setNumThreads(1)
    print(json.dumps(_render_share(*json.loads(sys.argv[1]))))


def _render_share(folder: str, training: int, validation: int, seed: int, share: int, shares: int) -> list[dict]:
    """Render every image whose index is `share` modulo `shares`; returns their people as plain numbers."""
    plan = _plan(training, 0) + _plan(validation, 1)
    people = []
    for image, (split, number, count) in enumerate(plan):
        if image % shares == share:
            rng = np.random.default_rng([seed, split, number])
            picture, seen = render_scene(rng, count)
            path = Path(folder) / "images" / f"{image + 1:05d}.jpg"
            if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]):
                raise OSError(f"cannot write {path}")
            people += [person_record(p, picture.shape, split, image, path.name, i) for i, p in enumerate(seen)]
    return people


def _plan(people: int, split: int) -> list[tuple[int, int, int]]:
    """Images of one split, with `people` in total: (split, number of the image, people in the image)."""
    images = []
    while people:
        count = min(people, 2 if len(images) % _TWO_PEOPLE_EVERY == 1 else 1)
        images.append((split, len(images), count))
        people -= count
    return images


def person_record(person: SeenPerson, shape: tuple[int, ...], split: int, image: int, name: str, index: int) -> dict:
    """One person as plain numbers: the MPII annotation (1-based), the head box (1-based), and the 3D pose."""
    height, width = shape[:2]
    pixels = person.camera.project(person.mpii_mm)
    inside = np.all((pixels >= -0.5) & (pixels < (width - 0.5, height - 0.5)), axis=-1)
    joints = np.concatenate([np.round(pixels + 1, 4), person.visible[:, None]], -1)
    joints = np.where(inside[:, None], joints, 0.0)
    within = np.clip(pixels, 0, (width - 1, height - 1))
    low, high = within.min(0), within.max(0)
    scale = max(person.stature, 1.05 * float((high - low).max())) / 200
    # The usual MPII crop moves its centre down again by 15 x scale.
    centre = (low + high) / 2 + 1 - (0, 15 * scale)
    annotation = {
        "dataset": "sample",
        "isValidation": float(split),
        "img_paths": name,
        "img_width": float(width),
        "img_height": float(height),
        "objpos": np.round(centre, 3).tolist(),
        "joint_self": joints.tolist(),
        "scale_provided": round(scale, 4),
        "annolist_index": image + 1.0,
        "people_index": index + 1.0,
    }
    camera = person.camera
    return {
        "annotation": annotation,
        "head_box": (person.head_box + 1).tolist(),
        "joints_3d_camera_mm": person.h36m_mm.tolist(),
        "joints_2d": camera.project(person.h36m_mm).tolist(),
        "joints_3d_camera_mm_mpii": person.mpii_mm.tolist(),
        "focal": camera.focal.tolist(),
        "centre": camera.centre.tolist(),
        "camera_rotation": camera.rotation.tolist(),
        "camera_position": camera.position.tolist(),
    }


def write_annotations(folder: Path, people: list[dict]) -> None:
    """Write `mpii_annotations.json` with MPII's fields, including the other people of a picture."""
    by_image: dict[float, list[dict]] = {}
    for person in people:
        by_image.setdefault(person["annotation"]["annolist_index"], []).append(person["annotation"])
    rows = []
    for person in people:
        own = person["annotation"]
        others = [other for other in by_image[own["annolist_index"]] if other is not own]
        rows.append(own | {"numOtherPeople": float(len(others))})
        if others:
            rows[-1] |= {
                "joint_others": others[0]["joint_self"],
                "scale_provided_other": others[0]["scale_provided"],
                "objpos_other": others[0]["objpos"],
            }
    (folder / "mpii_annotations.json").write_text(json.dumps(rows), encoding="utf-8")


def write_detections(folder: Path, people: list[dict]) -> None:
    """Write `detections_our_format.mat`: joints, missing joints and head boxes of the validation people, 1-based."""
    joints = np.array([person["annotation"]["joint_self"] for person in people]).reshape(-1, len(MPII), 3)
    boxes = np.array([person["head_box"] for person in people]).reshape(-1, 2, 2)
    names = np.empty((1, len(MPII)), object)
    names[0] = _SHORT_NAMES
    write_mat(
        folder / "detections_our_format.mat",
        {
            "jnt_missing": np.all(joints == 0, axis=-1).T.astype(np.uint8),
            "pos_gt_src": joints[..., :2].transpose(1, 2, 0),
            "headboxes_src": boxes.transpose(1, 2, 0),
            "dataset_joints": names,
        },
    )


def _write_poses(folder: Path, people: list[dict]) -> None:
    fields = [field for field in people[0] if field not in ("annotation", "head_box")]
    np.savez(folder / "poses_3d.npz", **{field: np.array([person[field] for person in people]) for field in fields})


def _make_h36m(folder: Path, training: int, validation: int, seed: int = 0, workers: int = 1) -> None:
    """Write motions, cameras and `training` + `validation` pictures; see `utils.sample.human36m.make_h36m`."""
    # It imports PyTorch, which would slow down the helper processes.
    from utils.sample import human36m  # noqa: PLC0415

    human36m.make_h36m(folder, training, validation, seed, workers)


def make_eva_videos(folder: Path, training: int, validation: int, seed: int = 0, workers: int = 1) -> None:
    """Write HumanEva-I's form; see `utils.sample.eva.make_eva`, whose numbers of videos are fixed."""
    # It needs PyAV, for which the helper processes would wait.
    from utils.sample import eva  # noqa: PLC0415

    folder.mkdir(parents=True)
    eva.make_eva(folder, seed)


_MPII_VERSION = 2
MAKERS = {
    "mpii": SampleMaker(make_mpii, version=_MPII_VERSION, training=1000, validation=160),
    "lsp": SampleMaker(make_lsp, version=100 * _MPII_VERSION + 1, source="mpii"),
    "coco": SampleMaker(make_coco, version=100 * _MPII_VERSION + 1, source="mpii"),
    "eva": SampleMaker(make_eva_videos, version=1, training=4, validation=2, what="videos"),
    "h36m": SampleMaker(_make_h36m, version=2, training=160, validation=40, what="pictures, 8,400 poses"),
}

if __name__ == "__main__":
    _help()

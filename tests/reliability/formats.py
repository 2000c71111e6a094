"""The formats of `mutations.py`: how each file is made, and which of the project's readers take it."""

import gzip
import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from cases import Format, Read
from data_set_formats import DATA_SET_FORMATS
from mutations import (
    change_gzip,
    change_hdf5,
    change_json,
    change_npz,
    change_pickled_npz,
    change_torch,
)
from picture_formats import PICTURE_FORMATS
from tiny_checkpoints import hourglass_file, levels, lifter_file, stitched_file

from stacked_hourglass.annotations.coco import read_coco, read_truth
from stacked_hourglass.annotations.lsp import read_lsp
from stacked_hourglass.annotations.mpii import load_mpii_training, read_head_sizes
from stacked_hourglass.evaluation import load_mpii_truth
from stacked_hourglass.finding.box_file import read_box_file
from stacked_hourglass.loading import load_hourglass
from stitched.loading import load_network
from stitched.video import read_tracks
from twod_threed.detector_errors import load_errors, save_errors
from twod_threed.loading import load_lifter
from utils.camera_utils import read_cameras, read_cameras_json, write_cameras_h5
from utils.compute.cache import cached, key_of
from utils.compute.devices import seed_everything
from utils.doors.experiments import settle_experiment
from utils.files.schema import numbers
from utils.human36m.files import find_sequences, load_motions, write_positions
from utils.human36m_frames import read_listed_frames
from utils.predictions.coco_results import load_coco_results, save_coco_results
from utils.predictions.keypoint_results import keypoint_results, load_keypoint_results, save_keypoint_results
from utils.predictions.picture_files import confident_joints, find_skeleton
from utils.predictions.prediction_arrays import load_prediction_array, save_prediction_array
from utils.predictions.prediction_files import load_predictions, save_metas, save_predictions
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn, plain, restore_rng_state, rng_state
from utils.training.log_files import read_better, read_units
from utils.transform import COCO

PEOPLE = 3


def _mpii(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    entry = lambda i: {  # noqa: E731
        "img_paths": f"{i}.jpg", "objpos": [30.0, 40.0], "scale_provided": 1.5, "isValidation": 0,
        "joint_self": np.round(rng.uniform(1, 60, (16, 3)), 1).tolist(),
    }  # fmt: skip
    (folder / "images").mkdir()
    for i in range(PEOPLE):
        (folder / "images" / f"{i}.jpg").touch()
    path = folder / "mpii_annotations.json"
    path.write_text(json.dumps([entry(i) for i in range(PEOPLE)]))
    return path


def _mpii_gz(folder: Path) -> Path:
    path = _mpii(folder)
    zipped = path.with_suffix(".json.gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return zipped


def _coco(folder: Path) -> Path:
    sides = {"l_": "left_", "r_": "right_"}
    names = [sides.get(joint[:2], joint[:2]) + joint[2:] for joint in COCO.joints]
    person = {"image_id": 1, "category_id": 1, "keypoints": [20, 30, 2] * 17, "bbox": [5, 5, 40, 60], "area": 2000.0,
              "iscrowd": 0}  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 64, "height": 64}],
        "annotations": [person | {"id": i} for i in range(PEOPLE)],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    path = folder / "annotations" / "person_keypoints_val2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    return path


def _read_coco(path: Path) -> None:
    read_coco(path.parent.parent, "val2017")
    read_truth(path.parent.parent)


def _boxes(folder: Path) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps([{"image": "a.jpg", "bbox": [1, 2, 30, 40], "score": 0.5, "category_id": 1}] * PEOPLE))
    return path


def _results(folder: Path) -> Path:
    records = keypoint_results([1] * PEOPLE, np.ones((PEOPLE, 17, 2)), np.ones((PEOPLE, 17)))
    save_keypoint_results(folder / "a.json", records)
    return folder / "a.json"


def _predictions(folder: Path) -> Path:
    save_coco_results(folder / "a.json", {"a.jpg": np.ones((PEOPLE, 16, 2))})
    return folder / "a.json"


def _truth(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "jnt_missing": np.zeros((16, PEOPLE), np.uint8), "pos_gt_src": rng.uniform(1, 60, (16, 2, PEOPLE)),
        "headboxes_src": rng.uniform(1, 60, (2, 2, PEOPLE)), "dataset_joints": np.array(["a", "b"], object)[None],
    }  # fmt: skip
    scipy.io.savemat(folder / "a.mat", arrays)
    return folder / "a.mat"


def _read_truth_mat(path: Path) -> None:
    read_head_sizes(path)
    load_mpii_truth(path)


def _lsp(folder: Path) -> Path:
    joints = np.random.default_rng(0).uniform(1, 60, (3, 14, 4))
    scipy.io.savemat(folder / "joints.mat", {"joints": joints}, do_compression=True)
    return folder / "joints.mat"


def _array(suffix: str) -> Any:
    def make(folder: Path) -> Path:
        save_prediction_array(folder / f"a{suffix}", np.random.default_rng(0).uniform(1, 60, (PEOPLE, 16, 2)))
        return folder / f"a{suffix}"

    return make


def _camera(number: int) -> Any:
    from utils.camera_utils import CAMERA_NAMES, Camera

    place, lens = {"R": torch.eye(3), "T": torch.tensor([0.0, 0, 5000])}, {"k": torch.zeros(3), "p": torch.zeros(2)}
    values = place | lens | {"f": torch.full((2,), 1100.0), "c": torch.full((2,), 500.0)}
    return Camera(**{name: value.double() for name, value in values.items()}, name=CAMERA_NAMES[number - 1])


def _cameras(folder: Path) -> Path:
    write_cameras_h5(folder / "cameras.h5", {(1, number): _camera(number) for number in range(1, 5)})
    return folder / "cameras.h5"


def _cameras_json(folder: Path) -> Path:
    camera = {"calibration_matrix": [[1100, 0, 500], [0, 1100, 500], [0, 0, 1]], "distortion": [0.0] * 5}
    outer = {"R": np.eye(3).tolist(), "t": [[0.0], [0.0], [5000.0]]}
    name = _camera(1).name
    path = folder / "camera-parameters.json"
    path.write_text(json.dumps({"intrinsics": {name: camera}, "extrinsics": {"S1": {name: outer}}}))
    return path


def _poses(frames: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-700, 700, (frames, 32, 3)).astype(np.float32)


def _positions(folder: Path) -> Path:
    path = folder / "S1" / "MyPoses" / "3D_positions" / "Walking 1.h5"
    write_positions(path, _poses(4))
    return path


def _read_positions(path: Path) -> None:
    load_motions(find_sequences(path.parents[3]).sequences)


def _pickled(folder: Path) -> Path:
    array = np.empty((), dtype=object)
    array[()] = {"S1": {"Walking 1": _poses(2) / 1000, "Eating": _poses(3) / 1000}, "S9": {"Walking": _poses(2) / 1000}}
    np.savez(folder / "data_3d_h36m.npz", positions_3d=array)
    return folder / "data_3d_h36m.npz"


def _listed(save: Any) -> Any:
    def make(folder: Path) -> Path:
        clips = {"subject": np.full(3, 9), "action": np.array(["Walking 1"] * 3), "camera": np.array(["54138969"] * 3)}
        poses = {"joints_2d": np.ones((3, 17, 2)), "joints_3d_camera_mm": np.ones((3, 17, 3))}
        save(folder / "poses.npz", frame=np.arange(3) + 1, **clips, **poses)
        return folder / "poses.npz"

    return make


def _read_listed(path: Path) -> None:
    read_listed_frames(path.parent)


def _errors(folder: Path) -> Path:
    save_errors(folder / "errors.npz", np.random.default_rng(0).normal(size=(4, 16, 2)).astype(np.float32))
    return folder / "errors.npz"


def _hourglass(folder: Path) -> Path:
    """An hourglass of one level: its file has half the tensors, and most of a case is spent on reading these."""
    with levels(1):
        return hourglass_file(folder / "a.pth")


def _of_one_level(read: Read) -> Read:
    def read_it(path: Path) -> Any:
        with levels(1):
            return read(path)

    return read_it


def _lifter(folder: Path) -> Path:
    return lifter_file(folder / "a.pth")


def _stitched(folder: Path) -> Path:
    (folder / "parts").mkdir()
    with levels(1):
        return stitched_file(folder / "a.pth", _hourglass(folder / "parts"), lifter_file(folder / "l.pth"))


def _network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    _step(network, optimizer)
    return network, optimizer


def _step(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()


@contextmanager
def _own_random_state() -> Iterator[None]:
    """The random states of this process are put back afterwards."""
    before = rng_state()
    try:
        yield
    finally:
        restore_rng_state(before)


def _resumable(folder: Path) -> Path:
    directory = folder / "s_default"
    directory.mkdir()
    settings = plain({"lr": 0.1, "epochs": 3, "schedule": [1], "flip": False})
    with _own_random_state():
        seed_everything(0)  # the file holds random states: it has the same bytes in all processes
        make_checkpoint_fn("s", settings)(*_network(), 3, 0.5, directory, is_best=False)
    return directory / "checkpoint.pth.tar"


def _resume(path: Path) -> None:
    """As `--resume` does, and the first step after it."""
    from options import GROUPS, SCRIPTS
    from utils.command_line.cli import parse

    options = parse(
        "train.py", "2d3d_h36m", SCRIPTS["train"]["2d3d_h36m"], GROUPS, ["--resume", "--use_horovod", "False"]
    )
    options.checkpoint_dir, options.script = path.parent.parent, "s"
    with _own_random_state():
        settle_experiment(Namespace(**vars(options)))
        _step(*make_load_fn()(*_network(), path)[:2])


def _metas(folder: Path) -> Path:
    names = [f"clip/{number:06d}" for number in range(3)]
    save_predictions(folder / "2d_pose_estimations.pt", {name: torch.ones(2, 16, 2) for name in names})
    meta = {"skeleton": "MPII", "scores": torch.ones(2, 16), "score_threshold": 0.1, "tracks": [1, 2], "size": [64, 48],
            "fps": 25.0, "img_dir": "x"}  # fmt: skip
    save_metas(folder / "metas.pt", {name: dict(meta) for name in names})
    return folder / "metas.pt"


def _read_metas(path: Path) -> None:
    poses_path = path.with_name("2d_pose_estimations.pt")
    poses = load_predictions(poses_path)
    find_skeleton(poses_path, poses)
    confident_joints(poses, poses_path, None)
    read_tracks(path, poses, list(poses))


def _poses_pt(folder: Path) -> Path:
    save_predictions(folder / "a.pt", {"a.jpg": torch.ones(2, 16, 2), "b.jpg": torch.ones(1, 16, 2)})
    return folder / "a.pt"


def _options_json(folder: Path) -> Path:
    content = {"better": {"loss": "lower"}, "units": {"PCKh": "%"}, "job": {"token": "a", "run_id": "b"}, "lr": 0.1}
    (folder / "options.json").write_text(json.dumps(content))
    return folder / "options.json"


def _read_options_json(path: Path) -> None:
    from utils.doors.experiments import _job_of

    read_better(path.with_name("log.txt"))
    read_units(path.with_name("log.txt"))
    _job_of(path.parent)


CACHED = {"mean": numbers(3, low=0, high=1), "stddev": numbers(3, low=0, high=1)}
STATISTICS = {"mean": [0.1, 0.2, 0.3], "stddev": [0.1, 0.2, 0.3]}


def _cache(folder: Path) -> Path:
    path = folder / f"a_{key_of(['x'])}.json"
    path.write_text(json.dumps(STATISTICS))
    return path


def _read_cache(path: Path) -> None:
    found = cached("a", ["x"], lambda: STATISTICS, path.parent, schema=CACHED)
    assert all(CACHED[name].right(found[name]) for name in CACHED)


FORMATS = {
    "checkpoint_hourglass": Format(_hourglass, _of_one_level(load_hourglass), change_torch),
    "checkpoint_lifter": Format(_lifter, load_lifter, change_torch),
    "checkpoint_stitched": Format(_stitched, _of_one_level(load_network), change_torch),
    "checkpoint_resume": Format(_resumable, _resume, change_torch),
    "mpii_json": Format(_mpii, lambda path: load_mpii_training(path.parent), change_json),
    "mpii_json_gz": Format(_mpii_gz, lambda path: load_mpii_training(path.parent), change_gzip),
    "coco_json": Format(_coco, _read_coco, change_json),
    "boxes_json": Format(_boxes, read_box_file, change_json),
    "results_json": Format(_results, load_keypoint_results, change_json),
    "predictions_json": Format(_predictions, load_coco_results, change_json),
    "mat_truth": Format(_truth, _read_truth_mat),
    "mat_lsp": Format(_lsp, lambda path: read_lsp(path.parent)),
    "mat_preds": Format(_array(".mat"), load_prediction_array),
    "h5_preds": Format(_array(".h5"), load_prediction_array, change_hdf5),
    "h5_cameras": Format(_cameras, read_cameras, change_hdf5),
    "json_cameras": Format(_cameras_json, read_cameras_json, change_json),
    "h5_positions": Format(_positions, _read_positions, change_hdf5),
    "npz_preds": Format(_array(".npz"), load_prediction_array, change_npz),
    "npz_pickled": Format(_pickled, lambda path: load_motions(find_sequences(path.parent).sequences),
                          change_pickled_npz),
    "npz_frames": Format(_listed(np.savez_compressed), _read_listed, change_npz),
    "npz_frames_stored": Format(_listed(np.savez), _read_listed),
    "npz_errors": Format(_errors, load_errors, change_npz),
    "metas": Format(_metas, _read_metas, change_torch),
    "poses_pt": Format(_poses_pt, load_predictions, change_torch),
    "options_json": Format(_options_json, _read_options_json, change_json),
    "cache": Format(_cache, _read_cache, change_json),
    **PICTURE_FORMATS,
    **DATA_SET_FORMATS,
}  # fmt: skip

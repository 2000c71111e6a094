"""What it takes to fine-tune in a second: two untrained networks as checkpoints, and a few images of two people."""

from pathlib import Path

import cv2
import numpy as np
import torch
from command_line import call
from option_effects import Run

from stacked_hourglass.hourglass import Architecture, HourglassNet
from twod_threed.model import LinearModel
from twod_threed.normalisation import fit
from utils.camera_utils import CAMERA_NAMES, write_cameras_h5
from utils.human36m.files import POSITIONS_H5, find_sequences, frame_path, write_positions
from utils.human36m_dataset import load_pose_set
from utils.sample.human36m import all_slots, random_cameras, sequence_motion
from utils.training.checkpoints import write_checkpoint

NAME = "stitched_fine_tune_default"
FEATURES = 8  # of the hourglass
LIFTER = {"linear_size": 16, "num_stage": 1}
TRAINING, VALIDATION = 6, 4  # images
# Two steps, one epoch.
SMALL = ("--epochs", 1, "--train_batch_size", 3, "--workers", 0, "--device", "cpu")


def make_images(folder: Path) -> Path:
    """A Human3.6M folder of S1 and S9, Walking and Sitting, with patches of colour for pictures."""
    rng = np.random.default_rng(0)
    for subject, count in ((1, TRAINING), (9, VALIDATION)):
        for action in ("Walking", "Sitting"):
            path = folder / POSITIONS_H5.format(subject=subject) / f"{action}.h5"
            write_positions(path, all_slots(sequence_motion(0, subject, action, 1, frames=6)))
        for number in range(count):
            action, camera = ("Walking", "Sitting")[number % 2], CAMERA_NAMES[number % 4]
            path = frame_path(folder / "images", subject, action, camera, number // 2 + 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            patches = rng.integers(0, 256, (24, 24, 3), np.uint8)
            cv2.imwrite(str(path), cv2.resize(patches, (1000, 1002), interpolation=cv2.INTER_LINEAR))
    table = {key: camera for key, camera in random_cameras(0).items() if key[0] in (1, 9)}
    write_cameras_h5(folder / "cameras.h5", table)
    return folder


def make_networks(folder: Path, data_dir: Path, kind: str = "instance", **hourglass: object) -> tuple[object, ...]:
    """Write an untrained hourglass, of this architecture, and 3D baseline; the options that load them."""
    torch.manual_seed(0)
    network = HourglassNet(Architecture(**{"stacks": 1, "features": FEATURES} | hourglass))
    lifter = LinearModel(**LIFTER, without_hip=kind == "instance")
    normalisation = fit(load_pose_set(find_sequences(data_dir), [1], ["Walking", "Sitting"]), kind).plain()
    common = {"format_version": 1, "options": {}}
    files = {
        "hourglass": {"state_dict": network.state_dict(), "mean": [0.4, 0.5, 0.6], "skeleton": "MPII"},
        "2d3d": {"state_dict": lifter.state_dict(), "normalisation": normalisation},
    }
    for name, content in files.items():
        write_checkpoint(folder / f"{name}.pth.tar", common | content)
    return tuple(text for name in files for text in (f"--load_{name}", folder / f"{name}.pth.tar"))


def fine_tune(folder: Path, data_dir: Path, *argv: object) -> Run:
    folder.mkdir(exist_ok=True)
    result = call("train", "stitched_fine_tune", "--data_dir", data_dir, *SMALL, *argv, cwd=folder).succeeded()
    return Run(folder, NAME, result.out, result.err)

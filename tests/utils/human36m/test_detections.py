"""Detected 2D poses beside Human3.6M's positions."""

import h5py
import numpy as np
import pytest

from utils.human36m.files import detection_path, find_sequences, load_detections
from utils.osutils import UserError


def write_detections(folder, subject, file_name, poses):
    path = folder / f"S{subject}" / "StackedHourglass" / file_name
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file["poses"] = poses


@pytest.mark.parametrize("file_name", ["WalkDog 1.54138969.h5", "WalkDog_1.54138969.h5", "WalkingDog_1.54138969.h5"])
def test_detections_are_found_by_sequence_and_camera(folder, file_name):
    poses = np.random.default_rng(0).uniform(0, 1000, (9, 16, 2))
    write_detections(folder, 9, file_name, poses)
    files = find_sequences(folder)
    sequence = files.select([9])[0]
    assert detection_path(files, sequence, "55011271") is None
    detections = load_detections(files, sequence, "54138969")
    assert detections.dtype == np.float32
    np.testing.assert_array_equal(detections, poses.astype(np.float32))
    with pytest.raises(UserError, match=r"WalkDog 1\.55011271\.h5: no detected 2D poses of S9 WalkDog 1"):
        load_detections(files, sequence, "55011271")


@pytest.mark.parametrize("poses", [np.ones((8, 16, 2)), np.ones((9, 17, 2)), np.ones((9, 32))])
def test_detections_of_another_shape_are_refused(folder, poses):
    write_detections(folder, 9, "WalkDog 1.54138969.h5", poses)
    files = find_sequences(folder)
    with pytest.raises(UserError, match="not 9 frames × 16 × 2"):
        load_detections(files, files.select([9])[0], "54138969")

"""Poses of the small Human3.6M folder, as the lifter's tests train on them."""

from pathlib import Path

import torch

from utils.human36m.files import find_sequences
from utils.human36m_dataset import PoseSet, load_pose_set


def all_poses(poses: PoseSet) -> tuple[torch.Tensor, torch.Tensor]:
    """`PoseSet.poses` of all samples, in order."""
    return poses.poses(torch.arange(len(poses), device=poses.device))


def training_and_test_poses(folder: Path) -> tuple[PoseSet, PoseSet]:
    """Two actions of S1 and of S9."""
    files, actions = find_sequences(folder), ("Sitting", "Walking")
    return load_pose_set(files, [1], actions), load_pose_set(files, [9], actions)

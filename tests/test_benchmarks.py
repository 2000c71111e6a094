"""The benchmarks run and print their ratios; nothing is said about how fast. Both ways compute the same thing."""

import re

import numpy as np
import pytest
import torch
from command_line import call_script, load_script

from twod_threed.normalisation import fit
from utils.human36m.actions import ACTIONS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set


@pytest.fixture(scope="module")
def lifting():
    return load_script("benchmarks", "lifting")


def test_the_common_way_computes_the_same(lifting, tiny_h36m, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poses = load_pose_set(find_sequences(tiny_h36m), TRAIN_SUBJECTS, ACTIONS)
    normalisation = fit(poses, "instance")
    common = lifting.OnePoseDataset(poses, normalisation, augment=False)
    index = torch.arange(0, len(poses), 11)
    poses_2d, poses_3d = poses.poses(index)
    inputs, targets = (torch.from_numpy(np.stack(part)) for part in zip(*map(common.__getitem__, index), strict=True))
    torch.testing.assert_close(inputs, normalisation.input(poses_2d), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets, normalisation.target(poses_3d), atol=1e-4, rtol=0)


def test_the_common_way_turns_about_the_hip(lifting, tiny_h36m):
    poses = load_pose_set(find_sequences(tiny_h36m), TRAIN_SUBJECTS, ACTIONS)
    common = lifting.OnePoseDataset(poses, fit(poses, "instance"))
    world = poses.world[0].numpy()
    turned = common.turned(world)
    np.testing.assert_allclose(turned[0], world[0], atol=1e-3)
    reach = [np.sort(np.linalg.norm(pose - pose[0], axis=1)) for pose in (world, turned)]
    np.testing.assert_allclose(*reach, rtol=1e-4)


def test_endless_indices_cover_epochs(lifting):
    stream = lifting.IndexStream(length=10, batch_size=5)
    assert torch.equal(torch.cat([stream(), stream()]).sort()[0], torch.arange(10))
    assert len(lifting.IndexStream(length=10, batch_size=25)()) == 25


def test_it_runs_and_prints_ratios(lifting, tiny_h36m, tmp_path):
    argv = ["--data_dir", tiny_h36m, "--seconds", "0.01", "--turns", "1", "--large_batch", "128", "--frames", "200"]
    done = call_script(lifting, *argv, cwd=tmp_path).succeeded()
    assert len(re.findall(r"\d\.\d\dx$", done.out, re.MULTILINE)) == 9
    assert done.out.count("asked for") == 4
    assert "threads, torch" in done.out

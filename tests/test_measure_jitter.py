"""scripts/measure_jitter.py: the acceleration by hand, and both ways of one checkpoint."""

import re
import sys

import cv2
import numpy as np
import pytest
import torch
from command_line import load_script
from tiny_checkpoints import SMALL, hourglass_file

from stacked_hourglass.hourglass import Architecture
from utils.predictions.pose_results import PoseResults
from utils.transform import MPII

script = load_script("scripts", "measure_jitter")


def results_of(*frames: dict[int, tuple[float, float]]) -> PoseResults:
    """Frames of track -> where all of its joints are."""
    results = PoseResults(MPII, image_kind="frame")
    for number, people in enumerate(frames):
        results.metas[str(number)] = {"tracks": list(people)}
        results.joints[str(number)] = torch.tensor(list(people.values())).reshape(-1, 1, 2).expand(-1, 16, 2)
    return results


def test_steady_motion_has_none():
    assert script.jitter(results_of({1: (0.0, 0.0)}, {1: (3.0, 1.0)}, {1: (6.0, 2.0)})) == (0.0, 1)


def test_each_person_by_hand():
    """Track 1 goes 0, 3, 0: acceleration -6; track 2, listed in another order, 0, 4, 8 down: none."""
    results = results_of({1: (0.0, 0.0), 2: (9.0, 0.0)}, {2: (9.0, 4.0), 1: (3.0, 0.0)}, {1: (0.0, 0.0), 2: (9.0, 8.0)})
    assert script.jitter(results) == (3.0, 2)


def test_a_person_who_is_missing_breaks_the_row():
    value, rows = script.jitter(results_of({1: (0.0, 0.0)}, {}, {1: (1.0, 0.0)}, {1: (5.0, 0.0)}))
    assert rows == 0
    assert np.isnan(value)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(4):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("length", [0, 2])
def test_the_command_line(clip, tmp_path, monkeypatch, capsys, length):
    """A still picture: single frames don't tremble; with attention there are two lines."""
    over_time = Architecture(1, 8, batch_norm_momentum=0.3, add_attention=True, attention_history_length=length)
    network = hourglass_file(tmp_path / "net.pth.tar", architecture=over_time if length else SMALL)
    argv = ["measure_jitter.py", "--load", str(network), "--data_dir", str(clip), "--person_box", "whole"]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if "jitter" in line]
    assert len(lines) == 1 + bool(length)
    assert re.match(r"single frames: jitter 0.00 px a frame², from 2 times .*; 4 people in ", lines[0])
    assert not length or lines[1].startswith("with history: jitter ")


def test_photos_are_refused(tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((48, 64, 3), np.uint8))
    network = hourglass_file(tmp_path / "net.pth.tar")
    argv = ["measure_jitter.py", "--load", str(network), "--data_dir", str(tmp_path), "--person_box", "whole"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert "expected a video" in capsys.readouterr().err

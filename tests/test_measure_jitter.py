"""scripts/measure_jitter.py: both ways of one checkpoint, and what it refuses."""

import re
import sys

import cv2
import numpy as np
import pytest
from command_line import load_script
from tiny_checkpoints import SMALL, hourglass_file

from stacked_hourglass.hourglass import Architecture
from utils.predictions.jitter import JITTER_DEFINITION

script = load_script("scripts", "measure_jitter")


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
    *lines, definition = [line for line in capsys.readouterr().out.splitlines() if "itter" in line]
    assert len(lines) == 1 + bool(length)
    assert re.match(r"single frames: jitter 0.00 px per frame², from 2 times .*; 4 people in ", lines[0])
    assert not length or lines[1].startswith("with history: jitter ")
    assert definition == JITTER_DEFINITION


def test_photos_are_refused(tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((48, 64, 3), np.uint8))
    network = hourglass_file(tmp_path / "net.pth.tar")
    argv = ["measure_jitter.py", "--load", str(network), "--data_dir", str(tmp_path), "--person_box", "whole"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert "expected a video" in capsys.readouterr().err

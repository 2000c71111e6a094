"""scripts/measure_jitter.py: with and without the history of one checkpoint, and what is refused."""

import re

import cv2
import numpy as np
import pytest
import torch
from command_line import call_script, load_script
from tiny_checkpoints import SMALL, hourglass_file

from stacked_hourglass.hourglass import Architecture
from stacked_hourglass.loading import load_hourglass
from utils.predictions.jitter import JITTER_DEFINITION


@pytest.fixture(scope="module")
def script():
    return load_script("scripts", "measure_jitter")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(4):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("length", [0, 2])
def test_the_command_line(script, clip, tmp_path, length):
    """The picture stands still, so single frames have no jitter. A network with attention gets a second line."""
    over_time = Architecture(1, 8, batch_norm_momentum=0.3, add_attention=True, attention_history_length=length)
    network = hourglass_file(tmp_path / "net.pth.tar", architecture=over_time if length else SMALL)
    done = call_script(script, "--load", network, "--data_dir", clip, "--person_box", "whole").succeeded()
    *lines, definition = [line for line in done.out.splitlines() if "itter" in line]
    assert len(lines) == 1 + bool(length)
    assert re.match(r"single frames: jitter 0.00 px per frame², from 2 times .*; 4 people in ", lines[0])
    assert not length or lines[1].startswith("with history: jitter ")
    assert definition == JITTER_DEFINITION


def test_smaller_crops_give_maps_of_the_same_size(script, clip, tmp_path):
    network = load_hourglass(hourglass_file(tmp_path / "net.pth.tar"))
    whole = script.TimedPredictor(network, history=False)
    half = script.TimedPredictor(network, history=False, side=128)
    crops = torch.full((1, 3, 256, 256), 90, dtype=torch.uint8)
    expected = torch.nn.functional.interpolate(whole.heatmaps(crops[..., :128, :128]), scale_factor=2, mode="bilinear")
    assert torch.equal(half.heatmaps(crops), expected)
    ran = call_script(
        script, "--load", tmp_path / "net.pth.tar", "--data_dir", clip, "--person_box", "whole", "--input_side", 128
    )
    assert "single frames: jitter 0.00" in ran.succeeded().out


def test_photos_are_refused(script, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((48, 64, 3), np.uint8))
    network = hourglass_file(tmp_path / "net.pth.tar")
    refused = call_script(script, "--load", network, "--data_dir", tmp_path, "--person_box", "whole")
    assert "expected a video" in refused.last_error()

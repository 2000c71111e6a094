"""Networks with attention over time as files: the history is an input and an output."""

from pathlib import Path

import pytest
import torch
from tiny_checkpoints import levels

from stacked_hourglass import hourglass
from stacked_hourglass.attention import History
from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stitched.export import export_network, load_program, make_program, output_differences
from stitched.exported_networks import (
    ExportedStitchedOverTime,
    exported_hourglass,
    exported_stitched,
)
from stitched.loading import load_network
from stitched.stitched_network import StitchedNetwork

LENGTH = 2
pytestmark = [
    pytest.mark.usefixtures("one_level"),
    pytest.mark.long,  # exports of half a minute; test_export.py exports a lifter
]


def over_time(**architecture) -> HourglassNet:
    torch.manual_seed(0)
    past = {"add_attention": True, "attention_history_length": LENGTH, "attention_heads": 2}
    model = HourglassNet(Architecture(stacks=1, features=8, **past, **architecture)).eval()
    for attention in model.attention:
        torch.nn.init.normal_(attention.gain)
    return model


def test_the_files_give_the_results_of_streaming(tmp_path, monkeypatch):
    """With both kinds of attention: to all places at the bottleneck, to the same place above it."""
    monkeypatch.setattr(hourglass, "LEVELS_OF_ALL_PLACES", 1)
    model = over_time(attention_levels=2)
    assert [attention.same_place for attention in model.attention] == [False, True]
    differences = export_network(exported_hourglass(model), tmp_path)
    assert {"next_history", "next_history_frames"} <= differences["hourglass.pt2"].keys()
    program = load_program(Path(tmp_path, "hourglass.pt2"))
    frames = torch.rand(3, 1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    history: tuple[torch.Tensor, ...] = tuple(model.empty_history(frames[0]))
    expected = model.empty_history(frames[0])
    for frame in frames:
        maps, _, _, *history = program((frame, *history))
        with torch.no_grad():
            found, expected = model.stream(frame - model.mean[:, None, None], History(*expected))
        assert torch.allclose(maps, found[-1], atol=1e-5)
    assert history[1].tolist() == [LENGTH]


def test_a_stitched_network_carries_the_history():
    with levels(4):
        loaded = load_network(DEMO_WEIGHTS)
    network = StitchedNetwork(over_time(), loaded.lifter, loaded.normalisation).eval()
    exported = exported_stitched(network)
    assert isinstance(exported, ExportedStitchedOverTime)
    assert list(exported.inputs) == ["images", "to_photo", "history", "history_frames"]
    module = make_program(exported).module()
    differences = output_differences(exported, lambda inputs: module(*inputs), seed=0)
    assert list(differences)[-2:] == ["next_history", "next_history_frames"]
    assert all(difference.relative < 1e-4 for difference in differences.values())

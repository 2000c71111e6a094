"""An hourglass in ONNX Runtime gives the heat maps that it gives in PyTorch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import network
from torch import Tensor, nn

from stacked_hourglass.folding import for_inference
from stacked_hourglass.hourglass import HourglassNet
from stacked_hourglass.inference import Predictor, as_input
from stacked_hourglass.onnx_network import OnnxNetwork, onnx_of

TOLERANCE = 1e-5  # of the largest value
KINDS = [{}, {"no_batch_norm_affine": True}, {"blocks": 2}, {"add_attention": True}, {"predict_joint_visibility": True}]


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE * expected.abs().max().item(), rtol=0)


def random_crops(batch: int, height: int = 64, width: int = 64) -> Tensor:
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)


def last_heatmaps(model: HourglassNet, crops: Tensor) -> Tensor:
    with torch.no_grad():
        return model(as_input(model, crops))[-1]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_heatmaps_are_equal(kind):
    model, crops = network(**kind), random_crops(2)
    found = OnnxNetwork(for_inference(model))(crops)
    assert_equal(found, last_heatmaps(model, crops))
    assert found.shape == (2, 16, 16, 16)


@pytest.fixture(scope="module")
def model() -> HourglassNet:
    return network()


@pytest.fixture(scope="module")
def in_onnx(model) -> OnnxNetwork:
    return OnnxNetwork(model)


@settings(max_examples=20)
@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3))
def test_any_batch_and_size_will_do(model, in_onnx, batch, height, width):
    crops = random_crops(batch, 64 * height, 64 * width).to(memory_format=torch.channels_last)
    found = in_onnx(crops)
    assert found.shape == (batch, 16, 16 * height, 16 * width)
    if batch:
        assert_equal(found, last_heatmaps(model, crops))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_a_crop_does_not_depend_on_the_others_of_its_batch_or_on_the_threads(model, in_onnx, monkeypatch, threads):
    crops = random_crops(5)
    expected = torch.cat([in_onnx(crop[None]) for crop in crops])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(OnnxNetwork(model)(crops), expected)


def test_later_changes_of_the_weights_have_no_effect():
    model, crops = network(), random_crops(1)
    in_onnx = OnnxNetwork(model)
    nn.init.zeros_(model.score[-1].weight)
    assert torch.equal(in_onnx(crops), OnnxNetwork(network())(crops))
    assert not torch.equal(in_onnx(crops), OnnxNetwork(model)(crops))


@pytest.mark.parametrize("model", [network(use_layer_norm=True), network().train()], ids=["layer norm", "training"])
def test_what_has_no_counterpart_is_named(model):
    with pytest.raises(TypeError, match=r"(GroupNorm|BatchNorm2d)\(.*has no counterpart in ONNX here"):
        onnx_of(model)


def test_a_predictor_on_a_cpu_in_fp32_uses_it(monkeypatch):
    calls = []
    run = OnnxNetwork.__call__
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, images: calls.append(len(images)) or run(self, images))
    crops = random_crops(2)
    of_onnx = Predictor(network(), flip=True).heatmaps(crops)
    assert calls == [4]  # the mirror images in the same batch
    for model, options in (
        (network(use_layer_norm=True), {}),
        (network().double(), {}),
        (network(), {"precision": "bf16"}),
    ):
        Predictor(model, **options).heatmaps(crops)
    assert calls == [4]
    in_double = Predictor(network().double(), flip=True).heatmaps(crops)
    assert_equal(of_onnx, in_double)

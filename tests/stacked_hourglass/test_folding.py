"""An hourglass prepared for inference gives the same outputs with fewer norms; the original is unchanged."""

import pytest
import torch
from random_networks import network
from torch import nn

from stacked_hourglass.folding import for_inference
from stacked_hourglass.hourglass import Bottleneck
from stacked_hourglass.inference import Predictor, as_input

TOLERANCE = 1e-4


@pytest.mark.parametrize("kind", [{}, {"no_batch_norm_affine": True}, {"use_layer_norm": True}, {"blocks": 2}])
def test_outputs_are_equal(kind):
    model, images = network(**kind), torch.randn(2, 3, 64, 64)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected, found = model(images), for_inference(model)(images)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=TOLERANCE * one.abs().max().item(), rtol=0)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_two_of_a_bottlenecks_three_norms_are_folded():
    model = network()
    blocks = sum(isinstance(module, Bottleneck) for module in model.modules())
    assert norms(model) == 3 * blocks + 1 + 2
    assert norms(for_inference(model)) == blocks
    assert norms(for_inference(model.train())) == 3 * blocks + 1 + 2


def test_streams_and_clips_are_equal_too():
    model = network(add_attention=True, attention_history_length=2)
    for part in model.attention.parameters():
        nn.init.normal_(part, std=0.1)
    clips = torch.randn(1, 4, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(for_inference(model)(clips)[-1], model(clips)[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_predictor_gives_the_networks_maps(precision):
    model, crops = network(), torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    for flip in (False, True):
        found = Predictor(model, precision, flip=flip).heatmaps(crops)
        with torch.no_grad():
            images = as_input(model, crops)
            maps = model(images)[-1]
            if flip:
                mirrored = model(images.flip(-1))[-1].flip(-1)
                maps = (maps + mirrored[:, list(Predictor(model).skeleton.flip_order)]) / 2
        share = TOLERANCE if precision == "fp32" else 0.1
        torch.testing.assert_close(found, maps, atol=share * maps.abs().max().item(), rtol=0)

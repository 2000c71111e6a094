import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from utils.compute import devices
from utils.compute.devices import GradientStep, autocast, pick_device, seed_everything, to_device
from utils.osutils import UserError

CPU = torch.device("cpu")


# ------------------------------------------------------------------------------------------ devices
@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "meta", "xpu", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(UserError, match=f"^--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps$"):
        pick_device(name)


def test_a_device_that_is_not_available_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    with pytest.raises(UserError, match=r"^--device cuda:2: .*2 CUDA devices.*try --device auto$"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=r"--device cuda: .*0 CUDA devices"):
        pick_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device mps: not available; try --device auto"):
        pick_device("mps")


def test_auto_prefers_cuda_then_mps_then_the_cpu(monkeypatch):
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"


def test_only_the_tensors_of_a_minibatch_move():
    batch = {"image": torch.zeros(2), "index": [1, 2], "name": "a"}
    moved = to_device(batch, torch.device("meta"))
    assert moved["image"].device.type == "meta"
    assert (moved["index"], moved["name"]) == ([1, 2], "a")
    assert batch["image"].device == CPU


# ------------------------------------------------------------------------------------------ random numbers
def test_a_seed_reaches_every_generator():
    def draw(seed):
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    first, again, other = draw(3), draw(3), draw(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


# ------------------------------------------------------------------------------------------ precision
@pytest.fixture
def capabilities(monkeypatch):
    """What the CPU is taken to be capable of; the test fills it."""
    names = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names)
    devices.cpu_has_bf16.cache_clear()
    yield names
    devices.cpu_has_bf16.cache_clear()


def output_type(precision):
    with autocast(CPU, precision):
        return nn.Linear(3, 2)(torch.ones(1, 3)).dtype


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_precision_of_the_forward_pass(capsys, capabilities, name):
    capabilities[name] = True
    assert (output_type("fp32"), output_type("bf16")) == (torch.float32, torch.bfloat16)
    assert capsys.readouterr() == ("", "")


def test_bf16_on_a_cpu_without_it_is_fp32_and_says_so_once(capsys, capabilities):
    capabilities |= {"avx2": True, "avx512_bf16": False}
    assert output_type("fp32") == torch.float32
    assert capsys.readouterr().err == ""
    assert (output_type("bf16"), output_type("bf16")) == (torch.float32, torch.float32)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --precision bf16: this CPU has no bf16 instructions")
    assert line.endswith("using fp32")


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(UserError, match="--precision fp16 needs a GPU"):
        GradientStep(CPU, "fp16")


# ------------------------------------------------------------------------------------------ one step
def one_step(loss_scale=1.0, clip=10.0):
    """w = (1, 1) after a step of rate 1 along the gradient (3, 4) * loss_scale."""
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.tensor([100.0, 100.0])  # left over; must not count
    loss = (weight * torch.tensor([3.0, 4.0])).sum() * loss_scale
    GradientStep(CPU, clip=clip)(loss, [weight], optimizer)
    return weight.tolist()


def test_a_small_gradient_is_not_clipped():
    assert one_step() == [-2, -3]


def test_a_large_gradient_is_clipped_to_its_norm():
    assert one_step(clip=1.0) == pytest.approx([1 - 0.6, 1 - 0.8], abs=1e-5)
    assert one_step(loss_scale=100) == pytest.approx([1 - 6, 1 - 8], abs=1e-4)


def test_no_grad_clipping_leaves_gradients_unchanged():
    """Of norm 500, far above the default of 10."""
    assert one_step(loss_scale=100, clip=None) == [1 - 300, 1 - 400]


def test_a_step_in_bf16_trains(capabilities):
    capabilities["avx512_bf16"] = True
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    step, optimizer = GradientStep(CPU, "bf16"), torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(16, 4)
    losses = []
    for _ in range(30):
        with autocast(CPU, "bf16"):
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        step(loss, model.parameters(), optimizer)
        losses.append(loss.item())
    assert model.weight.dtype == torch.float32
    assert losses[-1] < 0.1 * losses[0]
    assert math.isfinite(losses[-1])


def test_fp32_takes_any_loss_scale_and_has_none():
    state = {"scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 9, "_growth_tracker": 0}
    step = GradientStep(CPU)
    for former in ({}, state):
        step.load_state_dict(former)
        assert step.state_dict() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the loss scale of fp16 needs a GPU")
def test_the_loss_scale_goes_through_a_checkpoint():
    device = torch.device("cuda")
    step, other = (GradientStep(device, "fp16") for _ in range(2))
    step.load_state_dict(step.state_dict() | {"scale": 1024.0})
    other.load_state_dict(step.state_dict())
    assert other.state_dict()["scale"] == 1024
    other.load_state_dict({})  # a checkpoint of fp32
    assert other.state_dict()["scale"] == 1024

"""The convolution with gradients of its own gives the results of PyTorch's."""

import pytest
import torch
from torch import nn

from stacked_hourglass import convolution
from stacked_hourglass.convolution import Conv2d

SHAPES = [(1, 1, 0), (3, 1, 1), (7, 2, 3)]  # kernel, stride, padding


@pytest.fixture
def avx2(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


def layers(kernel: int, stride: int, padding: int) -> tuple[nn.Module, nn.Module]:
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding}
    ours, plain = Conv2d(5, 6, **arguments), nn.Conv2d(5, 6, **arguments)
    plain.load_state_dict(ours.state_dict())
    return ours.to(memory_format=torch.channels_last), plain


def images(*shape: int) -> torch.Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return made.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_gradients_are_those_of_conv2d(avx2, shape):
    ours, plain = layers(*shape)
    x, y = images(2, 5, 16, 12), images(2, 5, 16, 12)
    out, expected = ours(x), plain(y)
    assert "_Convolution" in type(out.grad_fn).__name__
    pull = torch.randn_like(out)
    out.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(x.grad, y.grad)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
        assert one.grad.stride() == one.stride()  # what optimizers and DistributedDataParallel expect


@pytest.mark.parametrize("shape", SHAPES)
def test_gradcheck(shape):
    ours, _ = layers(*shape)
    x = images(1, 5, 7, 6).detach().double().requires_grad_()
    parts = [parameter.detach().double().requires_grad_() for parameter in ours.parameters()]
    run = lambda *tensors: convolution._Convolution.apply(*tensors, ours.stride, ours.padding)  # noqa: E731
    assert torch.autograd.gradcheck(run, (x, *parts), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, *parts), fast_mode=True)


def test_only_required_gradients_are_computed(avx2):
    ours, _ = layers(3, 1, 1)
    ours(images(1, 5, 8, 8).detach()).sum().backward()
    assert ours.weight.grad.any()
    ours.weight.requires_grad_(False)
    assert "_Convolution" not in type(ours(images(1, 5, 8, 8)).grad_fn).__name__
    with torch.no_grad():
        assert ours(images(1, 5, 8, 8)).grad_fn is None


@pytest.mark.parametrize("change", ["contiguous", "double", "autocast", "another CPU"])
def test_elsewhere_it_is_conv2d(avx2, monkeypatch, change):
    ours, _ = layers(3, 1, 1)
    x = images(1, 5, 8, 8)
    if change == "contiguous":
        x = x.contiguous()
    if change == "double":
        ours, x = ours.double(), x.double()
    if change == "another CPU":
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        assert "_Convolution" not in type(ours(x).grad_fn).__name__

"""The average of weights: three steps by hand, batch norm, exchange, and resuming bit for bit."""

import copy

import pytest
import torch
from torch import nn

from utils.training.weight_average import WeightAverage


def one_weight(value=0.0):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_three_steps_by_hand():
    model, average = one_weight(8.0), WeightAverage(0.15)
    average.start(model)
    # d = min(0.15, n / (n + 9)): 0.1, then 2 / 11 > 0.15.
    expected = 8.0
    for weight, decay in ((2.0, 0.1), (4.0, 0.15), (-1.0, 0.15)):
        nn.init.constant_(model.weight, weight)
        average.update(model)
        expected = decay * expected + (1 - decay) * weight
        with average.in_place_of(model):
            assert model.weight.item() == pytest.approx(expected)
        assert model.weight.item() == weight
    assert expected == pytest.approx(0.15 * (0.15 * (0.1 * 8 + 0.9 * 2) + 0.85 * 4) - 0.85)


def test_batch_norm_statistics_are_averaged_and_its_count_is_copied():
    model, average = nn.BatchNorm1d(2), WeightAverage(0.5)
    average.start(model)
    for step in (1, 2):
        model.running_mean.fill_(float(step))
        model.num_batches_tracked.fill_(step)
        average.update(model)
    with average.in_place_of(model):
        # d = 0.1, then 2 / 11.
        torch.testing.assert_close(model.running_mean, torch.full((2,), 0.9 * 2 / 11 + 2 * 9 / 11))
        assert model.num_batches_tracked.item() == 2
        assert model.num_batches_tracked.dtype == torch.int64


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def steps(model, optimizer, average, first, count):
    for number in range(first, first + count):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        average.update(model)


def test_resuming_is_exact():
    model, average = network(), WeightAverage(0.9)
    optimizer = torch.optim.RMSprop(model.parameters(), 0.01)
    average.start(model)
    steps(model, optimizer, average, 0, 4)
    with average.in_place_of(model):
        parts = {"state_dict": model, "ema": average, "optimizer": optimizer}
        checkpoint = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    steps(model, optimizer, average, 4, 3)

    other, again = network(), WeightAverage(0.9)
    resumed = torch.optim.RMSprop(other.parameters(), 0.01)
    other.load_state_dict(checkpoint["state_dict"])
    resumed.load_state_dict(checkpoint["optimizer"])
    again.load_state_dict(checkpoint["ema"])
    again.start(other)
    steps(other, resumed, again, 4, 3)
    torch.testing.assert_close(dict(other.state_dict()), dict(model.state_dict()), rtol=0, atol=0)
    with average.in_place_of(model), again.in_place_of(other):
        torch.testing.assert_close(dict(other.state_dict()), dict(model.state_dict()), rtol=0, atol=0)


def test_the_weights_return_after_an_error():
    model, average = one_weight(1.0), WeightAverage(0.5)
    average.start(model)
    nn.init.constant_(model.weight, 3.0)
    average.update(model)
    with pytest.raises(RuntimeError), average.in_place_of(model):
        raise RuntimeError
    assert model.weight.item() == 3.0


@pytest.mark.parametrize("decay", [0, 1, -0.5, 1.5, float("nan")])
def test_a_decay_must_lie_between(decay):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        WeightAverage(decay)

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from utils.plotting_utils import Averages, Magnitudes, Ratio, norm

NAN = math.nan


# ------------------------------------------------------------------------------------------ averages
def test_minibatches_weigh_by_their_size():
    averages = Averages()
    averages.update({"loss": torch.tensor(1.0)}, batch_size=6)
    averages.update({"loss": torch.tensor(2.0)}, batch_size=6)
    averages.update({"loss": torch.tensor(8.0)}, batch_size=2)  # the last, uneven one
    assert averages.result() == {"loss": pytest.approx((6 + 12 + 16) / 14)}


@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=30), batch_size=st.integers(1, 7))
@settings(max_examples=30)
def test_the_average_does_not_depend_on_the_batch_size(values, batch_size):
    averages = Averages()
    for start in range(0, len(values), batch_size):
        batch = torch.tensor(values[start : start + batch_size], dtype=torch.float64)
        averages.update({"loss": batch.mean()}, len(batch))
    assert averages.result()["loss"] == pytest.approx(sum(values) / len(values), abs=1e-9)


def test_a_ratio_sums_hits_and_counts_apart():
    averages = Averages()
    averages.update({"PCKh": Ratio(torch.tensor([1, 0, 0]), torch.tensor([1, 3, 0]))}, batch_size=3)
    averages.update({"PCKh": Ratio(torch.tensor([0, 4, 0]), torch.tensor([3, 5, 0]))}, batch_size=5)
    # 1/4 and 4/8; the third entry was never counted. The batch sizes play no part.
    assert averages.result() == {"PCKh": pytest.approx((1 / 4 + 4 / 8) / 2)}


def test_uncounted_metrics_are_nan():
    averages = Averages()
    assert averages.result() == {}
    averages.update({"PCKh": Ratio(torch.zeros(2), torch.zeros(2))})
    assert math.isnan(averages.result()["PCKh"])


def test_a_nan_loss_is_not_hidden():
    averages = Averages()
    for loss in (1.0, NAN, 1.0):
        averages.update({"loss": torch.tensor(loss)})
    assert math.isnan(averages.result()["loss"])


def test_a_nan_of_one_joint_is_not_hidden():
    """Joints that were never counted are left out; a joint whose value is NaN is not."""
    averages = Averages()
    averages.update({"MPJPE": Ratio(torch.tensor([6.0, NAN, 0.0]), torch.tensor([2.0, 2.0, 0.0]))})
    assert math.isnan(averages.result()["MPJPE"])


def test_names_may_come_and_go():
    averages = Averages()
    averages.update({"a": 1.0}, 2)
    averages.update({"a": torch.tensor(4), "b": torch.tensor(7.0, requires_grad=True)}, 1)
    assert averages.result() == {"a": pytest.approx(2), "b": 7}


def test_many_small_numbers_are_summed_without_loss():
    averages = Averages()
    averages.update({"loss": torch.tensor(1.0)}, batch_size=10**8)
    for _ in range(100):
        averages.update({"loss": torch.tensor(1e-4)}, batch_size=1)
    assert averages.result()["loss"] == pytest.approx((1e8 + 0.01) / (1e8 + 100), abs=1e-12)


# ------------------------------------------------------------------------------------------ magnitudes
def test_the_norm_is_over_all_entries_together():
    assert norm([torch.tensor([3.0]), torch.tensor([[4.0, 12.0]])]).item() == pytest.approx(13)
    assert norm([torch.full((10,), 100.0, dtype=torch.float16)]).item() == pytest.approx(math.sqrt(10) * 100)
    assert norm(iter([])).item() == 0


def test_magnitudes_by_hand():
    model = nn.Linear(2, 1)
    model.register_parameter("frozen", nn.Parameter(torch.tensor([100.0]), requires_grad=False))
    model.register_parameter("unused", nn.Parameter(torch.tensor([0.0])))
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.bias.fill_(2.0)
    magnitudes = Magnitudes(model)
    magnitudes.before()
    model(torch.tensor([[3.0, 4.0]])).sum().backward()  # gradients (3, 4) and 1
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    # Weights (1, 2, 2) - 0.5 (3, 4, 1) = (-0.5, 0, 1.5).
    assert magnitudes.after() == {
        "magnitude/weights": pytest.approx(math.sqrt(0.25 + 2.25)),
        "magnitude/gradients": pytest.approx(math.sqrt(9 + 16 + 1)),
        "magnitude/update": pytest.approx(0.5 * math.sqrt(26)),
    }
    magnitudes.before()
    assert magnitudes.after()["magnitude/update"] == 0

"""Parts of a network that are not trained."""

import pytest
import torch
from torch import nn

from utils.osutils import UserError
from utils.training.freezing import freeze, training_mode


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_frozen_modules_get_no_gradient_and_keep_their_statistics(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = freeze(model, ["0"])
    training_mode(model, frozen)
    optimizer = torch.optim.Adam(model.parameters(), 0.1, weight_decay=0.1)
    model(torch.randn(8, 2)).square().mean().backward()
    optimizer.step()
    assert [name for name, p in model.named_parameters() if p.grad is None] == [
        "0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias",
    ]  # fmt: skip
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {name for name in before if name.startswith("0.")}


def test_frozen_norms_use_their_running_statistics(model):
    norm = model[0][1]
    frozen = freeze(model, ["0.1"])
    training_mode(model, frozen)
    inputs = torch.randn(8, 3)
    expected = inputs / torch.sqrt(torch.tensor(1 + norm.eps))  # of a new norm: mean 0, variance 1
    torch.testing.assert_close(norm(inputs), expected)
    assert model[1].training
    training_mode(model)
    assert norm.training


@pytest.mark.parametrize("name", ["2.weight", "Linear", "", "3"])
def test_an_unknown_module_is_refused(model, name):
    with pytest.raises(UserError, match=f"^--freeze_modules {name}: no module of the network; it has 0, 1, 2"):
        freeze(model, [name])


def test_something_must_be_left_to_train(model):
    with pytest.raises(UserError, match="^--freeze_modules 0 1 2: leaves nothing to train$"):
        freeze(model, ["0", "1", "2"])

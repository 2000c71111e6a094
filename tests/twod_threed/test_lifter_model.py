"""The 3D baseline's network: shapes, the hip left out, parameter names, the bound on its weights."""

import pytest
import torch
from torch import nn

from twod_threed.model import Dropout, LinearModel

POSES = torch.linspace(-1, 1, 5 * 32).reshape(5, 32)


def network(**options) -> LinearModel:
    torch.manual_seed(0)
    return LinearModel(linear_size=24, **options)


@pytest.mark.parametrize("without_hip", [False, True])
class TestShapes:
    def test_flat_poses_give_flat_poses(self, without_hip):
        assert network(without_hip=without_hip)(POSES).shape == (5, 51)

    def test_joints_give_joints_with_the_same_numbers(self, without_hip):
        model = network(without_hip=without_hip).eval()
        poses = model(POSES.unflatten(1, (16, 2)))
        assert poses.shape == (5, 17, 3)
        assert torch.equal(poses.flatten(1), model(POSES))

    def test_48_outputs_are_those_of_published_checkpoints(self, without_hip):
        model = network(without_hip=without_hip, output_size=48)
        assert model(POSES).shape == (5, 48)
        assert model(POSES.unflatten(1, (16, 2))).shape == (5, 16, 3)

    def test_every_parameter_has_a_gradient(self, without_hip):
        model = network(without_hip=without_hip)
        model(POSES).square().sum().backward()
        silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # Batch norm cancels the bias before it, up to rounding.
        assert [name for name in silent if "norm" in name or name.endswith("weight")] == []
        assert all(p.grad is not None for p in model.parameters())


class TestWithoutHip:
    def test_the_network_sees_15_joints_and_predicts_16(self):
        model = network(without_hip=True)
        assert (model.w1.in_features, model.w2.out_features) == (30, 48)

    def test_zeros_are_put_back_as_the_first_joint(self):
        model = network(without_hip=True).eval()
        poses = model(POSES.unflatten(1, (16, 2)))
        assert not poses[:, 0].any()
        assert poses[:, 1:].abs().min() > 0

    def test_the_hip_of_the_input_does_not_matter(self):
        model, moved = network(without_hip=True).eval(), POSES.clone()
        moved[:, :2] += 3
        assert torch.equal(model(moved), model(POSES))
        assert not torch.equal(network().eval()(moved), network().eval()(POSES))


def test_parameters_have_the_published_ports_names():
    layers = ["w1", "batch_norm1"]
    layers += [f"linear_stages.{n}.{part}" for n in (0, 1) for part in ("w1", "batch_norm1", "w2", "batch_norm2")]
    expected = [f"{layer}.{kind}" for layer in [*layers, "w2"] for kind in ("weight", "bias")]
    assert sorted(name for name, _ in network().named_parameters()) == sorted(expected)


def test_width_stages_and_dropout():
    model = LinearModel(linear_size=20, num_stage=3, dropout=0.25)
    assert len(model.linear_stages) == 3
    assert all(stage.w2.weight.shape == (20, 20) for stage in model.linear_stages)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.25}


def test_the_size_of_the_paper():
    """4 to 5 million parameters (Martinez et al., section 3)."""
    assert sum(p.numel() for p in LinearModel().parameters()) == (
        32 * 1024 + 1024 + 4 * (1024 * 1024 + 1024) + 5 * 2 * 1024 + 1024 * 51 + 51
    )


def test_the_forward_pass_by_hand():
    model = network(num_stage=1).eval()
    params = dict(model.named_parameters())

    def block(x, prefix, number):
        y = x @ params[f"{prefix}w{number}.weight"].T + params[f"{prefix}w{number}.bias"]
        return (y / (1 + 1e-5) ** 0.5).clamp(min=0)  # statistics of a new network: mean 0, variance 1

    first = block(POSES, "", 1)
    hidden = first + block(block(first, "linear_stages.0.", 1), "linear_stages.0.", 2)
    expected = hidden @ params["w2.weight"].T + params["w2.bias"]
    torch.testing.assert_close(model(POSES), expected)


def test_dropout_acts_only_in_training():
    model = network(dropout=0.5)
    assert not torch.equal(model(POSES), model(POSES))
    model.eval()
    assert torch.equal(model(POSES), model(POSES))


def test_kaiming_initialization():
    torch.manual_seed(0)
    weight = LinearModel().linear_stages[0].w1.weight
    assert weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.01)


def test_constrain_bounds_the_incoming_weights_of_every_unit():
    model = network(num_stage=1)
    with torch.no_grad():
        model.w1.weight.zero_()[0, :2] = torch.tensor([3.0, 4.0])
        model.w1.weight[1, 0] = 0.5
        model.w1.bias.fill_(7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.constrain(1.0)
    torch.testing.assert_close(model.w1.weight[0, :2], torch.tensor([0.6, 0.8]))
    assert model.w1.weight[1, 0] == 0.5
    assert not model.w1.weight[2:].any()
    kaiming = before["linear_stages.0.w1.weight"]
    expected = kaiming / kaiming.norm(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(model.linear_stages[0].w1.weight, expected)
    untouched = [name for name in before if "norm" in name or name.endswith("bias")]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in untouched)


class TestDropout:
    @pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
    def test_the_share_that_is_dropped_and_the_scale_of_the_rest(self, p):
        torch.manual_seed(0)
        out = Dropout(p)(torch.ones(251, 401))
        assert set(out.unique().tolist()) == {0.0, out.max().item()}
        assert out.max() == pytest.approx(1 / (1 - p))
        assert (out == 0).float().mean() == pytest.approx(p, abs=0.01)  # 6 deviations of 100,651 draws

    def test_the_gradient_goes_where_the_value_went(self):
        x = torch.ones(7, 9, requires_grad=True)
        out = Dropout(0.5)(x)
        out.sum().backward()
        assert torch.equal(x.grad, out)

    def test_rows_and_columns_are_dropped_independently(self):
        torch.manual_seed(0)
        dropped = (Dropout(0.5)(torch.ones(4000, 32)) == 0).float()
        assert (torch.corrcoef(dropped.t()) - torch.eye(32)).abs().max() < 0.08  # 5 deviations of 4,000 draws

    def test_the_seed_fixes_it(self):
        def draw():
            torch.manual_seed(3)
            return Dropout(0.5)(torch.ones(5, 5))

        assert torch.equal(draw(), draw())

    @pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
    def test_none_and_all(self, p, expected):
        assert torch.equal(Dropout(p)(torch.ones(3, 4)), torch.full((3, 4), expected))

    def test_nothing_is_dropped_outside_training(self):
        x = torch.randn(3, 4)
        assert Dropout(0.5).eval()(x) is x

"""`load_lifter`: the network and its normalisation from a path; published checkpoints; what is refused."""

import pytest
import torch

import twod_threed
from twod_threed.loading import lifter_architecture
from twod_threed.model import LinearModel
from twod_threed.normalisation import TENSORS, Normalisation
from utils.osutils import UserError

POSES = torch.linspace(-1, 1, 3 * 32).reshape(3, 16, 2)


def published(size=12, stages=2, outputs=48):
    """A state dict with the keys and shapes of the public PyTorch port, made without our network."""
    generator = torch.Generator().manual_seed(0)

    def linear(name, inputs, outputs):
        weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
        return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs, generator=generator)}

    def norm(name):
        parts = {"weight": 1.0, "bias": 0.1, "running_mean": 0.2, "running_var": 0.5}
        return {f"{name}.{part}": torch.full((size,), value) for part, value in parts.items()}

    state = linear("w1", 32, size) | norm("batch_norm1")
    for stage in range(stages):
        for number in (1, 2):
            prefix = f"linear_stages.{stage}."
            state |= linear(f"{prefix}w{number}", size, size) | norm(f"{prefix}batch_norm{number}")
    return state | linear("w2", size, outputs)


def by_hand(state, poses, stages=2):
    """The published forward pass."""

    def block(x, prefix, n):
        x = x @ state[f"{prefix}w{n}.weight"].T + state[f"{prefix}w{n}.bias"]
        return torch.relu((x - 0.2) / (0.5 + 1e-5) ** 0.5 + 0.1)

    x = block(poses.flatten(1), "", 1)
    for stage in range(stages):
        prefix = f"linear_stages.{stage}."
        x = x + block(block(x, prefix, 1), prefix, 2)
    return x @ state["w2.weight"].T + state["w2.bias"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_a_published_checkpoint_loads_and_runs(tmp_path, wrapped):
    state = published()
    content = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 200, "err": 45.5}
    torch.save(content if wrapped else state, tmp_path / "ckpt_best.pth.tar")
    model = twod_threed.load_lifter(tmp_path / "ckpt_best.pth.tar")
    assert not model.training
    assert model.normalisation is None
    output = model(POSES)
    assert output.shape == (3, 16, 3)
    torch.testing.assert_close(output.flatten(1), by_hand(state, POSES))


def ours(**options):
    normalisation = Normalisation("dataset", *(torch.full(s, 2.0) for s in ((16, 2), (16, 2), (17, 3), (17, 3))))
    model = LinearModel(linear_size=12, **options)
    return model, {"state_dict": model.state_dict(), "normalisation": normalisation.plain(), "script": "2d3d_h36m"}


@pytest.mark.parametrize("without_hip", [False, True])
def test_our_checkpoint_rebuilds_network_and_normalisation(tmp_path, without_hip):
    model, content = ours(num_stage=3, without_hip=without_hip)
    torch.save(content, tmp_path / "checkpoint.pth.tar")
    loaded = twod_threed.load_lifter(tmp_path)  # a folder stands for its checkpoint
    assert (loaded.without_hip, len(loaded.linear_stages)) == (without_hip, 3)
    assert torch.equal(loaded(POSES), model.eval()(POSES))
    assert loaded.normalisation.kind == "dataset"
    assert all((getattr(loaded.normalisation, name) == 2).all() for name in TENSORS)


@pytest.mark.parametrize(
    "options",
    [
        {"linear_size": 8, "num_stage": 1, "without_hip": False, "output_size": 51},
        {"linear_size": 9, "num_stage": 2, "without_hip": True, "output_size": 51},
        {"linear_size": 8, "num_stage": 12, "without_hip": False, "output_size": 48},
    ],
)
def test_the_architecture_is_read_from_the_weights(options):
    assert lifter_architecture({"state_dict": LinearModel(**options).state_dict()}, "weights.pth") == options


def test_other_networks_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(8, 3, 7, 7)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="no 3D baseline network"):
        twod_threed.load_lifter(tmp_path / "other.pth")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(8)}, "script": "hourglass_mpii"}, tmp_path / "hg.pth")
    with pytest.raises(UserError, match=r"written by train.py hourglass_mpii"):
        twod_threed.load_lifter(tmp_path / "hg.pth")
    with pytest.raises(UserError, match="no such checkpoint"):
        twod_threed.load_lifter(tmp_path / "nothing.pth")


def test_a_damaged_network_is_refused(tmp_path):
    state = published()
    del state["linear_stages.1.w2.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"missing key linear_stages\.1\.w2\.bias"):
        twod_threed.load_lifter(tmp_path / "part.pth")

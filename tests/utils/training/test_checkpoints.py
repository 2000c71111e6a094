"""Checkpoints: what is written, what is read back, and published files."""

import copy
import errno
import json
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_checkpoints import SETTINGS, one_line_error, small_network, trained
from torch import nn

from utils.osutils import RunFailed
from utils.training.checkpoint_paths import BEST, LATEST
from utils.training.checkpoints import (
    load_state,
    make_checkpoint_fn,
    make_load_fn,
    plain,
    read_checkpoint,
    restore_rng_state,
    rng_state,
    write_checkpoint,
)


def assert_same_state(one, other):
    """Equal state dicts of networks or optimizers, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    else:
        assert one == other


# ------------------------------------------------------------------------------------------ whole checkpoints
def test_a_round_trip_restores_network_optimizer_and_random_numbers(tmp_path):
    network, optimizer = trained()
    scaler = nn.Linear(1, 1)  # anything with a state of its own
    extra = {"mean": [0.1, 0.2, 0.3], "scaler": scaler}
    make_checkpoint_fn("hourglass_mpii", SETTINGS, extra)(network, optimizer, 7, 81.5, tmp_path, is_best=False)
    expected = copy.deepcopy((network.state_dict(), optimizer.state_dict(), scaler.state_dict()))
    drawn = random.random(), np.random.rand(), np.random.randn(), torch.rand(3)  # noqa: NPY002
    assert os.listdir(tmp_path) == [LATEST]

    other, new_scaler = small_network(), nn.Linear(1, 1)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.Adam(other.parameters(), 5.0)
    load_fn = make_load_fn(extra={"mean": None, "scaler": new_scaler})
    model, loaded_optimizer, epoch, best = load_fn(other, optimizer, tmp_path)
    assert model is other
    assert loaded_optimizer is optimizer
    assert (epoch, best) == (7, 81.5)
    for state, there in zip((other, optimizer, new_scaler), expected, strict=True):
        assert_same_state(state.state_dict(), there)
    again = random.random(), np.random.rand(), np.random.randn(), torch.rand(3)  # noqa: NPY002
    assert again[:3] == drawn[:3]
    assert torch.equal(again[3], drawn[3])


def test_a_checkpoint_is_plain_and_has_what_rebuilds_the_model(tmp_path):
    network, optimizer = trained()
    make_checkpoint_fn("hourglass_mpii", SETTINGS, {"mean": [0.5]})(
        network, optimizer, 1.5, None, tmp_path, is_best=True
    )
    for name in (LATEST, BEST):
        content = torch.load(tmp_path / name, weights_only=True)
        assert content["format_version"] == 1
        assert content["script"] == "hourglass_mpii"
        assert content["options"]["data_dir"] == "data/mpii"
        assert (content["epoch"], content["best"], content["mean"]) == (1.5, None, [0.5])
        assert_same_state(content["state_dict"], network.state_dict())


def test_several_optimizers(tmp_path):
    generator, critic = small_network(), small_network(6)
    both = nn.ModuleList([generator, critic])
    optimizers = tuple(trained(network)[1] for network in both)
    make_checkpoint_fn("gan", SETTINGS)(both, optimizers, 1, 0.0, tmp_path, is_best=False)
    fresh = tuple(torch.optim.Adam(network.parameters()) for network in both)
    make_load_fn()(both, fresh, tmp_path)
    for one, other in zip(optimizers, fresh, strict=True):
        assert_same_state(one.state_dict(), other.state_dict())
    message = one_line_error(make_load_fn(), both, fresh[0], tmp_path)
    assert "holds 2 optimizers, this script trains with 1" in message


def test_without_an_optimizer_only_the_weights_are_loaded(tmp_path):
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 7, 1.0, tmp_path, is_best=False)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    other = small_network().requires_grad_(False)
    torch.manual_seed(5)
    assert make_load_fn()(other, None, tmp_path) == (other, None, 0, None)
    assert_same_state(other.state_dict(), network.state_dict())
    assert torch.equal(torch.rand(1), expected), "the generators were touched"


def test_another_kind_of_optimizer_starts_fresh_with_a_warning(tmp_path, capsys):
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 3, 0.5, tmp_path, is_best=False)
    rmsprop = torch.optim.RMSprop(network.parameters(), 0.25)
    *_, epoch, best = make_load_fn()(network, rmsprop, tmp_path)
    assert (epoch, best) == (3, 0.5)
    assert rmsprop.state_dict()["state"] == {}
    assert rmsprop.param_groups[0]["lr"] == 0.25
    assert "optimizer state does not fit and is reset" in capsys.readouterr().err

    network, optimizer = trained(optimizer_type=torch.optim.RMSprop)
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 3, 0.5, tmp_path, is_best=False)
    adam = torch.optim.Adam(network.parameters(), amsgrad=True)
    make_load_fn()(network, adam, tmp_path)
    assert adam.state_dict()["state"] == {}
    assert "another kind of optimizer" in capsys.readouterr().err
    adam = torch.optim.Adam([{"params": list(network[:1].parameters())}, {"params": list(network[1:].parameters())}])
    make_load_fn()(network, adam, tmp_path)
    assert "optimizer state does not fit and is reset" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ published files
def test_a_published_checkpoint_loads(tmp_path):
    network, optimizer = trained(optimizer_type=torch.optim.RMSprop)
    published = {
        "epoch": 90,
        "arch": "hg",
        "state_dict": {f"module.{key}": value for key, value in network.state_dict().items()},
        "best_acc": torch.tensor(0.86),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(published, tmp_path / "published.pth.tar")
    other = small_network(4)
    rmsprop = torch.optim.RMSprop(other.parameters())
    assert make_load_fn()(other, rmsprop, tmp_path / "published.pth.tar")[2:] == (90, None)
    assert_same_state(other.state_dict(), network.state_dict())
    assert_same_state(rmsprop.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_a_bare_state_dict_loads_only_weights(tmp_path, zipped):
    network, optimizer = trained()
    torch.save(network.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    assert set(read_checkpoint(tmp_path / "weights.pth")) == {"state_dict"}
    other = small_network()
    assert make_load_fn()(other, optimizer, tmp_path / "weights.pth") == (other, optimizer, 0, None)
    assert_same_state(other.state_dict(), network.state_dict())


def test_only_the_leading_prefix_of_data_parallel_is_removed(tmp_path):
    torch.save({"module.fc.module.weight": torch.ones(2), "bias": torch.zeros(1)}, tmp_path / "w.pth")
    assert list(read_checkpoint(tmp_path / "w.pth")["state_dict"]) == ["fc.module.weight", "bias"]


def test_batch_norm_of_an_old_pytorch_has_no_count(tmp_path):
    network, state = small_network(), small_network().state_dict()
    expected = {name: torch.full_like(value, 2) for name, value in state.items()}
    state = {name: value for name, value in expected.items() if name != "1.num_batches_tracked"}
    load_state(network, state, "old.pth")
    loaded = network.state_dict()
    assert loaded.pop("1.num_batches_tracked") == 0
    assert all(torch.equal(value, expected[name]) for name, value in loaded.items())


# ------------------------------------------------------------------------------------------ other networks
def test_weights_of_another_network_are_refused_by_name(tmp_path):
    network, state = small_network(), small_network().state_dict()
    before = copy.deepcopy(network.state_dict())
    wider = small_network(6).state_dict()
    assert one_line_error(load_state, network, wider, "x.pth") == (
        "x.pth: weights of another network (0.weight has shape (6, 3), expected (4, 3); 7 differences in all)"
    )
    more = state | {"new": torch.ones(1)}
    assert "(unexpected key new; 1 difference in all)" in one_line_error(load_state, network, more, "x.pth")
    del state["2.bias"]
    assert "(missing key 2.bias; 1 difference in all)" in one_line_error(load_state, network, state, "x.pth")
    assert_same_state(network.state_dict(), before)


# ------------------------------------------------------------------------------------------ writing
def test_a_failure_in_mid_write_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / LATEST
    write_checkpoint(path, {"state_dict": {"w": torch.ones(1)}})
    former = path.read_bytes()

    def half_written(path, content):
        with open(path, "wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half_written)
    with pytest.raises(RunFailed, match=rf"^{re.escape(str(path))} was not written: No space left on device; "):
        write_checkpoint(path, {"state_dict": {"w": torch.zeros(1)}})
    assert path.read_bytes() == former
    assert os.listdir(tmp_path) == [LATEST]


# ------------------------------------------------------------------------------------------ small parts
def test_the_state_of_the_generators_is_plain(tmp_path):
    np.random.default_rng(0)
    np.random.randn()  # noqa: NPY002 - leaves a cached second normal number
    write_checkpoint(tmp_path / "rng.pth", {"state_dict": {}, "rng": rng_state()})
    expected = np.random.randn(3), random.gauss(0, 1), torch.randn(2)  # noqa: NPY002
    restore_rng_state(read_checkpoint(tmp_path / "rng.pth")["rng"])
    again = np.random.randn(3), random.gauss(0, 1), torch.randn(2)  # noqa: NPY002
    np.testing.assert_array_equal(again[0], expected[0])
    assert again[1] == expected[1]
    assert torch.equal(again[2], expected[2])


def test_options_become_plain_types():
    stored = plain(SETTINGS)
    assert stored == {
        "allow_unsafe_load": False,
        "data_dir": "data/mpii",
        "given": ["exp", "lr"],
        "lr": 0.1,
        "schedule": [60, 90],
    }
    assert json.loads(json.dumps(stored)) == stored
    assert plain({"paths": [Path("a"), None], "flag": True}) == {"flag": True, "paths": ["a", None]}

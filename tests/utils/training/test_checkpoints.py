import copy
import errno
import json
import os
import pickle
import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils.osutils import RunFailed, UserError
from utils.training.checkpoint_paths import BEST, LATEST, find_checkpoint
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

SETTINGS = {
    "allow_unsafe_load": False, "lr": 0.1, "data_dir": Path("data/mpii"), "given": {"lr", "exp"}, "schedule": [60, 90],
}  # fmt: skip


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def small_network(features=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, features), nn.BatchNorm1d(features), nn.Linear(features, 2))


def trained(network=None, optimizer_type=torch.optim.Adam, **settings):
    """A network and its optimizer after two steps."""
    network = network or small_network()
    optimizer = optimizer_type(network.parameters(), 0.01, **settings)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return network, optimizer


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


def one_line_error(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


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


def test_none_for_the_optimizer_loads_weights_alone(tmp_path):
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


def test_another_kind_of_optimizer_starts_anew_with_a_warning(tmp_path, capsys):
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
def test_a_bare_state_dict_loads_weights_alone(tmp_path, zipped):
    network, optimizer = trained()
    torch.save(network.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    assert set(read_checkpoint(tmp_path / "weights.pth")) == {"state_dict"}
    other = small_network()
    assert make_load_fn()(other, optimizer, tmp_path / "weights.pth") == (other, optimizer, 0, None)
    assert_same_state(other.state_dict(), network.state_dict())


def test_the_prefix_of_several_gpus_is_taken_off_in_front_alone(tmp_path):
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


# ------------------------------------------------------------------------------------------ which file
def test_a_directory_gives_its_best_then_its_latest(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint in this directory; it should hold model_best"):
        find_checkpoint(tmp_path)
    (tmp_path / LATEST).touch()
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint.pth.tar"
    (tmp_path / BEST).touch()
    assert find_checkpoint(tmp_path) == tmp_path / "model_best.pth.tar"
    assert find_checkpoint(str(tmp_path / LATEST)) == tmp_path / LATEST
    with pytest.raises(UserError, match=r"missing: no such checkpoint"):
        find_checkpoint(tmp_path / "missing")


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


# ------------------------------------------------------------------------------------------ bad files
@pytest.fixture
def whole(tmp_path):
    """The content of a good checkpoint."""
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 1, 0.0, tmp_path, is_best=False)
    return (tmp_path / LATEST).read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 2, 100, 0.5, 0.99, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, whole, kept):
    path = tmp_path / "truncated.pth.tar"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert one_line_error(read_checkpoint, path).startswith(f"{path}: not a PyTorch checkpoint, or truncated")


@pytest.mark.parametrize(
    "content", [b"Just a text.\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(300), b"PK\x03\x04" + bytes(300)]
)
@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_a_file_of_another_kind_is_refused(tmp_path, content, allow_unsafe):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    assert "not a PyTorch checkpoint" in one_line_error(read_checkpoint, path, allow_unsafe)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds a dict"),
        ({"weights": {"w": torch.ones(1)}}, "neither a checkpoint"),
        ({"epoch": 3, "w": torch.ones(1)}, "neither a checkpoint"),
        ({"state_dict": [torch.ones(1)]}, "neither a checkpoint"),
        ({"state_dict": {"w": "text"}}, "neither a checkpoint"),
        ({"state_dict": {}, "format_version": 2}, "format 2, this version reads 1"),
        ({"state_dict": {}, "format_version": "new"}, "format_version is 'new'; expected a whole number"),
    ],
)
def test_other_content_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "other.pth")
    assert reason in one_line_error(read_checkpoint, tmp_path / "other.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_pickled_objects_are_refused_without_running_them(tmp_path, capsys, zipped):
    path, trap = tmp_path / "objects.pth.tar", tmp_path / "ran"
    content = {"state_dict": {"w": torch.ones(1)}, "trap": RunsCode(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = one_line_error(read_checkpoint, path)
    assert "could run code" in message
    assert "--allow_unsafe_load" in message
    assert not trap.exists()

    opened = read_checkpoint(path, allow_unsafe=True)
    assert opened["state_dict"] == {"w": torch.ones(1)}
    opened["trap"].close()
    assert trap.exists()
    assert capsys.readouterr().err.startswith(f"warning: {path}: --allow_unsafe_load opens pickled objects")


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_objects_is_refused_as_what_it_is(tmp_path, protocol):
    path, trap = tmp_path / "weights.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": {"w": torch.ones(1)}, "trap": RunsCode(trap)}, protocol))
    message = one_line_error(read_checkpoint, path)
    assert message.startswith(f"{path}: refused, it holds pickled objects that could run code (")
    assert message.endswith("if you trust its source, add --allow_unsafe_load")
    assert not trap.exists()
    read_checkpoint(path, allow_unsafe=True)["trap"].close()
    assert trap.exists()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_the_refusal_names_what_a_checkpoint_of_another_protocol_holds(tmp_path, protocol, zipped):
    content = {"state_dict": {"w": torch.ones(1)}, "best": np.float64(3)}
    path = tmp_path / "w.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    message = one_line_error(read_checkpoint, path)
    assert "refused, it holds pickled objects that could run code (numpy" in message
    assert read_checkpoint(path, allow_unsafe=True)["best"] == 3


def test_zip_files_of_others_and_damaged_pickles_are_no_refused_objects(tmp_path):
    path = tmp_path / "other.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert "(a zip file that torch.save did not write)" in one_line_error(read_checkpoint, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02garbage")
        archive.writestr("archive/version", "3\n")
    assert "(its pickle is damaged)" in one_line_error(read_checkpoint, path)
    path.write_bytes(pickle.dumps({"state_dict": [1.0]}))
    assert one_line_error(read_checkpoint, path).endswith("a plain pickle without tensors, not a PyTorch checkpoint")


def test_objects_of_code_that_is_not_here_are_a_clear_refusal(tmp_path, capsys):
    path = tmp_path / "gone.pth"
    torch.save(
        {"state_dict": {}, "model": RunsCode("x")}, path, _use_new_zipfile_serialization=False, pickle_module=Gone
    )
    assert "No module named 'gone_project'" in one_line_error(read_checkpoint, path, True)
    assert "warning" in capsys.readouterr().err


class Gone:
    """A pickle module that writes `RunsCode` as a class of a project that is not installed."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            self.write(b"cgone_project\nModel\n")

        dispatch = pickle._Pickler.dispatch

    @staticmethod
    def dump(obj, file, protocol):
        Gone.Pickler(file, protocol).dump(obj)


def test_any_damage_is_a_user_error(tmp_path, whole):
    """Bytes exchanged at random: the checkpoint opens, or is refused by a UserError."""
    rng, path, refused = np.random.default_rng(0), tmp_path / "damaged.pth", 0
    torch.save(small_network().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for original in (whole, (tmp_path / "old.pth").read_bytes()):
        for _ in range(60):
            content = np.frombuffer(original, np.uint8).copy()
            content[rng.integers(0, min(len(content), 1500), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(content.tobytes())
            try:
                read_checkpoint(path)
            except UserError:
                refused += 1
    assert refused > 60


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

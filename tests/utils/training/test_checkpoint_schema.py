"""Checkpoints with wrong types or numbers are refused in one line, before memory is allocated for what they declare."""

from pathlib import Path

import pytest
import torch
from small_checkpoints import SETTINGS, trained
from tiny_checkpoints import hourglass_file, lifter_file, stitched_file

from options import GROUPS, SCRIPTS
from stacked_hourglass.loading import load_hourglass
from stitched.loading import load_network
from twod_threed.loading import load_lifter
from utils.command_line.declarations import accepts
from utils.osutils import UserError
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn, read_checkpoint

WRONG = ["a", float("nan"), [[]], 10**400, [float("inf")] * 3]


@pytest.fixture(scope="module")
def files(one_level, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    hourglass, lifter = hourglass_file(folder / "hourglass.pth"), lifter_file(folder / "lifter.pth")
    return {"hourglass": hourglass, "lifter": lifter, "stitched": stitched_file(folder / "all.pth", hourglass, lifter)}


def changed(path: Path, target: Path, **entries: object) -> Path:
    torch.save(torch.load(path, weights_only=True) | entries, target)
    return target


@pytest.mark.parametrize(
    ("kind", "load", "name"),
    [
        ("hourglass", load_hourglass, "mean"),
        ("hourglass", load_hourglass, "skeleton"),
        ("hourglass", load_hourglass, "score_threshold"),
        ("hourglass", load_hourglass, "options"),
        ("lifter", load_lifter, "normalisation"),
        ("lifter", load_lifter, "input_places"),
        ("stitched", load_network, "soft_argmax"),
        ("stitched", load_network, "normalisation"),
        ("stitched", load_network, "batch_norm_momentum"),
    ],
)
def test_wrong_entries_are_named(files, tmp_path, kind, load, name):
    for value in WRONG:
        with pytest.raises(UserError, match=f"x.pth: (options: )?{name}"):
            load(changed(files[kind], tmp_path / "x.pth", **{name: value}))


@pytest.mark.parametrize(
    "wrong", [{"window_width": 1e4}, {"window_width": 1e6}, {"smoothing": 1e-50}, {"smoothing": -1}]
)
def test_a_soft_argmax_that_takes_gigabytes_or_gives_nan_is_refused(files, tmp_path, wrong):
    """The window's table has a row for each px of its square."""
    fine = torch.load(files["stitched"], weights_only=True)["soft_argmax"]
    with pytest.raises(UserError, match="x.pth: soft_argmax is a dict of 6; expected a dict of base_index"):
        load_network(changed(files["stitched"], tmp_path / "x.pth", soft_argmax=fine | wrong))
    for smoothing in (0, 0.5):
        load_network(changed(files["stitched"], tmp_path / "x.pth", soft_argmax=fine | {"smoothing": smoothing}))


def test_every_number_of_a_normalisation_counts(files, tmp_path):
    content = torch.load(files["lifter"], weights_only=True)["normalisation"]
    content["stddev_3d"][16][2] = 0.0
    with pytest.raises(UserError, match="normalisation is a dict of 5; expected None or a dict of kind, mean_2d"):
        load_lifter(changed(files["lifter"], tmp_path / "x.pth", normalisation=content))


def test_tensors_larger_than_the_file_are_refused(files, tmp_path):
    state = torch.load(files["lifter"], weights_only=True)["state_dict"]
    huge = {name: value.new_zeros(1).expand(10**9, *value.shape[1:]) for name, value in state.items() if "w1" in name}
    with pytest.raises(UserError, match="is not a tensor of real numbers that the file holds"):
        load_lifter(changed(files["lifter"], tmp_path / "x.pth", state_dict=state | huge))
    huge = {"w2.weight": state["w2.weight"].new_zeros(10**6, 1)}
    with pytest.raises(UserError, match="weights of another network"):
        load_lifter(changed(files["lifter"], tmp_path / "x.pth", state_dict=state | huge))


@pytest.mark.parametrize("name", ["epoch", "optimizer", "rng", "best", "options"])
def test_resume(tmp_path, name):
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 3, 0.5, tmp_path, is_best=False)
    for value in (*WRONG, {"a": [{}]}):
        if name == "best" and isinstance(value, float):
            continue  # a metric of an epoch may be NaN
        path = changed(tmp_path / "checkpoint.pth.tar", tmp_path / "x.pth", **{name: value})
        with pytest.raises(UserError, match=f"x.pth: {name} is"):
            make_load_fn()(network, optimizer, path)


def test_states_of_another_network_are_refused_or_reset(tmp_path, capsys):
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 3, 0.5, tmp_path, is_best=False)
    path = tmp_path / "checkpoint.pth.tar"
    content = read_checkpoint(path)
    rng = content["rng"] | {"torch": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(UserError, match="rng can't be restored"):
        make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", rng=rng))
    [state] = content["optimizer"]
    for slot in state["state"].values():
        slot.update({key: torch.zeros(7) for key in slot})
    make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[state]))
    assert "has another type or shape" in capsys.readouterr().err


def test_damage_inside_a_resumable_state_is_a_line_and_costs_nothing(tmp_path, capsys):
    """Found by the mutation harness: in NumPy's generator, a parameter's number and a parameter's state."""
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 3, 0.5, tmp_path, is_best=False)
    path = tmp_path / "checkpoint.pth.tar"
    content = torch.load(path, weights_only=True)
    kind, keys, *rest = content["rng"]["numpy"]
    for wrong in (keys[:0], keys[:1].expand(10**9)):  # the second would take 8 GB
        rng = content["rng"] | {"numpy": [kind, wrong, *rest]}
        with pytest.raises(UserError, match="rng can't be restored.*expected 624 numbers"):
            make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", rng=rng))
    [state] = content["optimizer"]
    [group] = state["param_groups"]
    for number in ({}, []):
        other = state | {"param_groups": [group | {"params": [number, *group["params"][1:]]}]}
        make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[other]))
        assert f"is reset (a parameter's number is a {type(number).__name__} of 0)" in capsys.readouterr().err
    for wrong in ({"betas": (0.9, 1)}, {"betas": (0.9, 1e18)}, {"betas": 0.9}, {"amsgrad": "x"}, {"eps": -1}):
        other = state | {"param_groups": [group | wrong]}
        make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[other]))
        assert f"is reset (its {next(iter(wrong))} is" in capsys.readouterr().err
    other = state | {"param_groups": [group | {"foreach": "x", "fused": {}, "maximize": True}]}
    make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[other]))
    assert optimizer.param_groups[0]["foreach"] is None, "how a step is computed is not the file's to say"
    assert not capsys.readouterr().err
    for name in set(group) - {"params"}:
        other = state | {"param_groups": [{key: value for key, value in group.items() if key != name}]}
        make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[other]))
        optimizer.step()
    assert optimizer.param_groups[0]["weight_decay"] == group["weight_decay"], "what a file lacks stays as it is"
    assert not capsys.readouterr().err
    whole = state["state"][0]
    without_step = {name: value for name, value in whole.items() if name != "step"}
    for slot in (None, {}, without_step, {"step": whole["step"]}, whole | {"exp_avg": 0.5}):
        other = state | {"state": state["state"] | {0: slot}}
        make_load_fn()(network, optimizer, changed(path, tmp_path / "x.pth", optimizer=[other]))
        assert "is reset (what it holds of parameter 0" in capsys.readouterr().err


def test_stored_options_are_those_of_a_command_line():
    options = {option.name: option for _, option in SCRIPTS["train"]["hourglass_mpii"].options(GROUPS)}
    fine = {"lr": 0.5, "epochs": 3, "schedule": [1, 2], "flip": True, "label_type": "Cauchy", "data_dir": "data/x",
            "load": None}  # fmt: skip
    wrong = {"lr": [-1, float("nan"), "x", None, True], "epochs": [0, 1.5, [1]], "schedule": [["x"], [-1]],
             "flip": [1, "True"], "label_type": ["Foo", 3]}  # fmt: skip
    assert all(accepts(options[name], value) for name, value in fine.items())
    assert not any(accepts(options[name], value) for name, values in wrong.items() for value in values)

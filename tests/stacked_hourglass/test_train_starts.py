"""`train.py hourglass_mpii` from a checkpoint, of several folders, and again."""

import json

import numpy as np
import pytest
import torch
from coco_files import NAMES
from hourglass_training import NAME, SMALL, VISIBILITY, predictions, train, train_small
from option_effects import epochs, weights
from tiny_checkpoints import hourglass_file, lifter_file, stitched_file

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.train import settle_options
from utils.osutils import UserError

SHOWN_SCRIPTS = [("train", "hourglass_mpii")]
pytestmark = pytest.mark.usefixtures("one_picture", "two_levels")


# ------------------------------------------------------------------------------------------ options with paths


@pytest.mark.shows("load")
def test_load_takes_only_the_weights(run, tiny_mpii, tmp_path):
    source = run("--seed", 1)
    loaded = train_small(tmp_path, tiny_mpii, "--load", source.checkpoints, "--lr", 1e-20)
    assert weights(loaded)[0] == weights(source)[0]
    assert weights(loaded)[0] != weights(run())[0]
    assert epochs(loaded) == 1  # from epoch 0
    started = torch.load(loaded.checkpoints / "checkpoint.pth.tar", weights_only=True)["optimizer"][0]["state"][0]
    assert started["step"] == 2


@pytest.mark.shows("load", "freeze_modules")
def test_frozen_modules_stay_as_loaded(run, tiny_mpii, tmp_path):
    """Weights and norm statistics of exactly these modules, also with averaged weights and after a resume."""
    source = run("--seed", 1)
    names = ("conv1", "bn1", "hg.0.hg.1")
    argv = ("--load", source.checkpoints, "--freeze_modules", *names, "--ema", 0.9)
    tuned = train_small(tmp_path, tiny_mpii, *argv)
    resumed = train_small(tmp_path, tiny_mpii, "--resume", "--epochs", 2)
    before = source.state()
    for after in (tuned.state(), resumed.state()):
        same = {name for name in before if torch.equal(after[name], before[name])}
        assert same == {name for name in before if name.startswith(tuple(f"{name}." for name in names))}
    assert epochs(resumed) == 2


@pytest.mark.shows("load")
def test_load_takes_a_published_checkpoint(tiny_mpii, tmp_path):
    torch.manual_seed(3)
    model = HourglassNet(Architecture(stacks=1, features=8))
    published = {"epoch": 30, "arch": "hg", "best_acc": 0.5, "optimizer": {"state": {}, "param_groups": []}}
    published["state_dict"] = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save(published, tmp_path / "published.pth.tar")
    loaded = train_small(tmp_path / "run", tiny_mpii, "--load", tmp_path / "published.pth.tar", "--lr", 1e-20)
    assert torch.equal(loaded.state()["conv1.weight"], model.conv1.weight)
    assert epochs(loaded) == 1


@pytest.mark.shows("load")
def test_load_takes_the_networks_shape_and_mean(run, tiny_mpii, tmp_path, monkeypatch):
    source = run("--stacks", 2, "--num_classes", 10).checkpoints / "checkpoint.pth.tar"
    content = torch.load(source, weights_only=True)
    torch.save(content | {"mean": [0.1, 0.2, 0.3], "stddev": [0.4, 0.5, 0.6]}, tmp_path / "start.pth")
    argv = ("--data_dir", tiny_mpii, "--workers", 0, "--epochs", 1, "--load", tmp_path / "start.pth")
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / ".cache"))
    loaded = load_hourglass(train(tmp_path, *argv).checkpoints)
    assert loaded.architecture == Architecture(stacks=2, features=8, num_classes=10)
    assert loaded.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert not (tmp_path / ".cache").exists()  # no statistics were computed


@pytest.mark.shows("load")
def test_load_takes_the_hourglass_of_a_stitched_checkpoint(tiny_mpii, tmp_path):
    source = hourglass_file(tmp_path / "hourglass.pth.tar")
    whole = stitched_file(tmp_path / "whole.pth.tar", source, lifter_file(tmp_path / "lifter.pth.tar"))
    small = "--workers", 0, "--epochs", 1, "--train_batch_size", 4, "--device", "cpu"
    loaded = train(tmp_path / "fine", "--data_dir", tiny_mpii, "--load", whole, "--lr", 1e-20, *small)
    model = load_hourglass(source)
    assert load_hourglass(loaded.checkpoints).architecture == model.architecture
    assert torch.equal(loaded.state()["conv1.weight"], model.conv1.weight)


def test_load_of_another_network_is_refused(run, fails, tmp_path):
    source = run().checkpoints
    error = fails("--load", source, "--features", 12)
    assert "--features 12" in error
    assert "trained with 8" in error
    assert "no such checkpoint" in fails("--load", source / "nothing.pth")
    torch.save({"w1.weight": torch.zeros(1024, 32)}, tmp_path / "lifter.pth")
    assert "not an hourglass network" in fails("--load", tmp_path / "lifter.pth")


def test_options_of_a_loaded_network_need_not_be_repeated(run, tmp_path, parse_options):
    source = run(*VISIBILITY).checkpoints
    settle_options(parse_options("--load", source, "--joint_visibility_loss_coeff", 2))
    normed = run("--use_layer_norm").checkpoints
    with pytest.raises(UserError, match="--use_train_mode_to_eval"):
        settle_options(parse_options("--load", normed, "--use_train_mode_to_eval"))


@pytest.mark.shows("resume")
def test_resume_takes_over_the_options(run, tiny_mpii, tmp_path):
    train_small(tmp_path, tiny_mpii, "--sigma", 2)
    resumed = train(tmp_path, "--resume", "--epochs", 2)
    assert weights(resumed) == weights(run("--epochs", 2, "--sigma", 2))
    stored = json.loads((resumed.checkpoints / "options.json").read_text())
    assert (stored["sigma"], stored["features"], stored["epochs"]) == (2, 8, 2)


@pytest.mark.shows("data_dir")
def test_several_folders_train_and_the_first_validates(tiny_mpii, tmp_path):
    """An MPII folder and a COCO folder; a resumed run has both."""
    more = tmp_path / "coco"
    (more / "annotations").mkdir(parents=True)
    (more / "train2017").symlink_to(tiny_mpii / "images")
    photo = sorted((tiny_mpii / "images").iterdir())[0].name
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 5000.0, "bbox": [9.0, 9.0, 90.0, 90.0],
        "keypoints": [50.0, 50.0, 2] * 17,
    }  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": photo}], "annotations": [person] * 4,
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
    }  # fmt: skip
    (more / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content))
    both = train(tmp_path, "--data_dir", tiny_mpii, more, *SMALL)
    assert "12 training and 4 validation people" in both.out
    assert both.options()["data_dir"] == [str(tiny_mpii), str(more)]
    assert np.array(predictions(both)).shape == (4, 16, 2)
    assert "12 training and 4 validation people" in train(tmp_path, "--resume", "--epochs", 2).out


def test_a_missing_folder_is_refused(launch, tiny_mpii, tmp_path):
    error = launch(tmp_path / "x", "--data_dir", tiny_mpii, tmp_path / "nowhere").refusal()
    assert "nowhere: no such folder; give folders in the MPII, LSP or COCO format" in error


def test_without_resume_an_earlier_run_is_put_aside(tiny_mpii, tmp_path):
    first = weights(train_small(tmp_path, tiny_mpii))
    again = train_small(tmp_path, tiny_mpii, "--seed", 1)
    assert weights(again) != first
    old = torch.load(again.checkpoints.with_name(NAME + ".old") / "checkpoint.pth.tar", weights_only=True)
    assert old["state_dict"]["conv1.weight"].tolist() == dict(first)["conv1.weight"]
    assert "held an earlier run" in again.err

"""Every option of `train.py hourglass_mpii` changes what happens, and what contradicts itself is refused.

Runs go through the real entry point, in this process, on a dozen rendered people.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from option_effects import (
    OF_ALL_TRAININGS,
    Effect,
    Run,
    assert_effect,
    assert_ended_by_bad_losses,
    assert_tested,
    columns,
    epochs,
    run_once,
    running_statistics,
    shapes,
    weights,
    with_bad_losses,
)
from scipy.io import loadmat
from tensorboardX.proto.event_pb2 import Event
from tiny_checkpoints import hourglass_file, lifter_file, stitched_file
from torch import nn

import stacked_hourglass.datasets
import stacked_hourglass.trainer
from options import GROUPS, SCRIPTS
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.train import check_options, new_network, settle_options
from stacked_hourglass.trainer import HourglassTrainer
from utils.command_line.cli import main
from utils.osutils import UserError
from utils.transform import COCO, MPII

pytestmark = pytest.mark.usefixtures("one_picture")

# Two steps of four people each, one epoch.
SMALL = ("--stacks", 1, "--features", 8, "--workers", 0, "--epochs", 1, "--train_batch_size", 4, "--device", "cpu")
NAME = "hourglass_mpii_default"


def train(folder: Path, *argv: object) -> Run:
    """`train.py hourglass_mpii` with `folder` as working directory; SystemExit where it ends in an error."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        main("train", SCRIPTS["train"], GROUPS, ["hourglass_mpii", *map(str, argv)])
    return Run(folder, NAME)


def train_small(folder: Path, data_dir: Path, *argv: object) -> Run:
    return train(folder, "--data_dir", data_dir, *SMALL, *argv)


@pytest.fixture
def one_picture(monkeypatch):
    """TensorBoard's PNG of several people would take a third of the time."""
    monkeypatch.setattr(stacked_hourglass.trainer, "PICTURES", 1)


@pytest.fixture(scope="module")
def run(tiny_mpii, tiny_clips, tmp_path_factory) -> Callable[..., Run]:
    def train_on_what_fits(*argv: object) -> Run:
        data_dir = tiny_clips if "--add_attention" in argv else tiny_mpii
        return train_small(tmp_path_factory.mktemp("run"), data_dir, *argv)

    return run_once(train_on_what_fits)


@pytest.fixture
def fails(tiny_mpii, tmp_path, capsys) -> Callable[..., str]:
    """`fails("--lr", 0)`: the one line of a run that ends with status 2 and writes nothing."""

    def failing(*argv: object, data_dir: Path = tiny_mpii) -> str:
        with pytest.raises(SystemExit) as exit_:
            train_small(tmp_path / "failing", data_dir, *argv)
        error = capsys.readouterr().err
        assert exit_.value.code == 2
        assert len(error.splitlines()) == 1, error
        assert not list((tmp_path / "failing").glob("model_checkpoints/**/*"))
        return error

    return failing


# ------------------------------------------------------------------------------------------ what is compared


def predictions(run: Run) -> list:
    return loadmat(run.checkpoints / "preds_valid.mat")["preds"].tolist()


def validation(run: Run) -> dict:
    return {name: value for name, value in run.log()[-1].items() if name.startswith("val/")}


def files(run: Run) -> set:
    return {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if "events" not in path.name}


def step_entries(run: Run) -> list[int]:
    """The steps at which the gradient's magnitude was entered in TensorBoard."""
    steps = []
    for path in (run.folder / "tb_logs" / NAME).iterdir():
        data, place = path.read_bytes(), 0
        while place < len(data):  # records: length, its checksum, the event, its checksum
            length = int.from_bytes(data[place : place + 8], "little")
            event = Event.FromString(data[place + 12 : place + 12 + length])
            steps += [event.step for value in event.summary.value if value.tag == "magnitude/gradients"]
            place += length + 16
    return steps


MASKS = ("--add_random_masking", "--mask_prob", 1)
NOISE = (*MASKS, "--mean_valued_prob", 0)
VISIBILITY = ("--predict_joint_visibility",)
BATCHWISE = ("--use_train_mode_to_eval",)
OVER_TIME = ("--add_attention", "--attention_history_length", 2)
LARGE = ("--scale_weight_factor", 20)  # gradients whose norm is above the 10 at which they are clipped

EFFECTS = OF_ALL_TRAININGS | {
    # optimisation
    "train_batch_size": Effect(("--train_batch_size", 8), weights),
    "lr": Effect(("--lr", 1e-3), weights),
    "schedule_type": Effect(("--schedule_type", "cosine"), weights),
    "warmup": Effect(("--warmup", 1), weights),
    "ema": Effect(("--ema", 0.9), weights),
    "use_amsprop": Effect(("--use_amsprop",), weights),
    "momentum": Effect(("--momentum", 0.5), weights),
    "no_grad_clipping": Effect(("--no_grad_clipping",), weights, base=LARGE),
    "tb_log_freq": Effect(("--tb_log_freq", 1), step_entries, keeps=weights),
    # evaluation
    "test_batch_size": Effect(("--test_batch_size", 2), predictions, base=BATCHWISE, keeps=weights),
    "flip": Effect(("--flip",), predictions, keeps=weights),
    "use_train_mode_to_eval": Effect(BATCHWISE, validation, keeps=weights),
    "debug": Effect(("--debug",), files, keeps=weights),
    # network
    "stacks": Effect(("--stacks", 2), shapes),
    "features": Effect(("--features", 12), shapes),
    "blocks": Effect(("--blocks", 2), shapes),
    "num_classes": Effect(("--num_classes", 10), shapes),
    "use_layer_norm": Effect(("--use_layer_norm",), shapes),
    "no_batch_norm_affine": Effect(("--no_batch_norm_affine",), shapes),
    "batch_norm_momentum": Effect(("--batch_norm_momentum", 0.5), running_statistics, keeps=weights),
    "predict_joint_visibility": Effect(VISIBILITY, columns),
    "add_attention": Effect(OVER_TIME, shapes),
    "attention_history_length": Effect(("--attention_history_length", 1), shapes, base=OVER_TIME),
    "attention_heads": Effect(("--attention_heads", 2), shapes, base=OVER_TIME),
    # losses
    "scale_weight_factor": Effect(("--scale_weight_factor", 0.5), weights),
    "remove_intermediate_supervision": Effect(("--remove_intermediate_supervision",), weights, base=("--stacks", 2)),
    "location_loss_coeff": Effect(("--location_loss_coeff", 1), weights),
    "location_loss_saturation": Effect(("--location_loss_saturation", 0.5), weights, base=("--location_loss_coeff", 1)),
    "joint_visibility_loss_coeff": Effect(("--joint_visibility_loss_coeff", 50), weights, base=VISIBILITY),
    "sigma": Effect(("--sigma", 2), weights),
    "sigma_decay": Effect(("--sigma_decay", 0.5), weights, base=("--schedule", 0)),
    "label_type": Effect(("--label_type", "Cauchy"), weights),
    # augmentation
    "augment_training_data": Effect(("--augment_training_data", False), weights),
    "add_random_masking": Effect(MASKS, weights, base=("--no_augment_training_data",)),
    "mask_prob": Effect(("--mask_prob", 0), weights, base=("--add_random_masking",)),
    "orientation_prob": Effect(("--orientation_prob", 1), weights, base=(*MASKS, "--no_augment_training_data")),
    "mean_valued_prob": Effect(("--mean_valued_prob", 0), weights, base=MASKS),
    "max_cover_ratio": Effect(("--max_cover_ratio", 0.9), weights, base=MASKS),
    "noise_std": Effect(("--noise_std", 0.4), weights, base=NOISE),
    "half_body_prob": Effect(("--half_body_prob", 1), weights),
    "cut_off_prob": Effect(("--cut_off_prob", 1), weights),
    "box_jitter": Effect(("--box_jitter", 0.1), weights),
    "erase_prob": Effect(("--erase_prob", 1), weights),
    "max_erased_area": Effect(("--max_erased_area", 0.5), weights, base=("--erase_prob", 1)),
    "blur_prob": Effect(("--blur_prob", 1), weights),
    "max_blur": Effect(("--max_blur", 4), weights, base=("--blur_prob", 1)),
    "downscale_prob": Effect(("--downscale_prob", 1), weights),
    "max_downscale": Effect(("--max_downscale", 8), weights, base=("--downscale_prob", 1)),
    "jpeg_prob": Effect(("--jpeg_prob", 1), weights),
    "min_jpeg_quality": Effect(("--min_jpeg_quality", 5), weights, base=("--jpeg_prob", 1)),
}


def test_every_option_has_a_test():
    options = {option.name for _, option in SCRIPTS["train"]["hourglass_mpii"].options(GROUPS)}
    assert_tested(options, EFFECTS, globals())


def test_the_same_options_do_the_same(run, tiny_mpii, tmp_path):
    """Else a difference would mean nothing. The second run finds the statistics of the training set cached."""
    first = run()
    train_small(tmp_path, tiny_mpii, "--exp", "before")
    again = train_small(tmp_path, tiny_mpii)
    assert weights(again) == weights(first)
    assert running_statistics(again) == running_statistics(first)
    assert predictions(again) == predictions(first)


@pytest.mark.usefixtures("bf16_cpu")
@pytest.mark.parametrize("option", EFFECTS)
def test_an_option_changes_what_happens(run, option):
    assert_effect(run, option, EFFECTS[option])


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files(run):
    assert {path.name for path in run().checkpoints.iterdir()} >= {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json", "preds_valid.mat",
    }  # fmt: skip
    assert len(list((run().folder / "tb_logs" / NAME).iterdir())) == 1
    assert np.array(predictions(run())).shape == (4, 16, 2)
    assert {"epoch", "lr", "train/loss", "val/loss", "val/PCKh@0.5", "val/PCK@0.2"} <= columns(run())


def test_steps_are_entered_in_tensorboard_as_often_as_asked(run):
    assert step_entries(run()) == []  # fewer than the 50 steps between two entries
    assert step_entries(run("--tb_log_freq", 1)) == [1, 2]
    assert step_entries(run("--tb_log_freq", 2)) == [2]


def test_the_schedule_lowers_the_rate(run):
    assert [row["lr"] for row in run("--epochs", 2, "--schedule", 1, "--gamma", 0.5).log()] == [2.5e-4, 1.25e-4]


def test_a_tiny_clip_makes_tiny_steps(run):
    """Gradients far below RMSprop's epsilon of 1e-8 barely move anything."""
    torch.manual_seed(0)
    start = new_network(Architecture(stacks=1, features=8)).state_dict()

    def moved(run: Run) -> float:
        state = run.state()
        return max(
            (state[name] - start[name]).abs().max() for name in start if name.endswith(("weight", "bias"))
        ).item()

    assert moved(run("--grad_clip", 1e-9, "--lr", 1e-3)) < 0.1 * moved(run("--lr", 1e-3))


def test_a_loss_that_is_nan_ends_the_training(tiny_mpii, tmp_path, monkeypatch, capsys):
    def train_with(*argv) -> Run:
        return train_small(tmp_path, tiny_mpii, *argv)

    monkeypatch.setattr(HourglassTrainer, "update", with_bad_losses(HourglassTrainer.update))
    with pytest.raises(SystemExit) as ended:
        train_with("--max_bad_steps", 1)
    assert ended.value.code == 1
    assert_ended_by_bad_losses(tmp_path / "model_checkpoints" / NAME, capsys.readouterr().err)


def test_debug_writes_a_picture_an_epoch(run):
    assert {path.name for path in (run("--debug").checkpoints / "debug").iterdir()} == {"epoch_001.png"}


def test_fewer_joints_all_the_way(run):
    checkpoints = run("--num_classes", 10).checkpoints
    assert loadmat(checkpoints / "preds_valid.mat")["preds"].shape == (4, 10, 2)
    predictor = Predictor(load_hourglass(checkpoints), flip=True)
    assert predictor.skeleton.joints == MPII.joints[:10]


def test_layer_norm_keeps_no_statistics(run):
    assert running_statistics(run("--use_layer_norm")) == []
    assert load_hourglass(run("--use_layer_norm").checkpoints).architecture.use_layer_norm


def test_momentum_is_read_back_from_the_checkpoint(run):
    loaded = load_hourglass(run("--batch_norm_momentum", 0.5).checkpoints)
    assert loaded.architecture == Architecture(stacks=1, features=8, batch_norm_momentum=0.5)


# ------------------------------------------------------------------------------------------ options with paths


def test_exp_and_directories_name_where_things_go(tiny_mpii, tmp_path):
    train_small(tmp_path, tiny_mpii, "--exp", "second", "--checkpoint_dir", "a/b", "--tb_dir", tmp_path / "events")
    assert (tmp_path / "a/b/hourglass_mpii_second/checkpoint.pth.tar").is_file()
    assert len(list((tmp_path / "events/hourglass_mpii_second").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a", "events"}


def test_data_dir_is_what_is_read(fails, tmp_path):
    assert "no such folder" in fails("--epochs", 1, data_dir=tmp_path / "nowhere")


def test_load_starts_from_weights_alone(run, tiny_mpii, tmp_path):
    source = run("--seed", 1)
    loaded = train_small(tmp_path, tiny_mpii, "--load", source.checkpoints, "--lr", 1e-20)
    assert weights(loaded)[0] == weights(source)[0]
    assert weights(loaded)[0] != weights(run())[0]
    assert epochs(loaded) == 1  # from epoch 0
    started = torch.load(loaded.checkpoints / "checkpoint.pth.tar", weights_only=True)["optimizer"][0]["state"][0]
    assert started["step"] == 2


def test_load_takes_a_published_checkpoint(tiny_mpii, tmp_path):
    torch.manual_seed(3)
    model = HourglassNet(Architecture(stacks=1, features=8))
    published = {"epoch": 30, "arch": "hg", "best_acc": 0.5, "optimizer": {"state": {}, "param_groups": []}}
    published["state_dict"] = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save(published, tmp_path / "published.pth.tar")
    loaded = train_small(tmp_path / "run", tiny_mpii, "--load", tmp_path / "published.pth.tar", "--lr", 1e-20)
    assert torch.equal(loaded.state()["conv1.weight"], model.conv1.weight)
    assert epochs(loaded) == 1


def test_load_brings_the_networks_shape_and_mean(run, tiny_mpii, tmp_path, monkeypatch):
    source = run("--stacks", 2, "--num_classes", 10).checkpoints / "checkpoint.pth.tar"
    content = torch.load(source, weights_only=True)
    torch.save(content | {"mean": [0.1, 0.2, 0.3], "stddev": [0.4, 0.5, 0.6]}, tmp_path / "start.pth")
    argv = ("--data_dir", tiny_mpii, "--workers", 0, "--epochs", 1, "--load", tmp_path / "start.pth")
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / ".cache"))
    loaded = load_hourglass(train(tmp_path, *argv).checkpoints)
    assert loaded.architecture == Architecture(stacks=2, features=8, num_classes=10)
    assert loaded.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert not (tmp_path / ".cache").exists()  # nobody asked for statistics


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


def test_what_a_loaded_network_has_need_not_be_said_again(run, tmp_path, parse_options):
    source = run(*VISIBILITY).checkpoints
    settle_options(parse_options("--load", source, "--joint_visibility_loss_coeff", 2))
    normed = run("--use_layer_norm").checkpoints
    with pytest.raises(UserError, match="--use_train_mode_to_eval"):
        settle_options(parse_options("--load", normed, "--use_train_mode_to_eval"))


def test_old_pickles_load_only_where_allowed(run, fails, tiny_mpii, tmp_path):
    old = {"state_dict": run().state(), "made": Path("here")}  # an object, not a plain type
    torch.save(old, tmp_path / "old.pth")
    assert "--allow_unsafe_load" in fails("--load", tmp_path / "old.pth")
    loaded = train_small(
        tmp_path / "run", tiny_mpii, "--load", tmp_path / "old.pth", "--allow_unsafe_load", "--lr", 1e-20
    )
    assert torch.equal(loaded.state()["conv1.weight"], run().state()["conv1.weight"])


def test_resume_goes_on_as_if_never_stopped(run, tiny_mpii, tmp_path):
    train_small(tmp_path, tiny_mpii)
    resumed = train_small(tmp_path, tiny_mpii, "--resume", "--epochs", 2)
    straight = run("--epochs", 2)
    assert epochs(resumed) == 2
    assert weights(resumed) == weights(straight)
    assert running_statistics(resumed) == running_statistics(straight)
    assert predictions(resumed) == predictions(straight)
    without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.log()]
    assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in straight.log()]


def test_resume_takes_over_the_options(run, tiny_mpii, tmp_path):
    train_small(tmp_path, tiny_mpii, "--sigma", 2)
    resumed = train(tmp_path, "--resume", "--epochs", 2)
    assert weights(resumed) == weights(run("--epochs", 2, "--sigma", 2))
    stored = json.loads((resumed.checkpoints / "options.json").read_text())
    assert (stored["sigma"], stored["features"], stored["epochs"]) == (2, 8, 2)


def test_several_folders_train_and_the_first_validates(tiny_mpii, tmp_path, monkeypatch, capsys):
    """An MPII folder beside a COCO folder, and the run goes on with both."""
    more = tmp_path / "coco"
    (more / "annotations").mkdir(parents=True)
    (more / "train2017").symlink_to(tiny_mpii / "images")
    names = [joint.replace("l_", "left_").replace("r_", "right_") if "_" in joint else joint for joint in COCO.joints]
    photo = sorted((tiny_mpii / "images").iterdir())[0].name
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 5000.0, "bbox": [9.0, 9.0, 90.0, 90.0],
        "keypoints": [50.0, 50.0, 2] * 17,
    }  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": photo}], "annotations": [person] * 4,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }  # fmt: skip
    (more / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content))
    both = train(tmp_path, "--data_dir", tiny_mpii, more, *SMALL)
    assert "12 training and 4 validation people" in capsys.readouterr().out
    assert both.options()["data_dir"] == [str(tiny_mpii), str(more)]
    assert np.array(predictions(both)).shape == (4, 16, 2)
    train(tmp_path, "--resume", "--epochs", 2)
    assert "12 training and 4 validation people" in capsys.readouterr().out


def test_every_folder_must_be_there(fails, tiny_mpii, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(tmp_path / "x", "--data_dir", tiny_mpii, tmp_path / "nowhere", *SMALL)
    assert "nowhere: no such folder; give folders in the MPII, LSP or COCO format" in capsys.readouterr().err


def test_resume_needs_something_to_resume(fails):
    assert "--resume" in fails("--resume")


def test_without_resume_an_earlier_run_is_put_aside(tiny_mpii, tmp_path, capsys):
    first = weights(train_small(tmp_path, tiny_mpii))
    again = train_small(tmp_path, tiny_mpii, "--seed", 1)
    assert weights(again) != first
    old = torch.load(again.checkpoints.with_name(NAME + ".old") / "checkpoint.pth.tar", weights_only=True)
    assert old["state_dict"]["conv1.weight"].tolist() == dict(first)["conv1.weight"]
    assert "held an earlier run" in capsys.readouterr().err


def test_evaluate_validates_and_stops(run, tiny_mpii, tmp_path, capsys):
    source = run("--flip")
    evaluated = train_small(
        tmp_path, tiny_mpii, "--evaluate", "--flip", "--load", source.checkpoints / "checkpoint.pth.tar"
    )
    assert {path.name for path in evaluated.checkpoints.iterdir()} == {"preds_valid.mat"}
    assert predictions(evaluated) == predictions(source)
    printed = dict(line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line)
    assert float(printed["loss"]) == pytest.approx(source.log()[-1]["val/loss"], rel=1e-4)
    assert "PCKh@0.5" in printed


# ------------------------------------------------------------------------------------------ options of the machine


def test_device(fails):
    assert "--device cuda:99" in fails("--device", "cuda:99")
    assert "--device tpu9: unknown" in fails("--device", "tpu9")


def test_half_precision_needs_a_gpu(fails):
    assert "--precision fp16 needs a GPU" in fails("--precision", "fp16")


def test_compile_compiles_the_network(tiny_mpii, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(type(self)))
    train_small(tmp_path, tiny_mpii, "--evaluate")
    assert compiled == []
    train_small(tmp_path, tiny_mpii, "--evaluate", "--compile")
    assert compiled == [HourglassNet]


def test_workers_reach_every_loader(tiny_mpii, tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / "cache"))
    asked = []

    class Loader(stacked_hourglass.datasets.DataLoader):
        def __init__(self, dataset, num_workers, persistent_workers, **options):
            asked.append((num_workers, persistent_workers))
            super().__init__(dataset, **options)

    monkeypatch.setattr(stacked_hourglass.datasets, "DataLoader", Loader)
    train_small(tmp_path, tiny_mpii, "--evaluate", "--workers", 1)
    assert asked == [(1, True)] * 3  # statistics, training, validation


def test_debug_traceback_shows_it(tiny_mpii, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_small(tmp_path, tiny_mpii, "--features", 10, "--debug_traceback")
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_horovod_is_refused_where_it_is_not_installed(fails, monkeypatch):
    """What it does elsewhere, `test_several_processes` shows."""
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    assert "scripts/install_horovod.sh" in fails("--use_horovod")


# ------------------------------------------------------------------------------------------ contradictions


@pytest.mark.parametrize(
    "argv",
    [
        ("--use_layer_norm", "--no_batch_norm_affine"),
        ("--use_layer_norm", "--batch_norm_momentum", 0.2),
        ("--use_layer_norm", "--use_train_mode_to_eval"),
        ("--joint_visibility_loss_coeff", 2),
        ("--mask_prob", 0.3),
        ("--orientation_prob", 0.3),
        ("--mean_valued_prob", 0.3),
        ("--max_cover_ratio", 0.3),
        ("--noise_std", 0.3),
        ("--max_blur", 3),
        ("--max_downscale", 3),
        ("--min_jpeg_quality", 30),
        ("--max_erased_area", 0.1),
        ("--location_loss_saturation", 0.1),
        ("--schedule_type", "cosine", "--gamma", 0.5),
        ("--schedule_type", "cosine", "--schedule", 5),
        ("--no_grad_clipping", "--grad_clip", 3),
        ("--use_amsprop", "--momentum", 0.5),
        ("--resume", "--load", "there"),
        ("--features", 10),
        ("--scale_lr",),
        ("--compression", "fp16"),
        ("--sync_batch_norm",),
        ("--use_layer_norm", "--sync_batch_norm"),
    ],
    ids=lambda argv: " ".join(map(str, argv)),
)
def test_what_contradicts_itself_or_has_no_effect_is_refused(parse_options, argv):
    with pytest.raises(UserError) as error:
        settle_options(parse_options(*argv))
    message = str(error.value)
    assert "\n" not in message
    assert any(str(word) in message for word in argv if str(word).startswith("--"))


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--use_layer_norm",),
        ("--no_batch_norm_affine", "--batch_norm_momentum", 0.2, "--use_train_mode_to_eval"),
        ("--predict_joint_visibility", "--joint_visibility_loss_coeff", 2),
        ("--add_random_masking", "--mask_prob", 0.3, "--noise_std", 0),
        ("--no_grad_clipping",),
        ("--no_grad_clipping", False, "--grad_clip", 3),
        ("--schedule_type", "cosine", "--schedule", 5, "--sigma_decay", 0.5),
        ("--blur_prob", 0.5, "--max_blur", 3),
        ("--use_amsprop",),
        ("--resume",),
        ("--load", "there", "--evaluate"),
    ],
    ids=lambda argv: " ".join(map(str, argv)) or "defaults",
)
def test_what_belongs_together_passes(parse_options, argv):
    check_options(parse_options(*argv))


def test_a_part_of_a_left_right_pair_is_refused(fails):
    error = fails("--num_classes", 12)
    assert "--num_classes 12" in error
    assert "choose one of" in error

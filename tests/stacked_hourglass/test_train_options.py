"""Every option of `train.py hourglass_mpii` changes what happens, and what contradicts itself is refused.

Runs go through the real entry point, in this process, on a dozen rendered people.
"""

import numpy as np
import pytest
import test_train_refusals
import test_train_starts
import torch
from event_files import events
from hourglass_training import NAME, VISIBILITY, predictions
from option_effects import (
    OF_ALL_TRAININGS,
    Effect,
    Run,
    columns,
    epochs,
    printed_averages,
    running_statistics,
    shapes,
    validation,
    weights,
)
from scipy.io import loadmat
from training_option_tests import TrainingOptionTests

from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.train import new_network
from stacked_hourglass.trainer import HourglassTrainer
from utils.transform import MPII

SHOWN_SCRIPTS = [("train", "hourglass_mpii")]
pytestmark = pytest.mark.usefixtures("one_picture", "two_levels")


def files(run: Run) -> set:
    return {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if "events" not in path.name}


def step_entries(run: Run) -> list[int]:
    """The steps at which the gradient's magnitude was logged to TensorBoard."""
    return [step for tag, step, _ in events(run.folder / "tb_logs" / NAME) if tag == "magnitude/gradients"]


MASKS = ("--add_random_masking", "--mask_prob", 1)
NOISE = (*MASKS, "--mean_valued_prob", 0)
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
    "decoding": Effect(("--decoding", "dark"), predictions, keeps=weights),
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
    "attention_levels": Effect(("--attention_levels", 2), shapes, base=OVER_TIME),
    # training
    "pack_data": Effect(("--pack_data",), weights),
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


class TestOptions(TrainingOptionTests):
    script, trainer, compiled, effects, metric = "hourglass_mpii", HourglassTrainer, HourglassNet, EFFECTS, "loss"
    left_by_evaluation = frozenset({"preds_valid.mat"})
    modules = (test_train_starts, test_train_refusals)
    effects_take_long = True

    def test_the_same_options_do_the_same(self, run, launch, tmp_path):
        """Otherwise a difference would mean nothing. The second run finds the statistics cached."""
        first = run()
        launch(tmp_path, "--exp", "before").succeeded()
        again = self.trained(launch, tmp_path)
        assert weights(again) == weights(first)
        assert running_statistics(again) == running_statistics(first)
        assert predictions(again) == predictions(first)

    @pytest.mark.shows("evaluate", "load", "flip")
    def test_evaluate_validates_and_stops(self, run, launch, tmp_path):
        source = run("--flip")
        path = source.checkpoints / "checkpoint.pth.tar"
        evaluated = self.trained(launch, tmp_path, "--evaluate", "--flip", "--load", path)
        assert {path.name for path in evaluated.checkpoints.iterdir()} == {"preds_valid.mat"}
        assert predictions(evaluated) == predictions(source)
        averages = printed_averages(evaluated)
        assert averages["loss"] == pytest.approx(source.log()[-1]["val/loss"], rel=1e-4)
        assert "PCKh@0.5" in averages

    @pytest.mark.shows("resume")
    def test_resume_continues_as_if_never_stopped(self, run, launch, tmp_path):
        self.trained(launch, tmp_path)
        resumed = self.trained(launch, tmp_path, "--resume", "--epochs", 2)
        straight = run("--epochs", 2)
        assert epochs(resumed) == 2
        assert weights(resumed) == weights(straight)
        assert running_statistics(resumed) == running_statistics(straight)
        assert predictions(resumed) == predictions(straight)
        without_time = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.log()]
        assert without_time == [{k: v for k, v in row.items() if k != "seconds"} for row in straight.log()]


# ------------------------------------------------------------------------------------------ closer looks


def test_a_run_leaves_the_stated_files(run):
    assert {path.name for path in run().checkpoints.iterdir()} >= {
        "checkpoint.pth.tar", "model_best.pth.tar", "log.txt", "options.json", "preds_valid.mat",
    }  # fmt: skip
    assert len(list((run().folder / "tb_logs" / NAME).iterdir())) == 1
    assert np.array(predictions(run())).shape == (4, 16, 2)
    assert {"epoch", "lr", "train/loss", "val/loss", "val/PCKh@0.5", "val/PCK@0.2"} <= columns(run())


def test_tb_log_freq_sets_the_steps_logged_to_tensorboard(run):
    assert step_entries(run()) == []  # fewer steps than the default of 50
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


def test_debug_writes_one_picture_per_epoch(run):
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

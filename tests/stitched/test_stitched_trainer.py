"""Fine-tuning: losses and gradients of a step, validation, and exact continuation of an interrupted training."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import call
from settings_by_name import settings_of
from tiny_fine_tuning import NAME, SMALL, VALIDATION, fine_tune, make_networks
from torch import nn
from training_results import content_of, log_of, same

from stacked_hourglass.samples.datasets import make_loader
from stitched.loading import load_network
from stitched.stitched_network import StitchedOutput
from stitched.train import images_of
from stitched.trainer import StitchedTrainer, StitchedTraining
from twod_threed.mpjpe import mpjpe, p_mpjpe
from utils.human36m.actions import ACTIONS, TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_frames import FrameCrops, target_heatmaps
from utils.plotting_utils import Averages
from utils.training.freezing import training_mode
from utils.training.settings import Experiment, Optimisation
from utils.transform import H36M, H36M_2D, MPII, joint_map

CPU = torch.device("cpu")
PARTS = ("hourglass", "lifter")


@pytest.fixture
def setting(h36m, networks):
    """`setting(lr=1)`: trainer, network and training batch with these settings."""

    def with_settings(starts=networks, dropout=0.5, **values):
        optimisation, settings = settings_of({"lr": 1e-4, "schedule": ()} | values, Optimisation, StitchedTraining)
        torch.manual_seed(0)
        model = load_network(load_hourglass=starts[1], load_2d3d=starts[3], image_scale="human36m")
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout
        trainer = StitchedTrainer(model, CPU, optimisation, Experiment("stitched_fine_tune"), settings)
        frames = images_of(find_sequences(h36m), TRAIN_SUBJECTS, ACTIONS)
        [batch] = make_loader(FrameCrops(frames), len(frames))
        return trainer, model, batch

    return with_settings


def validation_loader(h36m, batch_size):
    frames = images_of(find_sequences(h36m), TEST_SUBJECTS, ACTIONS)
    return make_loader(FrameCrops(frames), batch_size)


def perfect_output(batch):
    """The output of a network without errors; its maps and 2D poses are in MPII's order."""
    joints = [H36M_2D.index({"thorax": "spine", "upper_neck": "thorax"}.get(name, name)) for name in MPII.joints]
    return StitchedOutput([target_heatmaps(batch)[:, joints]], batch["pose_2d"][:, joints], batch["pose_3d"])


def step(trainer, model, batch, iteration=0):
    """One training step as the loop does it: the losses."""
    optimizer = trainer.make_optimizer(model, trainer.optimisation.lr, 0)
    training_mode(model, trainer.hooks().frozen)
    return trainer.update(model, optimizer, batch, iteration, trainer.optimisation)


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model, before, part):
    return [k for k, v in model.state_dict().items() if k.startswith(part) and not torch.equal(v, before[k])]


# ------------------------------------------------------------------------------------------ losses
class TestLosses:
    def test_a_perfect_network_has_none(self, setting):
        trainer, _, batch = setting()
        assert all(value == 0 for value in trainer.losses(perfect_output(batch), batch).values())

    def test_by_hand(self, setting):
        trainer, _, batch = setting(heatmap_loss_coeff=3, pose_3d_loss_coeff=0.5)
        perfect = perfect_output(batch)
        maps = perfect.heatmaps[0].clone()
        maps[:, MPII.index("l_wrist")] += 2  # one of 16 joints, in two stacks
        scale = trainer.normalisation.stddev_3d[0, 0]
        pose = perfect.pose_3d.clone()
        pose[:, H36M.index("l_wrist"), 2] += 4 * scale  # one of 51 numbers
        losses = trainer.losses(StitchedOutput([maps, maps], perfect.pose_2d, pose), batch)
        assert losses["heatmap_loss"] == pytest.approx(2 * 4 / 16)
        assert losses["pose_3d_loss"] == pytest.approx(16 / 51, rel=1e-5)
        assert losses["loss"] == pytest.approx(3 * 0.5 + 0.5 * 16 / 51, rel=1e-5)

    def test_the_gradient_of_a_joints_maps_is_at_its_name(self, setting):
        trainer, _, batch = setting(pose_3d_loss_coeff=0)
        perfect = perfect_output(batch)
        maps = perfect.heatmaps[0].clone().requires_grad_()
        moved = dict(batch)
        moved["joints"] = batch["joints"].clone()
        moved["joints"][:, H36M_2D.index("spine")] += 8
        trainer.losses(StitchedOutput([maps], perfect.pose_2d, perfect.pose_3d), moved)["loss"].backward()
        touched = maps.grad.abs().sum((0, 2, 3)).nonzero()[:, 0].tolist()
        assert touched == [MPII.index("thorax")]

    def test_an_unreadable_image_adds_no_loss(self, setting):
        trainer, _, batch = setting()
        perfect = perfect_output(batch)
        output = perfect._replace(heatmaps=[perfect.heatmaps[0] + 1], pose_3d=perfect.pose_3d + 100)
        half = torch.arange(len(batch["readable"])) % 2 == 0
        partly = batch | {"readable": half, "annotated": batch["annotated"] & half[:, None]}
        partly["pose_3d"] = torch.where(half[:, None, None], batch["pose_3d"], 1e9)
        whole, of_half = trainer.losses(output, batch), trainer.losses(output, partly)
        for name in ("heatmap_loss", "pose_3d_loss"):
            assert of_half[name] == pytest.approx(whole[name].item() / 2)
        empty = batch | {"readable": half & False, "annotated": batch["annotated"] & False}
        assert trainer.losses(output, empty)["pose_3d_loss"] == 0

    def test_3d_errors_are_measured_in_the_lifters_normalisation(self, setting, h36m, tmp_path):
        trainer, model, batch = setting(starts=make_networks(tmp_path, h36m, "dataset"))
        stddev = model.normalisation.stddev_3d
        assert len(stddev.unique()) > 10, "each coordinate has its own"
        perfect = perfect_output(batch)
        losses = trainer.losses(perfect._replace(pose_3d=perfect.pose_3d + 2 * stddev), batch)
        assert losses["pose_3d_loss"] == pytest.approx(4, rel=1e-4)
        assert all(torch.isfinite(value) for value in step(trainer, model, batch).values())


# ------------------------------------------------------------------------------------------ one step
class TestStep:
    def test_the_3d_loss_alone_reaches_the_first_convolution(self, setting):
        trainer, model, batch = setting(heatmap_loss_coeff=0, no_grad_clipping=True)
        step(trainer, model, batch)
        assert model.hourglass.conv1.weight.grad.abs().max() > 0

    def test_every_parameter_gets_a_gradient(self, setting):
        trainer, model, batch = setting(dropout=0)
        step(trainer, model, batch)
        without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # Batch norm cancels the bias before it.
        assert [name for name in without if not name.endswith("bias")] == []

    def test_each_network_has_its_rate(self, setting):
        trainer, model, _ = setting(lr=1e-3, hourglass_lr=1e-5)
        groups = trainer.make_optimizer(model, 1e-3, 0.25).param_groups
        assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
            ("hourglass", 1e-5, 0.25),
            ("lifter", 1e-3, 0.25),
        ]
        assert [len(g["params"]) for g in groups] == [len(list(getattr(model, p).parameters())) for p in PARTS]

    @pytest.mark.parametrize("frozen", PARTS)
    def test_a_frozen_part_stays_without_dropout(self, setting, frozen):
        trainer, model, batch = setting(freeze=frozen)
        before = copy_of(model)
        step(trainer, model, batch)
        assert changed(model, before, frozen) == []
        assert changed(model, before, next(part for part in PARTS if part != frozen))
        dropouts = [module.training for module in model.lifter.modules() if isinstance(module, nn.Dropout)]
        assert set(dropouts) == {frozen != "lifter"}

    def test_random_colours_depend_only_on_seed_and_iteration(self, setting):
        def first(iteration, **values):
            trainer, model, batch = setting(**values)
            return trainer.prepare(model, batch, iteration)

        assert torch.equal(first(3), first(3))
        assert not torch.equal(first(3), first(4))
        assert not torch.equal(first(3), first(3, seed=1))
        assert torch.equal(first(3, augment_training_data=False), first(None))


# ------------------------------------------------------------------------------------------ validation
class TestValidation:
    def averages(self, trainer, model, loader):
        averages = Averages()
        with torch.no_grad():
            for batch in loader:
                averages.update(trainer.validate(model, batch), len(batch["index"]))
        return averages.result()

    def test_the_averages_are_the_metrics(self, setting, h36m):
        trainer, model, _ = setting()
        [batch] = validation_loader(h36m, VALIDATION)
        with torch.no_grad():
            output = model(trainer.prepare(model, batch), batch["to_photo"])
        pose_2d = output.pose_2d[:, joint_map(MPII, H36M_2D)]
        result = self.averages(trainer, model, [batch])
        assert trainer.hooks().units == {"MPJPE": "mm", "P-MPJPE": "mm", "2D_error": "px"}
        assert result["MPJPE"] == pytest.approx(mpjpe(output.pose_3d, batch["pose_3d"]).item(), rel=1e-5)
        assert result["P-MPJPE"] == pytest.approx(p_mpjpe(output.pose_3d, batch["pose_3d"]).item(), rel=1e-4)
        assert result["2D_error"] == pytest.approx(float((pose_2d - batch["pose_2d"]).norm(dim=-1).mean()), rel=1e-5)

    def test_averages_do_not_depend_on_the_batch_size(self, setting, h36m):
        trainer, model, _ = setting()
        small, large = (self.averages(trainer, model, validation_loader(h36m, size)) for size in (3, 10))
        assert small == pytest.approx(large, rel=1e-4)

    def test_an_unreadable_image_does_not_count(self, setting, h36m, capsys):
        trainer, model, _ = setting()
        frames = images_of(find_sequences(h36m), TEST_SUBJECTS, ACTIONS)
        kept = self.averages(trainer, model, make_loader(FrameCrops(frames.select(np.arange(3))), 3))
        dataset = FrameCrops(replace(frames, number=np.where(np.arange(VALIDATION) < 3, frames.number, 999)))
        result = self.averages(trainer, model, make_loader(dataset, 2))
        for name in ("MPJPE", "P-MPJPE", "2D_error"):
            assert result[name] == pytest.approx(kept[name], rel=1e-4)
        trainer.unreadable.warn()
        trainer.unreadable.warn()
        assert (
            capsys.readouterr().err == "warning: 1 validation images are unreadable: excluded from loss and metrics\n"
        )


# ------------------------------------------------------------------------------------------ whole trainings
@pytest.mark.long  # a dozen epochs; losses and steps are tested above
def test_training_lowers_both_losses(h36m, networks, tmp_path):
    argv = ("--epochs", 12, "--lr", 3e-3, "--dropout", 0, "--augment_training_data", False, "--heatmap_loss_coeff", 100)
    rows = log_of(fine_tune(tmp_path, h36m, *networks, *argv).checkpoints)
    assert rows[-1]["train/pose_3d_loss"] < 0.6 * rows[0]["train/pose_3d_loss"]
    assert rows[-1]["train/heatmap_loss"] < 0.5 * rows[0]["train/heatmap_loss"]


def test_a_resumed_training_is_the_same_bit_for_bit(h36m, networks, tmp_path):
    setting = ("--hourglass_lr", 1e-3, "--schedule", 1, "--gamma", 0.5)
    straight = fine_tune(tmp_path / "straight", h36m, *networks, *setting, "--epochs", 3)
    first = fine_tune(tmp_path / "resumed", h36m, *networks, *setting)
    assert first.checkpoint()["epoch"] == 1
    resumed = fine_tune(tmp_path / "resumed", h36m, "--resume", "--epochs", 3)
    contents = [run.checkpoint() for run in (straight, resumed)]
    for part in ("state_dict", "normalisation", "epoch", "best", "optimizer", "rng", "soft_argmax", "mean"):
        assert same(*(content[part] for content in contents)), part
    assert log_of(straight.checkpoints) == log_of(resumed.checkpoints)
    assert [row["lr"] for row in log_of(resumed.checkpoints)] == pytest.approx([1e-3, 5e-4, 5e-4])


@pytest.mark.long  # as the test above, which stops between two epochs
def test_an_interrupted_training_continues_as_if_never_stopped(h36m, networks, tmp_path, monkeypatch):
    """After Ctrl-C within the first epoch, dropout and augmentation continue where they stopped."""
    setting = ("--train_batch_size", 2, "--epochs", 2)  # three steps per epoch
    straight = fine_tune(tmp_path / "straight", h36m, *networks, *setting)
    update = StitchedTrainer.update

    def interrupted(self, model, optimizer, minibatch, iteration, optimisation):
        if iteration == 1:
            signal.raise_signal(signal.SIGINT)
        return update(self, model, optimizer, minibatch, iteration, optimisation)

    folder = tmp_path / "interrupted"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(StitchedTrainer, "update", interrupted)
        argv = ("stitched_fine_tune", "--data_dir", h36m, *SMALL, *networks, *setting)
        assert call("train", *argv, cwd=folder).status == 130
    stopped = content_of(folder / "model_checkpoints" / NAME)
    assert stopped["epoch"] == pytest.approx(2 / 3)
    resumed = fine_tune(folder, h36m, "--resume", *setting)
    contents = [run.checkpoint() for run in (straight, resumed)]
    for part in ("state_dict", "epoch", "best", "optimizer", "rng"):
        assert same(*(content[part] for content in contents)), part

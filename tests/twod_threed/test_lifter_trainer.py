"""The 3D baseline's hooks by hand; a whole small training learns, and a resumed one is the same."""

import pytest
import torch
from command_line import call
from pose_sets import all_poses, training_and_test_poses
from settings_by_name import settings_of
from training_results import content_of, log_of, same

from twod_threed.model import LinearModel
from twod_threed.mpjpe import mpjpe, p_mpjpe
from twod_threed.normalisation import fit
from twod_threed.trainer import LifterTrainer, LifterTraining
from utils.data_utils import OrthogonalAugmentation
from utils.plotting_utils import Averages
from utils.training.samplers import IndexLoader
from utils.training.settings import Experiment, Optimisation

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pose_sets(tiny_h36m):
    return training_and_test_poses(tiny_h36m)


@pytest.fixture
def trainer(pose_sets):
    """`trainer(max_norm=0)`: a `LifterTrainer` with ten steps per epoch."""

    def make(augmentation: OrthogonalAugmentation | None = None, **values) -> LifterTrainer:
        defaults = {"schedule": (), "no_grad_clipping": True}
        optimisation, settings = settings_of(defaults | values, Optimisation, LifterTraining)
        parts = *pose_sets, fit(pose_sets[0], "instance"), 10, optimisation, Experiment("2d3d_h36m")
        return LifterTrainer(*parts, settings=settings, augmentation=augmentation)

    return make


def small_model(**options) -> LinearModel:
    torch.manual_seed(0)
    return LinearModel(linear_size=16, num_stage=1, dropout=0, without_hip=True, **options)


def one_step(trainer, index, iteration=0):
    """Loss, and the weights after one step from the same start."""
    model = small_model()
    optimizer = trainer.make_optimizer(model, 1e-3, 0)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    losses = trainer.update(model, optimizer, {"index": index}, iteration, trainer.optimisation)
    return losses["loss"].item(), model


class TestUpdate:
    def test_the_loss_by_hand(self, trainer, pose_sets):
        hooks, index = trainer(), torch.arange(0, 20, 3)
        loss, _ = one_step(hooks, index)
        poses_2d, poses_3d = pose_sets[0].poses(index)
        centred = poses_2d - poses_2d[:, :1]
        inputs = centred / (centred.square().sum((1, 2)) / 15).sqrt()[:, None, None]
        outputs = small_model().train()(inputs)
        targets = poses_3d / hooks.normalisation.stddev_3d
        assert loss == pytest.approx((outputs - targets).square().mean().item(), rel=1e-5)

    def test_one_step_of_adam(self, trainer):
        """Adam's first step moves every weight by the rate, against the sign of its gradient."""
        _, model = one_step(trainer(max_norm=0), torch.arange(20))
        moved = (model.w1.weight - small_model().w1.weight).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 1e-3), rtol=0.01, atol=0)

    def test_max_norm_is_kept(self, trainer):
        _, model = one_step(trainer(max_norm=0.5), torch.arange(20))
        assert model.w1.weight.norm(dim=1).max() <= 0.5 + 1e-6
        _, model = one_step(trainer(max_norm=0), torch.arange(20))
        assert model.w1.weight.norm(dim=1).max() > 0.6

    def test_augmentation_depends_only_on_seed_and_iteration(self, trainer):
        augmented = {"augmentation": OrthogonalAugmentation(), "drop_joint_prob": 0.2}
        index = torch.arange(20)
        first, _ = one_step(trainer(**augmented), index, iteration=3)
        torch.rand(5)
        assert one_step(trainer(**augmented), index, iteration=3)[0] == first
        assert one_step(trainer(**augmented), index, iteration=4)[0] != first
        assert one_step(trainer(**augmented, seed=1), index, iteration=3)[0] != first

    def test_without_augmentation_a_step_does_not_depend_on_the_seed(self, trainer):
        index = torch.arange(20)
        assert one_step(trainer(seed=1), index, iteration=4)[0] == one_step(trainer(), index)[0]


class TestLearningRate:
    def test_it_decays_continuously(self, trainer):
        hooks = trainer(lr_decay=100, lr_gamma=0.5)
        assert hooks.learning_rate(1e-3, 0) == 1e-3
        assert hooks.learning_rate(1e-3, 50) == pytest.approx(1e-3 * 0.5**0.5)
        assert hooks.learning_rate(1e-3, 200) == pytest.approx(0.25e-3)
        assert trainer().learning_rate(1, 100_000) == pytest.approx(0.96)

    def test_the_schedule_multiplies_the_decay(self, trainer):
        hooks = trainer(schedule=(2, 3), gamma=0.1, lr_decay=100, lr_gamma=0.5)
        for iteration, scheduled in ((19, 1), (20, 0.1), (30, 0.01)):  # ten steps per epoch
            assert hooks.learning_rate(1, iteration) == pytest.approx(scheduled * 0.5 ** (iteration / 100))

    def test_it_reaches_the_optimizer(self, trainer):
        hooks, model = trainer(lr_decay=10, lr_gamma=0.5), small_model()
        optimizer = hooks.make_optimizer(model, 1e-3, 0)
        optimizer.param_groups[0]["initial_lr"] = 1e-3
        hooks.update(model, optimizer, {"index": torch.arange(8)}, 10, hooks.optimisation)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3)


class TestValidation:
    def averages(self, hooks, batch_size):
        averages, model = Averages(), small_model().eval()
        with torch.no_grad():
            for minibatch in IndexLoader(len(hooks.validation), batch_size, CPU):
                averages.update(hooks.validate(model, minibatch), len(minibatch["index"]))
        return averages.result()

    def expected(self, hooks):
        """Predictions and truth of the whole validation set, mm, hips at the origin."""
        poses_2d, poses_3d = all_poses(hooks.validation)
        with torch.no_grad():
            outputs = small_model().eval()(hooks.normalisation.input(poses_2d))
        predicted = hooks.normalisation.to_mm(outputs)
        return predicted - predicted[:, :1], poses_3d

    def test_mpjpe_is_the_metric_of_that_name(self, trainer):
        hooks = trainer(procrustes=True)
        predicted, truth = self.expected(hooks)
        result = self.averages(hooks, 1000)
        assert result["MPJPE"] == pytest.approx(mpjpe(predicted, truth).item(), rel=1e-5)
        assert result["P-MPJPE"] == pytest.approx(p_mpjpe(predicted, truth).item(), rel=1e-4)
        assert "P-MPJPE" not in self.averages(trainer(), 1000)
        assert {hooks.hooks().units[name] for name in ("MPJPE", "P-MPJPE")} == {"mm"}

    def test_every_action_has_its_own(self, trainer):
        hooks = trainer()
        predicted, truth = self.expected(hooks)
        result = self.averages(hooks, 1000)
        for action in ("Sitting", "Walking"):
            index = torch.cat([i for name, i in hooks.validation.clips() if name.split("/")[1].startswith(action)])
            wanted = mpjpe(predicted[index], truth[index]).item()
            assert result[f"MPJPE/{action}"] == pytest.approx(wanted, rel=1e-5)

    def test_results_do_not_depend_on_the_batch_size(self, trainer):
        """Even where a batch lacks an action."""
        hooks = trainer(procrustes=True)
        assert self.averages(hooks, 7) == pytest.approx(self.averages(hooks, 1000), rel=1e-4)


# ------------------------------------------------------------------------------------------ whole trainings

SMALL = (
    "--linear_size", 64, "--num_stage", 1, "--dropout", 0.1, "--action", "Walking", "--orthogonal_data_augmentation",
    "--z_rotations_only", "--drop_joint_prob", 0.05,
)  # fmt: skip


def train(folder, data_dir, *argv):
    folder.mkdir(exist_ok=True)
    call("train", "2d3d_h36m", "--data_dir", data_dir, "--device", "cpu", *SMALL, *argv, cwd=folder).succeeded()
    return folder / "model_checkpoints/2d3d_h36m_default"


def test_training_lowers_the_error(tiny_h36m, tmp_path):
    rows = log_of(train(tmp_path, tiny_h36m, "--epochs", 25, "--train_batch_size", 32, "--lr", 3e-3))
    errors = [row["val/MPJPE"] for row in rows]
    assert errors[-1] < 0.5 * errors[0]
    assert rows[-1]["train/loss"] < 0.5 * rows[0]["train/loss"]


def test_a_resumed_training_is_the_same_bit_for_bit(tiny_h36m, tmp_path):
    straight = train(tmp_path / "straight", tiny_h36m, "--epochs", 3)
    train(tmp_path / "resumed", tiny_h36m, "--epochs", 1)
    resumed = tmp_path / "resumed/model_checkpoints/2d3d_h36m_default"
    again = call("train", "2d3d_h36m", "--data_dir", tiny_h36m, "--resume", "--epochs", 3, cwd=tmp_path / "resumed")
    again.succeeded()
    contents = [content_of(folder) for folder in (straight, resumed)]
    for part in ("state_dict", "normalisation", "epoch", "best", "optimizer", "rng"):
        assert same(*(content[part] for content in contents)), part
    assert log_of(straight) == log_of(resumed)

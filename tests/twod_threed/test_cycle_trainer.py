"""The cycle GAN's hooks by hand; small trainings learn, resume bit for bit, and leave an ordinary lifter."""

import json

import pytest
import torch
from command_line import call
from pose_sets import all_poses, training_and_test_poses
from settings_by_name import settings_of
from training_results import content_of, log_of, same

from twod_threed import load_lifter
from twod_threed.cycle_gan import CycleGAN, Poses, place
from twod_threed.cycle_trainer import COMPANIONS, CycleSettings, CycleTrainer, build_cycle_gan
from twod_threed.model import FullyConnectedProjection, LinearModel, ProjectNet
from twod_threed.mpjpe import mpjpe
from twod_threed.normalisation import fit
from twod_threed.trainer import LifterTrainer, LifterTraining
from utils.data_utils import LIFTER_INPUT_JOINTS, OrthogonalAugmentation, normalise_instance
from utils.plotting_utils import Averages
from utils.training.samplers import IndexLoader
from utils.training.settings import Experiment, Optimisation

CPU = torch.device("cpu")
KINDS = pytest.mark.parametrize("kind", ["instance", "dataset"])


@pytest.fixture(scope="module")
def pose_sets(tiny_h36m):
    return training_and_test_poses(tiny_h36m)


@pytest.fixture
def trainer(pose_sets):
    """`trainer(cycle_coeff=0)`: a `CycleTrainer` with ten steps per epoch; with `plain`, a `LifterTrainer`."""

    def make(kind: str = "instance", plain: bool = False, augmentation=None, **values) -> LifterTrainer:
        defaults = {"schedule": (), "no_grad_clipping": True}
        kinds = Optimisation, LifterTraining, CycleSettings
        optimisation, settings, cycle = settings_of(defaults | values, *kinds)
        parts = *pose_sets, fit(pose_sets[0], kind), 10, optimisation, Experiment("2d3d_h36m")
        named = {"settings": settings, "augmentation": augmentation}
        return LifterTrainer(*parts, **named) if plain else CycleTrainer(*parts, **named, cycle=cycle)

    return make


def small_lifter(trainer) -> LinearModel:
    torch.manual_seed(0)
    return LinearModel(16, 1, dropout=0, without_hip=trainer.normalisation.kind == "instance")


def small_gan(trainer) -> CycleGAN:
    lifter = small_lifter(trainer)
    connected = trainer.cycle_settings.use_fc_for_projection
    return build_cycle_gan(lifter, trainer.training, connected, trainer.settings.dropout)


def one_step(trainer, index, iteration=0, model=None):
    """Losses, network and optimizers after a step from the same start."""
    model = model or small_gan(trainer)
    optimizers = trainer.make_optimizer(model, 1e-3, 0)
    for group in (group for one in as_tuple(optimizers) for group in one.param_groups):
        group["initial_lr"] = group["lr"]
    losses = trainer.update(model, optimizers, {"index": index}, iteration, trainer.optimisation)
    return {name: value.item() for name, value in losses.items()}, model, optimizers


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def unchanged(network, before) -> set[str]:
    return {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}


ALONE = {
    "regression": {"gan_coeff": 0, "cycle_coeff": 0},
    "cycle": {"gan_coeff": 0, "regression_coeff": 0},
    "gan": {"cycle_coeff": 0, "regression_coeff": 0},
}


class TestUpdate:
    def test_with_regression_alone_the_lifter_learns_as_in_plain_training(self, trainer):
        index = torch.arange(0, 20)
        _, gan, _ = one_step(trainer(**ALONE["regression"], drop_joint_prob=0.1), index, iteration=3)
        plain = trainer(drop_joint_prob=0.1, plain=True)
        _, lifter, _ = one_step(plain, index, iteration=3, model=small_lifter(plain))
        assert unchanged(gan.lifter, lifter.state_dict()) == set(lifter.state_dict())

    @KINDS
    def test_the_regression_by_hand(self, trainer, pose_sets, kind):
        hooks, index = trainer(kind, **ALONE["regression"]), torch.arange(0, 20, 3)
        losses, *_ = one_step(hooks, index)
        poses_2d, poses_3d = pose_sets[0].poses(index)
        lifted = small_lifter(hooks).train()(hooks.normalisation.input(poses_2d))
        lifting = (lifted - hooks.normalisation.target(poses_3d)).square().mean()
        shapes = normalise_instance(poses_3d[:, LIFTER_INPUT_JOINTS, :2])
        projection = (shapes - normalise_instance(poses_2d)).square().mean()
        assert losses["regression"] == pytest.approx((lifting + projection).item(), rel=1e-5)
        assert losses["loss"] == losses["regression"]

    @KINDS
    def test_the_cycles_by_hand(self, trainer, pose_sets, kind):
        hooks, index = trainer(kind, **ALONE["cycle"] | {"cycle_coeff": 3}), torch.arange(0, 20, 3)
        other = torch.arange(1, 8)
        hooks.draw = lambda count, rng: pose_sets[0].poses(other)
        losses, *_ = one_step(hooks, index)
        (poses_2d, _), (_, poses_3d) = pose_sets[0].poses(index), pose_sets[0].poses(other)
        lifter, normalisation = small_lifter(hooks).train(), hooks.normalisation
        shapes = normalise_instance(poses_2d)
        lifted = normalisation.to_mm(lifter(normalisation.input(poses_2d)))
        first = (normalise_instance(lifted[:, LIFTER_INPUT_JOINTS, :2]) - shapes).square().mean()
        placed = place(normalise_instance(poses_3d[:, LIFTER_INPUT_JOINTS, :2]), poses_2d)
        second = (lifter(normalisation.input(placed)) - normalisation.target(poses_3d)).square().mean()
        assert losses["cycle"] == pytest.approx((first + second).item(), rel=1e-4)
        assert losses["loss"] == pytest.approx(3 * losses["cycle"])

    @KINDS
    def test_what_the_critics_see(self, trainer, pose_sets, kind):
        hooks, index, other = trainer(kind, **ALONE["gan"]), torch.arange(0, 20, 3), torch.arange(1, 8)
        hooks.draw = lambda count, rng: pose_sets[0].poses(other)
        seen = []
        hooks.train_critics = lambda model, optimizer, real, fake, rng, part: seen.append((real, fake)) or {}
        one_step(hooks, index)
        [(real, fake)] = seen
        (poses_2d, _), (_, poses_3d) = pose_sets[0].poses(index), pose_sets[0].poses(other)
        size = fit(pose_sets[0], "instance").stddev_3d[0, 0]
        lifted = hooks.normalisation.to_mm(small_lifter(hooks).train()(hooks.normalisation.input(poses_2d)))
        expected = [normalise_instance(poses_2d), poses_3d / size]
        expected += [normalise_instance(poses_3d[:, LIFTER_INPUT_JOINTS, :2]), (lifted - lifted[:, :1]) / size]
        for one, wanted in zip((*real, *fake), expected, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-5)

    def test_without_regression_no_pair_is_used(self, trainer, pose_sets):
        """The 3D poses that belong to the minibatch's 2D poses are unused, and so are pairs among the drawn poses."""
        hooks, index, asked = trainer(regression_coeff=0), torch.arange(20), []

        class Spy:
            device = CPU

            def __len__(self):
                return len(pose_sets[0])

            def poses(self, index, augmentation=None, generator=None):
                poses_2d, poses_3d = pose_sets[0].poses(index)
                asked.append(index)
                # The 3D poses of the minibatch and of every second draw are unused; of the others, the 2D poses.
                useless = poses_3d if len(asked) in (1, 3) else poses_2d
                useless.fill_(torch.nan)
                return poses_2d, poses_3d

        model = small_gan(hooks)
        hooks.training = Spy()
        losses, model, _ = one_step(hooks, index, model=model)
        assert all(map(torch.isfinite, map(torch.tensor, losses.values())))
        assert all(parameter.isfinite().all() for parameter in model.parameters())
        assert len(asked) == 4  # the minibatch, 3D for it; 2D and 3D of the critics' second update
        assert all(not torch.equal(one, other) for k, one in enumerate(asked) for other in asked[:k])

    def test_the_draws_depend_only_on_seed_and_iteration(self, trainer):
        index = torch.arange(20)
        first, *_ = one_step(trainer(augmentation=OrthogonalAugmentation()), index, iteration=3)
        torch.rand(5)
        assert one_step(trainer(augmentation=OrthogonalAugmentation()), index, iteration=3)[0] == first
        assert one_step(trainer(augmentation=OrthogonalAugmentation()), index, iteration=4)[0] != first
        assert one_step(trainer(augmentation=OrthogonalAugmentation(), seed=1), index, iteration=3)[0] != first

    @pytest.mark.parametrize("updates", [1, 3])
    def test_critics_take_as_many_steps_as_asked(self, trainer, updates):
        hooks = trainer(discr_updates_per_gen_update=updates)
        _, _, (generators, critics) = one_step(hooks, torch.arange(20))
        assert {state["step"].item() for state in generators.state.values()} == {1}
        assert {state["step"].item() for state in critics.state.values()} == {updates}

    def test_without_gan_loss_critics_are_not_trained(self, trainer):
        hooks = trainer(gan_coeff=0)
        losses, gan, _ = one_step(hooks, torch.arange(20))
        before = small_gan(hooks)
        assert unchanged(gan.critic_3d, before.critic_3d.state_dict()) == set(gan.critic_3d.state_dict())
        assert set(losses) == {"loss", "regression", "cycle"}

    def test_a_critics_first_step_goes_up_the_distance(self, trainer):
        """Of Adam: every weight moves by the rate."""
        hooks = trainer(discr_updates_per_gen_update=1, discr_2d_lr=1e-4, discr_3d_lr=3e-4)
        _, gan, _ = one_step(hooks, torch.arange(20))
        before = small_gan(hooks)
        for name, rate in (("critic_2d", 1e-4), ("critic_3d", 3e-4)):
            moved = (gan.companions[name].layers[-1].weight - before.companions[name].layers[-1].weight).abs()
            torch.testing.assert_close(moved.max(), torch.tensor(rate), rtol=0.02, atol=0)

    def test_running_statistics_are_of_the_real_2d_poses(self, trainer):
        index = torch.arange(20)
        _, gan, _ = one_step(trainer(), index)
        plain = trainer(plain=True)
        _, lifter, _ = one_step(plain, index, model=small_lifter(plain))
        expected = {name for name in lifter.state_dict() if "running" in name or "num_batches" in name}
        assert expected <= unchanged(gan.lifter, lifter.state_dict())

    def test_max_norm_is_of_the_lifter(self, trainer):
        _, gan, _ = one_step(trainer(max_norm=0.5), torch.arange(20))
        assert gan.lifter.w1.weight.norm(dim=1).max() <= 0.5 + 1e-6
        assert gan.critic_3d.layers[0][0].weight.norm(dim=1).max() > 0.5

    def test_a_fully_connected_projection_learns(self, trainer):
        hooks = trainer(use_fc_for_projection=True, dropout=0)
        _, gan, _ = one_step(hooks, torch.arange(20))
        assert isinstance(gan.projection, FullyConnectedProjection)
        assert gan.projection.w1.out_features == 16  # as wide as the lifter
        assert not torch.equal(gan.projection.w2.weight, small_gan(hooks).projection.w2.weight)
        assert isinstance(small_gan(trainer()).projection, ProjectNet)


class TestRates:
    def test_every_network_has_its_own(self, trainer):
        hooks = trainer(project_lr=2e-3, discr_2d_lr=3e-3, discr_3d_lr=4e-3)
        optimizers = hooks.make_optimizer(small_gan(hooks), 1e-3, 0.25)
        groups = [group for one in optimizers for group in one.param_groups]
        assert [group["lr"] for group in groups] == [1e-3, 2e-3, 3e-3, 4e-3]
        assert [group["weight_decay"] for group in groups] == [0.25] * 4

    def test_the_decay_acts_on_all(self, trainer):
        hooks = trainer(lr_decay=10, lr_gamma=0.5, discr_3d_lr=4e-3)
        _, _, optimizers = one_step(hooks, torch.arange(8), iteration=10)
        rates = [group["lr"] for one in optimizers for group in one.param_groups]
        assert rates == pytest.approx([0.5e-3, 0.5e-4, 1.5e-4, 2e-3])


class TestValidation:
    def averages(self, hooks, model, batch_size=1000):
        averages = Averages()
        with torch.no_grad():
            for minibatch in IndexLoader(len(hooks.validation), batch_size, CPU):
                averages.update(hooks.validate(model, minibatch), len(minibatch["index"]))
        return averages.result()

    @KINDS
    def test_the_measures_by_hand(self, trainer, kind):
        hooks = trainer(kind)
        gan, normalisation = small_gan(hooks).eval(), hooks.normalisation
        result = self.averages(hooks, gan)
        poses_2d, truth = all_poses(hooks.validation)
        with torch.no_grad():
            predicted = normalisation.to_mm(gan.lifter(normalisation.input(poses_2d)))
            predicted = predicted - predicted[:, :1]
            shapes = normalise_instance(poses_2d)
            projected = normalise_instance(truth[:, LIFTER_INPUT_JOINTS, :2])
            again = normalisation.to_mm(gan.lifter(normalisation.input(place(projected, poses_2d))))
            distances = gan.distances(Poses(shapes, truth / gan.scale), Poses(projected, predicted / gan.scale))
        errors = [(pose - truth).norm(dim=2).mean(1) for pose in (predicted, predicted * torch.tensor([1, 1, -1]))]
        back = normalise_instance(predicted[:, LIFTER_INPUT_JOINTS, :2])
        expected = {
            "MPJPE": mpjpe(predicted, truth),
            "cycle_2d": 100 * (back - shapes).norm(dim=2).mean(),
            "cycle_3d": mpjpe(again - again[:, :1], truth),
            "projection": 100 * (projected - shapes).norm(dim=2).mean(),
            "turned": 100 * (errors[1] < errors[0]).float().mean(),
            "critic_2d": distances[0],
            "critic_3d": distances[1],
        }
        for name, value in expected.items():
            assert result[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
        assert "MPJPE/Walking" in result
        units = {"MPJPE": "mm", "cycle_3d": "mm", "turned": "%"}
        assert {name: unit for name, unit in hooks.hooks().units.items() if name in result} == units
        assert self.averages(hooks, gan, 7) == pytest.approx(result, rel=1e-3, abs=1e-5)

    def test_without_gan_loss_critics_are_not_measured(self, trainer):
        hooks = trainer(gan_coeff=0)
        assert "critic_3d" not in self.averages(hooks, small_gan(hooks).eval())


# ------------------------------------------------------------------------------------------ whole trainings
SMALL = ("--linear_size", 64, "--num_stage", 1, "--dropout", 0.1, "--action", "Walking", "--device", "cpu")
NAME = "2d3d_h36m_default"


def train(folder, data_dir, *argv):
    folder.mkdir(exist_ok=True)
    argv = ("--cycle_gan", *argv) if "--no_cycle_gan" not in argv else argv
    result = call("train", "2d3d_h36m", "--data_dir", data_dir, *SMALL, *argv, cwd=folder)
    result.succeeded()
    return folder / "model_checkpoints" / NAME


@pytest.fixture(scope="module")
def trained(two_actions_h36m, tmp_path_factory):
    """The checkpoints of two epochs with a projection, and with a fully connected one."""
    folder = tmp_path_factory.mktemp("trained")
    return {
        "weak": train(folder / "weak", two_actions_h36m, "--epochs", 2),
        "connected": train(folder / "connected", two_actions_h36m, "--epochs", 1, "--use_fc_for_projection"),
    }


@pytest.mark.long  # a dozen epochs; losses and steps are tested above
def test_unpaired_training_lowers_the_error(two_actions_h36m, tmp_path):
    argv = ("--epochs", 12, "--train_batch_size", 32, "--lr", 3e-3, "--regression_coeff", 0)
    rows = log_of(train(tmp_path, two_actions_h36m, *argv))
    assert rows[-1]["val/MPJPE"] < 0.5 * rows[0]["val/MPJPE"]
    assert rows[-1]["val/cycle_3d"] < 0.5 * rows[0]["val/cycle_3d"]
    assert "train/regression" not in rows[0]


@pytest.mark.parametrize("kind", ["weak", pytest.param("connected", marks=pytest.mark.long)])  # resumed alike
def test_a_resumed_training_is_the_same_bit_for_bit(two_actions_h36m, tmp_path, kind):
    argv = ("--use_fc_for_projection",) if kind == "connected" else ("--orthogonal_data_augmentation", "--use_amsprop")
    straight = train(tmp_path / "straight", two_actions_h36m, "--epochs", 2, *argv)
    resumed = train(tmp_path / "resumed", two_actions_h36m, "--epochs", 1, *argv)
    call(
        "train", "2d3d_h36m", "--data_dir", two_actions_h36m, "--resume", "--epochs", 2, cwd=tmp_path / "resumed"
    ).succeeded()
    contents = [content_of(folder) for folder in (straight, resumed)]
    for part in ("state_dict", COMPANIONS, "normalisation", "epoch", "best", "optimizer", "rng"):
        assert same(*(one[part] for one in contents)), part
    assert log_of(straight) == log_of(resumed)


def test_the_checkpoint_is_that_of_a_lifter(trained, two_actions_h36m, tmp_path):
    """Its keys are those of plain training, plus the other networks; it loads and runs as usual."""
    stored = content_of(trained["weak"])
    assert set(stored["state_dict"]) == set(LinearModel(64, 1, without_hip=True).state_dict())
    assert {name.split(".")[0] for name in stored[COMPANIONS]} == {"projection", "critic_2d", "critic_3d"}
    assert len(stored["optimizer"]) == 2
    lifter = load_lifter(trained["weak"] / "checkpoint.pth.tar")
    assert torch.equal(lifter.w1.weight, stored["state_dict"]["w1.weight"])
    run = (
        "--load",
        trained["weak"],
        "--data_dir",
        two_actions_h36m,
        "--action",
        "Walking",
        "--output_dir",
        tmp_path / "run",
    )
    call("run", "2d3d_h36m", *run, cwd=tmp_path).succeeded()
    predictions = tmp_path / "run/3d_pose_estimations.pt"
    scored = call("eval", "h36m_MPJPE", "--prediction_files", predictions, "--output_dir", tmp_path / "scores")
    out = scored.succeeded().out
    [scores] = json.loads((tmp_path / "scores/mpjpe.json").read_text()).values()
    best = min(row["val/MPJPE"] for row in log_of(trained["weak"]))
    assert scores["protocol_1"] == pytest.approx(best, rel=1e-4)
    assert f"{scores['protocol_1']:.2f}" in out


def test_load_starts_from_a_plain_lifter(two_actions_h36m, tmp_path):
    plain = train(tmp_path / "plain", two_actions_h36m, "--no_cycle_gan", "--epochs", 1, "--dataset_normalization")
    assert COMPANIONS not in content_of(plain)
    argv = ("--load", plain, "--epochs", 1, "--lr", 1e-20, "--max_norm", 0)
    loaded = content_of(train(tmp_path / "gan", two_actions_h36m, *argv))
    assert torch.equal(loaded["state_dict"]["w1.weight"], content_of(plain)["state_dict"]["w1.weight"])
    assert loaded["normalisation"]["kind"] == "dataset"


def test_load_restores_the_other_networks_too(trained, two_actions_h36m, tmp_path):
    rates = [word for name in ("lr", "project_lr", "discr_2d_lr", "discr_3d_lr") for word in (f"--{name}", 1e-20)]
    argv = ("--load", trained["weak"] / "checkpoint.pth.tar", "--epochs", 1, "--max_norm", 0, *rates)
    loaded = content_of(train(tmp_path, two_actions_h36m, *argv))
    assert same(loaded[COMPANIONS], content_of(trained["weak"])[COMPANIONS])


def test_evaluate_validates_a_checkpoint_of_either_training(trained, two_actions_h36m, tmp_path):
    argv = ("--data_dir", two_actions_h36m, *SMALL, "--evaluate", "--load", trained["weak"] / "checkpoint.pth.tar")
    for more in (("--cycle_gan",), ()):
        out = call("train", "2d3d_h36m", *argv, *more, cwd=tmp_path).succeeded().out
        printed = dict(line.split("\t") for line in out.splitlines() if "\t" in line)
        assert float(printed["MPJPE"]) == pytest.approx(log_of(trained["weak"])[-1]["val/MPJPE"], rel=1e-4)
        assert ("cycle_3d" in printed) == bool(more)


def test_another_kind_of_projection_is_refused(trained, two_actions_h36m, tmp_path):
    argv = ("--data_dir", two_actions_h36m, *SMALL, "--cycle_gan", "--epochs", 1)
    for kind, more, named in (("weak", ["--use_fc_for_projection"], "False"), ("connected", [], "True")):
        error = call("train", "2d3d_h36m", *argv, "--load", trained[kind], *more, cwd=tmp_path).refusal()
        assert f"--use_fc_for_projection {bool(more)}" in error
        assert f"trained with {named}" in error
    assert not (tmp_path / "model_checkpoints").exists()


def test_plain_training_does_not_resume_as_a_cycle_gan(two_actions_h36m, tmp_path):
    train(tmp_path, two_actions_h36m, "--no_cycle_gan", "--epochs", 1)
    argv = ("--data_dir", two_actions_h36m, "--resume", "--cycle_gan", "--epochs", 2)
    assert "1 optimizers" in call("train", "2d3d_h36m", *argv, cwd=tmp_path).refusal()


def test_printed_numbers_have_their_definitions(two_actions_h36m, tmp_path):
    argv = ("--data_dir", two_actions_h36m, *SMALL, "--evaluate")
    out = call("train", "2d3d_h36m", *argv, "--cycle_gan", cwd=tmp_path).succeeded().out
    plain = call("train", "2d3d_h36m", *argv, cwd=tmp_path).succeeded().out
    for name in ("critic_3d", "cycle_2d", "cycle_3d", "turned"):
        assert f"{name}: " in out
        assert name not in plain

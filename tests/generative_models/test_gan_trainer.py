"""The GAN's hooks by hand; a whole small training learns, and a resumed one is the same bit for bit."""

import pytest
import torch
from command_line import call
from settings_by_name import settings_of
from training_results import content_of, log_of, same

from generative_models import load_pose_gan
from generative_models.fc_gan import PoseGAN
from generative_models.measures import measure, sliced_wasserstein
from generative_models.poses import facing
from generative_models.trainer import ADAM_BETAS, GANSettings, GANTrainer, two_samples
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.osutils import UserError
from utils.training.settings import Experiment, Optimisation

NAME = "3d_pose_gan_default"


@pytest.fixture(scope="module")
def poses(tiny_h36m):
    files, actions = find_sequences(tiny_h36m), ("Sitting", "Walking", "Eating")
    return tuple(facing(load_pose_set(files, subjects, actions).world) for subjects in ([1, 5], [9, 11]))


@pytest.fixture
def trainer(poses):
    def make(**values) -> GANTrainer:
        optimisation, settings = settings_of({"no_grad_clipping": True} | values, Optimisation, GANSettings)
        return GANTrainer(*poses, optimisation, Experiment("3d_pose_gan"), settings)

    return make


def small_gan(poses, seed: int = 0) -> PoseGAN:
    torch.manual_seed(seed)
    return PoseGAN(4, 16, 1).fit_scale(poses[0])


def steps(trainer, model, count, start=0, lr=1e-3):
    optimizers = trainer.make_optimizers(model, lr, 0.0)
    index = torch.arange(12)
    return [trainer.update(model, optimizers, {"index": index}, start + i, trainer.optimisation) for i in range(count)]


def weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()]).clone()


class TestUpdate:
    def test_the_critic_steps_every_time_and_the_generator_every_few_times(self, trainer, poses):
        hooks, model = trainer(num_discriminator_steps_per_generator_step=3), small_gan(poses)
        moved = []
        optimizers = hooks.make_optimizers(model, 1e-3, 0.0)
        for iteration in range(7):
            before = [weights(part) for part in (model.critic, model.generator, model.average)]
            losses = hooks.update(model, optimizers, {"index": torch.arange(9)}, iteration, hooks.optimisation)
            after = [weights(part) for part in (model.critic, model.generator, model.average)]
            moved.append(tuple(not torch.equal(*pair) for pair in zip(before, after, strict=True)))
            assert ("generator_loss" in losses) == moved[-1][1]
        assert moved == [(True, iteration in (2, 5), iteration in (2, 5)) for iteration in range(7)]
        assert model.updates == 2

    def test_each_network_has_its_own_optimizer(self, trainer, poses):
        model = small_gan(poses)
        of_generator, of_critic = trainer().make_optimizers(model, 0.25, 0.5)
        for optimizer, network in ((of_generator, model.generator), (of_critic, model.critic)):
            [group] = optimizer.param_groups
            assert {id(p) for p in group["params"]} == {id(p) for p in network.parameters()}
            assert (group["lr"], group["weight_decay"], group["betas"]) == (0.25, 0.5, ADAM_BETAS)

    def test_the_critic_learns_to_separate_real_from_generated_poses(self, trainer, poses):
        losses = steps(trainer(num_discriminator_steps_per_generator_step=1000), small_gan(poses), 60)
        assert losses[-1]["wasserstein"] > losses[0]["wasserstein"] + 100  # mm
        assert losses[-1]["critic_loss"] < losses[0]["critic_loss"]

    def test_the_critic_loss_is_minus_the_distance_plus_the_weighted_penalty(self, trainer, poses):
        [losses] = steps(trainer(gradient_penalty_coeff=7), small_gan(poses), 1)
        model = small_gan(poses)
        expected = -losses["wasserstein"] / model.scale + 7 * losses["penalty"]
        torch.testing.assert_close(losses["critic_loss"], expected)

    def test_weights_are_clipped_only_without_a_penalty(self, trainer, poses):
        clipped, free = small_gan(poses), small_gan(poses)
        [losses] = steps(trainer(gradient_penalty_coeff=0, clip_max=0.02), clipped, 1)
        assert weights(clipped.critic).abs().max() <= 0.02
        assert "penalty" not in losses
        steps(trainer(), free, 1)
        assert weights(free.critic).abs().max() > 0.1
        assert weights(clipped.generator).abs().max() > 0.1

    def test_random_numbers_depend_only_on_seed_and_iteration(self, trainer, poses):
        def critic_after(start=0, drawn=0, **values):
            model = small_gan(poses)
            torch.rand(drawn)  # from the global generator
            steps(trainer(**values), model, 1, start)
            return weights(model.critic)

        assert torch.equal(critic_after(), critic_after(drawn=3))
        assert not torch.equal(critic_after(), critic_after(start=1))
        assert not torch.equal(critic_after(), critic_after(seed=1))

    def test_critic_is_trainable_again_after_a_generator_step(self, trainer, poses):
        model = small_gan(poses)
        steps(trainer(num_discriminator_steps_per_generator_step=1), model, 1)
        assert all(parameter.requires_grad for parameter in model.critic.parameters())


class TestValidation:
    def test_the_measures_of_an_equal_number_of_poses(self, trainer, poses):
        hooks, model = trainer(), small_gan(poses).eval()
        with torch.no_grad():
            values = hooks.validate(model, {"index": torch.arange(hooks.measured)})
        assert hooks.measured == min(len(poses[0]), len(poses[1])) // 2
        generated = model.sample(hooks.measured, torch.Generator().manual_seed(0))
        for name, value in measure(hooks.real, generated).items():
            torch.testing.assert_close(values[name], value)
        assert values["SW_training"] == sliced_wasserstein(hooks.of_training, generated)
        assert values["SW_real"] < values["SW"]
        picture = values["image/generated"]
        assert (picture.dtype, picture.ndim, len(picture)) == (torch.uint8, 3, 3)
        assert hooks.hooks().best_metric == "SW"
        assert not hooks.hooks().higher_is_better
        assert set(hooks.hooks().units) == {name for name in values if not name.startswith("image/")}
        assert {hooks.hooks().units[name] for name in ("1-NN_real", "SW")} == {"%", "mm"}

    def test_too_few_poses_are_refused(self, poses):
        with pytest.raises(UserError, match="3 held-out poses"):
            GANTrainer(poses[0], poses[1][:3], Optimisation(), Experiment("3d_pose_gan"))

    def test_the_seed_does_not_change_the_poses_to_measure_against(self, trainer):
        assert torch.equal(trainer().real, trainer(seed=5).real)

    def test_two_samples_are_disjoint(self):
        numbers = torch.arange(30.0)[:, None, None].expand(-1, 17, 3)
        one, other = two_samples(numbers, 15)
        together = torch.cat([one, other])[:, 0, 0]
        assert sorted(together.tolist()) == list(range(30))
        assert together.tolist() != list(range(30))


# ------------------------------------------------------------------------------------------ whole trainings
SMALL = ("--linear_size", 32, "--num_stage", 1, "--latent_size", 8, "--train_batch_size", 64, "--device", "cpu")


def train(folder, data_dir, *argv):
    folder.mkdir(exist_ok=True)
    call("train", "3d_pose_gan", "--data_dir", data_dir, *SMALL, *argv, cwd=folder).succeeded()
    return folder / "model_checkpoints" / NAME


@pytest.mark.long  # a dozen epochs of all actions; losses and steps are tested above
def test_training_lowers_the_distance_to_real_poses(tiny_h36m, tmp_path):
    folder = train(tmp_path, tiny_h36m, "--epochs", 12, "--lr", 3e-3, "--num_discriminator_steps_per_generator_step", 2)
    rows = log_of(folder)
    assert rows[-1]["val/SW"] < 0.6 * rows[0]["val/SW"]
    assert min(row["val/SW"] for row in rows) == pytest.approx(
        torch.load(folder / "model_best.pth.tar", weights_only=True)["best"], rel=1e-4
    )


def test_a_resumed_training_is_the_same_bit_for_bit(tiny_h36m, tmp_path):
    straight = train(tmp_path / "straight", tiny_h36m, "--epochs", 3)
    resumed = train(tmp_path / "resumed", tiny_h36m, "--epochs", 1)
    again = call("train", "3d_pose_gan", "--data_dir", tiny_h36m, "--resume", "--epochs", 3, cwd=tmp_path / "resumed")
    again.succeeded()
    contents = [content_of(folder) for folder in (straight, resumed)]
    for part in ("state_dict", "epoch", "best", "optimizer", "rng"):
        assert same(*(content[part] for content in contents)), part
    assert log_of(straight) == log_of(resumed)
    assert len(contents[0]["optimizer"]) == 2


def test_a_checkpoint_needs_nothing_but_its_path_to_be_loaded(two_actions_h36m, tmp_path):
    folder = train(tmp_path, two_actions_h36m, "--epochs", 1, "--action", "Walking,Sitting")
    model = load_pose_gan(folder)
    stored = torch.load(folder / "model_best.pth.tar", weights_only=True)["state_dict"]
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    assert (model.generator.latent_size, model.action, model.training) == (8, "Walking,Sitting", False)
    sample = model.sample(5, torch.Generator().manual_seed(0))
    assert sample.shape == (5, 17, 3)
    assert 50 < sample.norm(dim=-1).max() < 5000  # mm

"""The five hooks that train the pose GAN through the shared loop; poses and arithmetic stay on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from generative_models.fc_gan import PoseGAN, clip_weights, sample_latents
from generative_models.measures import bone_asymmetry, bone_spread, measure, sliced_wasserstein
from generative_models.viz import panels
from utils.compute.batch_parts import Part
from utils.compute.devices import GradientStep, autocast, batch_generator, seeded_generator
from utils.compute.distributed import ALONE, Processes
from utils.imaging.figures import DARK_STYLE
from utils.imaging.sketch import arranged
from utils.osutils import UserError
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.log_files import MILLIMETRES, PERCENT
from utils.training.settings import Experiment, Optimisation
from utils.training.wgan import generator_loss, gradient_penalty, wasserstein
from utils.training_utils import TrainingHooks

MEASURED = 2000  # poses per sample in the measures
PICTURED = 8  # of these, in TensorBoard
ADAM_BETAS = (0.5, 0.9)  # shorter memory than the default, since the other network changes the objective
MEASURE_SEED = 0  # independent of the training's seed, so that runs are comparable
UNITS_OF_MEASURES = dict.fromkeys(("1-NN_real", "1-NN_generated"), PERCENT) | dict.fromkeys(
    ("SW", "SW_real", "SW_parts", "SW_training", "asymmetry", "asymmetry_real", "spread", "spread_real"), MILLIMETRES
)


@dataclass(frozen=True)
class GANSettings:
    """Settings of adversarial training.

    Attributes:
        num_discriminator_steps_per_generator_step: critic steps per generator step.
        gradient_penalty_coeff: weight of the critic's gradient penalty; 0: clip its weights instead.
        clip_max: critic weights are clipped to +/- this value.
    """

    num_discriminator_steps_per_generator_step: int = 3
    gradient_penalty_coeff: float = 10.0
    clip_max: float = 0.01


class GANTrainer:
    """The hooks with their shared state: training poses, and real samples for the measures."""

    def __init__(
        self,
        training: Tensor,
        held_out: Tensor,
        optimisation: Optimisation,
        experiment: Experiment,
        settings: GANSettings | None = None,
        at_once: int = 4096,
        processes: Processes = ALONE,
    ):
        """Poses are (N, 17, 3), mm, in the frame of `generative_models.poses`.

        `at_once` is the number of poses generated per forward pass of validation. Raises UserError for fewer than 4
        training or held-out poses.
        """
        self.training, self.device = training, training.device
        self.optimisation, self.experiment, self.processes = optimisation, experiment, processes
        self.settings, self.at_once = settings or GANSettings(), at_once
        how = self.device, optimisation.precision, optimisation.clip
        self.steps = {"critic": GradientStep(*how), "generator": GradientStep(*how)}
        self.saved = {f"grad_scaler_{name}": step for name, step in self.steps.items()}
        self.measured = min(MEASURED, len(training) // 2, len(held_out) // 2)
        if self.measured < 2:
            raise UserError(
                f"{len(training)} training and {len(held_out)} held-out poses: the measures compare two halves of "
                "each and need at least 4; select more with --action"
            )
        self.real, other = two_samples(held_out, self.measured)
        self.of_training, _ = two_samples(training, self.measured)
        self.constant = {
            "SW_real": sliced_wasserstein(self.real, other),
            "SW_parts": sliced_wasserstein(self.real, self.of_training),
            "asymmetry_real": bone_asymmetry(self.real),
            "spread_real": bone_spread(self.real),
        }

    def hooks(self) -> TrainingHooks:
        experiment, processes = self.experiment, self.processes
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizers,
            load_fn=make_load_fn(experiment.allow_unsafe_load, self.saved, processes),
            checkpoint_fn=make_checkpoint_fn(experiment.script, experiment.settings, self.saved, processes),
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="SW",
            lower_is_better=("SW", "SW_training", "asymmetry"),
            units=UNITS_OF_MEASURES,
        )

    def make_optimizers(self, model: PoseGAN, lr: float, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
        """Adam with low momentum for generator and critic; AMSGrad on request."""
        settings = {"betas": ADAM_BETAS, "weight_decay": weight_decay, "amsgrad": self.optimisation.use_amsprop}
        return tuple(
            torch.optim.Adam(network.parameters(), lr, fused=True, **settings)
            for network in (model.generator, model.critic)
        )

    def update(
        self, model: PoseGAN, optimizers, minibatch: dict, iteration: int, optimisation: Optimisation
    ) -> dict[str, Tensor]:
        """A critic step, followed by a generator step every few iterations."""
        generator_optimizer, critic_optimizer = optimizers
        part = minibatch.get("part")
        rng = batch_generator(optimisation.seed, iteration, self.device, part)
        real = self.training[minibatch["index"]] / model.scale
        losses = self.critic_step(model, critic_optimizer, real, rng, part)
        if (iteration + 1) % self.settings.num_discriminator_steps_per_generator_step == 0:
            losses |= self.generator_step(model, generator_optimizer, len(real), rng, part)
        return losses

    def critic_step(
        self, model: PoseGAN, optimizer, real: Tensor, rng: torch.Generator, part: Part | None = None
    ) -> dict[str, Tensor]:
        """Reports `wasserstein` in mm: the critic's lower bound of the distance if its gradient norm is 1."""
        settings = self.settings
        with autocast(self.device, self.optimisation.precision):
            with torch.no_grad():
                fake = model.generator(sample_latents(len(real), model.generator.latent_size, rng)).float()
            scores = model.critic(torch.cat([real, fake])).float()
        distance = wasserstein(*scores.split(len(real)))
        losses = {"wasserstein": distance.detach() * model.scale}
        loss = -distance
        if settings.gradient_penalty_coeff:
            # In full precision: the penalty is a small deviation from one.
            penalty = gradient_penalty(model.critic, real, fake, rng)
            loss = loss + settings.gradient_penalty_coeff * penalty
            losses["penalty"] = penalty.detach()
        self.steps["critic"](loss, model.critic.parameters(), optimizer, part)
        if not settings.gradient_penalty_coeff:
            clip_weights(model.critic, settings.clip_max)
        return losses | {"critic_loss": loss.detach()}

    def generator_step(
        self, model: PoseGAN, optimizer, count: int, rng: torch.Generator, part: Part | None = None
    ) -> dict[str, Tensor]:
        model.critic.requires_grad_(False)  # its own gradients are not needed here
        with autocast(self.device, self.optimisation.precision):
            poses = model.generator(sample_latents(count, model.generator.latent_size, rng))
            loss = generator_loss(model.critic(poses.float()).float())
        self.steps["generator"](loss, model.generator.parameters(), optimizer, part)
        model.critic.requires_grad_(True)
        model.update_average()
        return {"generator_loss": loss.detach()}

    def validate(self, model: nn.Module, minibatch: dict) -> dict[str, Tensor]:
        """Measure a sample of generated poses, from the same latents each time, and draw the first few.

        The measures need whole samples (see `measures`), so the content of `minibatch` is not used.
        """
        rng = seeded_generator(MEASURE_SEED, 0, self.device)
        generated = model.sample(self.measured, rng, self.at_once)
        against_training = {"SW_training": sliced_wasserstein(self.of_training, generated)}
        drawn = arranged(panels(generated[:PICTURED], generated[:PICTURED]), PICTURED, 4, DARK_STYLE.palette.gap)
        shown = torch.from_numpy(drawn.raster())
        pictures = {"image/generated": shown.permute(2, 0, 1)}
        return measure(self.real, generated) | self.constant | against_training | pictures


def two_samples(poses: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two disjoint samples of `count` poses (N, 17, 3), the same in every call."""
    order = torch.randperm(len(poses), generator=seeded_generator(MEASURE_SEED, 0)).to(poses.device)
    first, second, _ = poses[order].split([count, count, len(poses) - 2 * count])
    return first, second

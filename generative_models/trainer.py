"""The five hooks that train the pose GAN through the shared loop; poses and arithmetic stay on the device."""

from argparse import Namespace

import torch
from torch import Tensor, nn

from generative_models.fc_gan import PoseGAN, clip_weights, sample_latents
from generative_models.measures import bone_asymmetry, bone_spread, measure, sliced_wasserstein
from generative_models.viz import panels
from utils.compute.devices import GradientStep, autocast, batch_generator, seeded_generator
from utils.imaging.draw2d import image_grid
from utils.osutils import UserError
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.wgan import generator_loss, gradient_penalty, wasserstein
from utils.training_utils import TrainingHooks

MEASURED = 2000  # poses of a sample that the measures compare
PICTURED = 8  # of them, for TensorBoard
ADAM_BETAS = (0.5, 0.9)  # less memory than usual, since the other network moves what is best
MEASURE_SEED = 0  # whatever the training's seed, so that trainings compare


class GANTrainer:
    """Hooks, and what they share: the training poses, and the samples of real poses to measure against."""

    def __init__(self, options: Namespace, training: Tensor, held_out: Tensor):
        """Poses (N, 17, 3), mm, in the frame of `generative_models.poses`. UserError for fewer than 4 of a kind."""
        self.options, self.training, self.device = options, training, training.device
        self.steps = {"critic": GradientStep(options, self.device), "generator": GradientStep(options, self.device)}
        self.saved = {f"grad_scaler_{name}": step for name, step in self.steps.items()}
        self.measured = min(MEASURED, len(training) // 2, len(held_out) // 2)
        if self.measured < 2:
            raise UserError(
                f"{len(training)} training and {len(held_out)} held-out poses: the measures compare samples "
                "of half of them and need 4 of each; choose more with --action"
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
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizers,
            load_fn=make_load_fn(self.options, self.saved),
            checkpoint_fn=make_checkpoint_fn(self.options.script, self.options, self.saved),
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="SW",
        )

    def make_optimizers(self, model: PoseGAN, lr: float, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
        """The generator's and the critic's: Adam with little momentum, with AMSGrad if the options say so."""
        settings = {"betas": ADAM_BETAS, "weight_decay": weight_decay, "amsgrad": self.options.use_amsprop}
        return tuple(
            torch.optim.Adam(network.parameters(), lr, fused=True, **settings)
            for network in (model.generator, model.critic)
        )

    def update(self, model: PoseGAN, optimizers, minibatch: dict, iteration: int, options: Namespace) -> dict:
        """A critic step, and after every few of them a generator step; all of it on the device."""
        generator_optimizer, critic_optimizer = optimizers
        rng = batch_generator(options.seed, iteration, self.device)
        real = self.training[minibatch["index"]] / model.scale
        losses = self.critic_step(model, critic_optimizer, real, rng)
        if (iteration + 1) % options.num_discriminator_steps_per_generator_step == 0:
            losses |= self.generator_step(model, generator_optimizer, len(real), rng)
        return losses

    def critic_step(self, model: PoseGAN, optimizer, real: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """`wasserstein` in mm: the critic's lower bound of the distance, where it keeps to a gradient of one."""
        options = self.options
        with autocast(self.device, options.precision):
            with torch.no_grad():
                fake = model.generator(sample_latents(len(real), model.generator.latent_size, rng)).float()
            scores = model.critic(torch.cat([real, fake])).float()
        distance = wasserstein(*scores.split(len(real)))
        losses = {"wasserstein": distance.detach() * model.scale}
        loss = -distance
        if options.gradient_penalty_coeff:
            # In full precision: the penalty is a small difference from one.
            penalty = gradient_penalty(model.critic, real, fake, rng)
            loss = loss + options.gradient_penalty_coeff * penalty
            losses["penalty"] = penalty.detach()
        self.steps["critic"](loss, model.critic.parameters(), optimizer)
        if not options.gradient_penalty_coeff:
            clip_weights(model.critic, options.clip_max)
        return losses | {"critic_loss": loss.detach()}

    def generator_step(self, model: PoseGAN, optimizer, count: int, rng: torch.Generator) -> dict[str, Tensor]:
        model.critic.requires_grad_(False)  # gradients pass through it, its own are not needed
        with autocast(self.device, self.options.precision):
            poses = model.generator(sample_latents(count, model.generator.latent_size, rng))
            loss = generator_loss(model.critic(poses.float()).float())
        self.steps["generator"](loss, model.generator.parameters(), optimizer)
        model.critic.requires_grad_(True)
        model.update_average()
        return {"generator_loss": loss.detach()}

    def validate(self, model: nn.Module, minibatch: dict) -> dict[str, Tensor]:
        """The measures of a sample of generated poses, the same latents each time, and a picture of the first few.

        They are of whole samples (see `measures`): the one `minibatch` only says when.
        """
        rng = seeded_generator(MEASURE_SEED, 0, self.device)
        generated = model.sample(self.measured, rng, self.options.test_batch_size)
        against_training = {"SW_training": sliced_wasserstein(self.of_training, generated)}
        shown = torch.from_numpy(image_grid(panels(generated[:PICTURED], generated[:PICTURED]), PICTURED))
        pictures = {"image/generated": shown.permute(2, 0, 1)}
        return measure(self.real, generated) | self.constant | against_training | pictures


def two_samples(poses: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two samples of `count` poses (N, 17, 3) without a pose in common, the same ones each time."""
    order = torch.randperm(len(poses), generator=seeded_generator(MEASURE_SEED, 0)).to(poses.device)
    first, second, _ = poses[order].split([count, count, len(poses) - 2 * count])
    return first, second

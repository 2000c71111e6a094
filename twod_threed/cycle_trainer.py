"""The five hooks that train the 3D pose baseline within a cycle GAN, derived from those of plain training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from twod_threed.cycle_gan import CycleGAN, Poses, depths_turned, place, still_statistics
from twod_threed.model import FullyConnectedProjection, LinearModel, ProjectNet
from twod_threed.mpjpe import joint_errors
from twod_threed.normalisation import fit
from twod_threed.trainer import ERRORS_IN_MM, LifterTrainer
from utils.compute.batch_parts import Part, integers
from utils.compute.devices import GradientStep, autocast, batch_generator
from utils.compute.distributed import ALONE, Processes
from utils.data_utils import centre_on_hip, normalise_instance
from utils.human36m_dataset import PoseSet
from utils.osutils import UserError
from utils.training.checkpoints import load_state, read_checkpoint
from utils.training.log_files import MILLIMETRES, PERCENT
from utils.training.settings import Optimisation
from utils.training_utils import TrainingHooks

CRITIC_BETAS = (0.5, 0.9)  # of Adam
COMPANIONS = "cycle_gan"  # checkpoint key of the networks other than the lifter
CYCLE_DEFINITIONS = (
    "critic_2d, critic_3d: mean score of real minus mean score of generated poses, in units of the person's size (root "
    "mean square distance of the joints from the hip)\n"
    "cycle_2d: mean joint distance after 2D -> 3D -> 2D, projection: between projected 3D and 2D poses, both in % of "
    "the pose's size; cycle_3d: MPJPE after 3D -> 2D -> 3D, mm\n"
    "turned: % of poses whose MPJPE decreases when all depths are negated"
)


@dataclass(frozen=True)
class CycleSettings:
    """Loss weights of the cycle GAN, and training settings of its other networks.

    Attributes:
        gan_coeff: weight of the adversarial loss on generated 2D and 3D poses.
        cycle_coeff: weight of the cycle losses, 2D -> 3D -> 2D and 3D -> 2D -> 3D.
        regression_coeff: weight of the loss on 2D-3D pairs; 0: train unpaired.
        gradient_penalty_coeff: weight of the critics' gradient penalty.
        discr_updates_per_gen_update: critic updates per generator update, each on new poses.
        use_fc_for_projection: project with a network like the lifter instead of weak perspective.
        project_lr, discr_2d_lr, discr_3d_lr: learning rates of the projection and the critics.
    """

    gan_coeff: float = 0.005
    cycle_coeff: float = 0.5
    regression_coeff: float = 1.0
    gradient_penalty_coeff: float = 10.0
    discr_updates_per_gen_update: int = 2
    use_fc_for_projection: bool = False
    project_lr: float = 1e-4
    discr_2d_lr: float = 3e-4
    discr_3d_lr: float = 3e-4


class CycleTrainer(LifterTrainer):
    """Hooks for a `CycleGAN`. Checkpoints hold the lifter as in plain training, and the other networks beside it."""

    def __init__(self, *arguments: Any, cycle: CycleSettings | None = None, **named: Any):
        """Arguments as in `LifterTrainer`, without `errors`."""
        super().__init__(*arguments, **named)
        self.cycle_settings = cycle or CycleSettings()
        self.critic_step = GradientStep(self.device, self.optimisation.precision, self.optimisation.clip)
        self.saved["grad_scaler_critics"] = self.critic_step

    def hooks(self) -> TrainingHooks:
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizer,
            load_fn=self.load,
            checkpoint_fn=self.checkpoint,
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="MPJPE",
            lower_is_better=("loss", *ERRORS_IN_MM, "cycle_2d", "cycle_3d", "projection", "turned"),
            units=dict.fromkeys((*ERRORS_IN_MM, "cycle_3d"), MILLIMETRES) | {"turned": PERCENT},
            sample_names=self.sample_names(),
        )

    # ------------------------------------------------------------------------------------------ state
    def make_optimizer(self, model: CycleGAN, lr: float, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
        """Adam for generators and critics, with one learning rate per network; AMSGrad on request."""
        rates = self.cycle_settings
        settings = {"weight_decay": weight_decay, "amsgrad": self.optimisation.use_amsprop, "fused": True}
        generators = [
            {"params": model.lifter.parameters(), "lr": lr},
            {"params": model.projection.parameters(), "lr": rates.project_lr},
        ]
        critics = [
            {"params": model.critic_2d.parameters(), "lr": rates.discr_2d_lr},
            {"params": model.critic_3d.parameters(), "lr": rates.discr_3d_lr},
        ]
        return torch.optim.Adam(generators, **settings), torch.optim.Adam(critics, betas=CRITIC_BETAS, **settings)

    def checkpoint(self, model: CycleGAN, optimizer, epoch, best, directory, is_best) -> None:
        write = self.checkpoint_fn(**{COMPANIONS: model.companions})
        write(model.lifter, optimizer, epoch, best, directory, is_best)

    def load(self, model: CycleGAN, optimizer, path):
        """Load a checkpoint; one of plain training provides only the lifter."""
        companions = read_checkpoint(path, self.experiment.allow_unsafe_load, self.processes).get(COMPANIONS)
        if companions is not None:
            check_projection(companions, self.cycle_settings.use_fc_for_projection, path)
            load_state(model.companions, companions, path)
        _, *rest = self.load_fn()(model.lifter, optimizer, path)
        return model, *rest

    # ------------------------------------------------------------------------------------------ training
    def update(
        self, model: CycleGAN, optimizers, minibatch: dict, iteration: int, optimisation: Optimisation
    ) -> dict[str, Tensor]:
        """Critic steps, then a step of lifter and projection, on independently drawn 2D and 3D poses."""
        for optimizer in optimizers:
            self.set_rates(optimizer, iteration)
        generators, critics = optimizers
        part, weights = minibatch.get("part"), self.cycle_settings
        rng = batch_generator(optimisation.seed, iteration, self.device, part)
        poses_2d, own_3d = self.training.poses(minibatch["index"], self.augmentation, rng)
        lifted = self.lift(model.lifter, poses_2d, rng)
        other_3d = self.draw(len(poses_2d), rng)[1]
        shapes = self.project(model, other_3d)
        real, fake = self.judged(model, poses_2d, other_3d), Poses(shapes, self.in_units(model, lifted))

        losses = self.train_critics(model, critics, real, fake, rng, part) if weights.gan_coeff else {}
        parts = {}
        if weights.regression_coeff:
            parts["regression"] = self.regression(model, lifted, own_3d, real.shape)
        if weights.cycle_coeff:
            parts["cycle"] = self.cycle(model, lifted, real.shape, shapes, other_3d, rng, poses_2d)
        if weights.gan_coeff:
            with autocast(self.device, optimisation.precision):
                parts["gan"] = model.adversarial_loss(fake)
        loss = sum(getattr(weights, f"{name}_coeff") * value for name, value in parts.items())
        self.step(loss, model.generator_parameters(), generators, part)
        if self.settings.max_norm:
            model.lifter.constrain(self.settings.max_norm)
        return {"loss": loss.detach()} | {name: value.detach() for name, value in parts.items()} | losses

    def train_critics(
        self, model: CycleGAN, optimizer, real: Poses, fake: Poses, rng: torch.Generator, part: Part | None = None
    ) -> dict[str, Tensor]:
        """One update on these poses, and further ones on new poses. Returns the losses of the last."""
        for number in range(self.cycle_settings.discr_updates_per_gen_update):
            if number:
                real, fake = self.fresh(model, len(real.pose), rng)
            fake = Poses(*(poses.detach() for poses in fake))
            with autocast(self.device, self.optimisation.precision):
                distances = model.distances(real, fake)
            penalty = model.penalty(real, fake, rng)  # in full precision: it is a small deviation from one
            loss = self.cycle_settings.gradient_penalty_coeff * penalty - sum(distances)
            self.critic_step(loss, model.critic_parameters(), optimizer, part)
        return named(distances) | {"penalty": penalty.detach()}

    @torch.no_grad()
    def fresh(self, model: CycleGAN, count: int, rng: torch.Generator) -> tuple[Poses, Poses]:
        """Real and generated poses of new samples, 2D and 3D drawn independently."""
        poses_2d, other_3d = self.draw(count, rng)[0], self.draw(count, rng)[1]
        with still_statistics(model):
            lifted, shapes = self.lift(model.lifter, poses_2d, rng), self.project(model, other_3d)
        return self.judged(model, poses_2d, other_3d), Poses(shapes, self.in_units(model, lifted))

    def regression(self, model: CycleGAN, lifted: Tensor, poses_3d: Tensor, shapes: Tensor) -> Tensor:
        """Mean square errors of lifter and projection on paired 2D and 3D poses."""
        projection = F.mse_loss(self.project(model, poses_3d), shapes)
        return F.mse_loss(lifted, self.normalisation.target(poses_3d)) + projection

    def cycle(
        self, model: CycleGAN, lifted: Tensor, shapes: Tensor, projected: Tensor, poses_3d: Tensor, rng, like: Tensor
    ) -> Tensor:
        """Mean square errors of shape -> 3D -> shape and of 3D -> shape -> 3D; both cycles start from real poses.

        Args:
            lifted: (B, 17, 3), network units, lifted from `shapes` (B, 16, 2).
            projected: (B, 16, 2), projected from `poses_3d` (B, 17, 3), mm.
            like: (B, 16, 2) px, any poses; they give the position and size of the projected ones.
        """
        with still_statistics(model):
            shapes_again = self.project(model, self.normalisation.to_mm(lifted))
            lifted_again = self.lift(model.lifter, place(projected, like), rng)
        return F.mse_loss(shapes_again, shapes) + F.mse_loss(lifted_again, self.normalisation.target(poses_3d))

    # ------------------------------------------------------------------------------------------ validation
    def validate(self, model: CycleGAN, minibatch: dict) -> dict:
        """The metrics of plain training, and those in `CYCLE_DEFINITIONS`."""
        poses_2d, poses_3d = self.validation.poses(minibatch["index"])
        outputs = self.lift(model.lifter, poses_2d)
        predicted = centre_on_hip(self.normalisation.to_mm(outputs))
        shapes, projected = normalise_instance(poses_2d), self.project(model, poses_3d)
        again_3d = centre_on_hip(self.normalisation.to_mm(self.lift(model.lifter, place(projected, poses_2d))))
        errors = joint_errors(predicted, poses_3d).mean(1)
        turned = joint_errors(depths_turned(predicted), poses_3d).mean(1) < errors
        result = self.measures(outputs, poses_3d, minibatch["index"]) | {
            "cycle_2d": 100 * (self.project(model, predicted) - shapes).norm(dim=-1).mean(),
            "cycle_3d": joint_errors(again_3d, poses_3d).mean(),
            "projection": 100 * (projected - shapes).norm(dim=-1).mean(),
            "turned": 100 * turned.float().mean(),
        }
        if self.cycle_settings.gan_coeff:
            real, fake = Poses(shapes, poses_3d / model.scale), Poses(projected, predicted / model.scale)
            result |= named(model.distances(real, fake))
        return result

    # ------------------------------------------------------------------------------------------ parts
    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """2D and 3D poses of `count` random training samples."""
        index = integers(len(self.training), count, generator=rng)
        return self.training.poses(index, self.augmentation, rng)

    def project(self, model: CycleGAN, poses_3d: Tensor) -> Tensor:
        """(B, 17, 3) mm, hip anywhere -> shapes (B, 16, 2)."""
        with autocast(self.device, self.optimisation.precision):
            return model.projection(poses_3d)

    def judged(self, model: CycleGAN, poses_2d: Tensor, poses_3d: Tensor) -> Poses:
        """Real poses, px and mm, for the critics."""
        return Poses(normalise_instance(poses_2d), poses_3d / model.scale)

    def in_units(self, model: CycleGAN, lifted: Tensor) -> Tensor:
        """The lifter's output for the 3D critic."""
        return centre_on_hip(self.normalisation.to_mm(lifted)) / model.scale


def named(distances: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {name: distance.detach() for name, distance in zip(("critic_2d", "critic_3d"), distances, strict=True)}


def build_cycle_gan(
    lifter: LinearModel,
    training: PoseSet,
    use_fc_for_projection: bool = False,
    dropout: float = 0.5,
    processes: Processes = ALONE,
) -> CycleGAN:
    """The lifter with new other networks; a fully connected projection has the lifter's size."""
    projection = ProjectNet()
    if use_fc_for_projection:
        projection = FullyConnectedProjection(lifter.w1.out_features, len(lifter.linear_stages), dropout)
    # One scale for all joints, whatever the lifter's normalisation: a critic has a bounded slope.
    scale = fit(training, "instance", processes).stddev_3d[0, 0].item()
    return CycleGAN(lifter, projection, scale)


def check_projection(companions: Mapping[str, Tensor], use_fc_for_projection: bool, path) -> None:
    """Raise UserError if a checkpoint's projection is of the other kind."""
    connected = "projection.w1.weight" in companions
    if connected != use_fc_for_projection:
        raise UserError(
            f"--use_fc_for_projection {use_fc_for_projection}: {path} was trained with {connected}; use that value"
        )

"""The five hooks that train the 3D pose baseline in the shared loop. All data stays on the device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twod_threed.detector_errors import DetectorErrors
from twod_threed.loading import lifter_part
from twod_threed.model import LinearModel, with_hip
from twod_threed.mpjpe import joint_errors, procrustes_align
from twod_threed.normalisation import Normalisation
from twod_threed.pose_pairs import PosePairs
from utils.compute.devices import GradientStep, autocast, batch_generator
from utils.compute.distributed import ALONE, Processes
from utils.data_utils import OrthogonalAugmentation, centre_on_hip, drop_joints
from utils.human36m_dataset import CAMERAS, PoseSet
from utils.plotting_utils import Ratio
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.log_files import MILLIMETRES
from utils.training.settings import Experiment, Optimisation
from utils.training_utils import TrainingHooks

ERRORS_IN_MM = ("MPJPE", "P-MPJPE", "MPJPE_detected")


@dataclass(frozen=True)
class LifterTraining:
    """Regularisation, learning rate decay and validation of the 3D baseline.

    Attributes:
        dropout: dropout probability of hidden units.
        max_norm: maximum norm of a unit's weights, enforced after every step; 0: none.
        drop_joint_prob: probability of setting an input joint to zero.
        lr_decay, lr_gamma: the learning rate decays by lr_gamma per lr_decay steps, continuously.
        procrustes: also validate after Procrustes alignment (Protocol 2).
    """

    dropout: float = 0.5
    max_norm: float = 1.0
    drop_joint_prob: float = 0.0
    lr_decay: int = 100_000
    lr_gamma: float = 0.96
    procrustes: bool = False


class LifterTrainer:
    """The hooks with their shared state: poses, normalisation, augmentation."""

    def __init__(
        self,
        training: PoseSet | PosePairs,
        validation: PoseSet | PosePairs,
        normalisation: Normalisation,
        steps: int,
        optimisation: Optimisation,
        experiment: Experiment,
        *,
        settings: LifterTraining | None = None,
        augmentation: OrthogonalAugmentation | None = None,
        errors: DetectorErrors | None = None,
        processes: Processes = ALONE,
    ):
        """
        Args:
            training, validation: on the training device, as is `normalisation`.
            steps: per epoch.
            augmentation: of the training poses, before projection.
            errors: added to 2D poses in training. Validation then also runs with errors, which decides on `best`.
        """
        self.training, self.validation, self.errors = training, validation, errors
        self.device, self.normalisation, self.steps_per_epoch = training.device, normalisation, steps
        self.optimisation, self.experiment, self.processes = optimisation, experiment, processes
        self.settings, self.augmentation = settings or LifterTraining(), augmentation
        self.step = GradientStep(self.device, optimisation.precision, optimisation.clip)
        self.saved = {"normalisation": normalisation.plain(), "grad_scaler": self.step}
        self.saved["input_places"] = training.places
        self.actions = sorted({sequence.action for sequence in validation.sequences})
        if self.actions:
            numbers = [self.actions.index(sequence.action) for sequence in validation.sequences]
            self.action_of = torch.tensor(numbers, device=self.device)[validation.sequence]  # (F,)

    def hooks(self) -> TrainingHooks:
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizer,
            load_fn=self.load_fn(),
            checkpoint_fn=self.checkpoint_fn(),
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="MPJPE_detected" if self.errors else "MPJPE",
            lower_is_better=("loss", *ERRORS_IN_MM),
            units=dict.fromkeys(ERRORS_IN_MM, MILLIMETRES),
            sample_names=self.sample_names(),
        )

    def sample_names(self):
        """Names of Human3.6M's samples; pairs have none."""
        return getattr(self.training, "names", None)

    def load_fn(self):
        return make_load_fn(self.experiment.allow_unsafe_load, self.saved, self.processes, part_of=lifter_part)

    def checkpoint_fn(self, **more):
        """The default checkpoint hook, which also writes `more`."""
        return make_checkpoint_fn(self.experiment.script, self.experiment.settings, self.saved | more, self.processes)

    def make_optimizer(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Adam (Martinez et al.), with AMSGrad on request; fused: one kernel for all parameters."""
        amsgrad = self.optimisation.use_amsprop
        return torch.optim.Adam(model.parameters(), lr, weight_decay=weight_decay, amsgrad=amsgrad, fused=True)

    def update(
        self, model: LinearModel, optimizer, minibatch: dict, iteration: int, optimisation: Optimisation
    ) -> dict[str, Tensor]:
        """One training step: augment, project, normalise, forward, backward, all on the device."""
        part = minibatch.get("part")
        generator = batch_generator(optimisation.seed, iteration, self.device, part)
        poses_2d, poses_3d = self.training.poses(minibatch["index"], self.augmentation, generator)
        if self.errors:
            poses_2d = self.errors.added(poses_2d, generator)
        loss = F.mse_loss(self.lift(model, poses_2d, generator), self.normalisation.target(poses_3d))
        self.set_rates(optimizer, iteration)
        self.step(loss, model.parameters(), optimizer, part)
        if self.settings.max_norm:
            model.constrain(self.settings.max_norm)
        return {"loss": loss.detach()}

    def lift(self, model: LinearModel, poses_2d: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, 16, 2) px -> (B, 17, 3) in network units. With a `generator` (in training) joints are dropped."""
        inputs = self.normalisation.input(poses_2d)
        if generator is not None:
            inputs = drop_joints(inputs, self.settings.drop_joint_prob, generator)
        with autocast(self.device, self.optimisation.precision):
            return with_hip(model(inputs)).float()

    def set_rates(self, optimizer: torch.optim.Optimizer, iteration: int) -> None:
        """Set the `learning_rate` of every parameter group."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate(group["initial_lr"], iteration)

    def learning_rate(self, initial: float, iteration: int) -> float:
        """The schedule's rate times lr_gamma per lr_decay steps, continuously (Martinez et al.)."""
        scheduled = self.optimisation.rate_factor(iteration // self.steps_per_epoch)
        return initial * scheduled * self.settings.lr_gamma ** (iteration / self.settings.lr_decay)

    def validate(self, model: LinearModel, minibatch: dict) -> dict:
        """`measures` of the predictions; with `errors` also MPJPE_detected, the MPJPE for inputs with errors."""
        index = minibatch["index"]
        poses_2d, poses_3d = self.validation.poses(index)
        result = self.measures(self.lift(model, poses_2d), poses_3d, index)
        if self.errors:
            lifted = self.normalisation.to_mm(self.lift(model, self.errors.added_for_validation(poses_2d, index)))
            result["MPJPE_detected"] = _means(joint_errors(centre_on_hip(lifted), poses_3d))
        return result

    def measures(self, outputs: Tensor, poses_3d: Tensor, index: Tensor) -> dict:
        """Loss; root-aligned MPJPE in mm over 17 joints, per joint and per action; P-MPJPE on request.

        Args:
            outputs: (B, 17, 3), network units.
            poses_3d: (B, 17, 3) mm, hip at zero, of the validation samples `index` (B,).
        """
        predicted = centre_on_hip(self.normalisation.to_mm(outputs))
        result = {"loss": F.mse_loss(outputs, self.normalisation.target(poses_3d))}
        errors = joint_errors(predicted, poses_3d)  # (B, 17) mm
        result |= {"MPJPE": _means(errors)}
        if self.settings.procrustes:
            result["P-MPJPE"] = _means(joint_errors(procrustes_align(predicted, poses_3d), poses_3d))
        return result | self.per_action(errors, index)

    def per_action(self, errors: Tensor, index: Tensor) -> dict[str, Ratio]:
        """MPJPE per action, mm; empty for poses without actions."""
        if not self.actions:
            return {}
        actions = self.action_of[index // CAMERAS]
        sums = errors.new_zeros(len(self.actions)).index_add_(0, actions, errors.mean(1))
        counts = torch.bincount(actions, minlength=len(self.actions))
        return {f"MPJPE/{name}": Ratio(sums[i : i + 1], counts[i : i + 1]) for i, name in enumerate(self.actions)}


def _means(errors: Tensor) -> Ratio:
    """Mean per joint of errors (B, J)."""
    return Ratio(errors.sum(0), torch.full_like(errors[0], len(errors)))

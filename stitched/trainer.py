"""The five hooks that train the stitched network, image to 3D pose, through the shared loop."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stacked_hourglass.samples.augmentation import jitter_colour
from stitched.loading import stitched_extras
from stitched.stitched_network import StitchedNetwork, StitchedOutput
from twod_threed.mpjpe import joint_errors, procrustes_align
from utils.compute.devices import GradientStep, autocast, batch_generator, to_device
from utils.compute.distributed import ALONE, Processes
from utils.human36m_frames import target_heatmaps
from utils.plotting_utils import Ratio
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.freezing import freeze
from utils.training.log_files import MILLIMETRES
from utils.training.settings import Experiment, Optimisation
from utils.training.unreadable import Unreadable
from utils.training_utils import TrainingHooks
from utils.transform import H36M_2D, Skeleton, joint_weights

NETWORK_PARTS = ("hourglass", "lifter")
UNITS_OF_ERRORS = {"MPJPE": MILLIMETRES, "P-MPJPE": MILLIMETRES, "2D_error": "px"}


@dataclass(frozen=True)
class StitchedTraining:
    """Settings of fine-tuning.

    Attributes:
        freeze: the network to freeze, "hourglass" or "lifter"; "none" trains both.
        hourglass_lr, lifter_lr: learning rate of one network; None for the common one.
        heatmap_loss_coeff, pose_3d_loss_coeff: weights of the two losses.
        remove_intermediate_supervision: apply the heat-map loss to the last stack only.
        sigma, label_type: width, in heat-map pixels, and shape of the target peaks.
        augment_training_data: random scale, shift, rotation, flip and colour of the crops.
    """

    freeze: str = "none"
    hourglass_lr: float | None = None
    lifter_lr: float | None = None
    heatmap_loss_coeff: float = 100.0
    pose_3d_loss_coeff: float = 1.0
    remove_intermediate_supervision: bool = False
    sigma: float = 1.0
    label_type: str = "Gaussian"
    augment_training_data: bool = True


class StitchedTrainer:
    """The hooks and their shared state: device, frozen parts, unreadable images."""

    def __init__(
        self,
        model: StitchedNetwork,
        device: torch.device,
        optimisation: Optimisation,
        experiment: Experiment,
        settings: StitchedTraining | None = None,
        processes: Processes = ALONE,
    ):
        self.device, self.normalisation = device, model.normalisation
        self.optimisation, self.experiment, self.processes = optimisation, experiment, processes
        self.settings = settings or StitchedTraining()
        self.trained = [part for part in NETWORK_PARTS if part != self.settings.freeze]
        self.frozen = freeze(model, [part for part in NETWORK_PARTS if part not in self.trained])
        maps, targets = shared_joints(model.skeleton)
        self.maps, self.targets = (torch.tensor(one, device=device) for one in (maps, targets))
        self.step = GradientStep(device, optimisation.precision, optimisation.clip)
        self.saved = stitched_extras(model) | {"grad_scaler": self.step}
        self.unreadable = Unreadable("images", processes)
        self.write_state = make_checkpoint_fn(experiment.script, experiment.settings, self.saved, processes)

    def hooks(self) -> TrainingHooks:
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizer,
            load_fn=make_load_fn(self.experiment.allow_unsafe_load, self.saved, self.processes),
            checkpoint_fn=self.checkpoint,
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="MPJPE",
            lower_is_better=("loss", "heatmap_loss", "pose_3d_loss", *UNITS_OF_ERRORS),
            units=UNITS_OF_ERRORS,
            frozen=self.frozen,
        )

    # ---------------------------------------------------------------------------------------------- the hooks
    def make_optimizer(self, model: StitchedNetwork, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Adam, optionally with AMSGrad, with one parameter group and learning rate per network.

        A frozen network has no group.
        """
        groups = [
            {"name": part, "params": list(getattr(model, part).parameters()), "lr": self.learning_rate(part, lr)}
            for part in self.trained
        ]
        amsgrad = self.optimisation.use_amsprop
        return torch.optim.Adam(groups, lr, weight_decay=weight_decay, amsgrad=amsgrad, fused=True)

    def update(
        self, model: StitchedNetwork, optimizer, minibatch: dict, iteration: int, optimisation: Optimisation
    ) -> dict[str, Tensor]:
        """One training step on a minibatch of `FrameCrops`."""
        self.unreadable.note("training", minibatch)
        batch = to_device(minibatch, self.device)
        with autocast(self.device, optimisation.precision):
            output = model(self.prepare(model, batch, iteration), batch["to_photo"])
        losses = self.losses(output, batch)
        self.step(losses["loss"], model.parameters(), optimizer, batch.get("part"))
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, model: StitchedNetwork, minibatch: dict) -> dict:
        """Losses; MPJPE and P-MPJPE in mm and 2D_error in px of the image, mean over joints and readable images."""
        self.unreadable.note("validation", minibatch)
        batch = to_device(minibatch, self.device)
        with autocast(self.device, self.optimisation.precision):
            output = model(self.prepare(model, batch), batch["to_photo"])
        readable, truth = batch["readable"], batch["pose_3d"]
        off_2d = model.lifter_input(output.pose_2d.float()) - batch["pose_2d"]
        return self.losses(output, batch) | {
            "MPJPE": _mean(joint_errors(output.pose_3d, truth), readable),
            "P-MPJPE": _mean(joint_errors(procrustes_align(output.pose_3d, truth), truth), readable),
            "2D_error": _mean(torch.linalg.vector_norm(off_2d, dim=-1), readable),
        }

    def checkpoint(self, model, optimizer, epoch, best, directory: Path, is_best: bool) -> None:
        """Write the default checkpoint, and warn of unreadable images."""
        self.unreadable.warn()
        self.write_state(model, optimizer, epoch, best, directory, is_best)

    # ---------------------------------------------------------------------------------------------- their parts
    def learning_rate(self, part: str, lr: float) -> float:
        """The network's own rate, else the common one."""
        own = getattr(self.settings, f"{part}_lr")
        return lr if own is None else own

    def prepare(self, model: StitchedNetwork, batch: dict, iteration: int | None = None) -> Tensor:
        """uint8 crops to network input (B, 3, H, W); with an iteration (in training), with colour jitter if enabled."""
        images = batch["image"].float() / 255
        if iteration is not None and self.settings.augment_training_data:
            generator = batch_generator(self.optimisation.seed, iteration, self.device, batch.get("part"))
            images = jitter_colour(images, generator)
        return (images - model.mean[:, None, None]).contiguous(memory_format=torch.channels_last)

    def losses(self, output: StitchedOutput, batch: dict) -> dict[str, Tensor]:
        """The losses; "loss", the weighted sum of the other two, is minimised.

        heatmap_loss is summed over the stacks that are supervised: the mean squared error over all pixels of the maps
        whose joints the truth has (`shared_joints`).
        pose_3d_loss is the mean squared error of the normalised 3D pose. An image that can't be read counts as right
        in both.
        """
        how = self.settings
        maps = output.heatmaps[-1:] if how.remove_intermediate_supervision else output.heatmaps
        targets = target_heatmaps(batch, maps[0].shape[-2:], how.sigma, how.label_type).index_select(1, self.targets)
        weights = batch["annotated"].index_select(1, self.targets)[..., None, None]
        errors = [((one.float().index_select(1, self.maps) - targets) * weights).square().mean() for one in maps]
        predicted, truth = (self.normalisation.target(pose) for pose in (output.pose_3d, batch["pose_3d"]))
        losses = {
            "heatmap_loss": torch.stack(errors).sum(),
            "pose_3d_loss": ((predicted - truth) * batch["readable"][:, None, None]).square().mean(),
        }
        losses["loss"] = (
            how.heatmap_loss_coeff * losses["heatmap_loss"] + how.pose_3d_loss_coeff * losses["pose_3d_loss"]
        )
        return losses


def shared_joints(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """Indices of joints in `skeleton` and in `H36M_2D`, in pairs: the same joint by name or stand-in."""
    weights = joint_weights(skeleton, H36M_2D)
    targets = [row for row in range(len(H36M_2D)) if (weights[row] != 0).sum() == 1]
    return [int(weights[row].argmax()) for row in targets], targets


def _mean(errors: Tensor, readable: Tensor) -> Ratio:
    """The mean of each joint's errors (B, J) over the readable images (B,)."""
    return Ratio(errors[readable].sum(0), readable.sum().expand(errors.shape[1]))

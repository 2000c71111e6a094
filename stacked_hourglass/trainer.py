"""The five hooks that train an hourglass through the shared loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stacked_hourglass.annotations.people import People
from stacked_hourglass.inference import batch_statistics, to_photo
from stacked_hourglass.loading import hourglass_part
from stacked_hourglass.metrics.batch_hits import pck_hits, pckh_hits
from stacked_hourglass.samples.augmentation import RandomMasking, jitter_colour
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.samples.framing import Framing
from stacked_hourglass.visibility import visibility_loss
from utils.compute.batch_parts import shard
from utils.compute.devices import GradientStep, autocast, batch_generator, to_device
from utils.compute.distributed import ALONE, Processes
from utils.imaging.draw2d import draw_pose, heat_map_image, image_grid, save_png
from utils.imaging.heatmaps import (
    DECODINGS,
    crop_to_heatmap,
    flip_test,
    heatmap_to_crop,
    location_loss,
    render_heatmaps,
)
from utils.plotting_utils import Ratio
from utils.predictions.prediction_arrays import save_prediction_array
from utils.training.checkpoints import make_checkpoint_fn, make_load_fn
from utils.training.log_files import PERCENT
from utils.training.settings import Experiment, Optimisation
from utils.training.unreadable import Unreadable
from utils.training.weight_average import WeightAverage
from utils.training_utils import TrainingHooks

PREDICTIONS_FILE = "preds_valid.mat"
RATES = ("PCKh@0.5", "PCK@0.2", "visibility_accuracy")
NOT_SCORED = ("pelvis", "thorax")  # excluded from the means of PCKh and PCK
BEST_UNIT = "best_unit"  # in checkpoints; older ones lack it
PICTURES = 6
HOST_STREAM = 1 << 40  # far from all numbers of iterations


@dataclass(frozen=True)
class HourglassTargets:
    """The target heat maps.

    Attributes:
        sigma: width of the peaks in heat-map pixels.
        sigma_decay: factor of sigma at each epoch of the schedule; 0 keeps it.
        label_type: shape of the peaks, "Gaussian" or "Cauchy".
    """

    sigma: float = 1.0
    sigma_decay: float = 0.0
    label_type: str = "Gaussian"


@dataclass(frozen=True)
class HourglassLosses:
    """The losses: the heat-map loss, and the weights of further losses.

    Attributes:
        remove_intermediate_supervision: apply the loss to the last stack only.
        joint_visibility_loss_coeff: weight of the visibility loss, for `predict_joint_visibility`.
        location_loss_coeff: weight of `location_loss`; 0 disables it.
        location_loss_saturation: saturation of `location_loss`, for partly wrong labels; 0: none.
    """

    remove_intermediate_supervision: bool = False
    joint_visibility_loss_coeff: float = 1.0
    location_loss_coeff: float = 0.0
    location_loss_saturation: float = 0.0


@dataclass(frozen=True)
class HourglassAugmentation:
    """Augmentation of training crops.

    Attributes:
        augment_training_data: random scale, rotation, flip and colour.
        masking: random bars over the images; None for none.
        framing: half bodies, people cut off, inaccurate boxes; None for none.
        degradation, erasing: blur, scale and JPEG; random rectangles; None for none.
    """

    augment_training_data: bool = True
    masking: RandomMasking | None = None
    framing: Framing | None = None
    degradation: Degradation | None = None
    erasing: RandomErasing | None = None


@dataclass(frozen=True)
class HourglassValidation:
    """Validation settings.

    Attributes:
        flip: flip test: average the heat maps of each crop and its mirror image.
        decoding: of the maps' peaks: "quarter" (`decode_heatmaps`) or "dark" (`decode_dark`).
        use_train_mode_to_eval: batch norm uses batch statistics.
        debug: save pictures of targets and predictions beside the checkpoint, every epoch.
    """

    flip: bool = False
    decoding: str = "quarter"
    use_train_mode_to_eval: bool = False
    debug: bool = False


def joints_in_view(batch: dict) -> Tensor:
    """(..., J) bool: the joints of a minibatch that are annotated and in view."""
    return batch["annotated"] & batch["joints"].isfinite().all(-1)


def best_in_percent(checkpoint: Mapping[str, Any]) -> float | None:
    """The best PCKh@0.5 of a checkpoint, in %. Older checkpoints store a fraction."""
    best = checkpoint.get("best")
    return best if best is None or checkpoint.get(BEST_UNIT) == PERCENT else 100 * best


class HourglassTrainer:
    """The hooks and their shared state: device, mean, settings, predictions for the validation people."""

    definitions = (
        "PCKh@0.5, in %: annotated joints (without pelvis and thorax, mean over joints) closer than 0.5 × the head "
        "size; PCK@0.2, in %: than 0.2 × the torso; definitions: stacked_hourglass/metrics/pckh.py"
    )

    def __init__(
        self,
        validation: People,
        device: torch.device,
        mean: Sequence[float],
        stddev: Sequence[float],
        steps_per_epoch: int,
        optimisation: Optimisation,
        experiment: Experiment,
        *,
        targets: HourglassTargets | None = None,
        losses: HourglassLosses | None = None,
        augmentation: HourglassAugmentation | None = None,
        evaluation: HourglassValidation | None = None,
        processes: Processes = ALONE,
    ):
        """`mean`, `stddev`: of RGB in [0, 1]; the mean is subtracted from crops, and both are stored in checkpoints."""
        self.device, self.skeleton, self.steps_per_epoch = device, validation.skeleton, steps_per_epoch
        self.optimisation, self.experiment, self.processes = optimisation, experiment, processes
        self.targets, self.coefficients = targets or HourglassTargets(), losses or HourglassLosses()
        self.augmentation = augmentation or HourglassAugmentation()
        self.evaluation = evaluation or HourglassValidation()
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.head_size = torch.from_numpy(validation.head_size).to(device)
        self.scored = [i for i, joint in enumerate(self.skeleton.joints) if joint not in NOT_SCORED]
        self.step = GradientStep(device, optimisation.precision, optimisation.clip)
        whole_order = self.skeleton.name.partition("[")[0]  # how many of its joints, the weights tell
        self.saved = {"mean": list(mean), "stddev": list(stddev), "skeleton": whole_order}
        self.saved |= {BEST_UNIT: PERCENT, "grad_scaler": self.step}
        self.average = WeightAverage(optimisation.ema) if optimisation.ema else None
        if self.average:
            self.saved["ema"] = self.average
        self.predictions = np.full((len(validation), len(self.skeleton), 2), np.nan)
        self.unreadable = Unreadable("people's photos", processes)
        self.debug_picture: np.ndarray | None = None
        self.write_state = make_checkpoint_fn(experiment.script, experiment.settings, self.saved, processes)

    def hooks(self) -> TrainingHooks:
        return TrainingHooks(
            make_optimizer_fn=self.make_optimizer,
            load_fn=make_load_fn(
                self.experiment.allow_unsafe_load, self.saved, self.processes, best_in_percent, hourglass_part
            ),
            checkpoint_fn=self.checkpoint,
            update_op=self.update,
            validation_loss=self.validate,
            best_metric="PCKh@0.5",
            higher_is_better=RATES,
            lower_is_better=("loss", "heatmap_loss", "location_loss", "visibility_loss"),
            units=dict.fromkeys(RATES, PERCENT),
            best_of=best_in_percent,
            average=self.average,
        )

    # ---------------------------------------------------------------------------------------------- the hooks
    def make_optimizer(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """RMSprop (Newell et al.), or AMSProp: Adam with AMSGrad (Reddi, Kale, Kumar, ICLR 2018)."""
        if self.optimisation.use_amsprop:
            return torch.optim.Adam(model.parameters(), lr, weight_decay=weight_decay, amsgrad=True)
        momentum = self.optimisation.momentum
        return torch.optim.RMSprop(model.parameters(), lr, weight_decay=weight_decay, momentum=momentum)

    def update(
        self, model, optimizer, minibatch: dict, iteration: int, optimisation: Optimisation
    ) -> dict[str, Tensor]:
        """One training step on a minibatch of `PoseCrops`."""
        self.unreadable.note("training", minibatch)
        batch = to_device(minibatch, self.device)
        images = self.prepare(batch, iteration)
        with autocast(self.device, optimisation.precision):
            heatmaps, logits = self.forward(model, images)
        heatmaps, logits, batch = self.samples(heatmaps, logits, batch)
        losses = self.losses(heatmaps, logits, batch, self.sigma(iteration))
        self.step(losses["loss"], model.parameters(), optimizer, batch.get("part"))
        self.saved["step"] = iteration + 1
        return {name: loss.detach() for name, loss in losses.items()}

    def validate(self, model: nn.Module, minibatch: dict) -> dict:
        """Losses, PCKh@0.5, PCK@0.2 (of the torso), accuracy of joint visibility (all in %), and a picture."""
        self.unreadable.note("validation", minibatch)
        batch, how, precision = to_device(minibatch, self.device), self.evaluation, self.optimisation.precision
        images = self.prepare(batch)
        with batch_statistics(model, how.use_train_mode_to_eval), autocast(self.device, precision):
            heatmaps, logits = self.forward(model, images)
            mirrored = self.forward(model, images.flip(-1))[0] if how.flip else []
        mirrored, _, _ = self.samples(mirrored, None, batch)
        heatmaps, logits, batch = self.samples(heatmaps, logits, batch)
        result = self.losses(heatmaps, logits, batch, self.targets.sigma)
        if logits is not None:
            right = ((logits > 0) == batch["visible"]) & batch["readable"][:, None]
            counts = batch["readable"].sum().expand(right.shape[1])
            result["visibility_accuracy"] = Ratio.percent(right.sum(0), counts)

        maps = heatmaps[-1].float()
        maps = flip_test(maps, mirrored[-1].float(), self.skeleton.flip_order) if how.flip else maps
        points, peaks = DECODINGS[how.decoding](maps)
        joints = heatmap_to_crop(points)
        self.keep_predictions(to_photo(batch["to_photo"], joints), peaks, batch)
        self._show(batch, maps, joints, result)
        return result | self.scores(joints, batch)

    def checkpoint(self, model, optimizer, epoch, best, directory: Path, is_best: bool) -> None:
        """Write the default checkpoint, and after a whole epoch the validation predictions and `debug` pictures."""
        self.unreadable.warn()
        self.write_state(model, optimizer, epoch, best, directory, is_best)
        if epoch == int(epoch):
            self.write_predictions(directory)
            if self.debug_picture is not None:  # on rank 0, which validates the first people
                save_png(Path(directory, "debug", f"epoch_{epoch:03d}.png"), self.debug_picture)

    # ---------------------------------------------------------------------------------------------- their parts
    def prepare(self, batch: dict, iteration: int | None = None) -> Tensor:
        """uint8 crops to network input (B, 3, H, W): in training colour and masks, then minus the mean.

        Random numbers depend on (seed, iteration) only. `iteration`: None for validation, without augmentation.
        """
        images = batch["image"].float() / 255
        if iteration is not None:
            generator, on_host = self.generators(batch, iteration)
            images = self.look(images, generator, on_host)
            if masking := self.augmentation.masking:
                images = masking(images, batch["joints"], joints_in_view(batch), self.mean, generator)
            if self.augmentation.erasing:
                images = self.augmentation.erasing(images, on_host)
        return (images - self.mean[:, None, None]).contiguous(memory_format=torch.channels_last)

    def generators(self, batch: dict, iteration: int) -> tuple[torch.Generator, torch.Generator]:
        """Generators of an iteration, on the device and on the CPU; see `degradation`."""
        seed, part = self.optimisation.seed, batch.get("part")
        on_host = batch_generator(seed, iteration + HOST_STREAM, part=part)
        return batch_generator(seed, iteration, self.device, part), on_host

    def look(self, images: Tensor, generator: torch.Generator, on_host: torch.Generator) -> Tensor:
        """(B, 3, H, W) in [0, 1] with random quality and colour."""
        if self.augmentation.degradation:
            images = self.augmentation.degradation(images, on_host)
        return jitter_colour(images, generator) if self.augmentation.augment_training_data else images

    def samples(
        self, heatmaps: list[Tensor], logits: Tensor | None, batch: dict
    ) -> tuple[list[Tensor], Tensor | None, dict]:
        """What losses and metrics are of; all that `forward` gives and the minibatch has."""
        return heatmaps, logits, batch

    def forward(self, model: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Heat maps of each stack, and the joint-visibility logits of an architecture that predicts them."""
        return model(images, True) if hasattr(model, "visibility") else (model(images), None)

    def sigma(self, iteration: int) -> float:
        """Width of the target peaks, heat-map pixels, after the decays of the epochs so far."""
        if not self.targets.sigma_decay:
            return self.targets.sigma
        decays = self.optimisation.decays(iteration // self.steps_per_epoch)
        return self.targets.sigma * self.targets.sigma_decay**decays

    def losses(self, heatmaps: list[Tensor], logits: Tensor | None, batch: dict, sigma: float) -> dict[str, Tensor]:
        """The losses; "loss" is minimised, the others are its terms.

        The heat-map loss is the mean squared error over all pixels of all maps, summed over the supervised stacks; maps
        of joints without annotation have zero error. The location loss (`location_loss`), a mean over the annotated
        joints, is summed likewise.
        """
        how, part = self.coefficients, batch.get("part")
        joints, size = crop_to_heatmap(batch["joints"]), heatmaps[0].shape[-2:]
        targets = render_heatmaps(joints, size, sigma, self.targets.label_type)
        weights = batch["annotated"][..., None, None]
        supervised = heatmaps[-1:] if how.remove_intermediate_supervision else heatmaps
        errors = [((maps.float() - targets) * weights).square().mean() for maps in supervised]
        losses = {"heatmap_loss": torch.stack(errors).sum()}
        losses["loss"] = losses["heatmap_loss"]
        if how.location_loss_coeff:
            saturation = how.location_loss_saturation
            located = [
                location_loss(maps.float(), targets, batch["annotated"], part, saturation) for maps in supervised
            ]
            losses["location_loss"] = torch.stack(located).sum()
            losses["loss"] = losses["loss"] + how.location_loss_coeff * losses["location_loss"]
        if logits is not None:
            losses["visibility_loss"] = visibility_loss(logits, batch["visible"], batch["readable"], part)
            losses["loss"] = losses["loss"] + how.joint_visibility_loss_coeff * losses["visibility_loss"]
        return losses

    def scores(self, joints: Tensor, batch: dict) -> dict[str, Ratio]:
        """PCKh@0.5 and PCK@0.2 in % (definitions: `pckh.py`), in photo pixels, from predicted crop joints (B, J, 2)."""
        predicted, truth = (to_photo(batch["to_photo"], points) for points in (joints, batch["joints"]))
        counted = batch["annotated"].clone()
        heads = self.head_size[batch["index"]]
        scored = self.scored
        found = pckh_hits(predicted[:, scored], truth[:, scored], heads, counted[:, scored])
        result = {"PCKh@0.5": Ratio.percent(*found)}
        if {"r_shoulder", "l_hip"} <= set(self.skeleton.joints):
            hits, counts = pck_hits(predicted, truth, counted, self.skeleton)
            result["PCK@0.2"] = Ratio.percent(hits[scored], counts[scored])
        return result

    def write_predictions(self, directory: Path) -> None:
        """Write `preds_valid.mat`: photo pixels in validation order; NaN for people with an unreadable photo.

        Warns of newly found unreadable photos. All processes call it, rank 0 writes.
        """
        predictions = self.of_all_processes(self.predictions)
        if self.processes.is_main:
            save_prediction_array(Path(directory, PREDICTIONS_FILE), predictions)
        self.unreadable.warn()

    def of_all_processes(self, values: np.ndarray) -> np.ndarray:
        """Gather (N, …) values of the validation people, of which each process has a part. All processes call it."""
        return self.processes.gather(torch.from_numpy(shard(values, self.processes))).numpy()

    def keep_predictions(self, joints: Tensor, peaks: Tensor, batch: dict) -> None:
        """Keep the joints of a minibatch (B, J, 2) for `write_predictions`; `peaks` (B, J): peak heights."""
        joints = joints.cpu().double().masked_fill(~batch["readable"].cpu()[:, None, None], torch.nan)
        self.predictions[batch["index"].cpu().numpy()] = joints.numpy()

    def _show(self, batch: dict, maps: Tensor, joints: Tensor, result: dict) -> None:
        """Add pictures of the first few people, if this minibatch has the first person."""
        if batch["index"][0] != 0:
            return
        count = min(PICTURES, len(maps))
        crops = batch["image"][:count].permute(0, 2, 3, 1).cpu().numpy()
        joints = joints[:count].cpu()
        drawn = [draw_pose(crop, one, self.skeleton) for crop, one in zip(crops, joints, strict=True)]
        result["image/predictions"] = torch.from_numpy(image_grid(drawn, count)).permute(2, 0, 1)
        if self.evaluation.debug:
            places, size = crop_to_heatmap(batch["joints"][:count]), maps.shape[-2:]
            targets = render_heatmaps(places, size, self.targets.sigma, self.targets.label_type)
            targets *= batch["annotated"][:count, :, None, None]
            rows = [
                heat_map_image(crop, one)
                for kind in (targets, maps[:count])
                for crop, one in zip(crops, kind, strict=True)
            ]
            self.debug_picture = image_grid([*drawn, *rows], count)

"""Train a Wasserstein GAN over 3D poses, of Human3.6M or of an array.

python train.py 3d_pose_gan --data_dir sample --epochs 20
python train.py 3d_pose_gan --action Walking,WalkTogether

In Python: train_pose_gan(facing(training), facing(held_out), Experiment("poses")), arrays (N, 17, 3) mm, z up
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from generative_models.fc_gan import PoseGAN
from generative_models.held_out import load_split, name_of
from generative_models.loading import pose_gan_architecture
from generative_models.measures import GAN_DEFINITIONS
from generative_models.poses import facing
from generative_models.trainer import GANSettings, GANTrainer
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.console.evaluation_tables import print_averages
from utils.doors.experiments import begin_training
from utils.doors.human36m import chosen_sequences
from utils.doors.option_rules import (
    from_options,
    print_if_workers_are_ignored,
    refuse_disagreement,
    refuse_useless,
)
from utils.osutils import inform
from utils.training.samplers import IndexLoader
from utils.training.settings import Experiment, Loading, Optimisation
from utils.training_utils import train

SHAPE = {"latent_size": "latent_size", "linear_size": "width", "num_stage": "blocks"}


@dataclass(frozen=True)
class GANShape:
    """Dimensions of a latent; width of hidden layers and number of residual blocks of both networks."""

    latent_size: int = 32
    linear_size: int = 256
    num_stage: int = 2


# ------------------------------------------------------------------------------------------ the script's door
def pose_gan(options: Namespace) -> None:
    """`train.py 3d_pose_gan`."""
    options, experiment, processes = begin_training(options, _check_options)
    print_if_workers_are_ignored(options)
    files, actions = chosen_sequences(options)
    sets = load_split(files, actions, options.held_out)
    training, held_out = (facing(part.world) for part in sets)
    _refuse_another_shape(options, experiment, processes)
    averages = train_pose_gan(
        training,
        held_out,
        experiment,
        shape=from_options(GANShape, options),
        optimisation=from_options(Optimisation, options),
        loading=from_options(Loading, options),
        settings=from_options(GANSettings, options),
        held_out_name=name_of(options.held_out),
        sample_names=sets[0].frame_names,
        device=options.device,
        compiled=options.compile,
        processes=processes,
    )
    if experiment.evaluate:
        print_averages(averages)


def _check_options(options: Namespace) -> None:
    """Raise UserError for options that contradict one another or have no effect."""
    penalised = options.gradient_penalty_coeff > 0
    fault = "is for a critic without gradient penalty: add --gradient_penalty_coeff 0, or leave it out"
    refuse_useless(options, [(penalised, ["clip_max"], fault)])


def _refuse_another_shape(options: Namespace, experiment: Experiment, processes: Processes) -> None:
    """Raise UserError for options that contradict the checkpoint to start from."""
    checkpoint, path = experiment.start_checkpoint(processes), experiment.start_path(processes)
    if checkpoint is not None:
        shape = pose_gan_architecture(checkpoint, path)
        refuse_disagreement(options, {name: shape[key] for name, key in SHAPE.items()}, path)


# ------------------------------------------------------------------------------------------ the training
def train_pose_gan(
    training: Tensor | np.ndarray,
    held_out: Tensor | np.ndarray,
    experiment: Experiment,
    *,
    shape: GANShape | None = None,
    optimisation: Optimisation | None = None,
    loading: Loading | None = None,
    settings: GANSettings | None = None,
    held_out_name: str = "given",
    sample_names: Callable[[Sequence[int]], list[str]] | None = None,
    device: str = "auto",
    compiled: bool = False,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Train a GAN over 3D poses. Returns the averages of the last validation.

    Checkpoints are in `experiment.directory`; `load_pose_gan(experiment.directory)` loads the best one.

    Args:
        training, held_out: (N, 17, 3) mm, in the frame of `generative_models.poses` (see `facing`).
        experiment: output folders and the checkpoint to start from. With `evaluate` it only validates.
        shape: of new networks; ignored when starting from a checkpoint.
        optimisation: by default `Optimisation(lr=3e-4, schedule=())`.
        loading: by default batches of 128. `workers` is ignored: poses are already on the device.
        held_out_name: description of the held-out poses, for the message that defines the measures.
        sample_names: names of training poses, from their indices, for error messages; by default the indices.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        compiled: compile the generator: slower start, faster steps.

    Raises UserError for fewer than 4 training or held-out poses, and if the checkpoint to start from is missing or of
    another network.
    """
    optimisation = optimisation or Optimisation(lr=3e-4, schedule=())
    loading = loading or Loading(train_batch_size=128, test_batch_size=4096)
    place = pick_device(device, processes)
    training, held_out = (torch.as_tensor(poses, dtype=torch.float32).to(place) for poses in (training, held_out))
    trainer = GANTrainer(training, held_out, optimisation, experiment, settings, loading.test_batch_size, processes)
    start, path = experiment.start_checkpoint(processes), experiment.start_path(processes)
    if start is None:
        form = shape or GANShape()
        model = PoseGAN(form.latent_size, form.linear_size, form.num_stage).fit_scale(training)
    else:
        model = PoseGAN(**pose_gan_architecture(start, path))  # its scale is among the weights
    model = model.to(place)
    inform(
        f"{len(training)} training and {len(held_out)} held-out poses (a frame), upright, all facing one way; "
        f"{sum(p.numel() for p in model.generator.parameters()):,} parameters in the generator, "
        f"{sum(p.numel() for p in model.critic.parameters()):,} in the critic\n"
        f"measures, of {trainer.measured} generated against as many held-out poses ({held_out_name}):\n"
        f"{GAN_DEFINITIONS}\n"
        f"with _real: the same for held-out poses alone; SW_parts: training against held-out poses, the value of a "
        f"perfect model of the training poses; SW_training: generated against training poses"
    )
    experiment.warn_if_untrained()
    if compiled:
        model.generator.compile()
    train_loader = IndexLoader(len(training), loading.train_batch_size, place, optimisation.seed, processes)
    # Measures need the whole sample at once.
    validation_loader = IndexLoader(trainer.measured, trainer.measured, place, processes=processes)
    hooks = replace(trainer.hooks(), sample_names=sample_names)
    return train(model, hooks, train_loader, validation_loader, optimisation, experiment, processes)

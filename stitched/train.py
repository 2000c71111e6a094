"""Fine-tune the stitched network, image to 3D pose, on Human3.6M's images.

python train.py stitched_fine_tune --load_hourglass model_checkpoints/hourglass_mpii_default \\
    --load_2d3d model_checkpoints/2d3d_h36m_default
python train.py stitched_fine_tune ... --evaluate           # validate without training
python train.py stitched_fine_tune ... --freeze hourglass   # adapt the 3D baseline to the hourglass's errors

In Python: fine_tune(load_network(image_scale="human36m"), training, validation, Experiment("fine_tune")), with `Frames`
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from stacked_hourglass.loading import count_parameters
from stacked_hourglass.samples.datasets import shard_loader, training_loader
from stitched.loading import load_network
from stitched.stitched_network import StitchedNetwork
from stitched.trainer import NETWORK_PARTS, StitchedTrainer, StitchedTraining
from twod_threed.loading import require_normalisation
from twod_threed.train import require_batches_of_several
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.console.evaluation_tables import print_averages
from utils.doors.experiments import begin_training
from utils.doors.human36m import chosen_sequences
from utils.doors.option_rules import from_options, given_value, refuse_disagreement, refuse_useless
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m.files import Human36mFiles
from utils.human36m_dataset import load_pose_set
from utils.human36m_frames import FrameCrops, Frames, find_frames
from utils.osutils import UserError, inform
from utils.training.settings import Experiment, Loading, Optimisation
from utils.training_utils import train

DEFINITIONS = """\
MPJPE: mm, mean over 17 joints and all images, hips aligned (Protocol 1)
P-MPJPE: the same after Procrustes alignment of each pose (Protocol 2)
2D_error: px of the image from soft-argmax to projected truth, mean over 16 joints and all images; MPII's thorax and
upper neck are compared with Human3.6M's spine and thorax"""


# ------------------------------------------------------------------------------------------ the script
def stitched_fine_tune(options: Namespace) -> None:
    """`train.py stitched_fine_tune`."""
    options, experiment, processes = begin_training(options, _check_options)
    device = pick_device(options.device, processes)
    model, settled = _network(options, experiment, device, processes)
    files, actions = chosen_sequences(options)
    validation = images_of(files, TEST_SUBJECTS, actions)
    averages = fine_tune(
        model,
        None if experiment.evaluate else images_of(files, TRAIN_SUBJECTS, actions),
        validation,
        replace(experiment, settings=dict(experiment.settings) | settled),
        optimisation=from_options(Optimisation, options),
        loading=from_options(Loading, options),
        settings=from_options(StitchedTraining, options),
        dropout=options.dropout,
        compiled=options.compile,
        processes=processes,
    )
    if experiment.evaluate:
        print_averages(averages)


def _network(
    options: Namespace, experiment: Experiment, device: torch.device, processes: Processes
) -> tuple[StitchedNetwork, dict]:
    """The initial network, and the settings that come from its checkpoints.

    Raises UserError like `load_network`, and for an option that contradicts a checkpoint.
    """
    load = experiment.start_path(processes)
    hourglass, lifter = (None, None) if experiment.resume else (options.load_hourglass, options.load_2d3d)
    model = load_network(
        load,
        hourglass,
        lifter,
        device=device,
        image_scale="human36m",
        allow_unsafe=options.allow_unsafe_load,
        processes=processes,
    )
    asked = given_value(options, "dataset_normalization")
    require_normalisation(asked, model.normalisation.kind, load or lifter)
    architecture = model.hourglass.architecture
    if "batch_norm_momentum" in options.given:  # affects no shapes, so training may change it
        architecture = replace(architecture, batch_norm_momentum=options.batch_norm_momentum)
    refuse_disagreement(options, vars(architecture), load or hourglass)
    model.hourglass.architecture = architecture
    if architecture.history_length:
        model.hourglass.attention.requires_grad_(False)  # single images have no past to learn it from
    shape = model.lifter.architecture()
    refuse_disagreement(options, shape, load or lifter)
    kind = {"dataset_normalization": model.normalisation.kind == "dataset"}
    return model, vars(architecture) | shape | kind


def _check_options(options: Namespace) -> None:
    """Raise UserError for options that contradict each other or would have no effect."""
    own_rates = options.hourglass_lr is not None and options.lifter_lr is not None
    of_hourglass = ["hourglass_lr", "heatmap_loss_coeff", "batch_norm_momentum"]
    rules = [
        (options.resume, ["load_hourglass", "load_2d3d"], "contradicts --resume, which continues this experiment"),
        (options.freeze == "hourglass", of_hourglass, "has no effect with --freeze hourglass"),
        (options.freeze == "lifter", ["lifter_lr", "dropout"], "has no effect with --freeze lifter"),
        (own_rates, ["lr"], "has no effect: --hourglass_lr and --lifter_lr set the rates of both networks"),
    ]
    refuse_useless(options, rules)
    coefficients = options.pose_3d_loss_coeff, 0 if options.freeze == "hourglass" else options.heatmap_loss_coeff
    if not any(coefficients):
        raise UserError("--pose_3d_loss_coeff 0: no loss left to train with; give a weight above 0")


# ------------------------------------------------------------------------------------------ the training
def fine_tune(
    model: StitchedNetwork,
    training: Frames | None,
    validation: Frames,
    experiment: Experiment,
    *,
    optimisation: Optimisation | None = None,
    loading: Loading | None = None,
    settings: StitchedTraining | None = None,
    dropout: float = 0.5,
    compiled: bool = False,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Fine-tune a stitched network, in place and on its device; returns the averages of the last validation.

    `load_network(experiment.directory)` gives the best one.

    Args:
        model: from `load_network`, with `image_scale="human36m"`.
        training: frames with ground truth; None with `experiment.evaluate`, which only validates.
        experiment: output folders and starting point.
        optimisation: by default `Optimisation(epochs=10, lr=1e-4, schedule=())`.
        loading: by default batches of 16.
        dropout: dropout probability of the lifter's hidden units.
        compiled: compile the network: slower start, faster steps.

    Raises UserError for a batch size that gives the lifter a minibatch of one sample.
    """
    optimisation = optimisation or Optimisation(epochs=10, lr=1e-4, schedule=())
    loading, settings = loading or Loading(train_batch_size=16, test_batch_size=16), settings or StitchedTraining()
    device = model.mean.device
    model = model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = model.hourglass.architecture.batch_norm_momentum
        elif isinstance(module, nn.Dropout):
            module.p = dropout
    sizes = ", ".join(f"{part} {count_parameters(getattr(model, part)):,}" for part in NETWORK_PARTS)
    images = f"{len(training)} training and " if training else ""
    inform(
        f"{images}{len(validation)} validation images, {model.normalisation.kind} normalisation, parameters: {sizes}"
        f"{f'; the {settings.freeze} is frozen' if settings.freeze != 'none' else ''}\n{DEFINITIONS}"
    )
    if compiled:
        model.compile()
    trainer = StitchedTrainer(model, device, optimisation, experiment, settings, processes)
    seed, workers, train_loader = optimisation.seed, loading.workers, None
    if training:
        batch_size, together = loading.train_batch_size, optimisation.sync_batch_norm
        if settings.freeze != "lifter":  # the hourglass's batch norm has the pixels of one image
            require_batches_of_several(len(training), batch_size, 1 if together else processes.size, processes.size)
        crops = FrameCrops(training, settings.augment_training_data, seed)
        train_loader = training_loader(crops, batch_size, workers, seed, processes)
    validation_loader = shard_loader(FrameCrops(validation), loading.test_batch_size, workers, processes)
    hooks = replace(trainer.hooks(), sample_names=training.names if training else None)
    averages = train(model, hooks, train_loader, validation_loader, optimisation, experiment, processes)
    trainer.unreadable.warn()
    return averages


def images_of(files: Human36mFiles, subjects: Sequence[int], actions: Sequence[str]) -> Frames:
    """Images of these subjects and actions, with ground truth. Raises UserError if there are none."""
    return find_frames(load_pose_set(files, subjects, actions), files.data_dir / "images")

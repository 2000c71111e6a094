"""Train a stacked hourglass on people in photos.

python train.py hourglass_mpii --data_dir sample --stacks 1 --features 64 --epochs 10
python train.py hourglass_mpii                      # the published setting, MPII in data/mpii
python train.py hourglass_lsp --data_dir data/lsp
"""

from argparse import Namespace
from dataclasses import fields, replace

import torch

from stacked_hourglass.annotations import People, load_mpii
from stacked_hourglass.augmentation import RandomMasking
from stacked_hourglass.datasets import PoseCrops, shard_loader, statistics, training_loader
from stacked_hourglass.hourglass import MPII_MEAN, MPII_STDDEV, Architecture, HourglassNet, scale_weights
from stacked_hourglass.loading import count_parameters, read_architecture, require_same_architecture
from stacked_hourglass.lsp_annotations import load_lsp
from stacked_hourglass.trainer import HourglassTrainer
from utils.compute.devices import pick_device
from utils.console.option_rules import refuse_useless
from utils.osutils import UserError
from utils.training_utils import experiment_directory, settle_experiment, start_checkpoint, train


def hourglass_mpii(options: Namespace) -> None:
    """`train.py hourglass_mpii`."""
    settle_options(options)
    train_on(options, *load_mpii(options.data_dir))


def hourglass_lsp(options: Namespace) -> None:
    """`train.py hourglass_lsp`."""
    settle_options(options)
    train_on(options, *load_lsp(options.data_dir))


def train_on(options: Namespace, training: People, validation: People) -> dict[str, float]:
    """Train on these people as the options say; returns the averages of the last validation."""
    training, validation = (people.first_joints(options.num_classes) for people in (training, validation))
    for name, people in (("training", training), ("validation", validation)):
        if not len(people) and not (options.evaluate and people is training):
            raise UserError(f"{options.data_dir}: no {name} people; README.md tells how to get the data")
    device = pick_device(options.device)
    mean, stddev = colour_statistics(training, options)
    model = build_model(options).to(device, memory_format=torch.channels_last)
    print(
        f"{len(training)} training and {len(validation)} validation people; {count_parameters(model):,} parameters\n"
        f"PCKh@0.5: share of annotated joints (without pelvis and thorax, mean over joints) closer than 0.5 × the head "
        f"size; PCK@0.2: than 0.2 × the torso; definitions: stacked_hourglass/pckh.py"
    )
    if options.compile:
        model.compile()
    train_loader = training_loader(training, options)
    validation_loader = shard_loader(PoseCrops(validation), options)
    trainer = HourglassTrainer(options, validation, device, mean, stddev, steps_per_epoch=len(train_loader))
    averages = train(model, trainer.hooks(), train_loader, validation_loader, options)
    if options.evaluate:
        trainer.write_predictions(experiment_directory(options))
    return averages


def build_model(options: Namespace) -> HourglassNet:
    """The network that the options describe, freshly initialised."""
    architecture = Architecture(**{field.name: getattr(options, field.name) for field in fields(Architecture)})
    model = HourglassNet(architecture)
    scale_weights(model, options.scale_weight_factor)
    return model


def settle_options(options: Namespace) -> None:
    """Check the options; `--resume` takes over all that its checkpoint has, `--load` the network's shape."""
    settle_experiment(options)
    if options.load and not options.resume:
        checkpoint = start_checkpoint(options)
        architecture = read_architecture(checkpoint, options.load)
        if "batch_norm_momentum" in options.given:  # no weight has its shape from it, so training may change it
            architecture = replace(architecture, batch_norm_momentum=options.batch_norm_momentum)
        require_same_architecture(architecture, options, options.load)
        for field in fields(Architecture):
            setattr(options, field.name, getattr(architecture, field.name))
    check_options(options)


def colour_statistics(training: People, options: Namespace) -> tuple[list[float], list[float]]:
    """Mean and deviation that the network sees: those of the weights it starts from, else the training set's."""
    checkpoint = start_checkpoint(options)
    if checkpoint is None:
        return statistics(training, options)
    return checkpoint.get("mean", list(MPII_MEAN)), checkpoint.get("stddev", list(MPII_STDDEV))


def check_options(options: Namespace) -> None:
    """UserError for options that contradict one another or would have no effect."""
    masks = [field.name for field in fields(RandomMasking)]
    batch_norms = ["no_batch_norm_affine", "batch_norm_momentum", "use_train_mode_to_eval", "sync_batch_norm"]
    rules = [
        (options.use_layer_norm, batch_norms, "concerns batch norm, and --use_layer_norm leaves none"),
        (not options.predict_joint_visibility, ["joint_visibility_loss_coeff"], "needs --predict_joint_visibility"),
        (not options.add_random_masking, masks, "needs --add_random_masking"),
        (options.use_amsprop, ["momentum"], "is RMSprop's, and --use_amsprop takes Adam with AMSGrad"),
    ]
    refuse_useless(options, rules)
    if options.features % 4:
        raise UserError(f"--features {options.features}: must be a multiple of 4, since the stem has a quarter of them")

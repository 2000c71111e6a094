"""Fine-tune the stitched network, image to 3D pose, on Human3.6M's images.

python train.py stitched_fine_tune --load_hourglass model_checkpoints/hourglass_mpii_default \\
    --load_2d3d model_checkpoints/2d3d_h36m_default
python train.py stitched_fine_tune ... --evaluate           # the two as they are, stitched
python train.py stitched_fine_tune ... --freeze hourglass   # the 3D baseline gets used to the hourglass's errors
"""

from argparse import Namespace
from dataclasses import replace

import torch
from torch import nn

from stacked_hourglass.datasets import make_loader, shard_loader
from stacked_hourglass.loading import count_parameters, require_same_architecture
from stitched.loading import load_stitched
from stitched.stitched_network import StitchedNetwork
from stitched.trainer import PARTS, StitchedTrainer
from twod_threed.train import require_batches_of_several
from utils.compute.devices import pick_device
from utils.console.option_rules import refuse_disagreement, refuse_useless
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import Human36mFiles, find_sequences
from utils.human36m.report import report
from utils.human36m_dataset import load_pose_set
from utils.human36m_frames import FrameCrops, Frames, find_frames
from utils.osutils import UserError
from utils.training.samplers import EpochSampler
from utils.training_utils import settle_experiment, start_path, train

DEFINITIONS = """\
MPJPE: mm, mean over 17 joints and all images, hips aligned (Protocol 1)
P-MPJPE: the same after Procrustes alignment of each pose (Protocol 2)
2D_error: px of the image from soft-argmax to projected truth, mean over 16 joints and all images; MPII's thorax and
upper neck stand in for Human3.6M's spine and thorax"""


def stitched_fine_tune(options: Namespace) -> dict[str, float]:
    """`train.py stitched_fine_tune`; returns the averages of the last validation."""
    settle_experiment(options)
    check_options(options)
    device = pick_device(options.device)
    model = load_network(options, device)
    files = find_sequences(options.data_dir)
    print(report(files))
    validation = images_of(files, TEST_SUBJECTS, options)
    training = None if options.evaluate else images_of(files, TRAIN_SUBJECTS, options)
    sizes = ", ".join(f"{part} {count_parameters(getattr(model, part)):,}" for part in PARTS)
    images = f"{len(training)} training and " if training else ""
    print(
        f"{images}{len(validation)} validation images, {model.normalisation.kind} normalisation, parameters: {sizes}"
        f"{f'; the {options.freeze} is frozen' if options.freeze != 'none' else ''}\n{DEFINITIONS}"
    )
    if options.compile:
        model.compile()
    trainer = StitchedTrainer(options, model, device)
    train_loader = training_loader(training, options) if training else None
    validation_loader = shard_loader(FrameCrops(validation), options)
    averages = train(model, trainer.hooks(), train_loader, validation_loader, options)
    trainer.warn_of_unreadable()
    return averages


def images_of(files: Human36mFiles, subjects: tuple[int, ...], options: Namespace) -> Frames:
    """The images of these subjects and the chosen actions, with their truth. UserError where there is none."""
    poses = load_pose_set(files, subjects, select_actions(options.action))
    return find_frames(poses, files.data_dir / "images")


def training_loader(frames: Frames, options: Namespace):
    """Shuffled anew every epoch, augmented if the options say so."""
    if options.freeze != "lifter":  # the hourglass's batch norm has the pixels of one image
        require_batches_of_several(options, len(frames))
    dataset = FrameCrops(frames, options.augment_training_data, options.seed)
    sampler = EpochSampler(len(dataset), options.train_batch_size, options.seed)
    return make_loader(dataset, options, options.train_batch_size, batch_sampler=sampler)


def load_network(options: Namespace, device: torch.device) -> StitchedNetwork:
    """The network to start from, as the options say; they get the values that its checkpoints settle.

    Raises UserError as `load_stitched` does, and for an option that contradicts a checkpoint.
    """
    source = Namespace(**vars(options) | {"load": start_path(options)})
    if options.resume:
        source.load_hourglass = source.load_2d3d = None
    model = load_stitched(source, device, image_scale="human36m").to(memory_format=torch.channels_last)
    architecture = model.hourglass.architecture
    if "batch_norm_momentum" in options.given:  # no weight has its shape from it, so training may change it
        architecture = replace(architecture, batch_norm_momentum=options.batch_norm_momentum)
    require_same_architecture(architecture, options, source.load or source.load_hourglass)
    lifter = {"linear_size": model.lifter.w1.out_features, "num_stage": len(model.lifter.linear_stages)}
    refuse_disagreement(options, lifter, source.load or source.load_2d3d)
    settled = vars(architecture) | lifter | {"dataset_normalization": model.normalisation.kind == "dataset"}
    for name, value in settled.items():
        setattr(options, name, value)
    model.hourglass.architecture = architecture
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = architecture.batch_norm_momentum
        elif isinstance(module, nn.Dropout):
            module.p = options.dropout
    return model


def check_options(options: Namespace) -> None:
    """UserError for options that contradict one another or would have no effect."""
    own_rates = options.hourglass_lr is not None and options.lifter_lr is not None
    of_hourglass = ["hourglass_lr", "heatmap_loss_coeff", "batch_norm_momentum"]
    rules = [
        (options.resume, ["load_hourglass", "load_2d3d"], "contradicts --resume, which goes on from this experiment"),
        (options.freeze == "hourglass", of_hourglass, "has no effect with --freeze hourglass"),
        (options.freeze == "lifter", ["lifter_lr", "dropout"], "has no effect with --freeze lifter"),
        (own_rates, ["lr"], "has no effect, since --hourglass_lr and --lifter_lr give both networks' rates"),
    ]
    refuse_useless(options, rules)
    coefficients = options.pose_3d_loss_coeff, 0 if options.freeze == "hourglass" else options.heatmap_loss_coeff
    if not any(coefficients):
        raise UserError("--pose_3d_loss_coeff 0: no loss is left to train with; give a weight above 0")

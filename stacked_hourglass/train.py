"""Train a stacked hourglass on people in photos.

python train.py hourglass_mpii --data_dir sample --stacks 1 --features 64 --epochs 10
python train.py hourglass_mpii                      # the published setting, MPII in data/mpii
python train.py hourglass_lsp --data_dir data/lsp
python train.py hourglass_eva --data_dir data/eva --add_attention             # HumanEva-I's videos, in clips
python train.py hourglass_coco --data_dir data/coco                          # 17 joints, validates by OKS AP
python train.py hourglass_mpii --data_dir data/mpii data/lsp data/coco       # MPII's joints; validates on MPII

In Python: train_hourglass(training, validation, Experiment("people"), architecture=Architecture(stacks=1))
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import Dataset

from stacked_hourglass.annotations.coco import load_coco
from stacked_hourglass.annotations.eva import load_eva
from stacked_hourglass.annotations.eva_frames import picture_files
from stacked_hourglass.annotations.joined import Loader, load_joined, require_people
from stacked_hourglass.annotations.lsp import load_lsp
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.clip_trainer import ClipTrainer
from stacked_hourglass.coco_trainer import CocoTrainer, CocoValidation
from stacked_hourglass.hourglass import MPII_MEAN, MPII_STDDEV, Architecture, HourglassNet, scale_weights
from stacked_hourglass.loading import count_parameters, hourglass_architecture, hourglass_part
from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.clips import ClipCrops
from stacked_hourglass.samples.crop_pack import pack_crops
from stacked_hourglass.samples.datasets import PoseCrops, shard_loader, statistics, training_loader
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.samples.framing import Framing
from stacked_hourglass.trainer import (
    HourglassAugmentation,
    HourglassLosses,
    HourglassTargets,
    HourglassTrainer,
    HourglassValidation,
)
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.console.evaluation_tables import print_averages
from utils.doors.experiments import experiment_of, settle_experiment
from utils.doors.option_rules import from_options, processes_of, refuse_disagreement, refuse_useless, with_values
from utils.osutils import UserError, inform
from utils.training.freezing import freeze
from utils.training.settings import Experiment, Loading, Optimisation
from utils.training_utils import train
from utils.transform import COCO

OF_ATTENTION = ["attention_history_length", "attention_heads", "attention_levels"]


# ------------------------------------------------------------------------------------------ the scripts
def hourglass_mpii(options: Namespace) -> None:
    """`train.py hourglass_mpii`."""
    _train_as_told(options, loader_of("mpii"))


def hourglass_lsp(options: Namespace) -> None:
    """`train.py hourglass_lsp`."""
    _train_as_told(options, loader_of("lsp"))


def hourglass_coco(options: Namespace) -> None:
    """`train.py hourglass_coco`."""
    _train_as_told(options, loader_of("coco"), CocoValidation.read)


def hourglass_eva(options: Namespace) -> None:
    """`train.py hourglass_eva`."""
    _train_as_told(options, loader_of("eva", options.sync, processes_of(options)))


def loader_of(data_set: str, sync: Path | None = None, processes: Processes = ALONE) -> Loader:
    """What reads the first folder of "mpii", "lsp", "coco" or "eva". `sync`: the file that places HumanEva's clips."""
    eva = partial(load_eva, pictures=partial(picture_files, processes=processes), sync=sync)
    return {"mpii": load_mpii, "lsp": load_lsp, "coco": load_coco, "eva": eva}[data_set]


def _train_as_told(
    options: Namespace,
    load_people: Loader,
    read_coco_validation: Callable[[Path], CocoValidation] | None = None,
) -> None:
    processes = processes_of(options)
    options = settle_options(options, processes)
    if read_coco_validation and options.num_classes != len(COCO):
        network = f"--num_classes {options.num_classes}" if "num_classes" in options.given else f"--load {options.load}"
        raise UserError(f"{network}: the network has {options.num_classes} joints; COCO's AP is of all {len(COCO)}")
    training, validation = load_joined(options.data_dir, load_people)
    if not options.evaluate:
        require_people(training, "training", options.data_dir)
    require_people(validation, "validation", options.data_dir[:1])
    averages = train_hourglass(
        training,
        validation,
        experiment_of(options),
        architecture=from_options(Architecture, options),
        optimisation=from_options(Optimisation, options),
        loading=from_options(Loading, options),
        targets=from_options(HourglassTargets, options),
        losses=from_options(HourglassLosses, options),
        augmentation=augmentation_of(options),
        evaluation=from_options(HourglassValidation, options),
        coco=read_coco_validation(options.data_dir[0]) if read_coco_validation else None,
        scale_weight_factor=options.scale_weight_factor,
        frozen=options.freeze_modules or (),
        pack_data=options.pack_data,
        device=options.device,
        compiled=options.compile,
        processes=processes,
    )
    if options.evaluate:
        print_averages(averages)


def augmentation_of(options: Namespace) -> HourglassAugmentation:
    """The augmentation that the options ask for."""
    masking = from_options(RandomMasking, options) if options.add_random_masking else None
    kinds = {"framing": Framing, "degradation": Degradation, "erasing": RandomErasing}
    parts = {name: from_options(kind, options) for name, kind in kinds.items()}
    return from_options(HourglassAugmentation, options, masking=masking, **parts)


def settle_options(options: Namespace, processes: Processes = ALONE) -> Namespace:
    """The options to train with: `--resume` restores all options of its checkpoint, `--load` the architecture."""
    options = settle_experiment(options, processes)
    if options.load and not options.resume:
        loaded = hourglass_architecture(
            hourglass_part(experiment_of(options).start_checkpoint(processes)), options.load
        )
        if "batch_norm_momentum" in options.given:  # affects no shapes, so training may change it
            loaded = replace(loaded, batch_norm_momentum=options.batch_norm_momentum)
        if options.add_attention and not loaded.history_length:  # added to a network of single images
            names = ("add_attention", *OF_ATTENTION)
            loaded = replace(loaded, **{name: getattr(options, name) for name in names})
        refuse_disagreement(options, vars(loaded), options.load)
        options = with_values(options, **vars(loaded))
    check_options(options)
    return options


def check_options(options: Namespace) -> None:
    """Raise UserError for options that contradict each other or would have no effect."""
    batch_norms = ["no_batch_norm_affine", "batch_norm_momentum", "use_train_mode_to_eval", "sync_batch_norm"]
    cosine = options.schedule_type == "cosine"
    rules = [
        (options.use_layer_norm, batch_norms, "concerns batch norm, and --use_layer_norm leaves none"),
        (not options.predict_joint_visibility, ["joint_visibility_loss_coeff"], "needs --predict_joint_visibility"),
        (options.add_attention, ["pack_data"], "is for single photos, and --add_attention trains on clips"),
        (not options.add_attention, OF_ATTENTION, "needs --add_attention"),
        *augmentation_rules(options),
        (not options.location_loss_coeff, ["location_loss_saturation"], "needs --location_loss_coeff"),
        (cosine, ["gamma"], "is of --schedule_type steps"),
        (cosine and not options.sigma_decay, ["schedule"], "is of --schedule_type steps, and of --sigma_decay"),
        (not (options.load or options.resume), ["freeze_modules"], "needs --load: a new network has nothing to keep"),
        (options.use_amsprop, ["momentum"], "is RMSprop's, and --use_amsprop takes Adam with AMSGrad"),
    ]
    refuse_useless(options, rules)
    _check_features(options.features)
    _check_heads(from_options(Architecture, options))


def augmentation_rules(options: Namespace) -> list[tuple[bool, list[str], str]]:
    """For `refuse_useless`: options of an augmentation that is off."""
    masks = [field.name for field in fields(RandomMasking)]
    return [
        (not options.add_random_masking, masks, "needs --add_random_masking"),
        (not options.blur_prob, ["max_blur"], "needs --blur_prob"),
        (not options.downscale_prob, ["max_downscale"], "needs --downscale_prob"),
        (not options.jpeg_prob, ["min_jpeg_quality"], "needs --jpeg_prob"),
        (not options.erase_prob, ["max_erased_area"], "needs --erase_prob"),
    ]


# ------------------------------------------------------------------------------------------ the training
def train_hourglass(
    training: People,
    validation: People,
    experiment: Experiment,
    *,
    architecture: Architecture | None = None,
    optimisation: Optimisation | None = None,
    loading: Loading | None = None,
    targets: HourglassTargets | None = None,
    losses: HourglassLosses | None = None,
    augmentation: HourglassAugmentation | None = None,
    evaluation: HourglassValidation | None = None,
    coco: CocoValidation | None = None,
    scale_weight_factor: float = 1.0,
    frozen: Sequence[str] = (),
    pack_data: bool = False,
    device: str = "auto",
    compiled: bool = False,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Train an hourglass on people in photos; returns the averages of the last validation, rates in %.

    Checkpoints are in `experiment.directory`; `load_hourglass(experiment.directory)` loads the best one.

    Args:
        training, validation: their first `architecture.num_classes` joints are predicted. Photos are read during
            training; one that can't be read is excluded from loss and metrics. An architecture with attention trains
            on their clips (`People.clip`), of one frame more than its history; batch sizes then count clips.
        experiment: output folders and starting point. With `evaluate` it only validates, and writes the predictions.
        architecture: for a new network; by default that of the initial weights, else `Architecture()`.
        coco: COCO's fields of the validation people, in their order, to validate by AP and write official results. The
            network must predict all 17 joints.
        scale_weight_factor: factor on all weights at initialization.
        frozen: names of modules that keep the weights and norm statistics of the checkpoint to start from.
        pack_data: read training crops from a `crop_pack`, made on first use; not for clips.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        compiled: compile the network: slower start, faster steps.

    Raises UserError for a checkpoint to start from that is missing or another network's, and for attention over time
    without clips.
    """
    optimisation, loading = optimisation or Optimisation(), loading or Loading()
    augmentation = augmentation or HourglassAugmentation()
    place = pick_device(device, processes)
    start = experiment.start_checkpoint(processes)
    start = hourglass_part(start) if start else None
    architecture = architecture or (hourglass_architecture(start, experiment.start_path()) if start else Architecture())
    training, validation = (people.first_joints(architecture.num_classes) for people in (training, validation))
    model = new_network(architecture, scale_weight_factor).to(place, memory_format=torch.channels_last)
    still = freeze(model, frozen)
    seed, workers, history = optimisation.seed, loading.workers, architecture.history_length
    crops, validation_crops = training_and_validation_samples(training, validation, history, augmentation, seed)
    if pack_data and not history and not experiment.evaluate:
        crops.pack = pack_crops(training, workers, processes=processes)
    mean, stddev = colour_statistics(training, start, loading.workers, processes)
    kind = ClipTrainer if history else CocoTrainer if coco else HourglassTrainer
    make_trainer = partial(kind, coco) if kind is CocoTrainer else kind
    clips = f" in {len(crops)} clips of {history + 1} frames" if history else ""
    inform(
        f"{len(training)} training{clips} and {len(validation)} validation people; {count_parameters(model):,} "
        f"parameters\n{kind.definitions}"
    )
    experiment.warn_if_untrained()
    if compiled:
        model.compile()
    train_loader = training_loader(crops, loading.train_batch_size, workers, seed, processes)
    validation_loader = shard_loader(validation_crops, loading.test_batch_size, workers, processes)
    trainer = make_trainer(
        validation,
        place,
        mean,
        stddev,
        len(train_loader),
        optimisation,
        experiment,
        targets=targets,
        losses=losses,
        augmentation=augmentation,
        evaluation=evaluation,
        processes=processes,
    )
    hooks = replace(trainer.hooks(), sample_names=training.names, frozen=still)
    averages = train(model, hooks, train_loader, validation_loader, optimisation, experiment, processes)
    if experiment.evaluate:
        trainer.write_predictions(experiment.directory)
    return averages


def new_network(architecture: Architecture, scale_weight_factor: float = 1.0) -> HourglassNet:
    """A freshly initialised network, its weights multiplied by a factor."""
    _check_features(architecture.features)
    _check_heads(architecture)
    model = HourglassNet(architecture)
    scale_weights(model, scale_weight_factor)
    return model


def _check_features(features: int) -> None:
    if features % 4:
        raise UserError(f"--features {features}: must be a multiple of 4: the stem has a quarter of them")


def _check_heads(architecture: Architecture) -> None:
    heads, features = architecture.attention_heads, architecture.features
    if architecture.history_length and features % heads:
        raise UserError(f"--attention_heads {heads}: must divide --features {features}")


def training_and_validation_samples(
    training: People, validation: People, history: int, augmentation: HourglassAugmentation, seed: int
) -> tuple[Dataset, Dataset]:
    """Samples to train and to validate on: clips for a network that looks `history` frames back, else people."""
    varied = {"augment": augmentation.augment_training_data, "seed": seed, "framing": augmentation.framing}
    if not history:
        return PoseCrops(training, **varied), PoseCrops(validation)
    if training.clip is None:
        raise UserError(
            f"--add_attention: {', '.join(map(str, training.source)) or 'the training set'} names no clips; each "
            "person needs clip (a name) and frame (a number), see docs/clips.md"
        )
    length = history + 1
    return ClipCrops(training, length, **varied), ClipCrops(validation, length, history=history)


def colour_statistics(
    training: People, start: dict | None, workers: int = 0, processes: Processes = ALONE
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the input: from the initial checkpoint, else from the training set."""
    if start is None:
        return statistics(training, workers, processes=processes)
    return start.get("mean", list(MPII_MEAN)), start.get("stddev", list(MPII_STDDEV))

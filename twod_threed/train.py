"""Train the 3D pose baseline, 2D to 3D, on Human3.6M or on arrays of poses.

python train.py 2d3d_h36m --data_dir sample --epochs 20
python train.py 2d3d_h36m --orthogonal_data_augmentation --z_rotations_only
python train.py 2d3d_h36m --cycle_gan --regression_coeff 0      # unpaired 2D and 3D poses

In Python: train_lifter(PosePairs(poses_2d, poses_3d), PosePairs(other_2d, other_3d), Experiment("lifter"))
"""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from twod_threed.cycle_trainer import CYCLE_DEFINITIONS, CycleSettings, CycleTrainer, build_cycle_gan
from twod_threed.detector_errors import DetectorErrors, load_errors
from twod_threed.loading import lifter_architecture, lifter_part, require_normalisation
from twod_threed.model import LinearModel
from twod_threed.normalisation import Normalisation, fit, from_plain
from twod_threed.pose_pairs import PosePairs
from twod_threed.trainer import LifterTrainer, LifterTraining
from utils.compute.devices import pick_device
from utils.compute.distributed import ALONE, Processes
from utils.console.evaluation_tables import print_averages
from utils.data_utils import OrthogonalAugmentation
from utils.doors.experiments import begin_training
from utils.doors.human36m import chosen_sequences
from utils.doors.option_rules import (
    from_options,
    given_value,
    print_if_workers_are_ignored,
    refuse_disagreement,
    refuse_useless,
)
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS
from utils.human36m_dataset import PoseSet, load_pose_set
from utils.osutils import UserError, inform
from utils.training.samplers import IndexLoader
from utils.training.settings import Experiment, Loading, Optimisation
from utils.training_utils import train

AUGMENTATION = ("orthogonal_data_augmentation_prob", "flip_prob", "z_rotations_only")
CRITICS = ("gradient_penalty_coeff", "discr_updates_per_gen_update", "discr_2d_lr", "discr_3d_lr")
CYCLE = ("gan_coeff", "cycle_coeff", "regression_coeff", "use_fc_for_projection", "project_lr", *CRITICS)


@dataclass(frozen=True)
class LifterShape:
    """Width of hidden layers, and number of residual blocks."""

    linear_size: int = 1024
    num_stage: int = 2


# ------------------------------------------------------------------------------------------ the script's door
def lifter_h36m(options: Namespace) -> None:
    """`train.py 2d3d_h36m`."""
    options, experiment, processes = begin_training(options, _check_options)
    print_if_workers_are_ignored(options)
    files, actions = chosen_sequences(options)
    training, validation = (
        load_pose_set(files, subjects, actions, options.use_hg, options.input_places)
        for subjects in (TRAIN_SUBJECTS, TEST_SUBJECTS)
    )
    augmentation = None
    if options.orthogonal_data_augmentation:
        prob = options.orthogonal_data_augmentation_prob
        augmentation = from_options(OrthogonalAugmentation, options, prob=prob)
    _refuse_another_shape(options, experiment, processes)
    averages = train_lifter(
        training,
        validation,
        experiment,
        shape=from_options(LifterShape, options),
        normalisation="dataset" if options.dataset_normalization else "instance",
        optimisation=from_options(Optimisation, options),
        loading=from_options(Loading, options),
        settings=from_options(LifterTraining, options),
        augmentation=augmentation,
        errors=load_errors(options.detector_errors) if options.detector_errors else None,
        cycle=from_options(CycleSettings, options) if options.cycle_gan else None,
        device=options.device,
        compiled=options.compile,
        processes=processes,
    )
    if experiment.evaluate:
        print_averages(averages)


def _check_options(options: Namespace) -> None:
    """Raise UserError for options that contradict one another or have no effect."""
    augmented = options.orthogonal_data_augmentation
    rules = [
        (not options.cycle_gan, CYCLE, "needs --cycle_gan"),
        (options.gan_coeff == 0, CRITICS, "is for the critics, which --gan_coeff 0 leaves out"),
        (not augmented, AUGMENTATION, "needs --orthogonal_data_augmentation"),
        (options.use_hg and augmented, ["use_hg"], "has no detections for augmented poses; choose one of the two"),
        (
            options.use_hg,
            ["detector_errors", "input_places"],
            "is for projected poses, and --use_hg takes detected ones",
        ),
        (options.cycle_gan, ["detector_errors", "input_places"], "is for training without --cycle_gan"),
    ]
    refuse_useless(options, rules)
    if options.cycle_gan and not (options.gan_coeff or options.cycle_coeff or options.regression_coeff):
        raise UserError("--gan_coeff, --cycle_coeff and --regression_coeff are all 0; give at least one above 0")
    if options.cycle_gan and options.gan_coeff and not options.gradient_penalty_coeff:
        raise UserError("--gradient_penalty_coeff 0: the critics need a gradient penalty; give a number above 0")


def _refuse_another_shape(options: Namespace, experiment: Experiment, processes: Processes) -> None:
    """Raise UserError for options that contradict the checkpoint to start from."""
    checkpoint, path = _start_of(experiment, processes)
    if checkpoint is None:
        return
    shape = lifter_architecture(checkpoint, path)
    refuse_disagreement(options, {name: shape[name] for name in ("linear_size", "num_stage")}, path)
    if stored := checkpoint.get("normalisation"):
        require_normalisation(given_value(options, "dataset_normalization"), stored["kind"], path)


# ------------------------------------------------------------------------------------------ the training
def train_lifter(
    training: PoseSet | PosePairs,
    validation: PoseSet | PosePairs,
    experiment: Experiment,
    *,
    shape: LifterShape | None = None,
    normalisation: str = "instance",
    optimisation: Optimisation | None = None,
    loading: Loading | None = None,
    settings: LifterTraining | None = None,
    augmentation: OrthogonalAugmentation | None = None,
    errors: DetectorErrors | None = None,
    cycle: CycleSettings | None = None,
    device: str = "auto",
    compiled: bool = False,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Train the 3D baseline. Returns the averages of the last validation.

    Checkpoints are in `experiment.directory`; `load_lifter(experiment.directory)` loads the best one.

    Args:
        training, validation: arrays of 2D and 3D poses as `PosePairs`, or Human3.6M's poses with their cameras.
        experiment: output folders and the checkpoint to start from. With `evaluate` it only validates.
        shape, normalisation: of a new network ("instance" or "dataset"); ignored when starting from a checkpoint.
        optimisation: by default `Optimisation(lr=1e-3, schedule=())`.
        loading: by default batches of 64 in training and 4096 in validation. `workers` is ignored: poses are already
            on the device.
        augmentation: of the training poses; needs a `PoseSet`.
        errors: measured errors of a 2D network, added to the input.
        cycle: train within a cycle GAN, for unpaired 2D and 3D poses.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        compiled: compile the network: slower start, faster steps.

    Raises UserError if the checkpoint to start from is missing or of another network, and for a batch size that leaves
    a minibatch of one sample.
    """
    optimisation = optimisation or Optimisation(lr=1e-3, schedule=())
    loading = loading or Loading(train_batch_size=64, test_batch_size=4096)
    settings = settings or LifterTraining()
    place = pick_device(device, processes)
    training, validation = training.to(place), validation.to(place)
    errors = errors.to(place) if errors else None
    if not experiment.evaluate:
        batch_size, together = loading.train_batch_size, optimisation.sync_batch_norm
        require_batches_of_several(len(training), batch_size, 1 if together else processes.size, processes.size)
    start, path = _start_of(experiment, processes)
    if start is None:
        form = vars(shape or LifterShape()) | {"without_hip": normalisation == "instance"}
    else:
        form = lifter_architecture(start, path)
    model = LinearModel(**form, dropout=settings.dropout).to(place)
    statistics = _normalisation(start, path, training, normalisation, processes)
    inform(
        f"{len(training)} training and {len(validation)} validation samples (a frame in a camera), "
        f"{statistics.kind} normalisation, {sum(p.numel() for p in model.parameters()):,} parameters\n"
        f"MPJPE: mm, mean over 17 joints and all frames, hips aligned (Protocol 1); MPJPE/ACTION: for one action"
    )
    if errors:
        inform("MPJPE_detected: the same, with a 2D network's errors, measured on held-out people, added to the input")
    experiment.warn_if_untrained()
    if compiled:
        model.compile()
    train_loader = IndexLoader(len(training), loading.train_batch_size, place, optimisation.seed, processes)
    validation_loader = IndexLoader(len(validation), loading.test_batch_size, place, processes=processes)
    common = {"settings": settings, "augmentation": augmentation, "processes": processes}
    parts = training, validation, statistics.to(place), len(train_loader), optimisation, experiment
    if cycle is None:
        trainer = LifterTrainer(*parts, **common, errors=errors)
    else:
        trainer = CycleTrainer(*parts, **common, cycle=cycle)
        model = build_cycle_gan(model, training, cycle.use_fc_for_projection, settings.dropout, processes).to(place)
        inform(CYCLE_DEFINITIONS)
    return train(model, trainer.hooks(), train_loader, validation_loader, optimisation, experiment, processes)


def _start_of(experiment: Experiment, processes: Processes) -> tuple[dict | None, Path | None]:
    """The checkpoint of a 3D baseline to start from and its path, or None and None."""
    checkpoint = experiment.start_checkpoint(processes)
    return lifter_part(checkpoint) if checkpoint else None, experiment.start_path(processes)


def require_batches_of_several(samples: int, batch_size: int, apart: int = 1, processes: int = 1) -> None:
    """Raise UserError if a training batch would have a single sample, which batch norm cannot normalise.

    Args:
        batch_size: per process.
        apart: number of processes with separate batch norm statistics: all, or 1 if synchronised.
        processes: number of processes.
    """
    last = samples % (batch_size * processes) or batch_size * processes
    if min(last, batch_size * processes) < 2 * apart:
        left = "one sample" if apart == 1 else f"{last}, for {apart} processes,"
        raise UserError(
            f"--train_batch_size {batch_size}: the last batch of {samples} samples would have {left} and batch norm "
            "needs two; choose another size"
        )


def _normalisation(
    checkpoint: dict | None, path: Path | None, training: PoseSet | PosePairs, kind: str, processes: Processes
) -> Normalisation:
    """The normalisation of the checkpoint to start from if it has one, else fitted to the training set."""
    stored = (checkpoint or {}).get("normalisation")
    if stored is not None:
        return from_plain(stored)
    if checkpoint is not None:  # published networks store no normalisation; the architecture tells its kind
        kind = "instance" if lifter_architecture(checkpoint, path)["without_hip"] else "dataset"
    return fit(training, kind, processes)

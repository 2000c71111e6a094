"""Train the 3D pose baseline, 2D to 3D, on Human3.6M.

python train.py 2d3d_h36m --data_dir sample --epochs 20
python train.py 2d3d_h36m --orthogonal_data_augmentation --z_rotations_only
python train.py 2d3d_h36m --cycle_gan --regression_coeff 0      # 2D and 3D poses that do not belong together
"""

from argparse import Namespace

from twod_threed.cycle_trainer import DEFINITIONS, CycleTrainer, build_cycle_gan
from twod_threed.detector_errors import load_errors
from twod_threed.loading import architecture_of, read_architecture, require_normalisation
from twod_threed.model import LinearModel
from twod_threed.normalisation import Normalisation, fit, from_plain
from twod_threed.trainer import LifterTrainer
from utils.compute.devices import pick_device
from utils.compute.distributed import world_size
from utils.console.option_rules import refuse_disagreement, refuse_useless, say_if_workers_are_of_no_use
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import find_sequences
from utils.human36m.report import report
from utils.human36m_dataset import load_pose_set
from utils.osutils import UserError
from utils.training.samplers import IndexLoader
from utils.training_utils import settle_experiment, start_checkpoint, start_path, train

AUGMENTATION = ("orthogonal_data_augmentation_prob", "flip_prob", "z_rotations_only")
CRITICS = ("gradient_penalty_coeff", "discr_updates_per_gen_update", "discr_2d_lr", "discr_3d_lr")
CYCLE = ("gan_coeff", "cycle_coeff", "regression_coeff", "use_fc_for_projection", "project_lr", *CRITICS)


def lifter_h36m(options: Namespace) -> dict[str, float]:
    """`train.py 2d3d_h36m`; returns the averages of the last validation."""
    settle_experiment(options)
    check_options(options)
    say_if_workers_are_of_no_use(options)
    device = pick_device(options.device)
    actions = select_actions(options.action)
    files = find_sequences(options.data_dir)
    print(report(files))
    errors = load_errors(options.detector_errors).to(device) if options.detector_errors else None
    training, validation = (
        load_pose_set(files, subjects, actions, options.use_hg, options.input_places).to(device)
        for subjects in (TRAIN_SUBJECTS, TEST_SUBJECTS)
    )
    require_batches_of_several(options, len(training))
    start = start_checkpoint(options)
    model = build_model(options, start).to(device)
    normalisation = _normalisation(options, start, training)
    print(
        f"{len(training)} training and {len(validation)} validation samples (a frame in a camera), "
        f"{normalisation.kind} normalisation, {sum(p.numel() for p in model.parameters()):,} parameters\n"
        f"MPJPE: mm, mean over 17 joints and all frames, hips aligned (Protocol 1); MPJPE/ACTION: of one action"
    )
    if errors:
        print("MPJPE_detected: the same, with a 2D network's errors on the input, of other people than in training")
    if options.compile:
        model.compile()
    train_loader = IndexLoader(len(training), options.train_batch_size, device, options.seed)
    validation_loader = IndexLoader(len(validation), options.test_batch_size, device)
    trainer_type = CycleTrainer if options.cycle_gan else LifterTrainer
    trainer = trainer_type(options, training, validation, normalisation.to(device), len(train_loader), errors)
    if options.cycle_gan:
        model = build_cycle_gan(options, model, training).to(device)
        print(DEFINITIONS)
    return train(model, trainer.hooks(), train_loader, validation_loader, options)


def build_model(options: Namespace, checkpoint: dict | None) -> LinearModel:
    """The network that the options describe, or in the shape of the checkpoint that training starts from."""
    if checkpoint is None:
        without_hip = not options.dataset_normalization
        return LinearModel(options.linear_size, options.num_stage, options.dropout, without_hip)
    path = start_path(options)
    shape = architecture_of(checkpoint, path)
    refuse_disagreement(options, {name: shape[name] for name in ("linear_size", "num_stage")}, path)
    return LinearModel(**shape, dropout=options.dropout)


def check_options(options: Namespace) -> None:
    """UserError for options that contradict one another or would have no effect."""
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
        raise UserError("--gan_coeff, --cycle_coeff and --regression_coeff are all 0: there is nothing to train for")
    if options.cycle_gan and options.gan_coeff and not options.gradient_penalty_coeff:
        raise UserError("--gradient_penalty_coeff 0 leaves the critics' scores without bound; give a number above 0")


def require_batches_of_several(options: Namespace, samples: int) -> None:
    """UserError where a training batch would hold a single sample, of which batch norm has no deviation.

    Each of several processes has a batch of its own, unless batch norm sees them together.
    """
    size, ranks = options.train_batch_size, world_size()
    last = samples % (size * ranks) or size * ranks
    apart = 1 if options.sync_batch_norm else ranks
    if not options.evaluate and min(last, size * ranks) < 2 * apart:
        left = "one sample" if apart == 1 else f"{last}, for {apart} processes,"
        raise UserError(
            f"--train_batch_size {size}: a batch of {left} of the {samples} would be left, and batch norm needs two; "
            "choose another size"
        )


def _normalisation(options: Namespace, checkpoint: dict | None, training) -> Normalisation:
    """The checkpoint's, where training starts from one that has it, else fitted to the training set."""
    asked = "dataset" if options.dataset_normalization else "instance"
    stored = (checkpoint or {}).get("normalisation")
    if stored is None and checkpoint is not None:  # a published network saw its training set's normalisation
        asked = "instance" if read_architecture(checkpoint["state_dict"])["without_hip"] else "dataset"
    if stored is None:
        return fit(training, asked)
    require_normalisation(options, stored["kind"], start_path(options))
    return from_plain(stored)

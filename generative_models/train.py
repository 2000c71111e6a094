"""Train a Wasserstein GAN over 3D poses, on Human3.6M.

python train.py 3d_pose_gan --data_dir sample --epochs 20
python train.py 3d_pose_gan --action Walking,WalkTogether
"""

from argparse import Namespace

from torch import Tensor

from generative_models.fc_gan import PoseGAN
from generative_models.held_out import load_split, name_of
from generative_models.loading import architecture_of
from generative_models.measures import DEFINITIONS
from generative_models.poses import facing
from generative_models.trainer import GANTrainer
from utils.compute.devices import pick_device
from utils.console.option_rules import refuse_disagreement, refuse_useless, say_if_workers_are_of_no_use
from utils.human36m.actions import select_actions
from utils.human36m.files import find_sequences
from utils.human36m.report import report
from utils.training.samplers import IndexLoader
from utils.training_utils import settle_experiment, start_checkpoint, start_path, train

SHAPE = {"latent_size": "latent_size", "linear_size": "width", "num_stage": "blocks"}


def pose_gan(options: Namespace) -> dict[str, float]:
    """`train.py 3d_pose_gan`; returns the averages of the last validation."""
    settle_experiment(options)
    check_options(options)
    say_if_workers_are_of_no_use(options)
    device = pick_device(options.device)
    actions = select_actions(options.action)
    files = find_sequences(options.data_dir)
    print(report(files))
    parts = load_split(files, actions, options.held_out)
    training, held_out = (facing(part.world.to(device)) for part in parts)
    trainer = GANTrainer(options, training, held_out)
    model = build_model(options, start_checkpoint(options), training).to(device)
    print(
        f"{len(training)} training and {len(held_out)} held-out poses (a frame), upright, all facing one way; "
        f"{sum(p.numel() for p in model.generator.parameters()):,} parameters in the generator, "
        f"{sum(p.numel() for p in model.critic.parameters()):,} in the critic\n"
        f"measures, of {trainer.measured} generated against as many held-out poses ({name_of(options.held_out)}):\n"
        f"{DEFINITIONS}\n"
        f"with _real: the same between, or of, held-out poses alone; SW_parts: between training and held-out poses, "
        f"which a perfect model of the training poses would have; SW_training: generated against training poses"
    )
    if options.compile:
        model.generator.compile()
    train_loader = IndexLoader(len(training), options.train_batch_size, device, options.seed)
    validation_loader = IndexLoader(trainer.measured, trainer.measured, device)  # the measures are of a whole sample
    return train(model, trainer.hooks(), train_loader, validation_loader, options)


def build_model(options: Namespace, checkpoint: dict | None, training: Tensor) -> PoseGAN:
    """The GAN that the options describe, or in the shape of the checkpoint that training starts from."""
    if checkpoint is None:
        return PoseGAN(options.latent_size, options.linear_size, options.num_stage).fit_scale(training)
    path = start_path(options)
    shape = architecture_of(checkpoint, path)
    refuse_disagreement(options, {name: shape[key] for name, key in SHAPE.items()}, path)
    return PoseGAN(**shape)  # its scale is among the weights


def check_options(options: Namespace) -> None:
    """UserError for options that contradict one another or would have no effect."""
    penalised = options.gradient_penalty_coeff > 0
    fault = "is for a critic without gradient penalty: add --gradient_penalty_coeff 0, or leave it out"
    refuse_useless(options, [(penalised, ["clip_max"], fault)])

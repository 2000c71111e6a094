"""What `train.py hourglass_mpii` refuses, and options of the machine."""

import pytest
from hourglass_training import train_small

import stacked_hourglass.samples.datasets
import stacked_hourglass.trainer
from stacked_hourglass.train import check_options, settle_options
from utils.osutils import UserError

SHOWN_SCRIPTS = [("train", "hourglass_mpii")]
pytestmark = pytest.mark.usefixtures("one_picture")


# ------------------------------------------------------------------------------------------ options of the machine


@pytest.mark.shows("workers")
def test_workers_reach_every_loader(tiny_mpii, tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN_POSE_CACHE", str(tmp_path / "cache"))
    asked = []

    class Loader(stacked_hourglass.samples.datasets.WorkerLoader):
        def __init__(self, dataset, num_workers, persistent_workers, **options):
            asked.append((num_workers, persistent_workers))
            super().__init__(dataset, **options)

    monkeypatch.setattr(stacked_hourglass.samples.datasets, "WorkerLoader", Loader)
    train_small(tmp_path, tiny_mpii, "--evaluate", "--workers", 1)
    assert asked == [(1, True)] * 3  # statistics, training, validation


# ------------------------------------------------------------------------------------------ contradictions


@pytest.mark.parametrize(
    "argv",
    [
        ("--use_layer_norm", "--no_batch_norm_affine"),
        ("--use_layer_norm", "--batch_norm_momentum", 0.2),
        ("--use_layer_norm", "--use_train_mode_to_eval"),
        ("--joint_visibility_loss_coeff", 2),
        ("--add_attention", "--pack_data"),
        ("--mask_prob", 0.3),
        ("--orientation_prob", 0.3),
        ("--mean_valued_prob", 0.3),
        ("--max_cover_ratio", 0.3),
        ("--noise_std", 0.3),
        ("--max_blur", 3),
        ("--max_downscale", 3),
        ("--min_jpeg_quality", 30),
        ("--max_erased_area", 0.1),
        ("--location_loss_saturation", 0.1),
        ("--schedule_type", "cosine", "--gamma", 0.5),
        ("--schedule_type", "cosine", "--schedule", 5),
        ("--no_grad_clipping", "--grad_clip", 3),
        ("--use_amsprop", "--momentum", 0.5),
        ("--freeze_modules", "conv1"),
        ("--features", 10),
        ("--scale_lr",),
        ("--compression", "fp16"),
        pytest.param(("--sync_batch_norm",), marks=pytest.mark.shows("sync_batch_norm")),
        ("--use_layer_norm", "--sync_batch_norm"),
    ],
    ids=lambda argv: " ".join(map(str, argv)),
)
def test_contradicting_and_useless_options_are_refused(parse_options, argv):
    with pytest.raises(UserError) as error:
        settle_options(parse_options(*argv))
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in argv if str(word).startswith("--")][-1] in message


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--use_layer_norm",),
        ("--no_batch_norm_affine", "--batch_norm_momentum", 0.2, "--use_train_mode_to_eval"),
        ("--predict_joint_visibility", "--joint_visibility_loss_coeff", 2),
        ("--add_random_masking", "--mask_prob", 0.3, "--noise_std", 0),
        ("--no_grad_clipping",),
        ("--no_grad_clipping", False, "--grad_clip", 3),
        ("--schedule_type", "cosine", "--schedule", 5, "--sigma_decay", 0.5),
        ("--blur_prob", 0.5, "--max_blur", 3),
        ("--use_amsprop",),
        ("--resume",),
        ("--load", "there", "--evaluate"),
    ],
    ids=lambda argv: " ".join(map(str, argv)) or "defaults",
)
def test_options_that_agree_are_accepted(parse_options, argv):
    check_options(parse_options(*argv))


def test_a_part_of_a_left_right_pair_is_refused(fails):
    error = fails("--num_classes", 12)
    assert "--num_classes 12" in error
    assert "choose one of" in error

"""`viz.py browse`: the samples that a training gives to the network."""

import shutil

import numpy as np
import pytest
import torch
from command_line import call, files
from hourglass_training import launch_training

from options import SCRIPTS
from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.browse import draw_sample, training_samples
from stacked_hourglass.clip_trainer import ClipTrainer
from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.samples.framing import Framing
from stacked_hourglass.trainer import HourglassAugmentation, HourglassTargets, HourglassTrainer
from utils.imaging.images import read_image
from utils.training.settings import Loading

ONE_PHOTO = ("--num_pictures", 1, "--workers", 0)
EVERYTHING = HourglassAugmentation(
    masking=RandomMasking(mask_prob=1.0),
    framing=Framing(half_body_prob=0.5, box_jitter=0.1),
    degradation=Degradation(blur_prob=0.5, jpeg_prob=0.5),
    erasing=RandomErasing(erase_prob=0.5),
)
EVERYTHING_GIVEN = (
    "--add_random_masking", "--mask_prob", 1, "--half_body_prob", 0.5, "--box_jitter", 0.1, "--blur_prob", 0.5,
    "--jpeg_prob", 0.5, "--erase_prob", 0.5,
)  # fmt: skip


@pytest.fixture
def draw(tiny_mpii, tmp_path):
    """`draw("--seed", 1)`: the picture of one sample."""

    def drawn(*argv: object, data_dir: object = tiny_mpii) -> np.ndarray:
        given = ("--data_dir", data_dir, "--output_dir", tmp_path / "out", *ONE_PHOTO, *argv)
        call("viz", "browse", *given, cwd=tmp_path).succeeded()
        return read_image(tmp_path / "out/training_samples.png")

    return drawn


@pytest.mark.parametrize(("trainer", "history"), [(HourglassTrainer, 0), (ClipTrainer, 2)])
def test_samples_are_those_of_the_training(tiny_mpii, tiny_clips, tmp_path, monkeypatch, trainer, history):
    seen, data_dir = [], tiny_clips if history else tiny_mpii
    prepare = trainer.prepare

    def noting(self, batch, iteration=None):
        images = prepare(self, batch, iteration)
        if iteration is not None:
            seen.extend((images + self.mean[:, None, None]).unflatten(0, (len(images), 1)).flatten(1, -4))
        return images

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "prepare", noting)
        clips = ("--add_attention", "--attention_history_length", history) if history else ()
        launch_training(tmp_path, data_dir, *EVERYTHING_GIVEN, *clips, "--seed", 3).succeeded()
    training, _ = load_mpii(data_dir)
    loading = Loading(train_batch_size=4, workers=0)
    shown = list(training_samples(training, 5, history, None, EVERYTHING, loading, seed=3))
    assert len(shown) == min(5, len(seen))
    for frames, images in zip(shown, seen, strict=False):
        assert len(frames) == history + 1
        torch.testing.assert_close(torch.stack([frame.crop for frame in frames]), images, rtol=0, atol=0)


def test_joints_and_targets_are_of_the_crop(tiny_mpii):
    training, _ = load_mpii(tiny_mpii)
    plain = HourglassAugmentation(augment_training_data=False)
    targets = HourglassTargets(sigma=2.0)
    [[shown]] = training_samples(training, 1, 0, targets, plain, Loading(workers=0))
    known = shown.joints.isfinite().all(1)
    assert known.any()
    assert torch.equal(shown.targets.amax((1, 2)) > 0.5, known)
    height, width = shown.targets.shape[1:]
    peaks = shown.targets[known].flatten(1).argmax(1)
    points = torch.stack([peaks % width, peaks // height], 1)
    assert (4 * points + 1.5 - shown.joints[known]).abs().max() <= 2  # heat-map pixels are 4 crop px apart
    figure = draw_sample(shown, training.skeleton, 18)
    assert figure.size[0] == 256
    assert figure.size[1] > 2 * 256


def test_one_page_with_a_row_of_eight(draw, tmp_path, tiny_mpii):
    page = draw("--num_pictures", 100)
    assert files(tmp_path / "out") == ["training_samples.png"]
    assert page.shape[1] > 8 * 256
    assert page.shape[0] < 1000  # the folder has 8 people
    assert (draw("--num_pictures", 100, "--seed", 1) != page).any()


@pytest.mark.parametrize(
    "argv",
    [("--no_augment_training_data",), ("--sigma", 3), ("--label_type", "Cauchy"), ("--num_classes", 6)],
)
def test_options_change_the_picture(draw, argv):
    one, other = draw(), draw(*argv)
    assert one.shape != other.shape or (one != other).any()


def test_style_for_papers(draw, tmp_path):
    assert draw("--style", "paper").mean() > draw().mean() + 10
    assert "training_samples.pdf" in files(tmp_path / "out")


def test_clips_are_rows(draw, tiny_clips):
    page = draw("--add_attention", "--attention_history_length", 2, "--num_pictures", 2, data_dir=tiny_clips)
    assert 3 * 256 < page.shape[1] < 4 * 256
    assert page.shape[0] > 4 * 256


def test_an_unreadable_photo_is_named(tiny_mpii, tmp_path):
    shutil.copytree(tiny_mpii, tmp_path / "mpii")
    for path in (tmp_path / "mpii/images").iterdir():
        path.write_text("not a photo")
    training, _ = load_mpii(tmp_path / "mpii")
    [[shown]] = training_samples(training, 1, loading=Loading(workers=0))
    assert shown.note == "unreadable"
    assert not shown.targets.any()


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (("--mask_prob", 0.3), "--mask_prob needs --add_random_masking"),
        (("--attention_history_length", 3), "--attention_history_length needs --add_attention"),
        (("--sync", "sync.csv"), "--sync is for --data_set eva"),
        (("--data_set", "coco"), "person_keypoints_val2017.json"),
        (("--data_set", "eva"), "--data_dir"),
    ],
)
def test_refusals(tiny_mpii, tmp_path, argv, named):
    given = ("--data_dir", tiny_mpii, "--output_dir", tmp_path / "out", *argv)
    assert named in call("viz", "browse", *given, cwd=tmp_path).refusal()
    assert not (tmp_path / "out").exists()


def test_data_sets_have_their_samples(parse_options):
    script = SCRIPTS["viz"]["browse"]
    for name in ("mpii", "lsp", "coco", "eva"):
        options = parse_options("--data_set", name, "--data_dir", "sample", entry="viz", script="browse")
        assert script.sample_of(options) == name
    assert SCRIPTS["train"]["2d3d_h36m"].sample_of(parse_options()) == "h36m"

"""The hourglass trainer's scores, predictions and files."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torch.utils.data import default_collate
from trainer_cases import MEAN, STDDEV, Fixed, minibatch, network, step

from stacked_hourglass.annotations.mpii import load_mpii
from stacked_hourglass.annotations.people import People
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.metrics import pckh
from stacked_hourglass.samples.datasets import PoseCrops
from stacked_hourglass.trainer import NOT_SCORED, HourglassValidation
from utils.imaging.images import apply_affine
from utils.plotting_utils import Averages
from utils.transform import MPII

# ------------------------------------------------------------------------------------------ validation


def test_scores_are_those_of_pckh(make_trainer, parts):
    people = parts[1]
    trainer, batch = make_trainer(), minibatch(people)
    joints = batch["joints"] + torch.randn(batch["joints"].shape, generator=torch.Generator().manual_seed(0)) * 8
    scores = trainer.scores(joints, batch)
    predicted = apply_affine(batch["to_photo"].double().numpy(), joints.double().numpy())
    errors = pckh.normalised_errors(predicted, people.joints.astype(float), people.head_size.astype(float))
    averages = Averages()
    averages.update(scores)
    expected = pckh.pckh_table(errors, ~people.annotated)["PCKh@0.5"]["mean"]
    assert 20 < expected < 95  # neither all hits nor all misses
    assert averages.result()["PCKh@0.5"] == pytest.approx(expected)


def test_scores_add_up_over_minibatches_of_any_size(make_trainer, parts):
    trainer, people = make_trainer(), parts[1]
    torch.manual_seed(0)
    noise = torch.randn(4, 16, 2) * 8
    results = []
    for cuts in ([0, 4], [0, 1, 4], [0, 3, 4]):
        averages = Averages()
        for start, end in pairwise(cuts):
            dataset = PoseCrops(people)
            batch = default_collate([dataset[index] for index in range(start, end)])
            averages.update(trainer.scores(batch["joints"] + noise[start:end], batch), end - start)
        results.append(averages.result())
    assert results[0] == results[1] == results[2]
    assert set(results[0]) == {"PCKh@0.5", "PCK@0.2"}


def test_each_person_is_scored_by_their_own_head_size(make_trainer, parts):
    people = replace(parts[1], head_size=np.float32([0.1, 1e4, 0.1, 1e4]))
    trainer, dataset = make_trainer(people=people), PoseCrops(people)
    for indices, percent in (([1, 3], 100), ([2, 0], 0), ([3, 0], 50)):
        batch = default_collate([dataset[index] for index in indices])
        batch["annotated"] = torch.ones_like(batch["annotated"])
        hits, counts = trainer.scores(batch["joints"] + 5, batch)["PCKh@0.5"]
        assert (hits / counts).tolist() == [percent] * 14


def test_pelvis_thorax_and_unannotated_joints_do_not_count(make_trainer, parts):
    trainer, batch = make_trainer(), minibatch(parts[1])
    batch["annotated"][:, MPII.index("r_ankle")] = False
    joints = batch["joints"].clone()
    joints[:, MPII.indices([*NOT_SCORED, "r_ankle"])] += 200
    averages = Averages()
    averages.update(trainer.scores(joints, batch))
    assert averages.result() == {"PCKh@0.5": 100, "PCK@0.2": 100}


def test_ten_joints_have_no_torso_and_no_pck(make_trainer, parts):
    trainer = make_trainer(joints=10)
    batch = minibatch(parts[1].first_joints(10))
    assert set(trainer.scores(batch["joints"], batch)) == {"PCKh@0.5"}


def test_predictions_are_written_one_based_in_validation_order(make_trainer, parts, tmp_path):
    trainer, batch = make_trainer(), minibatch(parts[1])
    shuffled = {key: value[[2, 0, 3, 1]] for key, value in batch.items()}
    trainer.validate(Fixed(20, 30).eval(), shuffled)
    trainer.write_predictions(tmp_path)
    predictions = loadmat(tmp_path / "preds_valid.mat")["preds"]
    assert predictions.shape == (4, 16, 2)
    peak = np.array([4 * 20 + 1.5, 4 * 30 + 1.5])  # px of the crop
    people = parts[1]
    expected = people.center + (peak - 127.5) * people.side[:, None] / 256 + 1
    assert np.allclose(predictions, np.tile(expected[:, None], (1, 16, 1)), atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_validation_gives_the_predictions_of_a_predictor(make_trainer, parts, tmp_path, flip):
    model, batch = network().eval(), minibatch(parts[1])
    trainer = make_trainer(HourglassValidation(flip=flip))
    with torch.no_grad():
        trainer.validate(model, batch)
    model.mean, model.skeleton = torch.tensor(MEAN), "MPII"
    points, _ = Predictor(model, flip=flip)(batch["image"], batch["to_photo"])
    assert np.allclose(trainer.predictions, points.numpy(), atol=1e-3)


def test_the_flip_test_changes_predictions(make_trainer, parts):
    model, batch = network().eval(), minibatch(parts[1])
    plain, flipped = make_trainer(), make_trainer(HourglassValidation(flip=True))
    with torch.no_grad():
        plain.validate(model, batch)
        flipped.validate(model, batch)
    assert not np.allclose(plain.predictions, flipped.predictions)


def test_validation_with_batch_statistics_leaves_the_running_ones(make_trainer, parts):
    model, batch = network().eval(), minibatch(parts[1])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    running, own = make_trainer(), make_trainer(HourglassValidation(use_train_mode_to_eval=True))
    with torch.no_grad():
        first, second = (trainer.validate(model, batch)["loss"] for trainer in (running, own))
    assert first != second
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training


def test_visibility_accuracy_by_hand(make_trainer, parts):
    class Sees(Fixed):
        visibility = True

        def forward(self, images, with_visibility=False):
            maps = super().forward(images)
            return (maps, torch.tensor([1.0, -1.0]).repeat(8).expand(len(images), 16)) if with_visibility else maps

    trainer, batch = make_trainer(), minibatch(parts[1])
    batch["visible"] = torch.zeros(4, 16, dtype=torch.bool)
    batch["visible"][0] = True  # right for the 8 joints said to be visible; for the others right for the 8 hidden
    batch["readable"][3] = False
    hits, counts = trainer.validate(Sees(1, 1), batch)["visibility_accuracy"]
    assert hits.tolist() == [100, 200] * 8  # in percent
    assert counts.tolist() == [3] * 16


def test_validation_returns_pictures_of_only_the_first_minibatch(make_trainer, parts):
    trainer, batch = make_trainer(), minibatch(parts[1])
    picture = trainer.validate(Fixed(3, 4), batch)["image/predictions"]
    assert picture.dtype == torch.uint8
    assert picture.shape[0] == 3
    later = {key: value[2:] for key, value in batch.items()}
    assert "image/predictions" not in trainer.validate(Fixed(3, 4), later)


# ------------------------------------------------------------------------------------------ files


def test_checkpoint_loads_alone_and_knows_mean_and_joint_order(make_trainer, parts, tmp_path):
    trainer = make_trainer(joints=10)
    model = network(num_classes=10).eval()
    hooks = trainer.hooks()
    hooks.checkpoint_fn(model, trainer.make_optimizer(model, 1e-3, 0), 1, 50.0, tmp_path, is_best=True)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pth.tar", "model_best.pth.tar", "preds_valid.mat"}
    loaded = load_hourglass(tmp_path)
    assert loaded.mean.tolist() == pytest.approx(MEAN)
    assert torch.load(tmp_path / "checkpoint.pth.tar", weights_only=True)["stddev"] == STDDEV
    assert Predictor(loaded).skeleton.joints == MPII.joints[:10]
    assert hooks.best_metric == "PCKh@0.5"
    assert hooks.higher_is_better


def test_the_best_of_an_older_checkpoint_is_turned_into_percent(make_trainer, tmp_path):
    """It is a share there; unconverted, every later epoch would be better."""
    trainer, model = make_trainer(), network()
    hooks, optimizer = trainer.hooks(), trainer.make_optimizer(model, 1e-3, 0)
    path = tmp_path / "checkpoint.pth.tar"
    hooks.checkpoint_fn(model, optimizer, 1, 0.5, tmp_path, is_best=False)
    assert hooks.load_fn(model, optimizer, path)[3] == 0.5  # half a percent: this version writes percent
    content = torch.load(path, weights_only=True)
    assert content.pop("best_unit") == "%"
    for old, best in ((0.5, 50), (None, None)):
        torch.save(content | {"best": old}, path)
        assert hooks.load_fn(model, optimizer, path)[3] == best
    assert not hooks.is_better(49, 50)
    assert hooks.is_better(51, 50)
    assert hooks.units["PCKh@0.5"] == "%"


def test_debug_pictures_are_written_after_whole_epochs(make_trainer, parts, tmp_path):
    trainer, model = make_trainer(HourglassValidation(debug=True)), network().eval()
    hooks, optimizer = trainer.hooks(), trainer.make_optimizer(model, 1e-3, 0)
    with torch.no_grad():
        trainer.validate(model, minibatch(parts[1]))
    hooks.checkpoint_fn(model, optimizer, 1.5, None, tmp_path, is_best=False)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pth.tar"}
    hooks.checkpoint_fn(model, optimizer, 2, None, tmp_path, is_best=False)
    with Image.open(tmp_path / "debug" / "epoch_002.png") as picture:
        assert picture.width > picture.height > 256  # 4 people per row; poses, targets, predicted maps


def test_no_debug_pictures_unless_asked(make_trainer, parts, tmp_path):
    trainer, model = make_trainer(), network().eval()
    with torch.no_grad():
        trainer.validate(model, minibatch(parts[1]))
    trainer.hooks().checkpoint_fn(model, trainer.make_optimizer(model, 1e-3, 0), 2, None, tmp_path, is_best=False)
    assert not (tmp_path / "debug").exists()


def _damaged_copy(tiny_mpii: Path, folder: Path) -> tuple[People, People]:
    """A copy of the folder in which one training and one validation person's photos are truncated."""
    shutil.copytree(tiny_mpii, folder)
    training, validation = load_mpii(folder)
    for path in (training.image_paths[0], validation.image_paths[0]):
        path.write_bytes(path.read_bytes()[:1500])
    return training, validation


def test_unreadable_photos_are_nan_and_counted_in_one_warning(make_trainer, tiny_mpii, tmp_path, capsys):
    training, validation = _damaged_copy(tiny_mpii, tmp_path / "mpii")
    bad = [path == validation.image_paths[0] for path in validation.image_paths]
    trainer = make_trainer(people=validation)
    for _ in range(2):
        step(trainer, minibatch(training))
        trainer.validate(Fixed(3, 4), minibatch(validation))
        trainer.write_predictions(tmp_path)
    predictions = loadmat(tmp_path / "preds_valid.mat")["preds"]
    assert np.isnan(predictions).all((1, 2)).tolist() == bad
    assert np.isnan(predictions).any((1, 2)).tolist() == bad
    unread = sum(path == training.image_paths[0] for path in training.image_paths)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {unread} training people's photos are unreadable: excluded from loss and metrics",
        f"warning: {sum(bad)} validation people's photos are unreadable: excluded from loss and metrics",
    ]


def test_unreadable_photos_do_not_enter_the_scores(make_trainer, tiny_mpii, tmp_path, parts):
    _, validation = _damaged_copy(tiny_mpii, tmp_path / "mpii")
    good = [index for index, path in enumerate(validation.image_paths) if path != validation.image_paths[0]]
    whole, damaged = minibatch(parts[1].select(good)), minibatch(validation)
    whole["index"] = torch.tensor(good)
    one = make_trainer().validate(Fixed(30, 30), whole)
    other = make_trainer().validate(Fixed(30, 30), damaged)
    for name in ("PCKh@0.5", "PCK@0.2"):
        assert all(torch.equal(a, b) for a, b in zip(one[name], other[name], strict=True))

import math
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor, nn
from torch.utils.data import default_collate

from stacked_hourglass import pckh
from stacked_hourglass.annotations import load_mpii
from stacked_hourglass.augmentation import RandomMasking
from stacked_hourglass.datasets import PoseCrops
from stacked_hourglass.degradation import Degradation, RandomErasing
from stacked_hourglass.hourglass import Architecture, HourglassNet
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.people import People
from stacked_hourglass.trainer import (
    NOT_SCORED,
    HourglassAugmentation,
    HourglassLosses,
    HourglassTargets,
    HourglassTrainer,
    HourglassValidation,
)
from stacked_hourglass.visibility import visibility_loss
from utils.imaging.heatmaps import crop_to_heatmap, heatmap_to_crop, render_heatmaps
from utils.imaging.images import apply_affine
from utils.plotting_utils import Averages
from utils.training.settings import Experiment, Optimisation
from utils.transform import MPII

MEAN, STDDEV = [0.4, 0.45, 0.5], [0.2, 0.21, 0.22]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(tiny_mpii) -> tuple[People, People]:
    return load_mpii(tiny_mpii)


@pytest.fixture
def make_trainer(parts):
    """`make_trainer(HourglassTargets(sigma=2))`: a trainer of these settings for the tiny folder's people."""
    names = {
        HourglassTargets: "targets",
        HourglassLosses: "losses",
        HourglassAugmentation: "augmentation",
        HourglassValidation: "evaluation",
    }

    def make(
        *settings, optimisation: Optimisation | None = None, people: People | None = None, joints: int = 16
    ) -> HourglassTrainer:
        people = (people or parts[1]).first_joints(joints)
        named = {names[type(one)]: one for one in settings}
        experiment = Experiment("hourglass_mpii")
        return HourglassTrainer(people, CPU, MEAN, STDDEV, 4, optimisation or Optimisation(), experiment, **named)

    return make


def network(seed: int = 0, **architecture) -> HourglassNet:
    torch.manual_seed(seed)
    return HourglassNet(replace(Architecture(stacks=1, features=8), **architecture))


def minibatch(people: People, augment: bool = False) -> dict:
    dataset = PoseCrops(people, augment)
    return default_collate([dataset[0, index] for index in range(len(people))])


def targets_only(joints: Tensor, annotated: Tensor) -> dict:
    """What `losses` needs of a batch, from joints (B, J, 2) in heat-map pixels."""
    count = len(joints)
    return {
        "joints": heatmap_to_crop(joints),
        "annotated": annotated,
        "visible": annotated,
        "readable": torch.ones(count, dtype=torch.bool),
    }


class Fixed(nn.Module):
    """A network that says the same of every image: last of two stacks a peak at (u, v) for every joint."""

    def __init__(self, u: int, v: int):
        super().__init__()
        self.maps = torch.zeros(16, 64, 64)
        self.maps[:, v, u] = 1

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.maps.expand(len(images), 16, 64, 64)
        return [-maps, maps]


# ------------------------------------------------------------------------------------------ losses


def one_joint() -> dict:
    """Two people with 16 joints at the middle of 17 × 17 maps, of which one joint of one person is annotated."""
    annotated = torch.zeros(2, 16, dtype=torch.bool)
    annotated[0, 3] = True
    return targets_only(torch.full((2, 16, 2), 8.0), annotated)


@pytest.mark.parametrize(
    ("label_type", "sigma", "square"),
    [
        ("Gaussian", 1.0, lambda d2: math.exp(-d2)),
        ("Gaussian", 2.0, lambda d2: math.exp(-d2 / 4)),
        ("Cauchy", 1.0, lambda d2: (1 / (d2 + 1)) ** 3),
        ("Cauchy", 2.0, lambda d2: (4 / (d2 + 4)) ** 3),
    ],
)
def test_loss_of_empty_maps_is_the_targets_mean_square(make_trainer, label_type, sigma, square):
    trainer = make_trainer(HourglassTargets(label_type=label_type))
    losses = trainer.losses([torch.zeros(2, 16, 17, 17)], None, one_joint(), sigma)
    total = sum(square(x * x + y * y) for x in range(-8, 9) for y in range(-8, 9))
    assert losses["heatmap_loss"].item() == pytest.approx(total / (2 * 16 * 17 * 17), rel=1e-5)
    assert losses["loss"] is losses["heatmap_loss"]
    assert set(losses) == {"loss", "heatmap_loss"}


def test_every_stack_counts_unless_intermediate_supervision_is_removed(make_trainer):
    maps, size = torch.zeros(2, 16, 17, 17), 2 * 16 * 17 * 17
    batch = one_joint()
    perfect = render_heatmaps(crop_to_heatmap(batch["joints"]), (17, 17))
    off_by = [perfect + 3, perfect - 1, perfect + 2]  # counted on the one annotated map: 9, 1, 4 at 17 × 17 places
    share = 17 * 17 / size
    assert make_trainer().losses(off_by, None, batch, 1.0)["loss"].item() == pytest.approx(14 * share, rel=1e-5)
    last = make_trainer(HourglassLosses(remove_intermediate_supervision=True)).losses(off_by, None, batch, 1.0)
    assert last["loss"].item() == pytest.approx(4 * share, rel=1e-5)
    assert make_trainer().losses([perfect] * 3, None, batch, 1.0)["loss"].item() == 0
    one, two = (make_trainer().losses([maps] * n, None, batch, 1.0)["loss"].item() for n in (1, 2))
    assert two == pytest.approx(2 * one)


def test_joints_without_annotation_contribute_nothing(make_trainer):
    batch = one_joint()
    maps = torch.randn(2, 16, 17, 17, requires_grad=True)
    loss = make_trainer().losses([maps], None, batch, 1.0)["loss"]
    loss.backward()
    assert maps.grad[0, 3].all()
    assert not maps.grad[~batch["annotated"]].any()
    wild = torch.where(batch["annotated"][..., None, None], maps, 1e6)
    assert make_trainer().losses([wild], None, batch, 1.0)["loss"].item() == loss.item()


def test_an_annotated_joint_outside_the_crop_is_to_be_an_empty_map(make_trainer):
    batch = one_joint()
    batch["joints"][0, 3] = torch.tensor([-50.0, 500.0])
    assert make_trainer().losses([torch.zeros(2, 16, 17, 17)], None, batch, 1.0)["loss"].item() == 0
    assert make_trainer().losses([torch.ones(2, 16, 17, 17)], None, batch, 1.0)["loss"].item() > 0


def test_visibility_is_added_with_its_coefficient(make_trainer):
    batch, maps, logits = one_joint(), [torch.zeros(2, 16, 17, 17)], torch.randn(2, 16)
    batch["readable"][1] = False
    alone = visibility_loss(logits[:1], batch["visible"][:1], torch.ones(1)).item()
    for coefficient in (0, 0.25):
        trainer = make_trainer(HourglassLosses(joint_visibility_loss_coeff=coefficient))
        losses = {name: loss.item() for name, loss in trainer.losses(maps, logits, batch, 1.0).items()}
        assert losses["visibility_loss"] == pytest.approx(alone)
        assert losses["loss"] == pytest.approx(losses["heatmap_loss"] + coefficient * alone)


def test_half_precision_maps_are_compared_in_full(make_trainer):
    batch = one_joint()
    perfect = render_heatmaps(crop_to_heatmap(batch["joints"]), (17, 17))
    loss = make_trainer().losses([(perfect + 3).bfloat16()], None, batch, 1.0)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(9 / 32, rel=1e-2)


def test_sigma_decays_at_the_epochs_of_the_schedule(make_trainer):
    trainer = make_trainer(HourglassTargets(sigma=2, sigma_decay=0.5), optimisation=Optimisation(schedule=(1, 3)))
    sigmas = [trainer.sigma(iteration) for iteration in (0, 3, 4, 11, 12, 400)]
    assert sigmas == [2, 2, 1, 1, 0.5, 0.5]
    assert make_trainer(HourglassTargets(sigma=2), optimisation=Optimisation(schedule=(1, 3))).sigma(400) == 2


# ------------------------------------------------------------------------------------------ input


def test_validation_input_is_the_crop_minus_the_mean(make_trainer, parts):
    trainer = make_trainer(HourglassAugmentation(masking=RandomMasking(mask_prob=1)))
    batch = minibatch(parts[1])
    expected = batch["image"] / 255 - torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(trainer.prepare(batch), expected, atol=1e-6)


def test_training_input_without_augmentation_and_masks_is_the_same(make_trainer, parts):
    trainer, batch = make_trainer(HourglassAugmentation(augment_training_data=False)), minibatch(parts[1])
    assert torch.equal(trainer.prepare(batch, iteration=5), trainer.prepare(batch))


def test_masks_need_no_other_augmentation(make_trainer, parts):
    masking = RandomMasking(mask_prob=1, orientation_prob=1, mean_valued_prob=1)
    trainer, batch = make_trainer(HourglassAugmentation(False, masking)), minibatch(parts[1])
    changed = (trainer.prepare(batch, iteration=5) != trainer.prepare(batch)).any(1)
    columns = changed.any(1)
    assert columns.any(1).all()
    assert 0 < columns.float().mean() < 0.5
    masked = trainer.prepare(batch, iteration=5).movedim(1, -1)[changed]
    assert masked.abs().max() < 1e-6  # the mean, once the mean is subtracted


def test_degraded_and_erased_input(make_trainer, parts):
    batch = minibatch(parts[1])
    plain = make_trainer(HourglassAugmentation(False)).prepare(batch, 3)
    kinds = {
        "degradation": Degradation(blur_prob=1), "erasing": RandomErasing(1),
    }  # fmt: skip
    for name, kind in kinds.items():
        trainer = make_trainer(HourglassAugmentation(False, **{name: kind}))
        changed = trainer.prepare(batch, 3)
        assert (changed != plain).flatten(1).any(1).sum() >= 3  # a rectangle may lie on black alone
        assert torch.equal(trainer.prepare(batch, 3), changed)
        assert not torch.equal(trainer.prepare(batch, 4), changed)
        assert torch.equal(trainer.prepare(batch), plain), "validation is as it was"


def test_masks_cover_what_is_in_view(make_trainer, parts):
    """A joint that framing has put out of view has no place, and does not stretch the person's box."""
    masking = RandomMasking(mask_prob=1, orientation_prob=1, mean_valued_prob=1, max_cover_ratio=1)
    trainer, batch = make_trainer(HourglassAugmentation(False, masking)), minibatch(parts[1])
    batch["joints"] = batch["joints"].clone()
    batch["joints"][:, 4:] = torch.nan
    batch["annotated"] = torch.ones_like(batch["annotated"])
    changed = (trainer.prepare(batch, 5) != trainer.prepare(batch)).any(1).any(1)  # (B, W)
    low, high = batch["joints"][:, :4, 0].amin(1), batch["joints"][:, :4, 0].amax(1)
    columns = torch.arange(changed.shape[1])
    assert changed.any()
    for row, left, right in zip(changed, low, high, strict=True):
        assert all(left - 1 <= column <= right + 1 for column in columns[row])


def test_augmented_input_is_jittered_and_the_crops_stay(make_trainer, parts):
    trainer, batch = make_trainer(), minibatch(parts[1])
    before = batch["image"].clone()
    light = [(trainer.prepare(batch, i) - trainer.prepare(batch)).abs().mean() for i in (0, 1)]
    assert min(light) > 0.005
    assert torch.equal(batch["image"], before)


def test_an_iterations_random_numbers_depend_on_seed_and_iteration_alone(make_trainer, parts):
    batch = minibatch(parts[1])
    masked = HourglassAugmentation(masking=RandomMasking(mask_prob=1))
    first = make_trainer(masked).prepare(batch, 7)
    torch.rand(5)
    assert torch.equal(make_trainer(masked).prepare(batch, 7), first)
    assert not torch.equal(make_trainer(masked).prepare(batch, 8), first)
    assert not torch.equal(make_trainer(masked, optimisation=Optimisation(seed=1)).prepare(batch, 7), first)


# ------------------------------------------------------------------------------------------ optimizer and update


def test_rmsprop_by_default_and_amsprop_is_adam_with_amsgrad(make_trainer):
    model = network()
    rmsprop = make_trainer(optimisation=Optimisation(momentum=0.3)).make_optimizer(model, 1e-3, 0.02)
    assert isinstance(rmsprop, torch.optim.RMSprop)
    assert [rmsprop.defaults[k] for k in ("lr", "momentum", "weight_decay")] == [1e-3, 0.3, 0.02]
    amsprop = make_trainer(optimisation=Optimisation(use_amsprop=True)).make_optimizer(model, 1e-3, 0.02)
    assert isinstance(amsprop, torch.optim.Adam)
    assert [amsprop.defaults[k] for k in ("lr", "amsgrad", "weight_decay")] == [1e-3, True, 0.02]
    for optimizer in (rmsprop, amsprop):
        assert sum(p.numel() for p in optimizer.param_groups[0]["params"]) == sum(p.numel() for p in model.parameters())


def step(trainer: HourglassTrainer, batch: dict, iteration: int = 3, **architecture) -> tuple[HourglassNet, dict]:
    model = network(**architecture).train()
    optimizer = trainer.make_optimizer(model, 1e-3, 0)
    return model, trainer.update(model, optimizer, batch, iteration, trainer.optimisation)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_update_moves_the_weights_the_same_way_each_time(make_trainer, parts):
    batch = minibatch(parts[0], augment=True)
    model, losses = step(make_trainer(), batch)
    assert losses["loss"] > 0
    assert not losses["loss"].requires_grad
    again, same_losses = step(make_trainer(), batch)
    assert same(model, again)
    assert losses == same_losses
    assert not same(model, network())
    other, _ = step(make_trainer(), batch, iteration=4)
    assert not same(model, other)


def test_repeated_updates_lower_the_loss(make_trainer, parts):
    trainer = make_trainer(HourglassAugmentation(augment_training_data=False), HourglassTargets(sigma=3))
    model, batch = network().train(), minibatch(parts[0])
    optimizer = trainer.make_optimizer(model, 2e-3, 0)
    losses = [trainer.update(model, optimizer, batch, i, trainer.optimisation)["loss"].item() for i in range(12)]
    assert losses[-1] < 0.6 * losses[0]


def test_an_update_trains_the_visibility_network(make_trainer, parts):
    trainer = make_trainer()
    model, losses = step(trainer, minibatch(parts[0]), predict_joint_visibility=True)
    assert set(losses) == {"loss", "heatmap_loss", "visibility_loss"}
    assert not torch.equal(
        model.visibility.decide.weight, network(predict_joint_visibility=True).visibility.decide.weight
    )


def test_a_minibatch_without_any_annotation_does_no_harm(make_trainer, parts, tmp_path):
    people = replace(parts[0], image_paths=[tmp_path / "absent.jpg"] * len(parts[0]))
    model, losses = step(make_trainer(), minibatch(people), predict_joint_visibility=True)
    assert losses["loss"] == 0
    assert all(parameter.isfinite().all() for parameter in model.parameters())


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
    assert 20 < expected < 95  # else nothing is told apart
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


def test_everybody_is_measured_by_their_own_head(make_trainer, parts):
    people = replace(parts[1], head_size=np.float32([0.1, 1e4, 0.1, 1e4]))
    trainer, dataset = make_trainer(people=people), PoseCrops(people)
    for indices, percent in (([1, 3], 100), ([2, 0], 0), ([3, 0], 50)):
        batch = default_collate([dataset[index] for index in indices])
        batch["annotated"] = torch.ones_like(batch["annotated"])
        hits, counts = trainer.scores(batch["joints"] + 5, batch)["PCKh@0.5"]
        assert (hits / counts).tolist() == [percent] * 14


def test_pelvis_and_thorax_and_unannotated_joints_have_no_say(make_trainer, parts):
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
    place = np.array([4 * 20 + 1.5, 4 * 30 + 1.5])  # crop pixels
    people = parts[1]
    expected = people.center + (place - 127.5) * people.side[:, None] / 256 + 1
    assert np.allclose(predictions, np.tile(expected[:, None], (1, 16, 1)), atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_validation_predicts_what_running_does(make_trainer, parts, tmp_path, flip):
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


def test_validation_returns_pictures_of_the_first_minibatch_alone(make_trainer, parts):
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
    """There it is a share: as it is, every later epoch would be better."""
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
        assert picture.width > picture.height > 256  # 4 people a row; poses, targets, predicted maps


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

"""The hourglass trainer's input, optimizer and update."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from trainer_cases import MEAN, minibatch, network, step

from stacked_hourglass.samples.augmentation import RandomMasking
from stacked_hourglass.samples.degradation import Degradation, RandomErasing
from stacked_hourglass.trainer import HourglassAugmentation, HourglassTargets
from utils.training.settings import Optimisation

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
        assert (changed != plain).flatten(1).any(1).sum() >= 3  # a rectangle may cover only black
        assert torch.equal(trainer.prepare(batch, 3), changed)
        assert not torch.equal(trainer.prepare(batch, 4), changed)
        assert torch.equal(trainer.prepare(batch), plain), "validation input is unchanged"


def test_masks_cover_what_is_in_view(make_trainer, parts):
    """A joint that framing hides is NaN and does not enlarge the person's box."""
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


def test_augmented_input_is_jittered_and_the_crops_are_not_changed(make_trainer, parts):
    trainer, batch = make_trainer(), minibatch(parts[1])
    before = batch["image"].clone()
    light = [(trainer.prepare(batch, i) - trainer.prepare(batch)).abs().mean() for i in (0, 1)]
    assert min(light) > 0.005
    assert torch.equal(batch["image"], before)


def test_random_numbers_depend_only_on_seed_and_iteration(make_trainer, parts):
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


@pytest.mark.long  # a dozen updates; losses and one update are tested by hand
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


def test_a_minibatch_without_annotations_keeps_the_weights_finite(make_trainer, parts, tmp_path):
    people = replace(parts[0], image_paths=[tmp_path / "absent.jpg"] * len(parts[0]))
    model, losses = step(make_trainer(), minibatch(people), predict_joint_visibility=True)
    assert losses["loss"] == 0
    assert all(parameter.isfinite().all() for parameter in model.parameters())

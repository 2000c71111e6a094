"""The hourglass trainer's losses."""

import math

import pytest
import torch
from torch import Tensor

from stacked_hourglass.trainer import HourglassLosses, HourglassTargets
from stacked_hourglass.visibility import visibility_loss
from utils.imaging.heatmaps import crop_to_heatmap, heatmap_to_crop, render_heatmaps
from utils.training.settings import Optimisation


def targets_only(joints: Tensor, annotated: Tensor) -> dict:
    """What `losses` needs of a batch, from joints (B, J, 2) in heat-map pixels."""
    count = len(joints)
    return {
        "joints": heatmap_to_crop(joints),
        "annotated": annotated,
        "visible": annotated,
        "readable": torch.ones(count, dtype=torch.bool),
    }


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


def test_the_target_of_a_joint_outside_the_crop_is_empty(make_trainer):
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

"""scripts/measure_augmentation.py: what it alters, which joints count, and its table."""

import json
import sys

import numpy as np
import pytest
import torch
from command_line import load_script

from stacked_hourglass.samples.datasets import PoseCrops
from utils.transform import MPII

script = load_script("scripts", "measure_augmentation")


class Truthful:
    """A predictor that knows where the joints of some samples are; `moved` px beside the truth, in the photo."""

    device, skeleton, score_threshold, over_time = torch.device("cpu"), MPII, 0.0, False

    def __init__(self, people, moved=0.0):
        self.places, self.moved = iter(torch.from_numpy(people.joints).float()), moved

    def __call__(self, crops, to_photo, tracks=None):
        places = torch.stack([next(self.places) for _ in crops])
        return places + torch.tensor([self.moved, 0]), torch.ones(places.shape[:2])


@pytest.fixture
def people(tiny_mpii):
    return script.load_mpii(tiny_mpii)[1]


def test_each_alteration_changes_every_crop_and_is_the_same_again(people):
    plain = script.altered(people, script.ALTERATIONS["none"])
    assert all(torch.equal(one["image"], other["image"]) for one, other in zip(plain, PoseCrops(people), strict=True))
    for name in set(script.ALTERATIONS) - {"none"}:
        once, again = (script.altered(people, script.ALTERATIONS[name]) for _ in range(2))
        for one, other, before in zip(once, again, plain, strict=True):
            assert one["image"].dtype == torch.uint8
            assert torch.equal(one["image"], other["image"]), name
            assert not torch.equal(one["image"], before["image"]), name


def test_only_what_augmentation_turns_or_masks_is_left_out():
    assert set(script.ALWAYS) - set(script.ALTERATIONS) == {"augment_training_data", "add_random_masking"}


def test_joints_count_where_they_are_in_view(people):
    """Of a person whose lower body is cut off, only the upper joints count: wrong ankles cost nothing."""
    samples = script.altered(people, script.ALTERATIONS["cut_off_prob"])
    hidden = np.stack([~sample["joints"].isfinite().all(-1).numpy() for sample in samples])
    assert hidden.any()
    people.joints[hidden] += 1e4
    predictor = Truthful(people)
    people.joints[hidden] -= 1e4
    assert script.score(predictor, people, samples, "") == 100


@pytest.mark.parametrize(("share", "score"), [(0.49, 100), (0.51, 0)])
def test_errors_are_measured_in_the_photo_by_the_head_size(people, share, score):
    """However large the altered crop shows the person."""
    people.head_size[:] = people.head_size[0]
    for name in ("none", "half_body_prob"):
        predictor = Truthful(people, moved=share * float(people.head_size[0]))
        assert script.score(predictor, people, script.altered(people, script.ALTERATIONS[name]), "") == score


def test_the_command(tiny_mpii, tmp_path, monkeypatch, capsys):
    weights = str(script.DEMO_WEIGHTS)
    output = tmp_path / "scores.json"
    argv = ["--data_dir", str(tiny_mpii), "--device", "cpu", "--output", str(output)]
    monkeypatch.setattr(script, "ALTERATIONS", {name: script.ALWAYS[name] for name in ("none", "jpeg_prob")})
    monkeypatch.setattr(sys, "argv", ["measure_augmentation.py", *argv])
    script.main()
    scores = json.loads(output.read_text())[weights]
    assert list(scores) == ["none", "jpeg_prob"]
    row = f"| {weights} | {scores['none']:.1f} | {scores['jpeg_prob']:.1f} |"
    assert row in capsys.readouterr().out.splitlines()

"""scripts/show_augmentation.py: the options that it shows, and its picture."""

import sys

import pytest
from command_line import load_script

from options import GROUPS, SCRIPTS
from utils.imaging.images import read_image
from utils.training.settings import Loading

script = load_script("scripts", "show_augmentation")


def test_a_column_for_each_augmentation_of_training():
    """Strengths, such as max_blur, have no column of their own."""
    taken = {
        option.name for group, option in SCRIPTS["train"]["hourglass_mpii"].options(GROUPS) if group == "augmentation"
    }
    shown = {name.split()[0] for name in script.ALWAYS} - {"none"}
    assert shown <= taken
    assert {name for name in taken - shown if name.endswith("_prob")} == {
        "mask_prob",
        "orientation_prob",
        "mean_valued_prob",
    }


@pytest.mark.parametrize("option", [option for option in script.ALWAYS if option != "none"])
def test_each_changes_every_crop(option, tiny_mpii):
    training, _ = script.load_mpii(tiny_mpii)
    plain, changed = (
        [
            sample.crop
            for [sample] in script.training_samples(
                training, 2, augmentation=script.ALWAYS[name], loading=Loading(train_batch_size=2, workers=0)
            )
        ]
        for name in ("none", option)
    )
    assert all((one != other).any() for one, other in zip(plain, changed, strict=True))


def test_the_picture(tiny_mpii, tmp_path, monkeypatch, capsys):
    argv = ["--data_dir", str(tiny_mpii), "--people", "1", "--output_dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["show_augmentation.py", *argv])
    script.main()
    height, width, _ = read_image(tmp_path / script.FILE).shape
    assert width >= 5 * 256
    assert height >= 2 * 256
    assert capsys.readouterr().out.strip() == str(tmp_path / script.FILE)

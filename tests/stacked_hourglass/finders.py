"""Helpers for tests of `--person_box`."""

from pathlib import Path

import pytest

from stacked_hourglass.finding.boxes import make_finder
from utils.osutils import UserError


def refusal(person_box: str, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        make_finder(person_box, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("--person_box ")
    return message


def cached_weights(monkeypatch, folder: Path) -> Path:
    from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_FPN_Weights as Weights

    monkeypatch.setenv("TORCH_HOME", str(folder))
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints / Weights.DEFAULT.url.rsplit("/", 1)[-1]

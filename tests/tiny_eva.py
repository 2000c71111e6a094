"""The sample in HumanEva-I's form, as small as a training needs it."""

from pathlib import Path

import pytest

from utils.sample import eva

FRAMES, CHUNKS = 12, {"Train": (1, 7), "Validate": (8, 11)}


def make_tiny_eva(folder: Path) -> None:
    """One walker of 12 frames, 6 of them to train on and 3 to validate on, in three cameras."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eva, "FRAMES", FRAMES)
        patch.setattr(eva, "CHUNKS", CHUNKS)
        patch.setattr(eva, "SAMPLE_SUBJECTS", ("S1",))
        eva.make_eva(folder)

"""Each kind of picture looks as it did: `golden_pictures.py` draws it, `tests/golden` has the stored picture.

Tolerance: the mean difference is at most 2 of 255 levels, and at most 1 % of the pixels are off by more than 48. Other
versions of FreeType and OpenCV smooth edges differently; a changed colour or a moved line or label differs by more.
"""

import numpy as np
import pytest
from golden_pictures import FOLDER, PICTURES, path_of, shrunk
from legible import illegible

from utils.imaging.images import read_image

MEAN, OFF, SHARE = 2.0, 48, 0.01


@pytest.mark.parametrize("name", PICTURES)
def test_looks_as_it_did(name):
    stored, drawn = read_image(path_of(name)), shrunk(name)
    assert stored.shape == drawn.shape
    difference = np.abs(stored.astype(int) - drawn)
    hint = f"{name} changed: see tests/golden_pictures.py; look at {path_of(name)} before committing it"
    assert difference.mean() <= MEAN, hint
    assert (difference.max(axis=2) > OFF).mean() <= SHARE, hint


@pytest.mark.parametrize("name", PICTURES)
def test_text_can_be_read_in_a_page(name):
    assert illegible(PICTURES[name]()) == {}


def test_every_stored_picture_is_drawn():
    assert {path.stem for path in FOLDER.iterdir()} == set(PICTURES)

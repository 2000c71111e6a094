"""Mean and standard deviation of the pixels of a training set, and their cache."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_cases import people_of, save

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.datasets import statistics
from utils.transform import MPII


@pytest.fixture
def two_photos(tmp_path) -> People:
    """Two photos of one colour each, an unreadable one, and an annotation file."""
    paths = [
        save(tmp_path / "a.png", np.full((400, 400, 3), (255, 51, 0))),
        save(tmp_path / "b.png", np.full((400, 400, 3), (0, 153, 0))),
        tmp_path / "absent.png",
    ]
    (tmp_path / "people.json").write_text("[]")
    return people_of(paths, center=np.full((3, 2), 200, np.float32), source=(tmp_path / "people.json",))


def test_statistics_by_hand(two_photos, tmp_path):
    mean, stddev = statistics(two_photos, cache=tmp_path / "cache")
    assert mean == pytest.approx([0.5, 0.4, 0])  # of 1 and 0; 0.2 and 0.6; 0 and 0
    assert stddev == pytest.approx([0.5, 0.2, 0], abs=1e-6)
    assert all(isinstance(value, float) for value in mean + stddev)


def test_statistics_count_the_black_outside_as_the_network_sees_it(two_photos, tmp_path):
    half_out = replace(two_photos.select([0]), center=np.float32([[-0.5, 200]]))
    mean, stddev = statistics(half_out, cache=tmp_path / "cache")
    assert mean == pytest.approx([0.5, 0.1, 0], abs=2e-3)
    assert stddev == pytest.approx([0.5, 0.1, 0], abs=2e-3)


def test_statistics_are_read_from_the_cache(two_photos, tmp_path):
    first = statistics(two_photos, cache=tmp_path / "cache")
    for path in two_photos.image_paths:
        path.unlink(missing_ok=True)
    assert statistics(two_photos, cache=tmp_path / "cache") == first
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert statistics(two_photos, cache=tmp_path / "other") == ([0, 0, 0], [0, 0, 0])  # nothing left to read


@pytest.mark.parametrize("change", ["annotation file", "center", "side", "photo", "order of joints", "person"])
def test_statistics_of_other_people_have_another_key(two_photos, tmp_path, change):
    cache = tmp_path / "cache"
    statistics(two_photos, cache=cache)
    if change == "annotation file":
        two_photos.source[0].write_text("[{}]")
        other = two_photos
    elif change == "center":
        other = replace(two_photos, center=two_photos.center + np.float32(0.25))
    elif change == "side":
        other = replace(two_photos, side=two_photos.side * np.float32(1.25))
    elif change == "photo":
        shutil.copy(two_photos.image_paths[0], tmp_path / "c.png")
        other = replace(two_photos, image_paths=[tmp_path / "c.png", *two_photos.image_paths[1:]])
    elif change == "order of joints":
        other = replace(two_photos, skeleton=MPII.first(10))
    else:
        other = two_photos.select([0, 1])
    statistics(other, cache=cache)
    assert len(list(cache.iterdir())) == 2


def test_statistics_are_the_same_from_another_working_directory(two_photos, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    statistics(two_photos, cache=cache)
    monkeypatch.chdir(tmp_path)
    relative = replace(two_photos, image_paths=[Path(path.name) for path in two_photos.image_paths])
    statistics(relative, cache=cache)
    assert len(list(cache.iterdir())) == 1
